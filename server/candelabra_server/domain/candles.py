"""Candles of one symbol as columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["PRICE_FIELDS", "Candles", "FloatColumn", "FloatTable", "MicrosColumn"]

FloatColumn = npt.NDArray[np.float64]
"""One value a row; NaN is "no value"."""
FloatTable = npt.NDArray[np.float64]
"""Columns of one length, a row of the table each; C-contiguous."""
MicrosColumn = npt.NDArray[np.int64]
"""UTC microseconds since 1970-01-01, one a row."""

PRICE_FIELDS = ("open", "high", "low", "close", "volume")
"""The fields that every candle has, in their usual order."""


@dataclass(frozen=True, slots=True)
class Candles:
    """Consecutive candles of one symbol, warm-up first, then the range that was asked for.

    Columns are read-only, C-contiguous and equally long. They may be views of a mapped file and stay
    valid as long as they are referenced.

    Attributes:
        symbol: the symbol's name.
        open_time_micros: open times, strictly increasing.
        fields: values by name: PRICE_FIELDS and any further column that was imported.
        warm_up: how many of the first rows lie before the range.
    """

    symbol: str
    open_time_micros: MicrosColumn
    fields: Mapping[str, FloatColumn]
    warm_up: int = 0

    def __len__(self) -> int:
        return len(self.open_time_micros)

    def first(self, rows: int) -> Candles:
        """The first `rows`, warm-up included; no copy."""
        fields = {name: column[:rows] for name, column in self.fields.items()}
        return Candles(self.symbol, self.open_time_micros[:rows], fields, min(self.warm_up, rows))

    def last(self, rows: int, *, warm_up_candles: int) -> Candles:
        """The last `rows` of the range, with up to `warm_up_candles` of what is before them; no copy."""
        first = max(self.warm_up, len(self) - rows)
        begin = max(0, first - warm_up_candles)
        fields = {name: column[begin:] for name, column in self.fields.items()}
        return Candles(self.symbol, self.open_time_micros[begin:], fields, first - begin)
