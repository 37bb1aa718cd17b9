"""Qlib's windows: missing rows are skipped, and a value needs one row only (`rolling(N, min_periods=1)`).

Infinite values are missing too, as they are for pandas' rolling functions.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from candelabra_server.domain.candles import FloatColumn
from candelabra_server.formulas.kernels.folding import State, fold_extremes, fold_sums, fold_windows

__all__ = ["rolling_max", "rolling_mean", "rolling_min", "rolling_std", "rolling_sum"]


def rolling_sum(column: FloatColumn, window: int) -> FloatColumn:
    """The sum of what is there; NaN where nothing is."""
    present = np.isfinite(column)
    return _where_any(fold_sums(_filled(column, present, 0.0), window), present, window)


def rolling_mean(column: FloatColumn, window: int) -> FloatColumn:
    """The mean of what is there; NaN where nothing is."""
    present = np.isfinite(column)
    counts = fold_sums(present.astype(np.float64), window)
    return fold_sums(_filled(column, present, 0.0), window) / np.where(counts > 0, counts, np.nan)


def rolling_max(column: FloatColumn, window: int) -> FloatColumn:
    """The largest of what is there; NaN where nothing is."""
    present = np.isfinite(column)
    return _where_any(fold_extremes(_filled(column, present, -np.inf), window, np.maximum), present, window)


def rolling_min(column: FloatColumn, window: int) -> FloatColumn:
    """The smallest of what is there; NaN where nothing is."""
    present = np.isfinite(column)
    return _where_any(fold_extremes(_filled(column, present, np.inf), window, np.minimum), present, window)


def rolling_std(column: FloatColumn, window: int) -> FloatColumn:
    """The sample's standard deviation (divisor: count less one) of what is there; NaN for fewer than two rows."""
    present = np.isfinite(column)
    nothing = np.zeros(len(column))
    single_rows = (present.astype(np.float64), _filled(column, present, 0.0), nothing, nothing)
    counts, _, _, squares = fold_windows(single_rows, window, _merge_moments)
    return np.sqrt(squares / np.where(counts > 1, counts - 1, np.nan))


def _filled(column: FloatColumn, present: npt.NDArray[np.bool_], missing: float) -> FloatColumn:
    return np.where(present, column, missing)


def _where_any(values: FloatColumn, present: npt.NDArray[np.bool_], window: int) -> FloatColumn:
    if present.all():
        return values
    return np.where(fold_extremes(present.astype(np.float64), window, np.maximum) > 0, values, np.nan)


def _merge_moments(older: State, newer: State, _older_rows: int, _newer_rows: int) -> State:
    """Count, one value, distance of the mean from it, and sum of squared deviations from the mean.

    A block of no rows changes nothing. See full_windows.standard_deviation.
    """
    counts = older[0] + newer[0]
    share = older[0] / np.maximum(counts, 1)
    some = newer[0] > 0
    difference = (newer[1] - older[1]) + (newer[2] - older[2])  # of the means
    value = np.where(some, newer[1], older[1])
    distance = np.where(some, newer[2] - difference * share, older[2])
    return counts, value, distance, older[3] + newer[3] + difference * difference * (newer[0] * share)
