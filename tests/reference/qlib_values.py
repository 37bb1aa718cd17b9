"""Reads what Qlib computed (qlib_values.npz, made by make_qlib_reference.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["QlibGroup", "QlibReference", "qlib_reference"]

_FILE = Path(__file__).with_name("qlib_values.npz")


@dataclass(frozen=True, kw_only=True)
class QlibGroup:
    """What Qlib was asked for at once.

    Attributes:
        expressions: in Qlib's spelling.
        names: of the columns, in the order of the expressions; empty where they have none.
        symbols: whose values these are.
        rows: which of the candles these are the values of.
        values: symbol, expression, row; 32 bits.
        rounding: as `values`: how far Qlib's arithmetic in 32 bits takes each from what Qlib computes from the same
            fields held in 64 bits.
    """

    expressions: Sequence[str]
    names: Sequence[str]
    symbols: Sequence[str]
    rows: Sequence[int]
    values: npt.NDArray[np.float32]
    rounding: npt.NDArray[np.float32]

    def of(self, symbol: str, expression: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """The values of one expression, and their rounding."""
        place = self.symbols.index(symbol), self.expressions.index(expression)
        return self.values[place], self.rounding[place]


@dataclass(frozen=True, kw_only=True)
class QlibReference:
    """The file.

    Attributes:
        days: of the candles, `datetime64[D]`.
        candles: by symbol and field; what Qlib read, 32 bits.
        late_row: the row with which the range of the group "late" begins.
        groups: by name.
    """

    days: npt.NDArray[Any]
    candles: Mapping[str, Mapping[str, npt.NDArray[np.float32]]]
    late_row: int
    groups: Mapping[str, QlibGroup]


@cache
def qlib_reference() -> QlibReference:
    """The content of the file."""
    with np.load(_FILE) as file:
        arrays = dict(file)
    keys = [name.removesuffix(".values") for name in arrays if name.endswith(".values")]
    fields = arrays["fields"].tolist()
    return QlibReference(
        days=arrays["days"],
        candles={
            symbol: dict(zip(fields, columns, strict=True))
            for symbol, columns in zip(arrays["symbols"].tolist(), arrays["candles"], strict=True)
        },
        late_row=int(arrays["late_row"]),
        groups={key: _group(arrays, key) for key in keys},
    )


def _group(arrays: Mapping[str, npt.NDArray[Any]], key: str) -> QlibGroup:
    return QlibGroup(
        expressions=arrays[f"{key}.expressions"].tolist(),
        names=arrays[f"{key}.names"].tolist(),
        symbols=arrays[f"{key}.symbols"].tolist(),
        rows=arrays[f"{key}.rows"].tolist(),
        values=arrays[f"{key}.values"],
        rounding=arrays[f"{key}.rounding"],
    )
