"""Whether the times of a file can be those of a timeframe: a newcomer's file of minutes is not imported as days."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from candelabra_server.candles.candle_batch import CandleBatch
from candelabra_server.candles.problem_log import FileProblems
from candelabra_server.domain.timeframe import Timeframe

__all__ = ["check_spacing"]

_SECOND = 1_000_000
_HOUR = 3_600 * _SECOND
_DAY = 24 * _HOUR
_ENOUGH_DAYS = 10
"""Fewer gaps of whole days may be chance in a timeframe within the day."""
_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def check_spacing(batch: CandleBatch, timeframe: Timeframe, problems: FileProblems) -> None:
    """Logs a file whose candles are far closer than the timeframe, or one a day for a timeframe within the day.

    Far closer is less than half of it, for at least half of the candles: single ones are early in real files,
    such as the running candle at the end of a download. Wide gaps alone say nothing of a timeframe within the
    day, for which candles without trades are left out; equal ones of whole days do.
    """
    gaps = _gaps(batch)
    if not len(gaps):
        return
    typical = int(np.partition(gaps, (len(gaps) - 1) // 2)[(len(gaps) - 1) // 2])
    length = timeframe.seconds * _SECOND
    off_midnight = np.minimum(gaps % _DAY, -gaps % _DAY)
    is_daily = len(gaps) >= _ENOUGH_DAYS and int(gaps.min()) >= _DAY - _HOUR and int(off_midnight.max()) <= _HOUR
    if 2 * typical < length or (length < _DAY and is_daily):
        values, counts = np.unique(gaps, return_counts=True)
        name = _name(int(values[counts.argmax()]))
        problems.in_file(
            f"looks like candles of {name}, not of {timeframe}: most of them are {name} apart; "
            f"if that is what they are, import it with --timeframe {name}"
        )


def _gaps(batch: CandleBatch) -> npt.NDArray[np.int64]:
    """Between consecutive times of each symbol."""
    order = np.lexsort((batch.open_times, batch.codes))
    codes, times = batch.codes[order], batch.open_times[order]
    gaps = np.diff(times)[codes[1:] == codes[:-1]]
    found: npt.NDArray[np.int64] = gaps[gaps > 0]
    return found


def _name(gap: int) -> str:
    """The timeframe of a gap, to the nearest usual one."""
    days = round(gap / _DAY)
    if days >= 28:
        return "1M"
    if days >= 6:
        return "1w"
    seconds = days * 86_400 if days and abs(gap - days * _DAY) <= _HOUR else max(1, round(gap / _SECOND))
    return next(f"{seconds // length}{unit}" for unit, length in _UNITS if seconds % length == 0)
