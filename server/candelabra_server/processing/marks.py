"""Marks: where a worker is in its chunk, for the server to read from shared memory when the worker is gone or late.

Every slot of the results' file (see result_transport.py) has a record in front of it, whose words are written whole:

    0  stop      server: 1 when nobody wants the chunk any more
    1  process   worker: its id; 0 while no worker has the chunk
    2  position  worker: index of the symbol that it is at; PREPARING before the first, their number after the last
    3  since     worker: when it came there, in microseconds of the system's monotonic clock, the same for all processes

A worker writes the process last and its position before each symbol, so a death is put down to the right symbol
wherever it comes.
"""

from __future__ import annotations

import time
from typing import NamedTuple

__all__ = ["MARK_BYTES", "PREPARING", "Mark", "MarkWriter", "Words", "monotonic_micros"]

MARK_BYTES = 64
"""Of one record: a line of a processor's cache, so that workers do not slow each other down."""
PREPARING = -1
"""The position of a worker that makes ready for a chunk's job."""

_STOP, _PROCESS, _POSITION, _SINCE = range(4)

Words = memoryview
"""A record as 64-bit integers."""


def monotonic_micros() -> int:
    """Now, by the clock that no adjustment of the time of day moves."""
    return time.monotonic_ns() // 1_000


class Mark(NamedTuple):
    """What a record says."""

    process: int
    position: int
    since_micros: int

    @property
    def is_begun(self) -> bool:
        """Whether a worker has the chunk."""
        return self.process != 0

    @classmethod
    def read(cls, words: Words) -> Mark:
        """What the worker wrote last."""
        return cls(words[_PROCESS], words[_POSITION], words[_SINCE])

    @staticmethod
    def clear(words: Words) -> None:
        """Makes a record ready for its next chunk."""
        for index in (_PROCESS, _STOP, _POSITION, _SINCE):
            words[index] = 0

    @staticmethod
    def tell_to_stop(words: Words) -> None:
        """Tells the worker that nobody wants the chunk."""
        words[_STOP] = 1


class MarkWriter:
    """A worker's side of a record."""

    __slots__ = ("_words",)

    def __init__(self, words: Words, process: int) -> None:
        self._words = words
        self.move(PREPARING, monotonic_micros())
        words[_PROCESS] = process

    def move(self, position: int, now_micros: int) -> None:
        """The worker is at this symbol now."""
        words = self._words
        words[_SINCE] = now_micros
        words[_POSITION] = position

    @property
    def is_unwanted(self) -> bool:
        """Whether the server has said that nobody wants the chunk."""
        return self._words[_STOP] != 0
