"""Programs: a plan laid out for the compiled machine.

1. step_work.py says what kind of work every step is, by instruction_table.py.
2. work_order.py puts the work in order, and together what is done together.
3. program_layout.py gives every value a place.
4. `make_program` writes the instructions.

A formula may be over several sources (symbols, timeframes), each with a table of columns of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from candelabra_server.formulas.compiled.opcodes import ENTRY_FIELDS, HEADER_FIELDS, TILE_ROWS, Opcode, RowOp
from candelabra_server.formulas.graph import OWN, Node, Source
from candelabra_server.formulas.instruction_table import ROW_OPERATIONS
from candelabra_server.formulas.operations import FIELD
from candelabra_server.formulas.program_layout import Layout
from candelabra_server.formulas.step_work import PlanStep, StepWork
from candelabra_server.formulas.work_order import Unit, order_work

__all__ = ["Call", "Program", "Run", "make_program", "read_only", "work_room"]

_MOST_QUANTITIES = 8
"""Of the state of a fold."""
_FEWEST_KEPT = 8
"""Rows before a tile."""


@dataclass(frozen=True, slots=True)
class Run:
    """Instructions for the machine, over the columns of one source.

    Attributes:
        source: whose columns.
        code: see compiled/opcodes.py.
        starts: where each instruction begins, and where the last ends.
        nanos: about how long one row takes, for all of them.
    """

    source: Source
    code: npt.NDArray[np.int64]
    starts: tuple[int, ...]
    nanos: float


@dataclass(frozen=True, slots=True)
class Call:
    """One step that its operation's own kernel computes; its number in the plan."""

    step: int


@dataclass(frozen=True, slots=True)
class Program:
    """What to run for a plan.

    Attributes:
        parts: in order.
        is_plain: whether it has no Call and no other source than the job's own candles: numpy computes nothing then.
        outputs: how many values are wanted: they are the first columns of the job's own source, in order.
        columns: how many columns each source's table has.
        places: for every step whose value is a column of a table, which one.
        fields: the job's own fields, by the column that each goes to.
        given: the other steps with a place whose value is there before anything runs: fields of other sources, and
            numbers that are outputs.
        copies: outputs that are a value again: from which column to which.
        constants: rows of the scratch table: its last ones, in order.
        scratch_rows: how many rows the scratch table has.
        longest_window, most_entries: for the size of work memory.
        kernels: for every step, what computes it: the name of a bundle's kind, `rows`, or "" for its own kernel.
        nanos: for every step, about how long one row takes.
    """

    parts: tuple[Run | Call, ...]
    is_plain: bool
    outputs: int
    columns: Mapping[Source, int]
    places: Mapping[int, int]
    fields: tuple[tuple[int, str], ...]
    given: tuple[int, ...]
    copies: tuple[tuple[int, int], ...]
    constants: tuple[float, ...]
    scratch_rows: int
    longest_window: int
    most_entries: int
    kernels: tuple[str, ...]
    nanos: tuple[float, ...]


def make_program(steps: Sequence[PlanStep], outputs: Sequence[int]) -> Program:
    """The program of a plan's steps; `outputs` are the numbers of the steps whose values are wanted, in order."""
    work = StepWork(steps)
    units = order_work(work)
    layout = Layout(work, units, outputs)
    parts = _encode(work, units, layout)
    bundles = [unit for unit in units if unit.is_bundle]
    given = [number for number in sorted(layout.places) if work.is_given(number)]
    own_fields = [number for number in given if _is_own_field(work.node(number))]
    return Program(
        parts=tuple(parts),
        is_plain=set(layout.columns) <= {OWN} and not any(isinstance(part, Call) for part in parts),
        outputs=len(outputs),
        columns=dict(layout.columns),
        places=dict(layout.places),
        fields=tuple((layout.places[number], str(work.node(number).settings[0])) for number in own_fields),
        given=tuple(number for number in given if number not in own_fields),
        copies=tuple(layout.copies),
        constants=tuple(layout.constants),
        scratch_rows=layout.temporaries + len(layout.constants),
        longest_window=_longest(work.entry(step)[1] for unit in bundles for step in unit.steps),
        most_entries=max((len(unit.steps) for unit in bundles), default=0),
        kernels=tuple(work.kernel_name(number) for number in range(len(steps))),
        nanos=tuple(work.nanos(number) for number in range(len(steps))),
    )


def _is_own_field(node: Node) -> bool:
    return node.operation is FIELD and node.source == OWN


def _longest(windows: Iterable[int]) -> int:
    """The longest window; 0, all rows so far, is longer than any other."""
    found = set(windows)
    return 0 if 0 in found else max(found, default=1)


def read_only(code: Sequence[int]) -> npt.NDArray[np.int64]:
    """Code as the machine takes it: an array that nobody changes."""
    array = np.array(code, dtype=np.int64)
    array.flags.writeable = False
    return array


def work_room(program: Program, rows: int) -> int:
    """How many numbers of work memory the kernels of a program need at most over columns of `rows` rows.

    Folds need most: see compiled/folds.py for the parts of it.
    """
    whole = 1 << max(rows - 1, 0).bit_length()
    lag = min(program.longest_window, 2 * whole) if program.longest_window else whole
    levels = lag.bit_length() + 1
    blocks = 2 * lag + _FEWEST_KEPT * levels + (levels + 2 * program.most_entries) * TILE_ROWS
    inputs = 2 * (lag + _FEWEST_KEPT + TILE_ROWS)
    return _MOST_QUANTITIES * blocks + inputs + 2 * (levels + program.most_entries) + rows


def _encode(work: StepWork, units: Sequence[Unit], layout: Layout) -> list[Run | Call]:
    parts: list[Run | Call] = []
    code: list[int] = []
    starts: list[int] = []
    nanos = 0.0
    source = OWN

    def flush() -> None:
        nonlocal code, starts, nanos
        if code:
            parts.append(Run(source, read_only(code), (*starts, len(code)), nanos))
        code, starts, nanos = [], [], 0.0

    for unit in units:
        if unit.opcode is None:
            flush()
            parts.append(Call(unit.steps[0]))
            continue
        if unit.source != source:
            flush()
            source = unit.source
        starts.append(len(code))
        words = _rows_words(work, unit, layout) if unit.opcode is Opcode.ROWS else _bundle_words(work, unit, layout)
        code += (int(unit.opcode), len(words), *words)
        nanos += sum(work.nanos(number) for number in unit.steps)
    flush()
    return parts


def _rows_words(work: StepWork, unit: Unit, layout: Layout) -> list[int]:
    words = [len(unit.steps)]
    for number in unit.steps:
        node = work.node(number)
        looks_back = node.operation.name == "shift"
        operands = [layout.operand(below) for below in work.inputs(number)]
        while len(operands) < 3:
            operands.append(operands[0])
        words += (
            int(RowOp.SHIFT if looks_back else ROW_OPERATIONS[node.operation.name]),
            layout.operand(number),
            *operands,
            int(node.settings[0]) if looks_back else 0,
        )
    return words


def _bundle_words(work: StepWork, unit: Unit, layout: Layout) -> list[int]:
    inputs = [layout.operand(below) for below in work.inputs(unit.steps[0])]
    _, _, shared, _ = work.entry(unit.steps[0])
    words = [inputs[0], inputs[-1], layout.constant(shared), len(unit.steps)]
    for number in unit.steps:
        bundled, window, _, own = work.entry(number)
        words += (window, int(bundled.statistic), layout.constant(own), layout.operand(number))
    assert len(words) == HEADER_FIELDS + ENTRY_FIELDS * len(unit.steps)  # noqa: S101 - what the machine counts on
    return words
