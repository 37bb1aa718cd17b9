"""Date ranges: which candles, by open time, a job reports on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

__all__ = ["MAX_MICROS", "MIN_MICROS", "DateRange", "micros_from_datetime"]

MIN_MICROS = -(2**63)
"""Stands for an unbounded start."""
MAX_MICROS = 2**63 - 1
"""Stands for an unbounded end."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_DATE_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?([Zz]|[+-]\d{2}:\d{2})")


@dataclass(frozen=True, slots=True)
class DateRange:
    """A range of candle open times, both ends inclusive.

    Attributes:
        start_micros: first open time, UTC microseconds since 1970-01-01; MIN_MICROS when unbounded.
        end_micros: last open time, likewise; MAX_MICROS when unbounded.
    """

    start_micros: int = MIN_MICROS
    end_micros: int = MAX_MICROS

    @classmethod
    def parse(cls, start: str, end: str) -> DateRange:
        """Reads two ISO 8601 strings as `parse_start` and `parse_end` do.

        Raises:
            ValueError: either cannot be read, or the end lies before the start.
        """
        result = cls(cls.parse_start(start), cls.parse_end(end))
        if result.end_micros < result.start_micros:
            raise ValueError(f"the range ends at {end}, before it starts at {start}")
        return result

    @staticmethod
    def parse_start(text: str) -> int:
        """The first microsecond that `text` means: empty is unbounded, a date begins at 00:00 UTC."""
        return _first_micros(text) if text else MIN_MICROS

    @staticmethod
    def parse_end(text: str) -> int:
        """The last microsecond that `text` means: empty is unbounded, a date ends with its day in UTC."""
        if not text:
            return MAX_MICROS
        first = _first_micros(text)
        return first + 86_400_000_000 - 1 if _DATE.fullmatch(text) else first


def micros_from_datetime(moment: datetime) -> int:
    """UTC microseconds since 1970-01-01 of a zoned date-time, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def _first_micros(text: str) -> int:
    try:
        if _DATE.fullmatch(text):
            day = date.fromisoformat(text)
            return micros_from_datetime(datetime(day.year, day.month, day.day, tzinfo=UTC))
        if _DATE_TIME.fullmatch(text):
            return micros_from_datetime(datetime.fromisoformat(text.upper().replace(" ", "T")))
    except ValueError as error:
        raise ValueError(f"{text[:40]!r} is not a date that exists ({error})") from None
    raise ValueError(
        f"{text[:40]!r} is not a date; expected ISO 8601: a date such as 2012-01-31, "
        "or a time with its zone such as 2012-01-31T09:30:00Z"
    )
