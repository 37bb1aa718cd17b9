"""TimeframeView: the candles of one timeframe in one state of the store, over all of its segments.

A symbol that lies in one segment is a set of slices of the mapped file, without a copy. Where segments
share a symbol, the rows that were asked for are merged, and of equal times the later segment's counts.

Symbols of a damaged segment are refused, so that none has silently fewer candles; the others are read. A file that
was shortened after it was mapped would end the process: at most every tenth of a second, a load looks at the sizes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from time import monotonic
from typing import TypeVar

import numpy as np

from candelabra_server.candles.repository import StoredSymbol
from candelabra_server.candles.segment import DamagedSegment, MappedSegment
from candelabra_server.candles.suggestions import close_names
from candelabra_server.domain.candles import PRICE_FIELDS, Candles, FloatColumn, MicrosColumn
from candelabra_server.domain.date_range import MAX_MICROS, MIN_MICROS, DateRange
from candelabra_server.errors import Reason, StoreError, SymbolFailure

__all__ = ["TimeframeView", "format_micros"]

_Column = TypeVar("_Column", MicrosColumn, FloatColumn)
_MICROS_A_DAY = 86_400_000_000
_SECONDS_BETWEEN_LOOKS = 0.1
_Part = tuple[MappedSegment, int]
"""A segment and the position of a symbol in it."""


class TimeframeView:
    """Reads one timeframe. Safe from any thread.

    Attributes:
        timeframe: canonical.
        segments: oldest import first, without the damaged ones.
        opened_at: when it was made, as `time.monotonic` tells it.
    """

    def __init__(
        self, timeframe: str, segments: Sequence[MappedSegment], damaged: Sequence[DamagedSegment] = ()
    ) -> None:
        self.timeframe = timeframe
        self.segments = tuple(segments)
        self.opened_at = monotonic()
        self._unmapped = tuple(damaged)
        self._damaged = self._unmapped
        self._next_look = 0.0 if damaged else self.opened_at + _SECONDS_BETWEEN_LOOKS

    @cached_property
    def symbols(self) -> Sequence[str]:
        """The stored symbols, sorted, also those of damaged segments."""
        if len(self.segments) == 1 and not self._unmapped:
            return tuple(self.segments[0].symbols)
        parts = [*(segment.symbols for segment in self.segments), *(segment.symbols for segment in self._unmapped)]
        return tuple(sorted(set().union(*parts)))

    @property
    def stored_symbols(self) -> Sequence[StoredSymbol]:
        """What is stored of every symbol that can be read, sorted."""
        self._look()
        if not self._damaged:
            return self._all_stored_symbols
        touched = set().union(*(segment.symbols for segment in self._damaged))
        return tuple(self._stored_symbol(symbol) for symbol in self.symbols if symbol not in touched)

    def load(self, symbol: str, date_range: DateRange, warm_up_candles: int) -> Candles:
        """Loads as `ICandleRepository.load` does."""
        parts = self._parts(symbol)
        if len(parts) == 1:
            candles = _slice(symbol, parts[0], date_range, warm_up_candles)
        else:
            slices = [_slice(symbol, part, date_range, warm_up_candles) for part in parts]
            candles = _merge(symbol, slices, _fields(parts), date_range.start_micros, warm_up_candles)
        if len(candles.open_time_micros) == candles.warm_up:
            raise self._no_candles(symbol, date_range)
        return candles

    def load_last(self, symbol: str, end_micros: int, warm_up_candles: int, fields: Collection[str]) -> Candles:
        """Loads as `ICandleRepository.load_last` does."""
        parts = self._parts(symbol)
        stored = _fields(parts) if len(parts) > 1 else parts[0][0].columns(parts[0][1])
        names = stored if any(name not in stored for name in fields) else fields
        slices = [_last(symbol, part, end_micros, warm_up_candles, names) for part in parts]
        if len(slices) == 1:
            candles = slices[0]
        else:
            last = max((int(part.open_time_micros[-1]) for part in slices if len(part)), default=MIN_MICROS)
            candles = _merge(symbol, slices, names, last, warm_up_candles)
        if not len(candles.open_time_micros):
            raise self._no_candles(symbol, DateRange(end_micros=end_micros))
        return candles

    def load_all(self, symbol: str) -> Candles:
        """Every candle of a stored symbol."""
        return self.load(symbol, DateRange(), 0)

    @cached_property
    def _all_stored_symbols(self) -> Sequence[StoredSymbol]:
        return tuple(map(self._stored_symbol, self.symbols))

    def _look(self) -> None:
        """Finds the segments whose files were shortened meanwhile, and those that have their size again.

        As long as something is damaged every load looks, so that one comparison is enough where nothing is.
        """
        faults = [(segment, segment.fault()) for segment in self.segments]
        cut = (DamagedSegment(segment.name, segment.positions, fault) for segment, fault in faults if fault)
        self._damaged = (*self._unmapped, *cut)
        self._next_look = 0.0 if self._damaged else monotonic() + _SECONDS_BETWEEN_LOOKS

    def _refuse_damaged(self, symbol: str) -> None:
        self._look()
        for segment in self._damaged:
            if symbol in segment.symbols:
                raise StoreError(
                    f"{symbol} cannot be read: {segment.fault}",
                    metadata={"symbol": symbol, "timeframe": self.timeframe},
                )

    def _parts(self, symbol: str) -> list[_Part]:
        """Where a symbol lies.

        Raises:
            StoreError: a segment that has candles of it is damaged.
            SymbolFailure: it is not stored.
        """
        if monotonic() >= self._next_look:
            self._refuse_damaged(symbol)
        parts: list[_Part] = []
        for segment in self.segments:
            position = segment.positions.get(symbol)
            if position is not None:
                parts.append((segment, position))
        if not parts:
            names = close_names(symbol, [segment.positions for segment in self.segments])
            hint = f"; did you mean {' or '.join(names)}?" if names else ""
            raise SymbolFailure(
                f"symbol {symbol} is not stored in timeframe {self.timeframe}{hint}",
                reason=Reason.UNKNOWN_SYMBOL,
                metadata={"symbol": symbol, "timeframe": self.timeframe},
            )
        return parts

    def _stored_symbol(self, symbol: str) -> StoredSymbol:
        parts = self._parts(symbol)
        if len(parts) == 1:
            segment, position = parts[0]
            first, end = segment.starts[position], segment.starts[position + 1]
            times = segment.open_times
            bounds = end - first, int(times[first]), int(times[end - 1])
        else:
            merged = np.unique(np.concatenate([_times(part) for part in parts]))
            bounds = len(merged), int(merged[0]), int(merged[-1])
        return StoredSymbol(symbol, *bounds, _fields(parts))

    def _no_candles(self, symbol: str, date_range: DateRange) -> SymbolFailure:
        stored = self._stored_symbol(symbol)
        first, last = format_micros(stored.first_open_time_micros), format_micros(stored.last_open_time_micros)
        return SymbolFailure(
            f"{symbol} has no {self.timeframe} candles {_range_text(date_range)}; stored are {first} to {last}",
            reason=Reason.NO_CANDLES,
            metadata={"symbol": symbol, "timeframe": self.timeframe, "first": first, "last": last},
        )


def format_micros(micros: int) -> str:
    """A time as users write it: a date when it is midnight UTC, else a date-time with Z."""
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    except OverflowError:
        return f"{micros} µs"
    if micros % _MICROS_A_DAY == 0:
        return moment.date().isoformat()
    return moment.replace(tzinfo=None).isoformat() + "Z"


def _slice(symbol: str, part: _Part, date_range: DateRange, warm_up_candles: int) -> Candles:
    segment, position = part
    begin, first, end = _rows(part, date_range, warm_up_candles)
    fields = {name: column[begin:end] for name, column in segment.columns(position).items()}
    return Candles(symbol, segment.open_times[begin:end], fields, first - begin)


def _last(symbol: str, part: _Part, end_micros: int, warm_up_candles: int, names: Collection[str]) -> Candles:
    """Of a symbol's candles in one segment the last up to a time, those before it that are needed, and some fields."""
    segment, position = part
    lowest, end = segment.starts[position], segment.starts[position + 1]
    if end_micros < segment.time_values[end - 1]:
        end = bisect_right(segment.time_values, end_micros, lowest, end)
    begin = max(lowest, end - 1 - warm_up_candles)
    columns = segment.columns(position)
    fields = {name: columns[name][begin:end] for name in names if name in columns}
    return Candles(symbol, segment.open_times[begin:end], fields, max(0, end - 1 - begin))


def _merge(
    symbol: str, slices: Sequence[Candles], names: Collection[str], start_micros: int, warm_up_candles: int
) -> Candles:
    """The rows from a start on, and the last `warm_up_candles` before it, of slices that have as many of their own.

    The last rows of a union are among the last ones of each part, so those are enough.
    """
    filled = [candles for candles in slices if len(candles)]
    if len(filled) == 1 and len(filled[0].fields) == len(names):
        return filled[0]
    times = np.concatenate([candles.open_time_micros for candles in filled]) if filled else np.empty(0, np.int64)
    order = np.argsort(times, kind="stable")  # stable: of equal times the later segment's is the last
    ordered = times[order]
    is_last = np.append(ordered[1:] != ordered[:-1], True)[: len(ordered)]
    order, ordered = order[is_last], ordered[is_last]
    before = int(ordered.searchsorted(start_micros))
    drop = max(0, before - warm_up_candles)
    order = order[drop:]
    fields = {name: _frozen(_gather(filled, name, order)) for name in names}
    return Candles(symbol, _frozen(ordered[drop:].copy()), fields, before - drop)


def _gather(slices: Sequence[Candles], name: str, order: MicrosColumn) -> FloatColumn:
    columns = [
        column if (column := candles.fields.get(name)) is not None else np.full(len(candles), np.nan)
        for candles in slices
    ]
    return np.concatenate(columns)[order] if columns else np.empty(0)


def _rows(part: _Part, date_range: DateRange, warm_up_candles: int) -> tuple[int, int, int]:
    """The rows of a symbol: where warm-up begins, where the range begins, and where it ends."""
    segment, position = part
    lowest, end = segment.starts[position], segment.starts[position + 1]
    times, first = segment.time_values, lowest
    if date_range.start_micros != MIN_MICROS:
        first = bisect_left(times, date_range.start_micros, lowest, end)
    if date_range.end_micros != MAX_MICROS:
        end = bisect_right(times, date_range.end_micros, first, end)
    return max(lowest, first - warm_up_candles), first, end


def _times(part: _Part) -> MicrosColumn:
    segment, position = part
    return segment.open_times[segment.starts[position] : segment.starts[position + 1]]


def _fields(parts: Sequence[_Part]) -> tuple[str, ...]:
    """The fields that are stored of a symbol in any of its segments, the usual ones first."""
    names = {name for segment, position in parts for name in segment.columns(position)}
    further = sorted(names.difference(PRICE_FIELDS))
    return (*(name for name in PRICE_FIELDS if name in names), *further)


def _frozen(column: _Column) -> _Column:
    column.setflags(write=False)
    return column


def _range_text(date_range: DateRange) -> str:
    start, end = date_range.start_micros, date_range.end_micros
    if start == MIN_MICROS and end == MAX_MICROS:
        return "at all"
    if start == MIN_MICROS:
        return f"up to {_end_text(end)}"
    if end == MAX_MICROS:
        return f"from {format_micros(start)} on"
    return f"from {format_micros(start)} to {_end_text(end)}"


def _end_text(micros: int) -> str:
    """A range that was given as dates ends with the last microsecond of a day."""
    return format_micros(micros if (micros + 1) % _MICROS_A_DAY else micros + 1 - _MICROS_A_DAY)
