"""A user's own repository, as one would plug it in: candles from a formula, some symbols with a temper.

Symbols: any name in the configuration has `rows` daily candles from 2020-01-01. These misbehave on load:
RAISES (an exception with a secret text), EXITS (SystemExit), UNPICKLABLE (an exception that does not
unpickle), KILLS (the worker process dies, always), KILLS-ONCE (only when the file `marker` is not there),
WAITS (until the file `marker` is there), LATE (returns after a second), ODD-FAILURE (a failure whose text
and metadata no message can hold). BEGINS-LATER has no candles on the first fifty days.
"""

import os
import signal
import sys
import threading
import zlib
from pathlib import Path

import numpy as np

from candelabra_server.candles.repository import ICandleRepository, StoredSymbol
from candelabra_server.domain.candles import Candles
from candelabra_server.errors import Reason, SymbolFailure, TimeframeNotStoredError
from support.workers import run_until

DAY = 86_400_000_000
FIRST = 18_262 * DAY  # 2020-01-01


class MemorySnapshot:
    """Nothing to hold: the candles never change. Counts how many are open."""

    open_count = 0

    def __init__(self, symbols):
        self.id = "memory-1"
        self.symbols = symbols
        self._is_open = True
        MemorySnapshot.open_count += 1

    def close(self):
        MemorySnapshot.open_count -= self._is_open
        self._is_open = False


class MemoryRepository(ICandleRepository):
    """Daily candles that a symbol's name determines."""

    def __init__(self, symbols, rows=100, marker="", **_settings):
        self._symbols = sorted(symbols)
        self._rows = rows
        self._marker = marker
        self._config = {"symbols": self._symbols, "rows": rows, "marker": marker} | _settings

    def worker_config(self):
        return {"type": "support.memory_repository:create"} | self._config

    def timeframes(self):
        return {"1d": len(self._symbols)}

    def snapshot(self, timeframe):
        if timeframe != "1d":
            raise TimeframeNotStoredError(timeframe, ["1d"])
        return MemorySnapshot(self._symbols)

    def list_symbols(self, timeframe):
        last = FIRST + (self._rows - 1) * DAY
        return [StoredSymbol(name, self._rows, FIRST, last, ("close",)) for name in self._symbols]

    def load(self, symbol, timeframe, date_range, *, warm_up_candles, snapshot_id):
        if symbol not in self._symbols:
            raise SymbolFailure(f"{symbol} is not stored", reason=Reason.UNKNOWN_SYMBOL, metadata={"symbol": symbol})
        self._misbehave(symbol)
        whole = candles_of(symbol, self._rows)
        times = whole.open_time_micros
        first = int(np.searchsorted(times, date_range.start_micros))
        end = int(np.searchsorted(times, date_range.end_micros, side="right"))
        earliest = 50 if symbol == "BEGINS-LATER" else 0
        first = max(first, earliest)
        if first >= end:
            raise SymbolFailure(f"{symbol} has no candles in the range", reason=Reason.NO_CANDLES)
        begin = max(earliest, first - warm_up_candles)
        fields = {name: column[begin:end] for name, column in whole.fields.items()}
        return Candles(symbol, times[begin:end], fields, first - begin)

    def _misbehave(self, symbol):
        if symbol == "RAISES":
            raise RuntimeError("the secret is in /a/secret/path")
        if symbol == "EXITS":
            sys.exit(3)
        if symbol == "ODD-FAILURE":
            raise SymbolFailure("a lone surrogate: \ud800", metadata={"rows": 5})
        if symbol == "LATE":
            threading.Event().wait(1.0)
        if symbol == "UNPICKLABLE":
            raise UnpicklableError("one", "two")
        if symbol == "KILLS" or (symbol == "KILLS-ONCE" and not Path(self._marker).exists()):
            Path(self._marker).touch() if self._marker else None
            os.kill(os.getpid(), signal.SIGKILL)
        if symbol == "WAITS":
            run_until(Path(self._marker).exists)


class UnpicklableError(Exception):
    """Pickles, but cannot be unpickled: its constructor needs two arguments."""

    def __init__(self, first, second):
        super().__init__(first)
        self.second = second


def candles_of(symbol, rows):
    """The candles of a symbol."""
    random = np.random.default_rng(zlib.crc32(symbol.encode()))
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, rows)))
    fields = {
        "open": close * 1.001,
        "high": close * 1.01,
        "low": close * 0.99,
        "close": close,
        "volume": random.integers(1_000, 9_000, rows).astype(float),
    }
    return Candles(symbol, FIRST + DAY * np.arange(rows, dtype=np.int64), fields)


def create(config):
    """The factory that the configuration names."""
    settings = {key: value for key, value in config.items() if key != "type"}
    if settings.get("exits"):
        sys.exit(3)
    if settings.get("broken"):
        raise ValueError("the password is hunter2")
    return MemoryRepository(**settings)
