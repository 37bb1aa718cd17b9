"""Running a plan over one symbol's candles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from candelabra_server.domain.candles import Candles, FloatColumn, FloatTable, MicrosColumn
from candelabra_server.errors import Reason, SymbolFailure
from candelabra_server.formulas.buffers import Buffers
from candelabra_server.formulas.compiled.loading import Machine, loaded_machine
from candelabra_server.formulas.graph import OWN, Node, Source
from candelabra_server.formulas.kernels.resampling import (
    close_times,
    closed_rows,
    longer_candles,
    reduce_periods,
    take_rows,
)
from candelabra_server.formulas.operations import ALIGN, CONSTANT, FIELD, REDUCE
from candelabra_server.formulas.planner import Plan, Step
from candelabra_server.formulas.programs import Program, Run

__all__ = ["Evaluation"]

_UNCHECKED_NANOS = 5_000_000
"""Work of less time than this is done without a look at the clock."""


class Evaluation:
    """One run of a plan.

    Args:
        plan: what to compute; not changed, and may be shared by threads.
        candles: the job's own; only read.
        others: candles of the other symbols that the plan names, in the same timeframe; only read.
        checkpoint: called before every step, or every few milliseconds' worth of compiled ones; what it raises ends
            the evaluation.

    Raises:
        SymbolFailure: candles lack a field that the formula reads.
    """

    def __init__(
        self,
        plan: Plan,
        candles: Candles,
        others: Mapping[str, Candles],
        checkpoint: Callable[[], None] | None = None,
    ) -> None:
        self._plan = plan
        self._checkpoint = checkpoint
        self._candles: dict[Source, Candles] = {OWN: candles}
        for symbol in plan.other_symbols:
            self._candles[Source(symbol, "")] = others[symbol]
        self._close_times: dict[Source, MicrosColumn] = {}
        self._closed_rows: dict[tuple[Source, Source], npt.NDArray[np.int64]] = {}
        self._rows = len(candles)
        for source, names in plan.fields.items():
            self._require_fields(source, names)

    def columns(self, buffers: Buffers | None = None) -> FloatTable:
        """Every output over all rows of the candles, warm-up included: one row an output, in their order; C-contiguous.

        By the compiled machine where this process has it, else step by step: the values are the same bits.

        Args:
            buffers: where the table is, until the next evaluation with them; None for new memory.
        """
        machine = loaded_machine()
        if machine is None:
            return self._columns_by_steps()
        return self.run(self._plan.program, machine, buffers or Buffers())

    def run(self, program: Program, machine: Machine, buffers: Buffers) -> FloatTable:
        """What a program of the plan's steps gives, in the same form."""
        # Division by zero, roots of negative numbers and overflow give infinities and NaN, quietly. The machine's do.
        with nullcontext() if program.is_plain else np.errstate(all="ignore"):
            tables = {
                source: buffers.table(source, columns, len(self.candles_of(source)))
                for source, columns in program.columns.items()
            }
            self._fill_given(program, tables)
            self._run_parts(program, machine, buffers, tables)
        for found, place in program.copies:
            tables[OWN][place] = tables[OWN][found]
        return tables[OWN][: program.outputs]

    def _fill_given(self, program: Program, tables: Mapping[Source, FloatTable]) -> None:
        """Fields, and numbers that are outputs."""
        fields, own = self._candles[OWN].fields, tables[OWN]
        for place, name in program.fields:
            own[place] = fields[name]
        for number in program.given:
            node = self._plan.steps[number].node
            column = tables[node.source or OWN][program.places[number]]
            column[:] = self._field(node, []) if node.operation is FIELD else node.settings[0]

    def _run_parts(
        self, program: Program, machine: Machine, buffers: Buffers, tables: Mapping[Source, FloatTable]
    ) -> None:
        work = buffers.work(program, max([table.shape[1] for table in tables.values()]))
        scratch = buffers.scratch(program)
        results: dict[int, Any] = {}
        for part in program.parts:
            if isinstance(part, Run):
                for code in self._pieces(part, tables[part.source].shape[1]):
                    self._check()
                    machine.run(code, tables[part.source], scratch, work)
                continue
            self._check()
            step = self._plan.steps[part.step]
            result = self._run(step, [self._value(below, program, tables, results) for below in step.inputs])
            place = program.places.get(part.step)
            if place is None:
                results[part.step] = result
            else:
                tables[step.node.source or OWN][place] = result

    def _value(
        self, number: int, program: Program, tables: Mapping[Source, FloatTable], results: Mapping[int, Any]
    ) -> Any:  # noqa: ANN401 - as in steps()
        """A step's value; one that is not in a table is in `results`."""
        node = self._plan.steps[number].node
        if node.operation is CONSTANT:
            return self._constant(node, [])
        place = program.places.get(number)
        return results[number] if place is None else tables[node.source or OWN][place]

    @staticmethod
    def _pieces(run: Run, rows: int) -> Sequence[npt.NDArray[np.int64]]:
        """The instructions at once, or one by one where they take so long that the time is to be looked at between."""
        if run.nanos * rows < _UNCHECKED_NANOS:
            return (run.code,)
        return [run.code[start:stop] for start, stop in pairwise(run.starts)]

    def _check(self) -> None:
        if self._checkpoint is not None:
            self._checkpoint()

    def _columns_by_steps(self) -> FloatTable:
        kept = dict.fromkeys(self._plan.outputs)
        values = {number: value for number, _, _, value in self.steps() if number in kept}
        table: FloatTable = np.empty((len(self._plan.outputs), self._rows))
        for column, number in zip(table, self._plan.outputs, strict=True):
            column[:] = values[number]
        return table

    def steps(self) -> Iterator[tuple[int, Step, list[Any], Any]]:
        """Runs the steps in order: each with its number, the values of its inputs, and its own.

        A value is a column over the rows of the node's source, a number, or a tuple of columns. It is let go after
        its last use.
        """
        values: list[Any] = [None] * len(self._plan.steps)
        for number, step in enumerate(self._plan.steps):
            self._check()
            inputs = [values[below] for below in step.inputs]
            # Division by zero, roots of negative numbers and overflow give infinities and NaN, quietly.
            with np.errstate(all="ignore"):
                values[number] = self._run(step, inputs)
            yield number, step, inputs, values[number]
            for below in step.free:
                values[below] = None

    def candles_of(self, source: Source) -> Candles:
        """The candles of a source; those of longer timeframes are made when they are first asked for."""
        if source not in self._candles:
            base = self._candles[Source(source.symbol, "")]
            names = frozenset(self._plan.fields.get(source, ()))
            self._candles[source] = longer_candles(base, source.timeframe, names)
        return self._candles[source]

    def closed_rows(self, node: Node) -> npt.NDArray[np.int64]:
        """For every row of an alignment the row of its input that it takes; -1 where there is none."""
        (below,) = node.inputs
        there, here = below.source or OWN, node.source or OWN
        if (there, here) not in self._closed_rows:
            self._closed_rows[there, here] = closed_rows(self._closes(here), self._closes(there))
        return self._closed_rows[there, here]

    def reduced_times(self, node: Node) -> MicrosColumn:
        """Open times of the candles whose values a reduction takes, which may be those of a constant."""
        symbol, _, _, _, timeframe = node.settings
        return self.candles_of(Source(str(symbol), str(timeframe))).open_time_micros

    def _closes(self, source: Source) -> MicrosColumn:
        """When each candle of a source has closed."""
        if source not in self._close_times:
            base = self._candles[Source(source.symbol, "")]
            self._close_times[source] = close_times(base.open_time_micros, self._plan.timeframe, source.timeframe)
        return self._close_times[source]

    def _finished(self, source: Source, column: FloatColumn) -> FloatColumn:
        """The column with NaN for a longer candle that has not closed when the job's last candle has."""
        if not source.timeframe:
            return column
        closes, own = self._closes(source), self._closes(OWN)
        if not len(closes) or (len(own) and closes[-1] <= own[-1]):
            return column
        return np.where(closes <= own[-1], column, np.nan) if len(own) else np.full(len(closes), np.nan)

    def _run(self, step: Step, inputs: list[Any]) -> Any:  # noqa: ANN401 - a column, a number or a bundle
        node = step.node
        special = _SPECIAL.get(node.operation.name)
        if special is not None:
            return special(self, node, inputs)
        if node.operation.elementwise:
            return node.operation.kernel(*inputs, *node.settings)
        candles = self.candles_of(node.source or OWN)
        columns = [np.full(len(candles), value) if isinstance(value, np.float64) else value for value in inputs]
        if node.operation.timed:
            columns.insert(0, candles.open_time_micros)
        return node.operation.kernel(*columns, *node.settings)

    def _field(self, node: Node, _inputs: list[Any]) -> FloatColumn:
        source = node.source or OWN
        return self._finished(source, self.candles_of(source).fields[str(node.settings[0])])

    def _constant(self, node: Node, _inputs: list[Any]) -> np.float64:
        return np.float64(node.settings[0])

    def _align(self, node: Node, inputs: list[Any]) -> FloatColumn:
        return take_rows(inputs[0], self.closed_rows(node))

    def _reduce(self, node: Node, inputs: list[Any]) -> FloatColumn:
        _, timeframe, _, reduction, _ = node.settings
        open_time_micros = self.reduced_times(node)
        column = np.broadcast_to(inputs[0], len(open_time_micros))
        values = reduce_periods(column, open_time_micros, str(timeframe), str(reduction))
        return self._finished(node.source or OWN, values)

    def _require_fields(self, source: Source, names: tuple[str, ...]) -> None:
        candles = self._candles[Source(source.symbol, "") if source.symbol else OWN]
        missing = [name for name in names if name not in candles.fields]
        if not missing:
            return
        told = ", ".join(f"`{name}`" for name in missing)
        raise SymbolFailure(
            f"the candles of {candles.symbol} have no field {told}; stored are: {', '.join(sorted(candles.fields))}",
            reason=Reason.FIELD_NOT_STORED,
            metadata={"fields": ",".join(missing)},
        )


_SPECIAL: Mapping[str, Callable[[Evaluation, Node, list[Any]], Any]] = {
    ALIGN.name: Evaluation._align,  # noqa: SLF001 - its own
    CONSTANT.name: Evaluation._constant,  # noqa: SLF001
    FIELD.name: Evaluation._field,  # noqa: SLF001
    REDUCE.name: Evaluation._reduce,  # noqa: SLF001
}
"""What needs the candles themselves, not columns. Not of the instance: what refers to itself, and with it mapped
candles, would stay until the collector finds it.
"""
