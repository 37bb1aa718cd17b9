"""How a worker harms itself."""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

__all__ = ["DEADLY", "ENDLESS", "HARMS", "SURVIVED"]

_MEBIBYTE = 1024 * 1024
_ALLOWANCE = 24 * _MEBIBYTE
_PIECE = 4 * _MEBIBYTE


def _signalled(number: signal.Signals) -> Callable[[], None]:
    def harm() -> None:
        os.kill(os.getpid(), number)
        threading.Event().wait()  # whatever is delivered late is delivered here

    return harm


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _spin() -> None:
    while True:
        pass


def _exhaust_memory() -> None:
    """Allocates beyond a limit just above what is used now; raises MemoryError, after which the limit is as before."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + _ALLOWANCE, hard))
    taken = []
    try:
        while True:
            taken.append(bytearray(_PIECE))
    finally:
        taken.clear()
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _die_of_memory() -> None:
    """As native code does that cannot go on without memory."""
    try:
        _exhaust_memory()
    except MemoryError:
        os.abort()


DEADLY: Mapping[str, Callable[[], None]] = {
    "kill": _signalled(signal.SIGKILL),
    "exit": lambda: os._exit(3),
    "segfault": _signalled(signal.SIGSEGV),
    "terminate": _signalled(signal.SIGTERM),
    "abort": _die_of_memory,
}
"""By kind: the process is gone at once."""
ENDLESS: Mapping[str, Callable[[], None]] = {"stop": _stop, "spin": _spin}
"""By kind: the process does nothing any more, or nothing else, until somebody ends it."""
SURVIVED: Mapping[str, Callable[[], None]] = {"memory": _exhaust_memory, "system exit": lambda: sys.exit(3)}
"""By kind: the symbol fails, and the worker goes on."""
HARMS: Mapping[str, Callable[[], None]] = {**DEADLY, **ENDLESS, **SURVIVED}
