"""The straight line through the values of a window, against their places, and the mean with those places as weights.

The newest row of a window of N has place N, the row before it N - 1, and so on; rows that hold no value are passed
over, and the others keep their places. A window of 0 is all rows so far; near the first row a window begins there.
Infinite values are missing.
"""

from __future__ import annotations

import numpy as np

from candelabra_server.domain.candles import FloatColumn
from candelabra_server.formulas.kernels.pair_windows import FLAT_DEVIATION, fold_pairs
from candelabra_server.formulas.kernels.window_lengths import rows_in_window

__all__ = ["place_weighted_mean", "place_weighted_mean_divided_twice", "rolling_regression"]


def rolling_regression(column: FloatColumn, window: int) -> tuple[FloatColumn, FloatColumn, FloatColumn]:
    """The line of least squares.

    Returns:
        slope: a row; NaN for fewer than two values.
        fit: squared correlation of values and places, 0 to 1; NaN for fewer than two values, where all are equal, and
            in a window of 1 row or more where the values' standard deviation is at most FLAT_DEVIATION, as in Qlib.
        residual: how far the newest row is above the line; NaN where that row holds no value, and for fewer than two
            values.
    """
    rows = len(column)
    row_numbers = np.arange(rows, dtype=np.float64)
    state = fold_pairs(row_numbers, column, window)
    counts, row, row_distance, value, value_distance, place_squares, value_squares, products = state
    several = counts > 1
    slope = np.where(several, products / place_squares, np.nan)
    varies = value_squares > 0
    if window:
        varies &= np.sqrt(value_squares / (counts - 1)) > FLAT_DEVIATION
    fit = np.where(several & varies, np.minimum(slope * products / value_squares, 1.0), np.nan)
    residual = ((column - value) - value_distance) - slope * ((row_numbers - row) - row_distance)
    return slope, fit, np.where(several & np.isfinite(column), residual, np.nan)


def place_weighted_mean(column: FloatColumn, window: int) -> FloatColumn:
    """The mean of what is there, every value weighing as much as its place; NaN where nothing is."""
    return _weighted(column, window)[0]


def place_weighted_mean_divided_twice(column: FloatColumn, window: int) -> FloatColumn:
    """Qlib's WMA: the weights of all places, missing or not, sum to 1, and the sum is divided by the count again."""
    mean, counts, weight = _weighted(column, window)
    places = rows_in_window(window, len(column))
    return mean * (weight / (places * (places + 1) / 2)) / counts


def _weighted(column: FloatColumn, window: int) -> tuple[FloatColumn, FloatColumn, FloatColumn]:
    """The weighted mean, how many values there are, and the sum of their weights.

    The weighted mean is the plain mean, moved by the covariance of places and values over the mean place.
    """
    rows = len(column)
    row_numbers = np.arange(rows, dtype=np.float64)
    counts, row, row_distance, value, value_distance, _, _, products = fold_pairs(row_numbers, column, window)
    weight = counts * (rows_in_window(window, rows) - ((row_numbers - row) - row_distance))
    mean = value + (value_distance + products / weight)
    return np.where(counts > 0, mean, np.nan), counts, weight
