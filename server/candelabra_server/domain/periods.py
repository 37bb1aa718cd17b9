"""The periods that longer candles cover: where each begins and ends, in UTC."""

from __future__ import annotations

import re

import numpy as np

from candelabra_server.domain.candles import MicrosColumn
from candelabra_server.domain.timeframe import Timeframe

__all__ = ["most_candles", "period_ends", "period_starts"]

_DAY_MICROS = 86_400_000_000
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_FIRST_MONDAY_MICROS = 4 * _DAY_MICROS
"""1970-01-05, the Monday from which weeks are counted."""
_LONGEST_MONTH_SECONDS = 31 * 86_400


def period_starts(open_time_micros: MicrosColumn, timeframe: str) -> MicrosColumn:
    """Where the period of every time begins, UTC microseconds.

    Seconds to days are counted from 1970-01-01 00:00 UTC, weeks from Monday 1970-01-05, months from January 1970:
    a period of several units begins at a whole multiple of them.

    Args:
        open_time_micros: UTC microseconds since 1970-01-01.
        timeframe: canonical, for example `1w`.
    """
    count, unit = _parts(timeframe)
    if unit == "M":
        months = _months(open_time_micros)
        return _month_micros(months - months % count)
    length = count * _SECONDS[unit] * 1_000_000
    anchor = _FIRST_MONDAY_MICROS if unit == "w" else 0
    return open_time_micros - (open_time_micros - anchor) % length


def period_ends(starts: MicrosColumn, timeframe: str) -> MicrosColumn:
    """Where the period that begins at each time ends, exclusive, UTC microseconds.

    A time that is not the start of a calendar period, as a daily candle that opens with the session, is followed by
    the same length; a month is then one to the same day of the next.
    """
    count, unit = _parts(timeframe)
    if unit == "M":
        months = _months(starts)
        return _month_micros(months + count) + (starts - _month_micros(months))
    return starts + count * _SECONDS[unit] * 1_000_000


def most_candles(timeframe: str, longer: str) -> int:
    """How many candles of a timeframe one of a longer timeframe can cover at most.

    Raises:
        ValueError: the longer one does not consist of whole candles of the other; the message says so.
    """
    (count, unit), (longer_count, longer_unit) = _parts(timeframe), _parts(longer)
    refusal = f"a candle of {longer} does not consist of whole candles of {timeframe}"
    if Timeframe.parse(longer) < Timeframe.parse(timeframe):
        raise ValueError(refusal)
    if unit == "M":
        whole, most = longer_unit == "M" and longer_count % count == 0, longer_count // count
    elif longer_unit == "M":
        seconds = count * _SECONDS[unit]
        whole, most = _SECONDS["d"] % seconds == 0, longer_count * _LONGEST_MONTH_SECONDS // seconds
    else:
        seconds, longer_seconds = count * _SECONDS[unit], longer_count * _SECONDS[longer_unit]
        # Weeks begin on a Monday: only what divides a day, or weeks themselves, keeps to that.
        fits = unit == longer_unit or (unit != "w" and (longer_unit != "w" or _SECONDS["d"] % seconds == 0))
        whole, most = longer_seconds % seconds == 0 and fits, longer_seconds // seconds
    if not whole:
        raise ValueError(refusal)
    return most


def _parts(timeframe: str) -> tuple[int, str]:
    match = re.fullmatch(r"([0-9]+)([smhdwM])", timeframe)
    if match is None:
        raise ValueError(f"{timeframe!r} is not a canonical timeframe")
    return int(match[1]), match[2]


def _months(micros: MicrosColumn) -> MicrosColumn:
    return micros.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)


def _month_micros(months: MicrosColumn) -> MicrosColumn:
    return months.astype("datetime64[M]").astype("datetime64[us]").astype(np.int64)
