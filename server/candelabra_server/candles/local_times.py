"""Times of a place's clocks as UTC, without guessing in the hour that comes twice or the one that is left out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from candelabra_server.candles.problem_log import FileProblems
from candelabra_server.candles.time_column import TimeColumn
from candelabra_server.domain.candles import MicrosColumn

__all__ = ["in_time_zone"]

_SECOND = 1_000_000


def in_time_zone(times: TimeColumn, zone: str, problems: FileProblems) -> MicrosColumn:
    """Shifts the local rows of a column to UTC and logs those that the zone's clocks do not tell.

    Where the clocks jump, the earliest and the latest moment that a time can mean differ: by the hour that
    comes twice, or by next to nothing around the hour that is left out.
    """
    rows = times.local_rows
    if not len(rows):
        return times.micros
    local = times.micros[rows]
    earliest, latest = _moments(local, zone, "earliest"), _moments(local, zone, "latest")
    differ = earliest != latest
    comes_twice = latest - earliest >= _SECOND
    for is_wrong, complaint in (
        (differ & comes_twice, "comes twice: the clocks are put back; write times with their offset from UTC"),
        (differ & ~comes_twice, "does not exist: the clocks are put forward"),
    ):

        def describe(row: int, complaint: str = complaint) -> str:
            moment = np.datetime64(int(times.micros[row]), "us").astype("datetime64[s]")
            return f"the local time {str(moment).replace('T', ' ')} in {zone} {complaint}"

        problems.in_rows(rows[is_wrong], describe)
    micros = times.micros.copy()
    micros[rows] = earliest
    return micros


def _moments(local: MicrosColumn, zone: str, choice: str) -> npt.NDArray[np.int64]:
    zoned = pc.assume_timezone(pa.array(local, pa.timestamp("us")), zone, ambiguous=choice, nonexistent=choice)
    moments: npt.NDArray[np.int64] = pc.cast(zoned, pa.int64()).to_numpy(zero_copy_only=False)
    return moments
