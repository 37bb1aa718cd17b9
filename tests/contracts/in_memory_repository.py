"""The smallest repository of one's own: candles from its configuration, kept in lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from candelabra_server.candles.repository import ICandleRepository, StoredSymbol
from candelabra_server.domain.candles import Candles
from candelabra_server.domain.date_range import DateRange
from candelabra_server.domain.timeframe import Timeframe
from candelabra_server.errors import Reason, SymbolFailure, TimeframeNotStoredError


class InMemorySnapshot(AbstractContextManager["InMemorySnapshot"]):
    """The candles never change, so there is nothing to hold."""

    id = "the only one"

    def __init__(self, symbols: Sequence[str]) -> None:
        self.symbols = symbols

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing to let go of."""


class InMemoryRepository(ICandleRepository):
    """Serves `config["candles"]`: by timeframe, symbol and column name, lists of numbers; None is missing."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self._candles = {
            timeframe: {symbol: _candles(symbol, columns) for symbol, columns in symbols.items()}
            for timeframe, symbols in config["candles"].items()
        }

    def worker_config(self) -> Mapping[str, Any]:
        return self._config

    def timeframes(self) -> Mapping[str, int]:
        return {name: len(self._candles[name]) for name in sorted(self._candles, key=Timeframe.parse)}

    def snapshot(self, timeframe: str) -> InMemorySnapshot:
        return InMemorySnapshot(sorted(self._symbols(timeframe)))

    def list_symbols(self, timeframe: str) -> Sequence[StoredSymbol]:
        return [_stored(candles) for _, candles in sorted(self._symbols(timeframe).items())]

    def load(
        self, symbol: str, timeframe: str, date_range: DateRange, *, warm_up_candles: int, snapshot_id: str
    ) -> Candles:
        stored = self._symbols(timeframe).get(symbol)
        if stored is None:
            raise SymbolFailure(f"there is no {symbol}", reason=Reason.UNKNOWN_SYMBOL, metadata={"symbol": symbol})
        times = stored.open_time_micros
        first, end = times.searchsorted(date_range.start_micros), times.searchsorted(date_range.end_micros, "right")
        if first >= end:
            raise SymbolFailure(
                f"{symbol} has nothing there; stored are {_date(times[0])} to {_date(times[-1])}",
                reason=Reason.NO_CANDLES,
                metadata={"symbol": symbol},
            )
        begin = max(0, int(first) - warm_up_candles)
        fields = {name: column[begin:end] for name, column in stored.fields.items()}
        return Candles(symbol, times[begin:end], fields, int(first) - begin)

    def _symbols(self, timeframe: str) -> Mapping[str, Candles]:
        if timeframe not in self._candles:
            raise TimeframeNotStoredError(timeframe, list(self.timeframes()))
        return self._candles[timeframe]


def create(config: Mapping[str, Any]) -> InMemoryRepository:
    """What `"type": "contracts.in_memory_repository:create"` names."""
    return InMemoryRepository(config)


def _candles(symbol: str, columns: Mapping[str, Sequence[float | None]]) -> Candles:
    fields = {name: np.array(values, dtype=np.float64) for name, values in columns.items() if name != "open_time"}
    times = np.array(columns["open_time"], dtype=np.int64)
    for column in (times, *fields.values()):
        column.setflags(write=False)
    return Candles(symbol, times, fields)


def _stored(candles: Candles) -> StoredSymbol:
    first, last = int(candles.open_time_micros[0]), int(candles.open_time_micros[-1])
    return StoredSymbol(candles.symbol, len(candles), first, last, tuple(candles.fields))


def _date(micros: np.int64) -> str:
    return str(np.datetime64(int(micros), "us").astype("datetime64[D]"))
