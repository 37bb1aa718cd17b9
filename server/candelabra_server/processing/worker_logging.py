"""Carries log records from workers to the server: they travel with the results of the chunk they belong to.

A shared queue could die with its lock held when a worker is killed; a list in the reply cannot.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections import deque
from typing import NamedTuple

__all__ = ["CarriedRecord", "RecordCollector", "replay"]

_MOST_RECORDS = 200
"""Oldest records are dropped beyond this many between two replies."""
_MOST_CHARACTERS = 8_000
"""Longer messages (tracebacks) are cut."""


class CarriedRecord(NamedTuple):
    """A log record as plain data."""

    logger: str
    level: int
    message: str
    created: float
    process: int


class RecordCollector(logging.Handler):
    """Keeps a worker's log records until a reply takes them along."""

    def __init__(self) -> None:
        super().__init__()
        self._records: deque[CarriedRecord] = deque(maxlen=_MOST_RECORDS)

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps the record as text, its traceback included."""
        text = logging.Formatter().format(record)[:_MOST_CHARACTERS]
        self._records.append(CarriedRecord(record.name, record.levelno, text, record.created, os.getpid()))

    def take(self) -> tuple[CarriedRecord, ...]:
        """What was logged since the last call."""
        taken = tuple(self._records)
        self._records.clear()
        return taken


def replay(records: tuple[CarriedRecord, ...]) -> None:
    """Logs a worker's records in this process, with the worker's process id and time.

    A handler or filter that raises loses its record and nothing else.
    """
    for carried in records:
        logger = logging.getLogger(carried.logger)
        if logger.isEnabledFor(carried.level):
            record = logger.makeRecord(carried.logger, carried.level, "", 0, carried.message, (), None)
            record.created = carried.created
            record.process = carried.process
            with contextlib.suppress(Exception):
                logger.handle(record)
