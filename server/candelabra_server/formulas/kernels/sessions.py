"""Averages that begin anew with every session of the UTC calendar."""

from __future__ import annotations

import numpy as np

from candelabra_server.domain.candles import FloatColumn, MicrosColumn
from candelabra_server.domain.periods import period_starts

__all__ = ["session_weighted_mean"]


def session_weighted_mean(
    open_time_micros: MicrosColumn, column: FloatColumn, weights: FloatColumn, session: str
) -> FloatColumn:
    """The mean of the column from the session's first row to this one, weighted.

    NaN while the weights add up to 0, and from a NaN of either column to the session's end.

    Args:
        open_time_micros: UTC microseconds, increasing.
        column: what to average.
        weights: as many.
        session: the timeframe of which every session is one period, for example `1d`.
    """
    starts = period_starts(open_time_micros, session)
    rows = np.arange(len(starts))
    begins = np.ones(len(starts), dtype=np.bool_)
    begins[1:] = starts[1:] != starts[:-1]
    place = rows - np.maximum.accumulate(np.where(begins, rows, 0))
    return _sums(column * weights, place) / _sums(weights, place)


def _sums(column: FloatColumn, place: np.ndarray[tuple[int], np.dtype[np.intp]]) -> FloatColumn:
    """The sum of every row with those before it in its session; `place` counts the rows of a session from 0.

    By doubling: after each step a row holds the sum of twice as many rows, until its session's first. Nothing is
    subtracted, so neither the bits nor a NaN of one session reach another.
    """
    sums, step = column, 1
    while step <= place.max(initial=0):
        longer = sums.copy()
        longer[step:] += np.where(place[step:] >= step, sums[:-step], 0.0)
        sums, step = longer, step * 2
    return sums
