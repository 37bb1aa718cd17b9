"""State: what each row knows of everything since the first row.

Nothing of it fades, so a value needs all history, and then its bits depend on nothing but that history.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from candelabra_server.domain.candles import FloatColumn
from candelabra_server.formulas.kernels.elementwise import is_true

__all__ = ["bars_since", "highest_so_far", "last_present", "streak", "value_when"]

_Rows = npt.NDArray[np.intp]
_NEVER = -1


def bars_since(condition: FloatColumn) -> FloatColumn:
    """Rows since the condition was last true, 0 where it is; NaN before the first time. NaN counts as false."""
    last = _last_row(is_true(condition))
    return np.where(last == _NEVER, np.nan, np.arange(len(last)) - last)


def value_when(condition: FloatColumn, column: FloatColumn, occurrence: int) -> FloatColumn:
    """The column's value where the condition was last true, or `occurrence` times before that.

    NaN where it has not been true that often, and where that value is NaN. A condition that is NaN counts as false.
    """
    true = is_true(condition)
    rows = np.flatnonzero(true)
    place = np.cumsum(true) - 1 - occurrence
    known = place >= 0
    values = np.full(len(column), np.nan)
    values[known] = column[rows[place[known]]]
    return values


def streak(condition: FloatColumn) -> FloatColumn:
    """How many rows in a row the condition has been true, this one included; 0 where it is not. NaN counts as false."""
    last_false = _last_row(~is_true(condition))
    return (np.arange(len(last_false)) - last_false).astype(np.float64)


def last_present(column: FloatColumn) -> FloatColumn:
    """The last value that is not NaN; NaN before the first."""
    last = _last_row(~np.isnan(column))
    values = np.full(len(column), np.nan)
    known = last != _NEVER
    values[known] = column[last[known]]
    return values


def highest_so_far(column: FloatColumn) -> FloatColumn:
    """The largest value since the first row; NaN is passed over, and is the value only before the first other one."""
    return np.fmax.accumulate(column)


def _last_row(where: npt.NDArray[np.bool_]) -> _Rows:
    """For every row the last row up to it where it holds, or _NEVER."""
    return np.maximum.accumulate(np.where(where, np.arange(len(where)), _NEVER))
