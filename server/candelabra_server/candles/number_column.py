"""Numbers of an imported column, from text or from any numeric type."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from candelabra_server.domain.candles import FloatColumn

__all__ = ["NumberColumn", "is_text", "read_numbers"]

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE | re.ASCII)
_MISSING = frozenset({"", "nan", "na", "n/a", "null", "none", "-"})
"""What stands for a missing value, in any case."""


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """A column as numbers.

    Attributes:
        values: one a row; NaN where the value is missing or is no number.
        bad_rows: rows whose value is there and is no number.
    """

    values: FloatColumn
    bad_rows: npt.NDArray[np.intp]

    @property
    def is_meant_as_numbers(self) -> bool:
        """Whether most of the values that are there are numbers."""
        return int(np.count_nonzero(~np.isnan(self.values))) > len(self.bad_rows)


def is_text(column: pa.Array) -> bool:
    """Whether a column holds text."""
    return bool(types.is_string(column.type) or types.is_large_string(column.type))


def read_numbers(column: pa.Array) -> NumberColumn:
    """Reads a column; all rows are bad when its type holds no numbers."""
    if is_text(column):
        return _from_text(column)
    kind = column.type
    if types.is_floating(kind) or types.is_integer(kind) or types.is_decimal(kind):
        return NumberColumn(_as_numpy(pc.cast(column, pa.float64(), safe=False)), _no_rows())
    bad = _no_rows() if types.is_null(kind) else np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
    return NumberColumn(np.full(len(column), np.nan), bad)


def _from_text(column: pa.Array) -> NumberColumn:
    try:
        return NumberColumn(_as_numpy(pc.cast(column, pa.float64())), _no_rows())
    except pa.ArrowInvalid:
        pass  # blanks, missing values or no numbers
    trimmed = pc.utf8_trim_whitespace(column)
    is_missing = pc.is_in(pc.utf8_lower(trimmed), value_set=pa.array(sorted(_MISSING), trimmed.type))
    try:
        present = pc.if_else(is_missing, pa.scalar(None, trimmed.type), trimmed)
        return NumberColumn(_as_numpy(pc.cast(present, pa.float64())), _no_rows())
    except pa.ArrowInvalid:
        return _one_by_one(trimmed)


def _one_by_one(column: pa.Array) -> NumberColumn:
    values = np.full(len(column), np.nan)
    bad = []
    for row, text in enumerate(column.to_pylist()):
        if text is None or text.lower() in _MISSING:
            continue
        if _NUMBER.fullmatch(text):
            values[row] = float(text)
        else:
            bad.append(row)
    return NumberColumn(values, np.array(bad, dtype=np.intp))


def _as_numpy(column: pa.Array) -> FloatColumn:
    values: FloatColumn = column.to_numpy(zero_copy_only=False)
    return values


def _no_rows() -> npt.NDArray[np.intp]:
    return np.empty(0, dtype=np.intp)
