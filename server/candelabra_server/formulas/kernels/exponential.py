"""Exponentially weighted means with Qlib's rules: a row of age k weighs (1 - alpha)^k, missing rows weigh nothing.

Weights are over the rows that are there, so the first value is the first mean (`ewm(adjust=True, ignore_na=False)`).
Infinite values are missing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from candelabra_server.domain.candles import FloatColumn
from candelabra_server.formulas.kernels.folding import Merge, State, fold_windows
from candelabra_server.formulas.kernels.state import last_present
from candelabra_server.formulas.kernels.window_lengths import rows_to_fold

__all__ = ["decaying_mean", "decaying_mean_from_start", "history_mean", "history_mean_over_all_weights"]

_TERMS = 28
"""Of the series of history_mean: (2.2 ** 28) / 28! is below 1e-19 of the sum."""
_UNIT = 2.0**-20
"""Places are counted in it, so that their 28th powers are far from the ends of what a float can hold."""


def decaying_mean(column: FloatColumn, alpha: float, window: int) -> FloatColumn:
    """The mean over the last `window` rows; NaN where nothing is there."""
    return _folded(column, alpha, window)


def decaying_mean_from_start(column: FloatColumn, alpha: float, _candles: int) -> FloatColumn:
    """The mean over all rows so far, wherever those begin; it stays what it was while nothing comes.

    `_candles` is how many of them are asked for before a row (see Operation.warm_up).
    """
    return last_present(_folded(column, alpha, rows_to_fold(0, len(column))))


def history_mean(column: FloatColumn) -> FloatColumn:
    """The mean over all L rows so far with alpha = 2 / (L + 1), which shrinks as they become more.

    NaN where nothing is there.
    """
    present = np.isfinite(column)
    centre = _centre(column, present)
    weighted = _history_sum(np.where(present, column - centre, 0.0))
    return np.where(np.logical_or.accumulate(present), centre + weighted / _history_sum(present), np.nan)


def history_mean_over_all_weights(column: FloatColumn) -> FloatColumn:
    """As history_mean, but divided by the weights of all rows, as if missing ones held 0: Qlib's EMA with N = 0."""
    present = np.isfinite(column)
    return history_mean(column) * (_history_sum(present) / _history_sum(np.ones(len(column))))


def _folded(column: FloatColumn, alpha: float, window: int) -> FloatColumn:
    present = np.isfinite(column)
    single_rows = (present.astype(np.float64), np.where(present, column, 0.0))
    weight, mean = fold_windows(single_rows, window, _decaying(1 - alpha))
    return np.where(weight > 0, mean, np.nan)


def _decaying(keep: float) -> Merge:
    """Merges weight and mean; the older block fades with every row of the newer."""

    def merge(older: State, newer: State, _older_rows: int, newer_rows: int) -> State:
        faded = older[0] * keep**newer_rows
        weight = faded + newer[0]
        share = faded / np.where(weight > 0, weight, 1.0)
        return weight, newer[1] + (older[1] - newer[1]) * share

    return merge


def _history_sum(column: FloatColumn | npt.NDArray[np.bool_]) -> FloatColumn:
    """For every row, number L, a sum over the rows j up to it with weights (1 - 2 / (L + 1)) ^ (L - j).

    All of one row's weights are too large by the same factor. With t = -L ln(1 - 2 / (L + 1)), which is 2 to 2.2, the
    weight is exp(t j / L) over exp(t), and the sum a series in t over prefix sums of (j / L)^p, whose terms shrink
    like 2^p / p! and are all positive where the column is.
    """
    numbers = np.arange(1, len(column) + 1, dtype=np.float64)
    rate = numbers * np.log1p(2 / np.maximum(numbers - 1, 1))  # the first row is alone: any rate will do
    power, factor, total = np.ones(len(column)), np.ones(len(column)), np.zeros(len(column))
    for term in range(_TERMS):
        total += factor * (np.cumsum(column * power) / power)
        power *= numbers * _UNIT
        factor *= rate / (term + 1)
    return total


def _centre(column: FloatColumn, present: npt.NDArray[np.bool_]) -> float:
    """The first value there is: sums of what lies around it keep the differences of large values."""
    return float(column[np.argmax(present)]) if present.any() else 0.0
