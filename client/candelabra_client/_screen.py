"""Screens as users iterate over them: `Screen` and, with `async`, `AsyncScreen`; `ScreenRun` drives both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from candelabra_client._result import ColumnKind, SymbolError
from candelabra_client._screen_result import ScreenBatch, ScreenInfo, ScreenResult
from candelabra_client._screen_run import ScreenRun
from candelabra_client._streaming import AsyncStream, Stream, StreamState

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

__all__ = ["AsyncScreen", "Screen"]


class _ScreenState(StreamState[ScreenRun]):
    """What both kinds of screen know about themselves. Numbers are 0 until the first message has come."""

    _noun: ClassVar[str] = "screen"
    _made_by: ClassVar[str] = "screen"
    _results: ScreenResult | None = None

    @property
    def screen_id(self) -> str:
        """The screen's id: as given, or as the server made it; empty until the first message has come."""
        return self._run.screen_id

    @property
    def symbols_total(self) -> int:
        """How many symbols the screen has, after patterns were resolved."""
        return self._run.symbols_total

    @property
    def symbols_done(self) -> int:
        """How many symbols were looked at so far, those that failed included."""
        return self._run.symbols_done

    @property
    def symbols_passed(self) -> int:
        """How many symbols passed the filter so far, those beyond `limit` included."""
        return self._run.symbols_passed

    @property
    def symbols_failed(self) -> int:
        """How many symbols could not be screened so far."""
        return self._run.symbols_failed

    @property
    def kinds(self) -> Mapping[str, ColumnKind]:
        """What each column's values mean, by name; empty until the columns have come."""
        return self._run.kinds

    @property
    def errors(self) -> Mapping[str, SymbolError]:
        """Why symbols could not be screened, by symbol, as far as it has come; at most 1,000 of them."""
        return self._run.errors

    @property
    def info(self) -> ScreenInfo | None:
        """How the screen came about; None until its last message has come."""
        return self._run.info

    def __repr__(self) -> str:
        symbols = ", ".join(self._run.symbols[:3]) + (", …" if len(self._run.symbols) > 3 else "")
        return f"<{type(self).__name__} {self.screen_id or '(no id yet)'} of {symbols}: {self.symbols_done} done>"

    def _gathered(self) -> Sequence[ScreenBatch] | None:
        if self._results is None:
            return None
        return [self._results] if self._results.symbols else []


class Screen(_ScreenState, Stream[ScreenRun, ScreenBatch]):
    """A screen; iterating over it sends it and gives each `ScreenBatch` as soon as it is there.

    Only batches that have symbols are given. Without `order_by` and `limit` they come while the screen runs, in no
    fixed order; with either of them sorted, after the whole universe was looked at. Leaving the loop early, closing
    the screen or leaving its `with` block cancels the work on the server. A screen runs once; `results` and the
    frames gather it whole and may be asked for again, and a gathered screen may be iterated again, as one batch.

    One thread iterates; `close` may be called from any.

    Raises (while it is iterated or gathered):
        CallError: the screen cannot run or was ended; see `_exceptions.py` for which.
        ProtocolError: the server's answer breaks the contract.
    """

    def results(self) -> ScreenResult:
        """Runs the screen to its end and returns all rows, in the order in which they came."""
        if self._results is None:
            self._results = self._run.gather(self)
        return self._results

    def to_pandas(self) -> pd.DataFrame:
        """Gathers the screen; see `ScreenResult.to_pandas`."""
        return self.results().to_pandas()

    def to_polars(self) -> pl.DataFrame:
        """Gathers the screen; see `ScreenResult.to_polars`."""
        return self.results().to_polars()

    def to_arrow(self) -> pa.Table:
        """Gathers the screen; see `ScreenResult.to_arrow`."""
        return self.results().to_arrow()


class AsyncScreen(_ScreenState, AsyncStream[ScreenRun, ScreenBatch]):
    """The same as `Screen`, for `async for`, `async with` and `await`; used within one event loop."""

    async def results(self) -> ScreenResult:
        """Runs the screen to its end and returns all rows, in the order in which they came."""
        if self._results is None:
            self._results = self._run.gather([batch async for batch in self])
        return self._results

    async def to_pandas(self) -> pd.DataFrame:
        """Gathers the screen; see `ScreenResult.to_pandas`."""
        return (await self.results()).to_pandas()

    async def to_polars(self) -> pl.DataFrame:
        """Gathers the screen; see `ScreenResult.to_polars`."""
        return (await self.results()).to_polars()

    async def to_arrow(self) -> pa.Table:
        """Gathers the screen; see `ScreenResult.to_arrow`."""
        return (await self.results()).to_arrow()
