"""One symbol of a job in a worker: its candles, its values, its messages."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np

from candelabra.v1 import ColumnKind, Precision, ResultInfo
from candelabra.worker.v1 import ScreenedChunk, SymbolTask
from candelabra_server.candles.repository import ICandleRepository
from candelabra_server.domain.candles import PRICE_FIELDS, Candles, FloatTable
from candelabra_server.domain.date_range import DateRange
from candelabra_server.domain.timeframe import Timeframe
from candelabra_server.errors import Reason, SymbolFailure
from candelabra_server.formulas.buffers import Buffers
from candelabra_server.formulas.service import ColumnKind as OutputKind
from candelabra_server.formulas.service import CompiledFormula, FormulaService
from candelabra_server.processing.job_formula import compile_task
from candelabra_server.processing.result_encoding import (
    DEFAULT_MESSAGE_BYTES,
    ColumnStatistics,
    ResultLayout,
    column_infos,
    encode_info,
)
from candelabra_server.processing.result_transport import Outcome, PacketWriter
from candelabra_server.processing.screen_worker import last_candles, screen_symbols

__all__ = ["Environment", "SymbolWork", "WorkBuffers"]

KINDS = {
    OutputKind.NUMBER: ColumnKind.COLUMN_KIND_NUMBER,
    OutputKind.SIGNAL: ColumnKind.COLUMN_KIND_SIGNAL,
}
_MOST_WARNINGS = 20


class Environment(NamedTuple):
    """Where a worker gets candles and formulas from."""

    candle_repo: ICandleRepository
    formula_service: FormulaService


@dataclass(slots=True)
class WorkBuffers:
    """Memory that is used again from symbol to symbol."""

    values: Buffers = field(default_factory=Buffers)
    traced: Buffers = field(default_factory=Buffers)


class _Rows(NamedTuple):
    """Rows of a symbol's whole result, [first, stop) of `total`."""

    first: int
    stop: int
    total: int

    @property
    def are_all(self) -> bool:
        return self.first == 0 and self.stop == self.total


@dataclass(frozen=True, slots=True)
class SymbolWork:
    """What is the same for every symbol of a job, and how one symbol is done with it."""

    environment: Environment
    task: SymbolTask
    timeframe: str
    date_range: DateRange
    formula: CompiledFormula | None
    snapshot_id: str
    buffers: WorkBuffers
    layouts: dict[tuple[str, ...], ResultLayout] = field(default_factory=dict)

    @classmethod
    def prepare(cls, task: SymbolTask, environment: Environment, snapshot_id: str, buffers: WorkBuffers) -> SymbolWork:
        """Reads the task and compiles its formula.

        Raises:
            CandelabraError: the task cannot be done for any symbol.
        """
        try:
            timeframe = Timeframe.parse(task.timeframe).text
            date_range = DateRange.parse(task.date_range_start, task.date_range_end)
        except ValueError as error:
            raise SymbolFailure(str(error), reason=Reason.INVALID_REQUEST) from error
        formula = compile_task(task, timeframe, environment.formula_service)
        return cls(environment, task, timeframe, date_range, formula, snapshot_id, buffers)

    def run(self, symbol: str, packet: PacketWriter, first_row: int) -> bool:
        """Loads, evaluates and encodes one symbol into the packet; False when it does not fit behind what is there.

        A result that no empty packet could hold is cut: its rows from `first_row` on, as many as fit.

        Raises:
            CandelabraError: the symbol has no result.
        """
        checkpoint = _time_limit(self.task.symbol_time_limit_millis)
        started = time.perf_counter_ns()
        candles = self._load(symbol)
        names = self._names(candles)
        layout = self._layout(names)
        warnings = _few(self.formula.warnings) if self.formula else []
        info_bytes = layout.info_bytes(warnings)
        rows = _Rows(first_row, len(candles) - candles.warm_up, len(candles) - candles.warm_up)
        if packet.most_bytes is not None:
            fitting = layout.rows_that_fit(symbol, packet.most_bytes, info_bytes)
            rows = rows._replace(stop=min(rows.total, first_row + fitting))
        room = packet.room(layout.most_bytes(symbol, rows.stop - rows.first, info_bytes))
        if room is None:
            return False
        if not rows.are_all:
            candles = self._cut(candles, rows)
        others = self._load_others(candles)
        checkpoint()
        loaded = time.perf_counter_ns()
        values = self._evaluate(candles, names, others, checkpoint)
        evaluated = time.perf_counter_ns()
        count = rows.stop - rows.first
        sizes, statistics = layout.write(
            room,
            symbol,
            candles.open_time_micros[candles.warm_up : candles.warm_up + count],
            values,
            skip=candles.warm_up,
            row_offset=rows.first,
            is_last=rows.stop == rows.total,
            info_bytes=info_bytes,
        )
        causes = self._causes(candles, others, statistics, checkpoint)
        info = encode_info(
            ResultInfo(candles_read=len(candles), warm_up_candles_used=candles.warm_up),
            column_infos(names, statistics.missing.tobytes(), statistics.first_valid.tobytes(), causes),
            ResultInfo(
                load_micros=(loaded - started) // 1_000,
                compute_micros=(evaluated - loaded) // 1_000,
                snapshot_id=self.snapshot_id,
                warnings=warnings,
            ),
        )
        if rows.are_all:
            layout.add_info(room, sizes, info)
            packet.add(Outcome(tuple(sizes)))
        else:
            packet.add(Outcome(tuple(sizes), rows.total, rows.stop, info))
        return True

    def screen(self, symbols: Sequence[str], filter_column: int | None) -> ScreenedChunk:
        """Each symbol's last row, of those that pass; a screen's task has a formula."""
        formula = self.formula
        if formula is None:
            raise SymbolFailure("a screen needs a formula", reason=Reason.INVALID_REQUEST)
        load = last_candles(
            self.environment.candle_repo,
            timeframe=self.timeframe,
            end_micros=self.date_range.end_micros,
            formula=formula,
            snapshot_id=self.snapshot_id,
        )
        limit_millis = self.task.symbol_time_limit_millis
        return screen_symbols(
            symbols,
            load=load,
            formula=formula,
            filter_column=filter_column,
            buffers=self.buffers.values,
            load_others=self._load_others if formula.other_symbols else None,
            new_checkpoint=partial(_time_limit, limit_millis) if limit_millis else None,
        )

    def _load(self, symbol: str) -> Candles:
        warm_up_candles = self.formula.warm_up_candles if self.formula else 0
        candles = self.environment.candle_repo.load(
            symbol, self.timeframe, self.date_range, warm_up_candles=warm_up_candles, snapshot_id=self.snapshot_id
        )
        if self.task.last_n:
            candles = candles.last(self.task.last_n, warm_up_candles=warm_up_candles)
        return candles

    def _names(self, candles: Candles) -> tuple[str, ...]:
        """The outputs; the candles' own fields when there is no formula."""
        if self.formula is not None:
            return tuple(column.name for column in self.formula.columns)
        further = sorted(set(candles.fields) - set(PRICE_FIELDS))
        return tuple(name for name in (*PRICE_FIELDS, *further) if name in candles.fields)

    def _layout(self, names: tuple[str, ...]) -> ResultLayout:
        layout = self.layouts.get(names)
        if layout is None:
            kinds = [ColumnKind.COLUMN_KIND_NUMBER] * len(names)
            if self.formula is not None:
                kinds = [KINDS[column.kind] for column in self.formula.columns]
            layout = self.layouts[names] = ResultLayout(
                names,
                kinds,
                float32=self.task.precision == Precision.PRECISION_FLOAT32,
                max_message_bytes=self.task.max_message_bytes or DEFAULT_MESSAGE_BYTES,
            )
        return layout

    def _cut(self, candles: Candles, rows: _Rows) -> Candles:
        """The candles that some rows need: their own, those that the formula looks back at, and forward."""
        back = self.formula.warm_up_candles if self.formula else 0
        forward = self.formula.plan.look_ahead_candles if self.formula else 0
        first = candles.warm_up + rows.first
        begin = max(0, first - back)
        end = candles.warm_up + rows.stop + forward
        fields = {name: column[begin:end] for name, column in candles.fields.items()}
        return Candles(candles.symbol, candles.open_time_micros[begin:end], fields, first - begin)

    def _load_others(self, candles: Candles) -> dict[str, Candles]:
        """Candles of the other symbols that the formula reads, over the time of these."""
        if self.formula is None or not self.formula.other_symbols:
            return {}
        first, last = (int(candles.open_time_micros[row]) for row in (0, -1))
        return {
            symbol: self._load_other(symbol, warm_up, first, last)
            for symbol, warm_up in self.formula.other_symbols.items()
        }

    def _load_other(self, symbol: str, warm_up: int, first: int, last: int) -> Candles:
        """What is stored of another symbol up to a time; where that is nothing, candles without rows."""
        for date_range in (DateRange(first, last), DateRange(end_micros=last)):  # what closed before still counts
            try:
                return self.environment.candle_repo.load(
                    symbol, self.timeframe, date_range, warm_up_candles=warm_up, snapshot_id=self.snapshot_id
                )
            except SymbolFailure as failure:
                if failure.reason != Reason.NO_CANDLES:
                    raise
        names = self.formula.fields_of(symbol) if self.formula else ()
        return Candles(symbol, np.empty(0, dtype=np.int64), {name: np.empty(0) for name in names})

    def _evaluate(
        self, candles: Candles, names: Sequence[str], others: Mapping[str, Candles], checkpoint: Callable[[], None]
    ) -> FloatTable:
        if self.formula is None:
            return np.array([candles.fields[name] for name in names])
        return self.formula.evaluate(candles, others=others, checkpoint=checkpoint, buffers=self.buffers.values)

    def _causes(
        self,
        candles: Candles,
        others: Mapping[str, Candles],
        statistics: ColumnStatistics,
        checkpoint: Callable[[], None],
    ) -> bytes | None:
        """Why rows have no value, as `column_infos` takes it."""
        if self.formula is None:
            return None
        found = self.formula.cause_counts(
            statistics.missing,
            statistics.last_missing,
            candles,
            others=others,
            checkpoint=checkpoint,
            buffers=self.buffers.traced,
        )
        return found.tobytes()


def _time_limit(limit_millis: int) -> Callable[[], None]:
    """A check that raises once the time is over; does nothing for 0."""
    deadline = time.monotonic() + limit_millis / 1_000

    def checkpoint() -> None:
        if limit_millis and time.monotonic() > deadline:
            raise SymbolFailure(
                f"not finished within {limit_millis} ms, the limit that the job sets for a symbol",
                reason=Reason.SYMBOL_TIME_LIMIT,
                metadata={"limit_millis": str(limit_millis)},
            )

    return checkpoint


def _few(warnings: Sequence[str]) -> list[str]:
    """The first warnings, and how many more there are: they come with every symbol."""
    more = len(warnings) - _MOST_WARNINGS
    return [*warnings[:_MOST_WARNINGS], *([f"and {more} more warnings"] if more > 0 else [])]
