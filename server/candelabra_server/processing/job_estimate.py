"""About what a job costs, from what is stored and from typical speeds: for planning, not for billing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from candelabra.v1 import JobEstimate, Precision, ProcessingJob
from candelabra_server.candles.repository import StoredSymbol
from candelabra_server.domain.date_range import DateRange
from candelabra_server.formulas.programs import Call
from candelabra_server.formulas.service import CompiledFormula

__all__ = ["estimate_job"]

_SYMBOL_MICROS = 150
"""Typical processor time of one symbol whatever its size: finding its candles, and making and sending its message."""
_CALL_MICROS = 20
"""The same for each step of the formula that no compiled kernel computes, beside what it takes for every candle."""
_VALUE_NANOS = 2.0
"""The same for every value that is sent."""
_MESSAGE_BYTES = 80
"""Typical size of a symbol's message without its columns."""
_COLUMN_BYTES = 16
"""The same for what stands around the values of a column, its name excepted, which is there twice."""
_TIME_BYTES = 8


class _Share(NamedTuple):
    """What a job takes of one symbol."""

    candles_read: int
    rows: int


class _Columns(NamedTuple):
    """The columns of a result, as far as their size goes."""

    values_per_row: int
    head_bytes: int

    @classmethod
    def named(cls, names: Sequence[str]) -> _Columns:
        return cls(len(names), sum(_COLUMN_BYTES + 2 * len(name) for name in names))


def estimate_job(
    job: ProcessingJob,
    *,
    symbols: Sequence[str],
    stored: Sequence[StoredSymbol],
    formula: CompiledFormula | None,
    nanos_per_row: float,
) -> JobEstimate:
    """What a job would cost, as if the candles of each symbol stood evenly between its first and its last.

    Args:
        job: can run.
        symbols: the job's, patterns resolved; those that are not stored cost a message.
        stored: of the job's timeframe.
        formula: the job's; None where it has none.
        nanos_per_row: what the formula takes for one candle.
    """
    entries = {entry.symbol: entry for entry in stored}
    take = partial(
        _share, date_range=DateRange.parse(job.date_range.start, job.date_range.end), last_n=job.output.last_n
    )
    warm_up = formula.warm_up_candles if formula else 0
    others = formula.other_symbols if formula else {}
    # Read once for every symbol of the job, over the time of its own candles; those of a typical one stand for all.
    beside = sum(
        take(entries[name], warm_up=warm_up + need).candles_read for name, need in others.items() if name in entries
    )
    value_bytes = 4 if job.output.precision == Precision.PRECISION_FLOAT32 else 8
    columns = _Columns.named([column.name for column in formula.columns]) if formula else None
    calls = [part for part in formula.plan.program.parts if isinstance(part, Call)] if formula else []
    call_nanos = 1_000 * _CALL_MICROS * len(calls)
    candles_read = result_rows = 0
    result_bytes = _MESSAGE_BYTES * len(symbols)
    nanos = 1_000.0 * _SYMBOL_MICROS * len(symbols)
    for entry in (entries[symbol] for symbol in symbols if symbol in entries):
        share = take(entry, warm_up=warm_up)
        if not share.rows:
            continue
        sent = columns or _Columns.named(entry.fields)
        candles_read += share.candles_read + beside
        result_rows += share.rows
        result_bytes += share.rows * (_TIME_BYTES + value_bytes * sent.values_per_row) + sent.head_bytes
        nanos += call_nanos + share.candles_read * nanos_per_row + share.rows * sent.values_per_row * _VALUE_NANOS
    return JobEstimate(
        candles_read=candles_read,
        result_rows=result_rows,
        result_bytes=result_bytes,
        cpu_micros=round(nanos / 1_000),
    )


def _share(stored: StoredSymbol, *, date_range: DateRange, last_n: int, warm_up: int) -> _Share:
    first, end = _candles_before(stored, date_range.start_micros), _candles_before(stored, date_range.end_micros + 1)
    if last_n:
        first = max(first, end - last_n)
    rows = end - first
    return _Share(rows + min(warm_up, first), rows) if rows > 0 else _Share(0, 0)


def _candles_before(stored: StoredSymbol, micros: int) -> int:
    """How many candles open before a time."""
    begin, end = stored.first_open_time_micros, stored.last_open_time_micros
    if micros <= begin:
        return 0
    if micros > end:
        return stored.candle_count
    # Rounded up: the candle with number k, from 0, opens before the time where k is below this fraction.
    return -((begin - micros) * (stored.candle_count - 1) // (end - begin))
