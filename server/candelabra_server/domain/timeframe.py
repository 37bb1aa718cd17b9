"""Timeframes: how long a candle is, in the one canonical spelling that answers always use."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Timeframe"]

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "M": 2_629_746}
"""Length of a unit; a month is its mean length, used for sorting only."""

_UNIT_SPELLINGS = {
    "s": "s", "sec": "s", "second": "s",
    "m": "m", "min": "m", "minute": "m", "t": "m",
    "h": "h", "hour": "h",
    "d": "d", "day": "d", "daily": "d",
    "w": "w", "wk": "w", "week": "w", "weekly": "w",
    "mo": "M", "mon": "M", "month": "M", "monthly": "M",
}  # fmt: skip
_LARGER_UNIT = {"s": (60, "m"), "m": (60, "h"), "h": (24, "d")}
_LONGEST_SPELLING = 40
"""Beyond it the pattern below would try every way to divide a run of blanks."""
_PATTERN = re.compile(r"\s*([0-9]{0,5})\s*[-_ ]?\s*([A-Za-z]{1,7})\s*")


@dataclass(frozen=True, slots=True, order=True)
class Timeframe:
    """The length of a candle; sorts from short to long.

    Attributes:
        seconds: length of one candle, the mean one for months.
        text: canonical spelling: a count and one of `s m h d w M`, for example `5m`, `1d`, `1M`.
    """

    seconds: int
    text: str

    @classmethod
    def parse(cls, spelling: str) -> Timeframe:
        """Reads any spelling in common use: `1m`, `5Min`, `60min`, `1H`, `D`, `day`, `1Week`, `1M`.

        A lone `m` is minutes and a lone `M` months; other units are read in any case. A whole number of
        the next larger unit is written in it: `60m` is `1h`, `24h` is `1d`. Days never turn into weeks,
        which begin on a day of their own.

        Raises:
            ValueError: not a timeframe; the message says what is accepted.
        """
        match = _PATTERN.fullmatch(spelling) if len(spelling) <= _LONGEST_SPELLING else None
        unit = match and ("M" if match[2] == "M" else _UNIT_SPELLINGS.get(_singular(match[2].lower())))
        count = int(match[1] or 1) if match else 0
        if not unit or count < 1:
            raise ValueError(
                f"{spelling[:_LONGEST_SPELLING]!r} is not a timeframe; expected a count and a unit such as "
                "1m, 5m, 15m, 1h, 4h, 1d, 1w or 1M (m is minute, M month)"
            )
        while unit in _LARGER_UNIT and count % _LARGER_UNIT[unit][0] == 0:
            divisor, larger = _LARGER_UNIT[unit]
            count, unit = count // divisor, larger
        return cls(count * _SECONDS[unit], f"{count}{unit}")

    def __str__(self) -> str:
        return self.text


def _singular(unit: str) -> str:
    return unit.removesuffix("s") if len(unit) > 1 else unit
