"""A plug-in whose symbols do harm at odd moments, in workers, which import this module.

A symbol named "HOW at WHERE" does harm there: HOW is "crash", "exit", "leave" or "error"; WHERE is "pickling",
"unpickling", "its text", "garbage in a circle" or "garbage". "COLLECTS" collects garbage, and "SENDS-HALF" dies while
it sends, unless the file `marker` is there.
"""

import gc
import multiprocessing
import os
import signal
from multiprocessing import connection
from pathlib import Path

from candelabra_server.domain.candles import Candles
from candelabra_server.errors import Reason, SymbolFailure
from support.memory_repository import MemoryRepository, UnpicklableError, candles_of

HALF = 65_536
"""Bytes: what a pipe takes before its reader comes."""
HARMS = {
    "crash": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "exit": "import os; os._exit(3)",
    "leave": "import sys; sys.exit(3)",
    "error": "raise OSError('no such thing')",
}


class HostileRepository(MemoryRepository):
    """See above."""

    def __init__(self, symbols, rows=100, marker=""):
        super().__init__(symbols, rows, marker)
        self._config = {"symbols": list(symbols), "rows": rows, "marker": marker}

    def worker_config(self):
        return {"type": f"{__name__}:create"} | self._config

    def load(self, symbol, timeframe, date_range, **options):
        how, _, where = symbol.partition(" at ")
        if where in {"pickling", "unpickling"}:
            raise (HarmfulWhenPickledError if where == "pickling" else HarmfulWhenUnpickledError)(how)
        if where == "its text":
            raise HarmfulToTellError(how)
        if where == "garbage in a circle":
            Circle(how)
        if where == "garbage":
            made = candles_of(symbol, self._rows)
            return HarmfulCandles(how, made.open_time_micros, made.fields)
        if symbol == "COLLECTS":
            gc.collect()
        if symbol == "SENDS-HALF" and not Path(self._marker).exists():
            connection.Connection._send = die_while_sending(Path(self._marker))
        return super().load(symbol, timeframe, date_range, **options)


def create(settings):
    """The factory that the configuration names."""
    return HostileRepository(**{key: value for key, value in settings.items() if key != "type"})


def harm(how):
    """Does it in workers; where it would be the end of the tests themselves, it breaks the pool only."""
    assert multiprocessing.parent_process() is not None
    exec(HARMS[how], {})


def die_while_sending(marker):
    def send(self, message):
        os.write(self._handle, memoryview(message)[:HALF])
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)

    return send


class HarmfulWhenPickledError(Exception):
    def __reduce__(self):
        harm(*self.args)


class HarmfulWhenUnpickledError(Exception):
    def __reduce__(self):
        return harm, self.args


class HarmfulToTellError(SymbolFailure):
    """A failure that cannot be put into a message; an error of it that would leave the worker does not unpickle."""

    def __init__(self, how):
        super().__init__("odd", reason=Reason.NO_CANDLES)
        self._how = how

    @property
    def metadata(self):
        if self._how == "error":
            raise UnpicklableError("one", "two")
        harm(self._how)

    @metadata.setter
    def metadata(self, _value):
        pass


class HarmfulCandles(Candles):
    """Harms when the last reference is gone: in its worker, while it still is at its symbol."""

    def __del__(self):
        harm(self.symbol)


class Circle:
    """Harms when it is collected."""

    def __init__(self, how):
        gc.disable()  # which would come at any time
        self.how, self.circle = how, self

    def __del__(self):
        harm(self.how)
