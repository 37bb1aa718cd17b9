"""One symbol of a job in a worker: its candles, its values, its messages."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from candelabra.v1 import ColumnKind, Precision
from candelabra.worker.v1 import JobTask, ScreenedChunk, ScreenTask, SymbolTask
from candelabra_server.candles.repository import ICandleRepository
from candelabra_server.domain.candles import PRICE_FIELDS, Candles, FloatTable
from candelabra_server.domain.date_range import MIN_MICROS, DateRange
from candelabra_server.domain.timeframe import Timeframe
from candelabra_server.errors import Reason, SymbolFailure
from candelabra_server.formulas.buffers import Buffers
from candelabra_server.formulas.service import CompiledFormula, FormulaService
from candelabra_server.processing.job_formula import COLUMN_KINDS, compile_task
from candelabra_server.processing.marks import MarkWriter
from candelabra_server.processing.result_encoding import (
    DEFAULT_MESSAGE_BYTES,
    ColumnStatistics,
    ResultLayout,
)
from candelabra_server.processing.result_transport import Outcome, PacketWriter, Rows
from candelabra_server.processing.screen_worker import last_candles, screen_symbols
from candelabra_server.processing.symbol_watch import SymbolWatch

__all__ = ["Environment", "SymbolWork", "WorkBuffers"]

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


@dataclass(frozen=True, slots=True)
class SymbolWork:
    """What is the same for every symbol of a job, and how one symbol is done with it."""

    environment: Environment
    task: SymbolTask
    timeframe: str
    date_range: DateRange
    formula: CompiledFormula | None
    fields: tuple[str, ...]
    """What the formula reads of the symbol itself."""
    snapshot_id: str
    screened: ScreenTask | None
    warnings: Sequence[str]
    buffers: WorkBuffers
    layouts: dict[tuple[str, ...], ResultLayout] = field(default_factory=dict)
    """By columns, which are the symbol's own when there is no formula."""

    @classmethod
    def prepare(cls, job: JobTask, environment: Environment, buffers: WorkBuffers) -> SymbolWork:
        """Reads the task and compiles its formula.

        Raises:
            CandelabraError: the task cannot be done for any symbol.
        """
        task = job.task
        try:
            timeframe = Timeframe.parse(task.timeframe).text
            date_range = DateRange.parse(task.date_range_start, task.date_range_end)
        except ValueError as error:
            raise SymbolFailure(str(error), reason=Reason.INVALID_REQUEST) from error
        formula = compile_task(task, timeframe, environment.formula_service)
        return cls(
            environment=environment,
            task=task,
            timeframe=timeframe,
            date_range=date_range,
            formula=formula,
            fields=formula.fields_of("") if formula else (),
            snapshot_id=job.snapshot_id,
            screened=job.screen if job.HasField("screen") else None,
            warnings=_few(formula.warnings) if formula else (),
            buffers=buffers,
        )

    @property
    def is_screen(self) -> bool:
        """Whether `screen` is wanted, not `run`."""
        return self.screened is not None

    def watch(self, mark: MarkWriter | None, deadline_micros: int) -> SymbolWatch:
        """What looks after a chunk of the job."""
        return SymbolWatch(mark, limit_millis=self.task.symbol_time_limit_millis, deadline_micros=deadline_micros)

    def run(self, symbol: str, packet: PacketWriter, first_row: int, checkpoint: Callable[[], None]) -> bool:
        """Loads, evaluates and encodes one symbol into the packet; False when it does not fit behind what is there.

        A result that no empty packet could hold is cut: its rows from `first_row` on, as many as fit. `checkpoint` is
        called between the steps; what it raises ends the symbol.

        Raises:
            CandelabraError: the symbol has no result.
        """
        started = time.perf_counter_ns()
        candles = self._load(symbol)
        names, layout = self._layout(candles)
        total = len(candles) - candles.warm_up
        rows = range(first_row, total)
        room = packet.room(layout.most_bytes(len(rows)))
        if room is None and packet.most_bytes is not None:
            rows = rows[: layout.rows_that_fit(packet.most_bytes)]
            room = packet.room(layout.most_bytes(len(rows)))
        if room is None:
            return False
        is_whole = len(rows) == total
        if not is_whole:
            candles = self._cut(candles, rows)
        others = self._load_others(candles)
        checkpoint()
        loaded = time.perf_counter_ns()
        values = self._evaluate(candles, names, others, checkpoint)
        evaluated = time.perf_counter_ns()
        sizes, found = layout.write(
            room,
            symbol,
            candles.open_time_micros[candles.warm_up : candles.warm_up + len(rows)],
            values,
            skip=candles.warm_up,
            row_offset=rows.start,
            is_last=rows.stop == total,
        )
        causes = self._causes(candles, others, found, checkpoint, rows=len(rows))
        info = layout.info(
            found,
            causes,
            candles_read=len(candles),
            warm_up_candles_used=candles.warm_up,
            load_micros=(loaded - started) // 1_000,
            compute_micros=(evaluated - loaded) // 1_000,
        )
        if is_whole:
            layout.add_info(room, sizes, info)
        packet.add(Outcome(tuple(sizes), rows=None if is_whole else Rows(total, rows.stop, info)))
        return True

    def screen(self, symbols: Sequence[str], watch: SymbolWatch) -> ScreenedChunk:
        """Each symbol's last row, of those that pass; a screen's task has a formula."""
        formula, screened = self.formula, self.screened
        if formula is None or screened is None:
            raise SymbolFailure("a screen needs a formula", reason=Reason.INVALID_REQUEST)
        load = last_candles(
            self.environment.candle_repo,
            timeframe=self.timeframe,
            end_micros=self.date_range.end_micros,
            formula=formula,
            snapshot_id=self.snapshot_id,
        )
        return screen_symbols(
            symbols,
            load=load,
            formula=formula,
            filter_column=screened.filter_column if screened.HasField("filter_column") else None,
            buffers=self.buffers.values,
            load_others=self._load_others if formula.other_symbols else None,
            watch=watch,
        )

    def _load(self, symbol: str) -> Candles:
        last_n, repo = self.task.last_n, self.environment.candle_repo
        warm_up_candles = self.formula.warm_up_candles if self.formula else 0
        if last_n and self.formula and self.date_range.start_micros == MIN_MICROS:
            candles = repo.load_last(
                symbol,
                self.timeframe,
                self.date_range.end_micros,
                warm_up_candles=warm_up_candles + last_n - 1,
                fields=self.fields,
                snapshot_id=self.snapshot_id,
            )
            if last_n == 1:
                return candles
            warm_up = max(0, len(candles) - last_n)
            return Candles(symbol, candles.open_time_micros, candles.fields, warm_up)
        candles = repo.load(
            symbol, self.timeframe, self.date_range, warm_up_candles=warm_up_candles, snapshot_id=self.snapshot_id
        )
        return candles.last(last_n, warm_up_candles=warm_up_candles) if last_n else candles

    def _layout(self, candles: Candles) -> tuple[tuple[str, ...], ResultLayout]:
        """The columns, which are the outputs or, when there is no formula, the candles' own fields."""
        if self.formula is not None and self.layouts:
            return next(iter(self.layouts.items()))
        if self.formula is not None:
            names = tuple(column.name for column in self.formula.columns)
        else:
            further = sorted(set(candles.fields) - set(PRICE_FIELDS))
            names = tuple(name for name in (*PRICE_FIELDS, *further) if name in candles.fields)
        layout = self.layouts.get(names)
        if layout is None:
            kinds = [ColumnKind.COLUMN_KIND_NUMBER] * len(names)
            if self.formula is not None:
                kinds = [COLUMN_KINDS[column.kind] for column in self.formula.columns]
            layout = self.layouts[names] = ResultLayout(
                names,
                kinds,
                float32=self.task.precision == Precision.PRECISION_FLOAT32,
                max_message_bytes=self.task.max_message_bytes or DEFAULT_MESSAGE_BYTES,
                snapshot_id=self.snapshot_id,
                warnings=self.warnings,
            )
        return names, layout

    def _cut(self, candles: Candles, rows: range) -> Candles:
        """The candles that some rows need: their own, those that the formula looks back at, and forward."""
        back = self.formula.warm_up_candles if self.formula else 0
        forward = self.formula.plan.look_ahead_candles if self.formula else 0
        first = candles.warm_up + rows.start
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
        *,
        rows: int,
    ) -> bytes | None:
        """Why rows have no value, as `ResultLayout.info` takes it."""
        if self.formula is None or statistics.last_missing < 0:
            return None
        found = self.formula.cause_counts(
            statistics.missing,
            statistics.last_missing,
            candles,
            others=others,
            checkpoint=checkpoint,
            buffers=self.buffers.traced,
            end_row=candles.warm_up + rows if self.formula.plan.look_ahead_candles else None,
        )
        return found.tobytes()


def _few(warnings: Sequence[str]) -> list[str]:
    """The first warnings, and how many more there are: they come with every symbol."""
    more = len(warnings) - _MOST_WARNINGS
    return [*warnings[:_MOST_WARNINGS], *([f"and {more} more warnings"] if more > 0 else [])]
