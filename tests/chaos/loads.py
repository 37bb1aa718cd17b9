"""Which worker was at which symbol of which job, and when: a file a process, a line a symbol."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Load", "LoadLog", "read_loads"]


@dataclass(frozen=True, slots=True)
class Load:
    """A worker began to load or to compute a symbol, or to write a message of it."""

    process: int
    nanoseconds: int
    job: int
    symbol: str


class LoadLog:
    """A worker's own file. What was written is there although the process dies: the system has it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._file = os.open(folder / str(os.getpid()), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def add(self, job: int, symbol: str) -> None:
        """Notes that this process is at a symbol now."""
        os.write(self._file, f"{time.monotonic_ns()} {job} {symbol}\n".encode())


def read_loads(folder: Path) -> list[Load]:
    """What all workers noted, in the order of time."""
    found = []
    for path in folder.iterdir():
        for line in path.read_text().splitlines():
            nanoseconds, job, symbol = line.split(" ")
            found.append(Load(int(path.name), int(nanoseconds), int(job), symbol))
    return sorted(found, key=lambda load: load.nanoseconds)
