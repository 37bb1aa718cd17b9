"""Kernels that look at one row at a time, and the shift along the rows.

Every function takes columns, or single numbers in their place, and returns a new float64 column.

Three-valued logic, defined here for the whole language:

- A signal is 1 for true, 0 for false and NaN for unknown. Where a number stands in for a signal, 0 is false, NaN is
  unknown, and every other number, an infinity too, is true.
- A comparison is unknown where either side is NaN.
- `and`, `or` and `not` are Kleene's: the result is known where it is the same whatever the unknown side may be.
  false and unknown is false, true or unknown is true; all else with an unknown side is unknown.
- `if` is NaN where its condition is unknown, whatever the branches are.
- What consumes a condition (`bars_since`, `value_when`, `streak`, `count_if`) takes unknown for false: see `is_true`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from candelabra_server.domain.candles import FloatColumn

__all__ = [
    "absolute",
    "add",
    "choose",
    "divide",
    "equal",
    "greatest",
    "is_missing",
    "is_true",
    "least",
    "less",
    "less_equal",
    "logarithm",
    "logical_and",
    "logical_not",
    "logical_or",
    "multiply",
    "negate",
    "not_equal",
    "power",
    "remainder",
    "round_half_up",
    "round_to_float32",
    "shift",
    "sign",
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
    # A column even of one exponent: for single ones numpy has shorter ways, which differ in the last bit.
    exponents: FloatColumn = np.full(np.broadcast_shapes(np.shape(base), np.shape(exponent)), exponent)
    return np.power(base, exponents)


def negate(column: FloatColumn) -> FloatColumn:
    """`-column`."""
    return np.negative(column)


def absolute(column: FloatColumn) -> FloatColumn:
    """The value without its sign."""
    return np.absolute(column)


def sign(column: FloatColumn) -> FloatColumn:
    """1 above 0, -1 below, 0 at 0, NaN where NaN."""
    return np.sign(column)


def logarithm(column: FloatColumn) -> FloatColumn:
    """The natural logarithm; minus infinity for 0, NaN for a negative number."""
    return np.log(column)


def round_half_up(column: FloatColumn) -> FloatColumn:
    """The nearest whole number, halves up: 2.5 gives 3, -2.5 gives -2."""
    whole = np.floor(column)
    # Not floor(column + 0.5): the sum rounds, so that the number just below 0.5 would give 1.
    return np.where(column - whole >= 0.5, whole + 1, whole)


def greatest(left: FloatColumn, right: FloatColumn) -> FloatColumn:
    """The larger of the two, NaN where either is NaN."""
    return np.maximum(left, right)


def least(left: FloatColumn, right: FloatColumn) -> FloatColumn:
    """The smaller of the two, NaN where either is NaN."""
    return np.minimum(left, right)


def round_to_float32(column: FloatColumn) -> FloatColumn:
    """The nearest 32-bit number, as a 64-bit one; an infinity where it is too large for 32 bits."""
    return np.asarray(column).astype(np.float32).astype(np.float64)


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
    unknown = np.isnan(left) | np.isnan(right)
    return np.where(is_true(left) | is_true(right), 1.0, np.where(unknown, np.nan, 0.0))


def logical_not(column: FloatColumn) -> FloatColumn:
    """True where false, false where true, NaN where NaN."""
    return _known(np.equal(column, 0), column, column)


def choose(condition: FloatColumn, then: FloatColumn, otherwise: FloatColumn) -> FloatColumn:
    """`then` where the condition is true, `otherwise` where it is false, NaN where it is NaN."""
    return np.where(np.isnan(condition), np.nan, np.where(np.not_equal(condition, 0), then, otherwise))


def is_missing(column: FloatColumn) -> FloatColumn:
    """True where NaN, else false; never unknown."""
    return np.isnan(column).astype(np.float64)


def is_true(signal: FloatColumn) -> _Mask:
    """Where a signal is known to be true: how functions that consume a condition see it."""
    return np.not_equal(signal, 0) & ~np.isnan(signal)


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
