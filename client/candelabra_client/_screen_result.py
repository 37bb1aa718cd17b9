"""What comes back from a screen: `ScreenBatch` after `ScreenBatch`, or all of it as one `ScreenResult`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from candelabra import v1
from candelabra_client import _screen_frames
from candelabra_client._result import ColumnKind, SymbolError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

__all__ = ["ScreenBatch", "ScreenInfo", "ScreenResult", "joined"]


class ScreenBatch:
    """Some symbols of a screen, one value a symbol in each column. Never changes; safe to share between threads.

    `batch["name"]` is a column as a float64 array; NaN means "no value", and 1, 0 and NaN are a signal's true,
    false and unknown.

    Attributes:
        symbols: the symbols, in the order in which the server sent them.
        as_of: open time of the candle that was looked at, for each symbol, as `datetime64[us]` in UTC.
        kinds: what each column's values mean, by name, in the order of the formula's statements.
    """

    __slots__ = ("_values", "as_of", "kinds", "symbols")

    def __init__(
        self,
        symbols: Sequence[str],
        *,
        as_of: NDArray[np.datetime64],
        values: Mapping[str, NDArray[np.float64]],
        kinds: Mapping[str, ColumnKind],
    ) -> None:
        self.symbols = tuple(symbols)
        self.as_of = as_of
        self.kinds = kinds
        self._values = values

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in the order of the formula's statements."""
        return tuple(self._values)

    def rows(self, at: slice | Sequence[int]) -> ScreenBatch:
        """Returns only these rows."""
        symbols = self.symbols[at] if isinstance(at, slice) else [self.symbols[row] for row in at]
        values = {name: array[at] for name, array in self._values.items()}
        return ScreenBatch(symbols, as_of=self.as_of[at], values=values, kinds=self.kinds)

    def to_pandas(self) -> pd.DataFrame:
        """Returns a DataFrame of `symbol`, `time` (UTC) and the columns; MissingDependency without pandas."""
        return _screen_frames.screen_to_pandas(self)

    def to_polars(self) -> pl.DataFrame:
        """Returns a DataFrame of `symbol`, `time` (UTC) and the columns; MissingDependency without polars."""
        return _screen_frames.screen_to_polars(self)

    def to_arrow(self) -> pa.Table:
        """Returns a Table of `symbol`, `time` (UTC) and the columns; MissingDependency without pyarrow."""
        return _screen_frames.screen_to_arrow(self)

    def __len__(self) -> int:
        return len(self.symbols)

    def __getitem__(self, column: str) -> NDArray[np.float64]:
        """Returns a column; KeyError names those that there are."""
        try:
            return self._values[column]
        except KeyError:
            have = ", ".join(self._values) or "none"
            raise KeyError(f"the screen has no column {column!r}; it has {have}") from None

    def __contains__(self, column: object) -> bool:
        """Whether there is a column of this name."""
        return column in self._values

    def __repr__(self) -> str:
        return f"<ScreenBatch: {len(self):,} symbols of {', '.join(self._values)}>"


@dataclass(frozen=True, slots=True)
class ScreenInfo:
    """How a screen came about.

    Attributes:
        snapshot_id: the state of the store that the whole screen has read.
        warnings: what a user should know.
        candles_read: candles that were computed on, over all symbols.
        cpu_micros: time that the server's workers spent, in microseconds of processor time.
    """

    snapshot_id: str = ""
    warnings: tuple[str, ...] = ()
    candles_read: int = 0
    cpu_micros: int = 0

    @classmethod
    def of(cls, info: v1.ScreenInfo) -> ScreenInfo:
        """Returns what the message says."""
        return cls(info.snapshot_id, tuple(info.warnings), info.candles_read, info.cpu_micros)


class ScreenResult(ScreenBatch):
    """A whole screen: every symbol that passed, as one batch, in the order in which they came.

    Attributes:
        errors: why symbols could not be screened, by symbol; at most 1,000 of them.
        symbols_total: how many symbols the screen has, after patterns were resolved.
        symbols_passed: how many passed the filter, those beyond `limit` included.
        symbols_failed: how many could not be screened.
        info: how the screen came about.
    """

    __slots__ = ("errors", "info", "symbols_failed", "symbols_passed", "symbols_total")

    def __init__(
        self,
        rows: ScreenBatch,
        *,
        errors: Mapping[str, SymbolError],
        symbols_total: int,
        symbols_passed: int,
        symbols_failed: int,
        info: ScreenInfo,
    ) -> None:
        values = {name: rows[name] for name in rows.columns}
        super().__init__(rows.symbols, as_of=rows.as_of, values=values, kinds=rows.kinds)
        self.errors: Mapping[str, SymbolError] = MappingProxyType(dict(errors))
        self.symbols_total = symbols_total
        self.symbols_passed = symbols_passed
        self.symbols_failed = symbols_failed
        self.info = info

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know, for example that a spelling has two meanings."""
        return self.info.warnings

    def __repr__(self) -> str:
        failed = f", {self.symbols_failed:,} failed" if self.symbols_failed else ""
        return f"<ScreenResult: {self.symbols_passed:,} of {self.symbols_total:,} symbols passed{failed}>"


def joined(batches: Sequence[ScreenBatch], kinds: Mapping[str, ColumnKind]) -> ScreenBatch:
    """Returns the rows of all batches as one; of none, a batch without rows that has the columns."""
    if len(batches) == 1:
        return batches[0]
    nothing = np.empty(0)
    return ScreenBatch(
        [symbol for batch in batches for symbol in batch.symbols],
        as_of=np.concatenate([np.empty(0, "datetime64[us]"), *(batch.as_of for batch in batches)]),
        values={name: np.concatenate([nothing, *(batch[name] for batch in batches)]) for name in kinds},
        kinds=kinds,
    )
