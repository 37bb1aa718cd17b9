"""From candles to longer candles and back: reductions over periods, and which longer candle has closed by when."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from candelabra_server.domain.candles import Candles, FloatColumn, MicrosColumn
from candelabra_server.domain.periods import period_ends, period_starts

__all__ = ["REDUCTIONS", "close_times", "closed_rows", "longer_candles", "reduce_periods", "take_rows"]

_Rows = npt.NDArray[np.int64]
_PRICE_REDUCTIONS = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
"""How a field of a longer candle is made; vwap is weighted by volume, of all others it is the last value."""


def longer_candles(candles: Candles, timeframe: str, names: frozenset[str]) -> Candles:
    """Candles of a longer timeframe, the last of which may be unfinished; a period without candles has none.

    Args:
        candles: of a shorter timeframe.
        timeframe: canonical.
        names: the fields that are wanted; those that the candles lack are left out.
    """
    starts = period_starts(candles.open_time_micros, timeframe)
    firsts = _first_rows(starts)
    fields: dict[str, FloatColumn] = {}
    for name in sorted(names & set(candles.fields)):
        if name == "vwap":
            fields[name] = _weighted_price(candles, firsts)
        else:
            fields[name] = REDUCTIONS[_PRICE_REDUCTIONS.get(name, "last")](candles.fields[name], firsts)
    return Candles(candles.symbol, starts[firsts], fields)


def reduce_periods(column: FloatColumn, open_time_micros: MicrosColumn, timeframe: str, reduction: str) -> FloatColumn:
    """The values of every period that has rows, reduced to one; NaN is skipped."""
    return REDUCTIONS[reduction](column, _first_rows(period_starts(open_time_micros, timeframe)))


def close_times(open_time_micros: MicrosColumn, timeframe: str, longer: str) -> MicrosColumn:
    """When each candle has closed, UTC microseconds.

    Args:
        open_time_micros: of candles of `timeframe`.
        timeframe: canonical.
        longer: the timeframe whose candles are asked for; empty for the given ones. A longer candle has closed when
            the last shorter one that its period can hold has: where those open a while after the start of their own
            periods, that long after the end of its own. So it is never told from a candle that is still to come.
    """
    if not longer:
        return period_ends(open_time_micros, timeframe)
    starts = period_starts(open_time_micros, longer)
    firsts = _first_rows(starts)
    lasts = open_time_micros[np.append(firsts[1:], len(starts))[: len(firsts)] - 1]
    closes: MicrosColumn = period_ends(starts[firsts], longer) + (lasts - period_starts(lasts, timeframe))
    return closes


def closed_rows(closes: MicrosColumn, other_closes: MicrosColumn) -> _Rows:
    """For every candle the row of the last other candle that has closed when it closes; -1 where there is none."""
    return np.searchsorted(other_closes, closes, side="right").astype(np.int64) - 1


def take_rows(column: FloatColumn, rows: _Rows) -> FloatColumn:
    """The values of these rows; NaN where the row is -1."""
    if not len(column):
        return np.full(len(rows), np.nan)
    return np.where(rows >= 0, column[np.maximum(rows, 0)], np.nan)


def _first_rows(starts: MicrosColumn) -> _Rows:
    """The first row of each run of equal starts."""
    changes = np.flatnonzero(starts[1:] != starts[:-1]) + 1
    return np.concatenate((np.zeros(min(1, len(starts)), dtype=np.int64), changes))


def _first(column: FloatColumn, firsts: _Rows) -> FloatColumn:
    """The first value that is there."""
    present = ~np.isnan(column)
    rows = np.where(present, np.arange(len(column)), len(column))
    return _picked(column, np.minimum.reduceat(rows, firsts) if len(firsts) else firsts)


def _last(column: FloatColumn, firsts: _Rows) -> FloatColumn:
    """The last value that is there."""
    rows = np.where(np.isnan(column), -1, np.arange(len(column)))
    return _picked(column, np.maximum.reduceat(rows, firsts) if len(firsts) else firsts)


def _picked(column: FloatColumn, rows: _Rows) -> FloatColumn:
    known = (rows >= 0) & (rows < len(column))
    return np.where(known, column[np.where(known, rows, 0)], np.nan) if len(column) else np.empty(0)


def _count(column: FloatColumn, firsts: _Rows) -> FloatColumn:
    return _summed((~np.isnan(column)).astype(np.float64), firsts)


def _sum(column: FloatColumn, firsts: _Rows) -> FloatColumn:
    total = _summed(np.where(np.isnan(column), 0.0, column), firsts)
    return np.where(_count(column, firsts) > 0, total, np.nan)


def _mean(column: FloatColumn, firsts: _Rows) -> FloatColumn:
    return _sum(column, firsts) / _count(column, firsts)


def _deviation(column: FloatColumn, firsts: _Rows) -> FloatColumn:
    """The sample's standard deviation (divisor: count less one)."""
    lengths = np.diff(np.append(firsts, len(column)))
    counts = _count(column, firsts)
    apart = column - np.repeat(_first(column, firsts), lengths)  # equal values are then 0 apart, exactly
    apart -= np.repeat(_mean(apart, firsts), lengths)
    squares = _summed(np.where(np.isnan(apart), 0.0, apart * apart), firsts)
    return np.sqrt(squares / np.where(counts > 1, counts - 1, np.nan))


def _largest(column: FloatColumn, firsts: _Rows) -> FloatColumn:
    return np.fmax.reduceat(column, firsts) if len(firsts) else np.empty(0)


def _smallest(column: FloatColumn, firsts: _Rows) -> FloatColumn:
    return np.fmin.reduceat(column, firsts) if len(firsts) else np.empty(0)


def _summed(column: FloatColumn, firsts: _Rows) -> FloatColumn:
    return np.add.reduceat(column, firsts) if len(firsts) else np.empty(0)


def _weighted_price(candles: Candles, firsts: _Rows) -> FloatColumn:
    """The mean price weighted by volume, over the rows that have both."""
    price = candles.fields["vwap"]
    volume = np.where(np.isnan(price), np.nan, candles.fields.get("volume", np.ones(len(price))))
    return _sum(price * volume, firsts) / _sum(volume, firsts)


REDUCTIONS: Mapping[str, Callable[[FloatColumn, _Rows], FloatColumn]] = {
    "first": _first,
    "last": _last,
    "sum": _sum,
    "mean": _mean,
    "max": _largest,
    "min": _smallest,
    "std": _deviation,
    "count": _count,
}
"""From a column and the first row of each period to one value a period."""
