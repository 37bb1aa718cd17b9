"""Kernels that look at one row at a time, and the shift along the rows.

Every function takes columns, or single numbers in their place, and returns a new float64 column. Signals are 1 for
true, 0 for false and NaN for unknown; any other number counts as true.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from candelabra_server.domain.candles import FloatColumn

__all__ = [
    "add",
    "choose",
    "divide",
    "equal",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "multiply",
    "negate",
    "not_equal",
    "power",
    "remainder",
    "shift",
    "signal_or_zero",
    "subtract",
]

_Mask = npt.NDArray[np.bool_]


def add(left: FloatColumn, right: FloatColumn) -> FloatColumn:
    """`left + right`."""
    return np.add(left, right)


def subtract(left: FloatColumn, right: FloatColumn) -> FloatColumn:
    """`left - right`."""
    return np.subtract(left, right)


def multiply(left: FloatColumn, right: FloatColumn) -> FloatColumn:
    """`left * right`."""
    return np.multiply(left, right)


def divide(left: FloatColumn, right: FloatColumn) -> FloatColumn:
    """`left / right`; by zero: an infinity, or NaN for 0 / 0."""
    return np.divide(left, right)


def remainder(left: FloatColumn, right: FloatColumn) -> FloatColumn:
    """`left % right` with the sign of `right`, as in Python; by zero: NaN."""
    return np.remainder(left, right)


def power(base: FloatColumn, exponent: FloatColumn) -> FloatColumn:
    """`base ^ exponent`; NaN for a root of a negative number."""
    return np.power(base, exponent)


def negate(column: FloatColumn) -> FloatColumn:
    """`-column`."""
    return np.negative(column)


def less(left: FloatColumn, right: FloatColumn) -> FloatColumn:
    """`left < right`, NaN where either is NaN."""
    return _known(np.less(left, right), left, right)


def less_equal(left: FloatColumn, right: FloatColumn) -> FloatColumn:
    """`left <= right`, NaN where either is NaN."""
    return _known(np.less_equal(left, right), left, right)


def equal(left: FloatColumn, right: FloatColumn) -> FloatColumn:
    """`left == right`, NaN where either is NaN."""
    return _known(np.equal(left, right), left, right)


def not_equal(left: FloatColumn, right: FloatColumn) -> FloatColumn:
    """`left != right`, NaN where either is NaN."""
    return _known(np.not_equal(left, right), left, right)


def logical_and(left: FloatColumn, right: FloatColumn) -> FloatColumn:
    """Kleene's and: false where either is false, else NaN where either is NaN, else true."""
    false = np.equal(left, 0) | np.equal(right, 0)
    return np.where(false, 0.0, np.where(np.isnan(left) | np.isnan(right), np.nan, 1.0))


def logical_or(left: FloatColumn, right: FloatColumn) -> FloatColumn:
    """Kleene's or: true where either is true, else NaN where either is NaN, else false."""
    unknown_left, unknown_right = np.isnan(left), np.isnan(right)
    true = (np.not_equal(left, 0) & ~unknown_left) | (np.not_equal(right, 0) & ~unknown_right)
    return np.where(true, 1.0, np.where(unknown_left | unknown_right, np.nan, 0.0))


def logical_not(column: FloatColumn) -> FloatColumn:
    """True where false, false where true, NaN where NaN."""
    return _known(np.equal(column, 0), column, column)


def choose(condition: FloatColumn, then: FloatColumn, otherwise: FloatColumn) -> FloatColumn:
    """`then` where the condition is true, `otherwise` where it is false, NaN where it is NaN."""
    return np.where(np.isnan(condition), np.nan, np.where(np.not_equal(condition, 0), then, otherwise))


def signal_or_zero(column: FloatColumn) -> FloatColumn:
    """The signal with unknown counted as false: how Qlib's operators see a comparison."""
    return np.where(np.isnan(column), 0.0, column)


def shift(column: FloatColumn, candles: int) -> FloatColumn:
    """The value `candles` rows ago; ahead where negative. NaN where there is no such row."""
    rows = len(column)
    shifted = np.full(rows, np.nan)
    if 0 <= candles < rows:
        shifted[candles:] = column[: rows - candles]
    elif -rows < candles < 0:
        shifted[:candles] = column[-candles:]
    return shifted


def _known(truth: _Mask, left: FloatColumn, right: FloatColumn) -> FloatColumn:
    return np.where(np.isnan(left) | np.isnan(right), np.nan, truth)
