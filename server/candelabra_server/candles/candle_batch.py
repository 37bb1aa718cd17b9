"""CandleBatch: checked candles on their way into the store, and how batches become one sorted content."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from candelabra_server.candles.problem_log import ProblemLog
from candelabra_server.candles.timeframe_view import format_micros
from candelabra_server.domain.candles import PRICE_FIELDS, FloatColumn, MicrosColumn

__all__ = ["CandleBatch", "SegmentContent", "combine"]

Codes = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class CandleBatch:
    """Candles of one file, in the file's order.

    Attributes:
        source: the file as the user named it.
        symbols: distinct, in any order.
        codes: one a row: position of its symbol in `symbols`.
        open_times: one a row, UTC microseconds.
        columns: PRICE_FIELDS and further fields by name; these are the fields of all of its symbols.
        locate: from a row to its line in the file, None where that is unknown.
        dropped_columns: names of columns that are not kept, since they have no numbers, or none for formulas.
        price_scale: what the file's prices were multiplied by.
    """

    source: str
    symbols: Sequence[str]
    codes: Codes
    open_times: MicrosColumn
    columns: Mapping[str, FloatColumn]
    locate: Callable[[int], int | None] = field(default=lambda row: row + 1)
    dropped_columns: Sequence[str] = ()
    price_scale: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True)
class SegmentContent:
    """Candles sorted by symbol and time, as a segment holds them.

    Attributes:
        symbols: sorted.
        starts: the first row of each symbol, and the row count.
        open_times: one a row, rising within a symbol.
        columns: by name; NaN where a symbol does not have the field.
        fields: the fields of each symbol.
    """

    symbols: Sequence[str]
    starts: npt.NDArray[np.int64]
    open_times: MicrosColumn
    columns: Mapping[str, FloatColumn]
    fields: Sequence[frozenset[str]]


def combine(batches: Sequence[CandleBatch], problems: ProblemLog) -> SegmentContent:
    """Sorts the candles of all batches into one content, and logs those that come in two batches."""
    symbols = sorted(set().union(*(batch.symbols for batch in batches)))
    code_of = {symbol: code for code, symbol in enumerate(symbols)}
    codes = np.concatenate(
        [np.array([code_of[symbol] for symbol in batch.symbols], dtype=np.int32)[batch.codes] for batch in batches]
    )
    open_times = np.concatenate([batch.open_times for batch in batches])
    order = _sorted_order(codes, open_times)
    if order is not None:
        codes, open_times = codes[order], open_times[order]
    _log_duplicates(batches, symbols=symbols, codes=codes, open_times=open_times, order=order, problems=problems)
    fields: list[frozenset[str]] = [frozenset()] * len(symbols)
    for batch in batches:
        names = frozenset(batch.columns)
        for symbol in batch.symbols:
            fields[code_of[symbol]] |= names
    return SegmentContent(
        symbols=symbols,
        starts=np.searchsorted(codes, np.arange(len(symbols) + 1)).astype(np.int64),
        open_times=open_times,
        columns={name: _column(batches, name, order) for name in _ordered(frozenset().union(*fields))},
        fields=fields,
    )


def _ordered(names: frozenset[str]) -> list[str]:
    return [*(name for name in PRICE_FIELDS if name in names), *sorted(names.difference(PRICE_FIELDS))]


def _sorted_order(codes: Codes, open_times: MicrosColumn) -> npt.NDArray[np.intp] | None:
    """The rows in order of symbol and time, of equal ones the earlier first; None when they are sorted."""
    steps = np.diff(codes)
    if bool(((steps > 0) | ((steps == 0) & (np.diff(open_times) >= 0))).all()):
        return None
    return np.lexsort((open_times, codes))


def _log_duplicates(
    batches: Sequence[CandleBatch],
    *,
    symbols: Sequence[str],
    codes: Codes,
    open_times: MicrosColumn,
    order: npt.NDArray[np.intp] | None,
    problems: ProblemLog,
) -> None:
    is_repeated = (codes[1:] == codes[:-1]) & (open_times[1:] == open_times[:-1])
    repeated = np.flatnonzero(is_repeated) + 1
    if not len(repeated):
        return
    ends = np.cumsum([len(batch.open_times) for batch in batches])

    def origin(position: int) -> tuple[CandleBatch, int | None]:
        row = position if order is None else int(order[position])
        number = int(np.searchsorted(ends, row, side="right"))
        batch = batches[number]
        return batch, batch.locate(row - int(ends[number]) + len(batch.open_times))

    described = repeated[: problems.room].tolist()
    for position in described:
        (first, first_line), (second, line) = origin(position - 1), origin(position)
        where = first.source if first_line is None else f"{first.source}:{first_line}"
        message = f"{symbols[codes[position]]} at {format_micros(int(open_times[position]))} is in {where} already"
        problems.add(second.source, line, message)
    problems.count_further(len(repeated) - len(described))


def _column(batches: Sequence[CandleBatch], name: str, order: npt.NDArray[np.intp] | None) -> FloatColumn:
    parts = [
        part if (part := batch.columns.get(name)) is not None else np.full(len(batch.open_times), np.nan)
        for batch in batches
    ]
    whole = np.concatenate(parts) if len(parts) > 1 else parts[0]
    return whole if order is None else whole[order]
