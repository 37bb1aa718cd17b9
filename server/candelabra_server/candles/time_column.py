"""Open times of an imported column, from text, whole numbers, dates or timestamps."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from candelabra_server.candles.number_column import is_text
from candelabra_server.domain.candles import FloatColumn, MicrosColumn
from candelabra_server.domain.date_range import micros_from_datetime

__all__ = ["EXPECTED_TIME", "TimeColumn", "read_times"]

EXPECTED_TIME = (
    "expected ISO 8601 such as 2012-01-31 or 2012-01-31T09:30:00Z, a date such as 20120131, "
    "or a whole number of seconds, milliseconds, microseconds or nanoseconds since 1970; "
    "other forms are read with --time-format"
)

_DAY = 86_400_000_000
_TEXT_TYPES = (pa.timestamp("us"), pa.timestamp("us", "UTC"), pa.timestamp("ns"), pa.timestamp("ns", "UTC"))
"""How a whole column of texts is read, by the first of these that fits all: without zone, with zone, …"""
_LARGEST_SECONDS = 10**11
"""Whole numbers below this are seconds, below a thousand times this milliseconds, and so on: to the year 5138."""
_DATES = (1900_01_01, 2100_12_31)
"""A column of whole numbers between these is read as dates in the form YYYYMMDD."""
_WHOLE_NUMBER = re.compile(r"-?\d{1,19}", re.ASCII)
_OTHER_FORMS = (
    (r"^\s*(\d{4})[./](\d\d)[./](\d\d)", r"\1-\2-\3"),
    (r"^\s*(\d{4})(\d\d)(\d\d)[ T](\d)", r"\1-\2-\3 \4"),
    (r"[ T](\d\d)(\d\d)(\d\d)\s*$", r" \1:\2:\3"),
    (r"[ T](\d\d)(\d\d)\s*$", r" \1:\2"),
)
"""What 2024.01.31, 20240131 093000 and the like are in ISO 8601, one rewriting after the other."""
_CLOCK_DIRECTIVES = ("%H", "%I", "%X", "%c")
_DATE_LENGTH = len("2024-01-31")
_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?\s*(Z|UTC|[+-]\d{2}(?::?\d{2})?)?)?",
    re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """A column as times.

    Attributes:
        micros: one a row; 0 where there is no time.
        missing_rows: rows without a value.
        bad_rows: rows whose value is no time.
        local_rows: rows with a time of day and no zone, read as UTC.
    """

    micros: MicrosColumn
    missing_rows: npt.NDArray[np.intp]
    bad_rows: npt.NDArray[np.intp]
    local_rows: npt.NDArray[np.intp] = field(default_factory=lambda: _no_rows())  # noqa: PLW0108 - defined below


def read_times(column: pa.Array, time_format: str | None = None) -> TimeColumn:
    """Reads a column; times without a zone are UTC. Fractions of microseconds are cut off.

    Args:
        column: text, whole numbers, dates or timestamps.
        time_format: how texts and numbers are written, in the directives of `datetime.strptime`; None is found out.
    """
    kind = column.type
    if time_format is not None and (is_text(column) or types.is_integer(kind)):
        return _one_by_one(pc.cast(column, pa.string()), lambda text: _parse_as(text, time_format))
    return _from_text(column) if is_text(column) else _from_typed(column)


def _from_typed(column: pa.Array) -> TimeColumn:
    kind = column.type
    missing = np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))
    if types.is_timestamp(kind):
        local_rows = _no_rows() if kind.tz else np.delete(np.arange(len(column)), missing)
        return TimeColumn(_from_timestamps(column), missing, _no_rows(), local_rows)
    if types.is_date(kind):
        return TimeColumn(_from_timestamps(pc.cast(column, pa.timestamp("ms"))), missing, _no_rows())
    if types.is_integer(kind):
        return _from_numbers(_as_int64(column), missing)
    if types.is_floating(kind):
        return _from_floats(pc.fill_null(column, np.nan).to_numpy(zero_copy_only=False))
    return TimeColumn(np.zeros(len(column), dtype=np.int64), missing, np.delete(np.arange(len(column)), missing))


def _from_text(column: pa.Array) -> TimeColumn:
    for kind in (pa.int64(), pa.float64()):
        try:
            return _from_typed(pc.cast(column, kind))
        except pa.ArrowInvalid:
            continue
    if (times := _from_iso(column)) is not None:
        return times
    usual = column
    for pattern, replacement in _OTHER_FORMS:
        usual = pc.replace_substring_regex(usual, pattern, replacement)
    times = None if usual.equals(column) else _from_iso(usual)
    return times or _one_by_one(usual, _parse)


def _from_iso(column: pa.Array) -> TimeColumn | None:
    """A column of which all texts are there and in one form."""
    if column.null_count:
        return None
    for kind in _TEXT_TYPES:
        try:
            micros = _from_timestamps(pc.cast(column, kind))
        except pa.ArrowInvalid:
            continue
        has_clock = pc.greater(pc.utf8_length(column), _DATE_LENGTH).to_numpy(zero_copy_only=False)
        local_rows = _no_rows() if kind.tz else np.flatnonzero(has_clock)
        return TimeColumn(micros, _no_rows(), _no_rows(), local_rows)
    return None


_Parsed = tuple[int, bool]
"""Microseconds, and whether they are local: a time of day without a zone."""


def _one_by_one(column: pa.Array, parse: Callable[[str], _Parsed | None]) -> TimeColumn:
    micros = np.zeros(len(column), dtype=np.int64)
    missing, bad, local = [], [], []
    for row, cell in enumerate(column.to_pylist()):
        text = (cell or "").strip()
        value = parse(text)
        if not text:
            missing.append(row)
        elif value is None:
            bad.append(row)
        else:
            micros[row], is_local = value
            if is_local:
                local.append(row)
    rows = (np.array(found, dtype=np.intp) for found in (missing, bad, local))
    return TimeColumn(micros, *rows)


def _parse(text: str) -> _Parsed | None:
    match = _TIME.fullmatch(text)
    try:
        if match is None:
            if not _WHOLE_NUMBER.fullmatch(text):
                return None
            return int(_from_numbers(np.array([int(text)]), _no_rows()).micros[0]), False
        day, minutes, seconds, fraction, zone = match.groups()
        is_local = minutes is not None and zone is None
        zone = "+00:00" if zone is None or zone.upper() in {"Z", "UTC"} else zone
        moment = datetime.fromisoformat(f"{day}T{minutes or '00:00'}:{seconds or '00'}{zone}")
        return micros_from_datetime(moment) + int((fraction or "")[:6].ljust(6, "0")), is_local
    except (ValueError, OverflowError):
        return None


def _parse_as(text: str, time_format: str) -> _Parsed | None:
    try:
        moment = datetime.strptime(text, time_format)  # noqa: DTZ007 - a zone is in the format, or given for all
        is_local = moment.tzinfo is None and any(directive in time_format for directive in _CLOCK_DIRECTIVES)
        return micros_from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC)), is_local
    except (ValueError, OverflowError):
        return None


def _from_numbers(values: npt.NDArray[np.int64], missing: npt.NDArray[np.intp]) -> TimeColumn:
    """Dates as YYYYMMDD, or epoch times whose unit the largest of them tells."""
    present = np.delete(values, missing)
    if len(present) and _DATES[0] <= present.min() and present.max() <= _DATES[1]:
        return _from_calendar_numbers(values, missing)
    largest = int(np.abs(present).max()) if len(present) else 0
    if largest < _LARGEST_SECONDS:
        micros = values * 1_000_000
    elif largest < _LARGEST_SECONDS * 1_000:
        micros = values * 1_000
    elif largest < _LARGEST_SECONDS * 1_000_000:
        micros = values.copy()
    else:
        micros = values // 1_000
    micros[missing] = 0
    return TimeColumn(micros, missing, _no_rows())


def _from_floats(values: FloatColumn) -> TimeColumn:
    """Whole numbers that a tool wrote with a decimal point; NaN is missing."""
    is_missing = np.isnan(values)
    is_bad = ~is_missing & ~((values == np.floor(values)) & (np.abs(values) < 2**63))
    unread = np.flatnonzero(is_missing | is_bad)
    numbers = _from_numbers(np.where(is_missing | is_bad, 0, values).astype(np.int64), unread)
    bad = np.union1d(np.flatnonzero(is_bad), numbers.bad_rows)
    return TimeColumn(numbers.micros, np.flatnonzero(is_missing), bad)


def _from_calendar_numbers(values: npt.NDArray[np.int64], missing: npt.NDArray[np.intp]) -> TimeColumn:
    distinct, inverse = np.unique(values, return_inverse=True)
    days = [_day_of(value) for value in distinct.tolist()]
    micros = np.array([0 if day is None else day for day in days], dtype=np.int64)[inverse]
    is_bad = np.array([day is None for day in days], dtype=np.bool_)[inverse]
    is_bad[missing] = False
    return TimeColumn(micros, missing, np.flatnonzero(is_bad))


def _day_of(value: int) -> int | None:
    try:
        day = date(value // 10_000, value // 100 % 100, value % 100)
    except ValueError:
        return None
    return micros_from_datetime(datetime(day.year, day.month, day.day, tzinfo=UTC))


def _from_timestamps(column: pa.Array) -> MicrosColumn:
    ticks = _as_int64(column)
    unit = column.type.unit
    if unit == "ns":
        return ticks // 1_000
    return ticks * {"s": 1_000_000, "ms": 1_000, "us": 1}[unit]


def _as_int64(column: pa.Array) -> npt.NDArray[np.int64]:
    values: npt.NDArray[np.int64] = pc.fill_null(pc.cast(column, pa.int64()), 0).to_numpy(zero_copy_only=False)
    return values


def _no_rows() -> npt.NDArray[np.intp]:
    return np.empty(0, dtype=np.intp)
