"""Windows of technical analysis: a value needs the whole window, so NaN until it is full and while it holds a NaN."""

from __future__ import annotations

import numpy as np

from candelabra_server.domain.candles import FloatColumn
from candelabra_server.formulas.kernels.folding import State, fold_extremes, fold_sums, fold_windows

__all__ = ["highest", "lowest", "simple_mean", "standard_deviation", "standard_score", "weighted_mean"]


def simple_mean(column: FloatColumn, window: int) -> FloatColumn:
    """The mean of the last `window` rows."""
    return _full(fold_sums(column, window) / window, window)


def weighted_mean(column: FloatColumn, window: int) -> FloatColumn:
    """The mean with weights 1 (oldest) to `window` (newest)."""
    _, weighted = fold_windows((column, column), window, _merge_weighted)
    return _full(weighted / (window * (window + 1) / 2), window)


def standard_deviation(column: FloatColumn, window: int) -> FloatColumn:
    """The population's standard deviation (divisor `window`, as TA-Lib's) of the last `window` rows.

    Blocks are merged by mean and squared deviations (Chan, Golub and LeVeque, 1979), the mean as its distance from
    the block's newest value: exactly 0 for equal values, and as exact for values that are large beside their
    differences as for small ones.
    """
    nothing = column - column  # 0, or NaN where the value is NaN or infinite
    _, _, squares = fold_windows((column, nothing, nothing), window, _merge_moments)
    return _full(np.sqrt(squares / window), window)


def standard_score(column: FloatColumn, window: int) -> FloatColumn:
    """How many of the window's standard deviations (divisor `window`) the newest value is above its mean.

    Taken from the mean's distance, not from the mean, which would round away the differences of large values. NaN
    where nothing varies.
    """
    nothing = column - column
    _, distance, squares = fold_windows((column, nothing, nothing), window, _merge_moments)
    return _full(-distance / np.sqrt(squares / window), window)


def highest(column: FloatColumn, window: int) -> FloatColumn:
    """The largest of the last `window` rows."""
    return _full(fold_extremes(column, window, np.maximum), window)


def lowest(column: FloatColumn, window: int) -> FloatColumn:
    """The smallest of the last `window` rows."""
    return _full(fold_extremes(column, window, np.minimum), window)


def _full(column: FloatColumn, window: int) -> FloatColumn:
    """A column of its own with NaN where the window is not full."""
    if window > len(column):
        return np.full(len(column), np.nan)
    if window == 1:
        return column.copy()
    column[: window - 1] = np.nan  # a fold of several rows is never the caller's column
    return column


def _merge_weighted(older: State, newer: State, older_rows: int, _newer_rows: int) -> State:
    """Sum and weighted sum; in the whole, every weight of the newer block is larger by the older block's rows."""
    return older[0] + newer[0], older[1] + newer[1] + older_rows * newer[0]


def _merge_moments(older: State, newer: State, older_rows: int, newer_rows: int) -> State:
    """Newest value, distance of the mean from it, and sum of squared deviations from the mean."""
    rows = older_rows + newer_rows
    difference = (newer[0] - older[0]) + (newer[1] - older[1])  # of the means
    distance = newer[1] - difference * (older_rows / rows)
    squares = older[2] + newer[2] + difference * difference * (older_rows * newer_rows / rows)
    return newer[0], distance, squares
