"""A user's own repository with symbols of any size, which counts how often its workers load them."""

import os
import signal
from pathlib import Path

import numpy as np

from candelabra_server.candles.repository import StoredSymbol
from candelabra_server.domain.candles import Candles
from candelabra_server.errors import SymbolFailure
from support.memory_repository import FIRST, MemoryRepository, candles_of
from support.workers import run_until

HOUR = 3_600_000_000


class SizedRepository(MemoryRepository):
    """Daily candles so many as `sizes` says of each symbol.

    Args:
        sizes: rows by symbol.
        loads: a file that grows by a byte with every load; none is counted where it is not given.
        kills_at: the load, counted from 1, whose worker is killed.
        fails_at: the load whose symbol fails.
        waits_from: the load from which on loads wait until the file `marker` is there.
        marker: see there.
        kills_in_part: the message, counted from 1, in whose writing its worker is killed, unless `marker` is there
            already.
    """

    def __init__(self, sizes, loads="", kills_at=0, fails_at=0, waits_from=0, marker="", kills_in_part=0):
        super().__init__(sizes)
        self._sizes = sizes
        self._loads, self._kills_at, self._fails_at = loads, kills_at, fails_at
        self._waits_from, self._marker, self._kills_in_part = waits_from, marker, kills_in_part
        self._config = {
            "sizes": sizes,
            "loads": loads,
            "kills_at": kills_at,
            "fails_at": fails_at,
            "waits_from": waits_from,
            "marker": marker,
            "kills_in_part": kills_in_part,
        }
        self._made = {}

    def worker_config(self):
        return {"type": "support.sized_repository:create"} | self._config

    def list_symbols(self, timeframe):
        return [StoredSymbol(name, rows, FIRST, FIRST, ("close",)) for name, rows in self._sizes.items()]

    def load(self, symbol, timeframe, date_range, *, warm_up_candles, snapshot_id):
        self._count(symbol)
        if symbol not in self._made:
            made = candles_of(symbol, self._sizes[symbol])
            times = FIRST + HOUR * np.arange(len(made), dtype=np.int64)
            if self._kills_in_part and not Path(self._marker).exists():
                times = times.view(DeadlyTimes)
                DeadlyTimes.parts_left, DeadlyTimes.marker = self._kills_in_part, Path(self._marker)
            self._made = {symbol: Candles(symbol, times, made.fields)}
        whole = self._made[symbol]
        times = whole.open_time_micros
        first = int(np.searchsorted(times, date_range.start_micros))
        end = int(np.searchsorted(times, date_range.end_micros, side="right"))
        begin = max(0, first - warm_up_candles)
        fields = {name: column[begin:end] for name, column in whole.fields.items()}
        return Candles(symbol, times[begin:end], fields, first - begin)

    def _count(self, symbol):
        if not self._loads:
            return
        with Path(self._loads).open("ab") as file:
            file.write(b".")
            file.flush()
            number = file.tell()
        if number == self._kills_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if number == self._fails_at:
            raise SymbolFailure(f"{symbol} cannot be read any more")
        if self._waits_from and number >= self._waits_from:
            run_until(Path(self._marker).exists)


class DeadlyTimes(np.ndarray):
    """Times in the middle of whose copying, message by message, the process dies."""

    parts_left = 0
    marker = Path()

    def astype(self, *args, **kwargs):
        DeadlyTimes.parts_left -= 1
        if DeadlyTimes.parts_left == 0:
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().astype(*args, **kwargs)


def create(config):
    """The factory that the configuration names."""
    return SizedRepository(**{key: value for key, value in config.items() if key != "type"})
