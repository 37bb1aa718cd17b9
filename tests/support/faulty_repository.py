"""Candles whose loading harms the worker process, a given number of times.

`faults` has, by symbol, what its loads do in turn, "load" being a load without harm, and after the last one every load
is: a signal's name ("SIGKILL", "SIGSTOP" ...), "exit 3" (os._exit), "hang" (for longer than any test waits), "memory"
(MemoryError). Loads are counted over all processes in files of `folder`.
"""

import os
import signal
from pathlib import Path

from support.memory_repository import MemoryRepository
from support.workers import sleep_in_worker


class FaultyRepository(MemoryRepository):
    """See above."""

    def __init__(self, symbols, faults, folder, rows=100):
        super().__init__(symbols, rows)
        self._faults, self._folder = faults, folder
        self._config = {"symbols": list(symbols), "rows": rows, "faults": faults, "folder": str(folder)}

    def worker_config(self):
        return {"type": "support.faulty_repository:create"} | self._config

    def load(self, symbol, timeframe, date_range, *, warm_up_candles, snapshot_id):
        faults = self._faults.get(symbol, ())
        number = loads_of(symbol, self._folder, add=True)
        if number <= len(faults):
            do(faults[number - 1])
        return super().load(symbol, timeframe, date_range, warm_up_candles=warm_up_candles, snapshot_id=snapshot_id)


def loads_of(symbol, folder, *, add=False):
    """How often a symbol was loaded so far."""
    with Path(folder, symbol).open("ab") as file:
        if add:
            file.write(b".")
        return file.tell()


def do(fault):
    """Harms this process."""
    kind, _, code = fault.partition(" ")
    if kind == "exit":
        os._exit(int(code))
    elif kind == "hang":
        sleep_in_worker(3_600)
    elif kind == "memory":
        raise MemoryError
    elif kind != "load":
        os.kill(os.getpid(), getattr(signal, kind))


def create(config):
    """The factory that the configuration names."""
    return FaultyRepository(**{key: value for key, value in config.items() if key != "type"})
