"""ICandleRepository: the seam between jobs and wherever candles are kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from candelabra_server.domain.candles import Candles
from candelabra_server.domain.date_range import DateRange

__all__ = ["ICandleRepository", "Snapshot", "StoredSymbol"]


@dataclass(frozen=True, slots=True)
class StoredSymbol:
    """What is stored of one symbol in one timeframe; times are UTC microseconds since 1970-01-01."""

    symbol: str
    candle_count: int
    first_open_time_micros: int
    last_open_time_micros: int
    fields: tuple[str, ...]


class Snapshot(AbstractContextManager["Snapshot"], Protocol):
    """One unchanging state of a timeframe's candles, held until it is closed.

    While it is open, `load` with its id gives the same candles in every process, whatever is imported.
    Closing twice is allowed.

    """

    @property
    def id(self) -> str:
        """Names the state; opaque, not empty."""

    @property
    def symbols(self) -> Sequence[str]:
        """The stored symbols, sorted."""

    def close(self) -> None:
        """Lets go of the state, which an import may then remove."""


class ICandleRepository(ABC):
    """Loads candles. One instance lives in the server and one in every worker process.

    Methods block; they are called from worker processes and from threads, several at a time.
    """

    @abstractmethod
    def worker_config(self) -> Mapping[str, Any]:
        """What `create_candle_repository` needs to build an equal repository in another process.

        A dictionary of JSON values with a key `type`. It reaches logs without its values, so it may
        hold a secret, but a reference to one is better.
        """

    @abstractmethod
    def timeframes(self) -> Mapping[str, int]:
        """How many symbols are stored, by canonical timeframe, shortest first."""

    @abstractmethod
    def snapshot(self, timeframe: str) -> Snapshot:
        """Opens the present state of a timeframe; the caller closes it.

        Raises:
            TimeframeNotStoredError: nothing is stored of this (canonical) timeframe.
            StoreError: the store cannot be read.
        """

    @abstractmethod
    def list_symbols(self, timeframe: str) -> Sequence[StoredSymbol]:
        """What is stored of a timeframe, sorted by symbol; raises as `snapshot` does."""

    @abstractmethod
    def load(
        self, symbol: str, timeframe: str, date_range: DateRange, *, warm_up_candles: int, snapshot_id: str
    ) -> Candles:
        """The candles of a range, preceded by up to `warm_up_candles` older ones.

        Fewer warm-up candles are returned when the symbol's history begins later.

        Args:
            symbol: exact name.
            timeframe: canonical.
            date_range: which open times are wanted, both ends inclusive.
            warm_up_candles: how many candles before the range to add, 0 or more.
            snapshot_id: the state to read; empty is the present one.

        Raises:
            SymbolFailure: reason UNKNOWN_SYMBOL, or NO_CANDLES when the range has none (its message
                then says which range is stored).
            StoreError: the store cannot be read.
        """

    def load_last(
        self,
        symbol: str,
        timeframe: str,
        end_micros: int,
        *,
        warm_up_candles: int,
        fields: Collection[str],
        snapshot_id: str,
    ) -> Candles:
        """The last candle up to a time as the range, preceded by up to `warm_up_candles` older ones.

        Only to make faster what `load` and `Candles.last` give.

        Args:
            symbol: exact name.
            timeframe: canonical.
            end_micros: last open time, inclusive; MAX_MICROS when unbounded.
            warm_up_candles: how many candles before the last to add, 0 or more.
            fields: those that are needed; others may be left out. Where one is not stored, none is left out.
            snapshot_id: the state to read; empty is the present one.

        Raises:
            SymbolFailure: as `load`.
            StoreError: as `load`.
        """
        del fields
        candles = self.load(
            symbol, timeframe, DateRange(end_micros=end_micros), warm_up_candles=0, snapshot_id=snapshot_id
        )
        return candles.last(1, warm_up_candles=warm_up_candles)
