"""Windows of TA-Lib's whose own arithmetic drifts, computed afresh for every row.

TA-Lib carries sums along the column and takes differences of large ones, so that a value depends on where the column
begins, by far more than rounding where prices are large beside their changes. The definitions here are TA-Lib's,
the arithmetic is that of folding.py or goes through the window row by row. Rows before the first full window hold
anything. Columns are finite.
"""

from __future__ import annotations

import numpy as np

from candelabra_server.domain.candles import FloatColumn
from candelabra_server.formulas.kernels.folding import State, fold_sums, fold_windows
from candelabra_server.formulas.kernels.full_windows import standard_deviation

__all__ = [
    "beta",
    "commodity_channel_index",
    "correlation",
    "regression",
    "regression_angle",
    "regression_forecast",
    "regression_intercept",
    "regression_slope",
    "variance",
    "volume_weighted_mean",
]

_DEGREES = 180 / np.pi
_LAMBERT = 0.015
"""Scales the commodity channel index so that most values lie within 100 of zero (Lambert, 1980)."""


def variance(column: FloatColumn, window: int, _deviations: float) -> FloatColumn:
    """VAR: the population's variance (divisor `window`); TA-Lib's second parameter changes nothing."""
    return np.square(standard_deviation(column, window))


def volume_weighted_mean(close: FloatColumn, volume: FloatColumn, window: int) -> FloatColumn:
    """VWMA: the mean of the closes, weighted by volume; NaN where there is no volume in the window."""
    return fold_sums(close * volume, window) / fold_sums(volume, window)


def commodity_channel_index(high: FloatColumn, low: FloatColumn, close: FloatColumn, window: int) -> FloatColumn:
    """CCI: how far the typical price is from its mean, in mean absolute deviations; 0 where nothing varies."""
    typical = (high + low + close) / 3
    _, total = fold_windows((typical, np.zeros(len(typical))), window, _merge_total)
    mean = total / window  # as its distance from the newest value
    deviations = np.zeros(len(typical))
    for age in range(min(window, len(typical))):
        deviations[age:] += np.abs(typical[: len(typical) - age] - typical[age:] - mean[age:])
    return np.where(deviations > 0, -mean / (_LAMBERT * deviations / window), deviations)


def correlation(first: FloatColumn, second: FloatColumn, window: int) -> FloatColumn:
    """CORREL: Pearson's correlation; 0 where either does not vary."""
    squares, products, second_squares = _joint_moments(first, second, window)
    scale = np.sqrt(squares) * np.sqrt(second_squares)
    return np.where(scale > 0, products / scale, scale)


def beta(first: FloatColumn, second: FloatColumn, window: int) -> FloatColumn:
    """BETA: slope of the second's relative changes over the first's; 0 where the first does not change.

    A change from 0 counts as 0.
    """
    squares, products, _ = _joint_moments(_relative_changes(first), _relative_changes(second), window)
    return np.where(squares > 0, products / squares, squares)


def regression(column: FloatColumn, window: int) -> FloatColumn:
    """LINEARREG: the window's least-squares line at its newest row."""
    mean, slope, center = _line(column, window)
    return mean + slope * center


def regression_slope(column: FloatColumn, window: int) -> FloatColumn:
    """LINEARREG_SLOPE: change of the line from row to row."""
    return _line(column, window)[1]


def regression_angle(column: FloatColumn, window: int) -> FloatColumn:
    """LINEARREG_ANGLE: the slope as an angle in degrees."""
    return np.arctan(_line(column, window)[1]) * _DEGREES


def regression_intercept(column: FloatColumn, window: int) -> FloatColumn:
    """LINEARREG_INTERCEPT: the line at the window's oldest row."""
    mean, slope, center = _line(column, window)
    return mean - slope * center


def regression_forecast(column: FloatColumn, window: int) -> FloatColumn:
    """TSF: the line one row after the newest."""
    mean, slope, center = _line(column, window)
    return mean + slope * (center + 1)


def _relative_changes(column: FloatColumn) -> FloatColumn:
    changes = np.zeros(len(column))
    before = column[:-1]
    changes[1:] = np.where(before != 0, (column[1:] - before) / before, 0)
    return changes


def _joint_moments(first: FloatColumn, second: FloatColumn, window: int) -> State:
    """Squared deviations of the first, products of both, squared deviations of the second."""
    nothing = np.zeros(len(first))
    state = (first, nothing, second, nothing, nothing, nothing, nothing)
    return fold_windows(state, window, _merge_joint)[4:]


def _merge_joint(older: State, newer: State, older_rows: int, newer_rows: int) -> State:
    """As in full_windows.standard_deviation, for two columns at once."""
    rows = older_rows + newer_rows
    first = (newer[0] - older[0]) + (newer[1] - older[1])
    second = (newer[2] - older[2]) + (newer[3] - older[3])
    share, weight = older_rows / rows, older_rows * newer_rows / rows
    return (
        newer[0],
        newer[1] - first * share,
        newer[2],
        newer[3] - second * share,
        older[4] + newer[4] + first * first * weight,
        older[5] + newer[5] + first * second * weight,
        older[6] + newer[6] + second * second * weight,
    )


def _line(column: FloatColumn, window: int) -> tuple[FloatColumn, FloatColumn, float]:
    """The mean, the slope, and how many rows the newest is from the middle."""
    nothing = np.zeros(len(column))
    newest, total, aged = fold_windows((column, nothing, nothing), window, _merge_line)
    center = (window - 1) / 2
    slope = (center * total - aged) / (window * (window * window - 1) / 12)
    return newest + total / window, slope, center


def _merge_total(older: State, newer: State, older_rows: int, _newer_rows: int) -> State:
    """Newest value, and sum of differences from it."""
    return newer[0], older[1] + older_rows * (older[0] - newer[0]) + newer[1]


def _merge_line(older: State, newer: State, older_rows: int, newer_rows: int) -> State:
    """Newest value, sum of differences from it, and sum of these times their age in rows."""
    difference = older[0] - newer[0]
    total = older[1] + older_rows * difference
    ages = older_rows * (older_rows - 1) / 2
    return newer[0], total + newer[1], older[2] + ages * difference + newer_rows * total + newer[2]
