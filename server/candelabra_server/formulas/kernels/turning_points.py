"""Windows of conditions and of extremes: how often, how long ago, and where the column turned.

All need full windows. What they count and compare is exact, so the bits are the same wherever the column begins.
"""

from __future__ import annotations

import numpy as np

from candelabra_server.domain.candles import FloatColumn
from candelabra_server.formulas.kernels.elementwise import is_true, shift
from candelabra_server.formulas.kernels.folding import State, fold_extremes, fold_sums, fold_windows

__all__ = ["count_if", "highest_bars", "lowest_bars", "pivot_high", "pivot_low"]


def count_if(condition: FloatColumn, window: int) -> FloatColumn:
    """In how many of the last `window` rows the condition is true; NaN counts as false."""
    counts = fold_sums(is_true(condition).astype(np.float64), window)
    counts[: window - 1] = np.nan
    return counts


def highest_bars(column: FloatColumn, window: int) -> FloatColumn:
    """The distance to the largest of the last `window` rows: 0 for this row, -1 for the one before.

    The oldest of equal values counts. NaN where the window is not full or holds a NaN.
    """
    return _distance(column, window)


def lowest_bars(column: FloatColumn, window: int) -> FloatColumn:
    """The distance to the smallest of the last `window` rows; see highest_bars."""
    return _distance(np.negative(column), window)


def pivot_high(column: FloatColumn, left: int, right: int) -> FloatColumn:
    """The value `right` rows ago where it is a peak; NaN elsewhere, and where a value that decides is NaN.

    A peak is no smaller than the `left` values before it and larger than the `right` after it: of equal ones the last.
    """
    return _pivot(column, column, left, right)


def pivot_low(column: FloatColumn, left: int, right: int) -> FloatColumn:
    """The value `right` rows ago where it is a trough; see pivot_high."""
    return _pivot(column, np.negative(column), left, right)


def _distance(column: FloatColumn, window: int) -> FloatColumn:
    largest, distance = fold_windows((column, np.zeros(len(column))), window, _merge_oldest_largest)
    distance = np.where(np.isnan(largest), np.nan, distance)
    distance[: window - 1] = np.nan
    return distance


def _merge_oldest_largest(older: State, newer: State, _older_rows: int, newer_rows: int) -> State:
    """Largest value, and its distance from the block's newest row."""
    distance = np.where(older[0] >= newer[0], older[1] - newer_rows, newer[1])
    return np.maximum(older[0], newer[0]), distance


def _pivot(values: FloatColumn, heights: FloatColumn, left: int, right: int) -> FloatColumn:
    """The values at the peaks of `heights`, in the rows where they are known to be peaks."""
    peak = shift(heights, right)
    before = shift(fold_extremes(heights, left, np.maximum), right + 1)
    after = fold_extremes(heights, right, np.maximum)
    pivots = np.where((peak >= before) & (peak > after), shift(values, right), np.nan)
    pivots[: left + right] = np.nan
    return pivots
