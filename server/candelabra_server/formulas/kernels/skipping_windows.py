"""Qlib's windows: missing rows are skipped, and a value needs one row only (`rolling(N, min_periods=1)`).

Infinite values are missing too, as they are for pandas' rolling functions; only `rolling_count` counts them, as pandas
does. A window of 0 is all rows so far (`expanding(min_periods=1)`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from candelabra_server.domain.candles import FloatColumn
from candelabra_server.formulas.kernels.folding import fold_extremes, fold_sums
from candelabra_server.formulas.kernels.moments import central_moments, squared_deviations
from candelabra_server.formulas.kernels.window_lengths import rows_to_fold

__all__ = [
    "first_value",
    "rolling_count",
    "rolling_kurtosis",
    "rolling_kurtosis_guarded",
    "rolling_max",
    "rolling_mean",
    "rolling_mean_deviation",
    "rolling_min",
    "rolling_skewness",
    "rolling_skewness_guarded",
    "rolling_std",
    "rolling_sum",
    "rolling_variance",
]

_LEAST_VARIANCE = 1e-14
"""What pandas, before its version 3, takes for the rounding error of its running sums, in units of squared values."""
_KURTOSIS_OF_EQUAL_VALUES = -3.0


def rolling_sum(column: FloatColumn, window: int) -> FloatColumn:
    """The sum of what is there; NaN where nothing is."""
    present = np.isfinite(column)
    rows = rows_to_fold(window, len(column))
    return _where_any(fold_sums(_filled(column, present, 0.0), rows), present, rows)


def rolling_mean(column: FloatColumn, window: int) -> FloatColumn:
    """The mean of what is there; NaN where nothing is."""
    present = np.isfinite(column)
    rows = rows_to_fold(window, len(column))
    counts = fold_sums(present.astype(np.float64), rows)
    return fold_sums(_filled(column, present, 0.0), rows) / np.where(counts > 0, counts, np.nan)


def rolling_max(column: FloatColumn, window: int) -> FloatColumn:
    """The largest of what is there; NaN where nothing is."""
    present = np.isfinite(column)
    rows = rows_to_fold(window, len(column))
    return _where_any(fold_extremes(_filled(column, present, -np.inf), rows, np.maximum), present, rows)


def rolling_min(column: FloatColumn, window: int) -> FloatColumn:
    """The smallest of what is there; NaN where nothing is."""
    present = np.isfinite(column)
    rows = rows_to_fold(window, len(column))
    return _where_any(fold_extremes(_filled(column, present, np.inf), rows, np.minimum), present, rows)


def rolling_count(column: FloatColumn, window: int) -> FloatColumn:
    """How many values are not NaN; infinite ones count. Never NaN."""
    return fold_sums((~np.isnan(column)).astype(np.float64), rows_to_fold(window, len(column)))


def rolling_variance(column: FloatColumn, window: int) -> FloatColumn:
    """The sample's variance (divisor: count less one) of what is there; NaN for fewer than two rows."""
    counts, _, _, squares = squared_deviations(column, window)
    return squares / np.where(counts > 1, counts - 1, np.nan)


def rolling_std(column: FloatColumn, window: int) -> FloatColumn:
    """The sample's standard deviation (divisor: count less one) of what is there; NaN for fewer than two rows."""
    return np.sqrt(rolling_variance(column, window))


def rolling_skewness(column: FloatColumn, window: int) -> FloatColumn:
    """The sample's skewness without bias (G1), 0 for what is symmetric.

    NaN for fewer than three values, and where all are equal.
    """
    counts, squares, cubes, _ = central_moments(column, window)
    return _skewness(counts, squares, cubes)


def rolling_skewness_guarded(column: FloatColumn, window: int) -> FloatColumn:
    """As rolling_skewness with the guards of pandas before its version 3, which Qlib was written for.

    0 where three or more values are all equal, NaN where their variance (divisor: count) is at most 1e-14.
    """
    counts, squares, cubes, _ = central_moments(column, window)
    return _guarded(_skewness(counts, squares, cubes), counts, squares, least_count=3, of_equal_values=0.0)


def rolling_kurtosis(column: FloatColumn, window: int) -> FloatColumn:
    """The sample's excess kurtosis without bias (G2), 0 for a normal distribution.

    NaN for fewer than four values, and where all are equal.
    """
    counts, squares, _, fourths = central_moments(column, window)
    return _kurtosis(counts, squares, fourths)


def rolling_kurtosis_guarded(column: FloatColumn, window: int) -> FloatColumn:
    """As rolling_kurtosis with the guards of pandas before its version 3, which Qlib was written for.

    -3 where four or more values are all equal, NaN where their variance (divisor: count) is at most 1e-14.
    """
    counts, squares, _, fourths = central_moments(column, window)
    values = _kurtosis(counts, squares, fourths)
    return _guarded(values, counts, squares, least_count=4, of_equal_values=_KURTOSIS_OF_EQUAL_VALUES)


def rolling_mean_deviation(column: FloatColumn, window: int) -> FloatColumn:
    """The mean distance of what is there from its mean; NaN where nothing is.

    Looks at every value of every window: time grows with rows times window, for a window of 0 with the square of rows.
    """
    counts, value, distance, _ = squared_deviations(column, window)
    present = np.isfinite(column)
    filled = _filled(column, present, 0.0)
    weights = present.astype(np.float64)
    total = np.zeros(len(column))
    for age in range(min(window or len(column), len(column))):
        older = slice(0, len(column) - age)
        # Not value + distance, the mean itself, which would round away the differences of large values.
        total[age:] += np.abs((filled[older] - value[age:]) - distance[age:]) * weights[older]
    return total / np.where(counts > 0, counts, np.nan)


def first_value(column: FloatColumn) -> FloatColumn:
    """The value of the first row in every row, NaN or not."""
    return np.repeat(column[:1], len(column))


def _skewness(counts: FloatColumn, squares: FloatColumn, cubes: FloatColumn) -> FloatColumn:
    skewness = counts * np.sqrt(counts - 1) / (counts - 2) * (cubes / squares / np.sqrt(squares))
    return np.where((counts > 2) & (squares > 0), skewness, np.nan)


def _kurtosis(counts: FloatColumn, squares: FloatColumn, fourths: FloatColumn) -> FloatColumn:
    raw = counts * (counts + 1) * (counts - 1) * (fourths / squares / squares)
    kurtosis = (raw - 3 * (counts - 1) * (counts - 1)) / ((counts - 2) * (counts - 3))
    return np.where((counts > 3) & (squares > 0), kurtosis, np.nan)


def _guarded(
    values: FloatColumn, counts: FloatColumn, squares: FloatColumn, *, least_count: int, of_equal_values: float
) -> FloatColumn:
    values[squares / counts <= _LEAST_VARIANCE] = np.nan
    values[(counts >= least_count) & (squares == 0)] = of_equal_values
    return values


def _filled(column: FloatColumn, present: npt.NDArray[np.bool_], missing: float) -> FloatColumn:
    return np.where(present, column, missing)


def _where_any(values: FloatColumn, present: npt.NDArray[np.bool_], rows: int) -> FloatColumn:
    if present.all():
        return values
    return np.where(fold_extremes(present.astype(np.float64), rows, np.maximum) > 0, values, np.nan)
