"""Programs: a plan laid out for the compiled machine.

1. Every step is given to one kind of work: elementwise, an entry of a bundle, or a call of its operation's own
   kernel (instruction_table.py).
2. `_schedule` puts the work in order: after each bundle or call all elementwise steps that have become possible, as
   one group, so that columns are used while they are in the cache.
3. `_Layout` gives every value a place: outputs the first columns, in their order; what only its own group needs a row
   of the scratch table; all else a column that others use again afterwards.
4. `_encode` writes the instructions.

A formula may be over several sources (symbols, timeframes), each with a table of columns of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from candelabra_server.formulas.compiled.opcodes import ENTRY_FIELDS, HEADER_FIELDS, TILE_ROWS, Opcode, RowOp, Statistic
from candelabra_server.formulas.graph import OWN, Node, Source
from candelabra_server.formulas.instruction_table import BUNDLE_OUTPUTS, BUNDLES, ROW_OPERATIONS, Bundled
from candelabra_server.formulas.operations import CONSTANT, FIELD, OUTPUT

__all__ = ["Call", "PlanStep", "Program", "Run", "make_program", "read_only", "work_room"]

_MOST_ENTRIES = 32
"""Of one bundle: each has room of its own in the kernels' work memory."""
_MOST_QUANTITIES = 8
"""Of the state of a fold."""
_NO_PARAMETER = 0.0


class PlanStep(Protocol):
    """What a program is made from: see planner.Step."""

    @property
    def node(self) -> Node: ...
    @property
    def inputs(self) -> tuple[int, ...]: ...


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
        outputs: how many values are wanted: they are the first columns of the job's own source, in order.
        columns: how many columns each source's table has.
        places: for every step whose value is a column of a table, which one.
        copies: outputs that are a value again: from which column to which.
        constants: rows of the scratch table: its last ones, in order.
        scratch_rows: how many rows the scratch table has.
        longest_window, most_entries: for the size of work memory.
        kernels: for every step, what computes it: the name of a bundle's kind, `rows`, or "" for its own kernel.
    """

    parts: tuple[Run | Call, ...]
    outputs: int
    columns: Mapping[Source, int]
    places: Mapping[int, int]
    copies: tuple[tuple[int, int], ...]
    constants: tuple[float, ...]
    scratch_rows: int
    longest_window: int
    most_entries: int
    kernels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Unit:
    """Work that is scheduled as one: a group of elementwise steps, the entries of a bundle, or a call."""

    steps: tuple[int, ...]
    source: Source
    opcode: Opcode | None  # None for a call


def make_program(steps: Sequence[PlanStep], outputs: Sequence[int]) -> Program:
    """The program of a plan's steps; `outputs` are the numbers of the steps whose values are wanted, in order."""
    work = _Work(steps)
    units = _schedule(work)
    layout = _Layout(work, units, outputs)
    parts = _encode(work, units, layout)
    bundles = [unit for unit in units if unit.opcode not in {None, Opcode.ROWS}]
    return Program(
        parts=tuple(parts),
        outputs=len(outputs),
        columns=dict(layout.columns),
        places=dict(layout.places),
        copies=tuple(layout.copies),
        constants=tuple(layout.constants),
        scratch_rows=layout.temporaries + len(layout.constants),
        longest_window=_longest(work.entry(step)[1] for unit in bundles for step in unit.steps),
        most_entries=max((len(unit.steps) for unit in bundles), default=0),
        kernels=tuple(work.kernel_name(number) for number in range(len(steps))),
    )


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
    states = _MOST_QUANTITIES * (2 * lag + (levels + 2 * program.most_entries) * TILE_ROWS)
    return states + 2 * (lag + TILE_ROWS + levels + program.most_entries) + rows


class _Work:
    """What kind of work each step is."""

    def __init__(self, steps: Sequence[PlanStep]) -> None:
        self.steps = steps
        self._parents = {number: steps[number].inputs[0] for number in range(len(steps)) if self._is_part(number)}
        hidden = set(self._parents.values())
        needed_whole = {
            below
            for number, step in enumerate(steps)
            if number not in self._parents
            for below in step.inputs
            if below in hidden
        }
        self.hidden = hidden - needed_whole
        self.several = {step.inputs[0] for step in steps if step.node.operation is OUTPUT}
        self.bundled = {
            number: bundled for number in range(len(steps)) if (bundled := self._bundled(number)) is not None
        }

    def node(self, number: int) -> Node:
        """The node of a step."""
        return self.steps[number].node

    def source(self, number: int) -> Source:
        """Whose candles a step has rows for."""
        return self.node(number).source or OWN

    def inputs(self, number: int) -> tuple[int, ...]:
        """The steps that a step reads: for a part of a bundle those that the bundle reads."""
        parent = self._parents.get(number)
        return self.steps[number].inputs if parent is None else self.steps[parent].inputs

    def is_constant(self, number: int) -> bool:
        """Whether a step is a number."""
        return self.node(number).operation is CONSTANT

    def is_given(self, number: int) -> bool:
        """Whether a step's value is there before anything runs, or no value at all."""
        return self.node(number).operation in {CONSTANT, FIELD} or number in self.hidden

    def is_rows(self, number: int) -> bool:
        """Whether a step is elementwise work; a look back is, a look ahead is not."""
        node = self.node(number)
        if node.operation.name == "shift":
            return int(node.settings[0]) >= 0 and not self.is_constant(self.steps[number].inputs[0])
        return node.operation.name in ROW_OPERATIONS

    def kernel_name(self, number: int) -> str:
        """What computes a step, for people."""
        if number in self.bundled:
            return self.bundled[number].opcode.name.lower()
        if number in self.hidden:
            return next(self.kernel_name(part) for part, parent in self._parents.items() if parent == number)
        return Opcode.ROWS.name.lower() if self.is_rows(number) else ""

    def entry(self, number: int) -> tuple[Bundled, int, float, float]:
        """How a step is an entry of its bundle: with its window, and the bundle's and its own parameter."""
        bundled = self.bundled[number]
        settings = self.node(self._parents.get(number, number)).settings
        return (
            bundled,
            abs(int(settings[bundled.window])),
            _NO_PARAMETER if bundled.shared is None else float(settings[bundled.shared]),
            _NO_PARAMETER if bundled.own is None else float(settings[bundled.own]),
        )

    def bundle_key(self, number: int) -> tuple[object, ...]:
        """Entries with equal keys are filled in one pass."""
        bundled, window, shared, _ = self.entry(number)
        alone = window if bundled.opcode is Opcode.SHIFT else 0
        return (bundled.opcode, self.inputs(number), self.source(number), shared, alone)

    def _is_part(self, number: int) -> bool:
        step = self.steps[number]
        if step.node.operation is not OUTPUT:
            return False
        parent = self.steps[step.inputs[0]]
        return parent.node.operation.name in BUNDLE_OUTPUTS and not self.is_constant(parent.inputs[0])

    def _bundled(self, number: int) -> Bundled | None:
        node = self.node(number)
        if number in self._parents:
            return BUNDLE_OUTPUTS[self.node(self._parents[number]).operation.name][int(node.settings[0])]
        if any(self.is_constant(below) for below in self.steps[number].inputs):
            return None
        if node.operation.name == "shift":
            return None if self.is_rows(number) else _AHEAD
        return BUNDLES.get(node.operation.name)


_AHEAD = Bundled(Opcode.SHIFT, Statistic.VALUE)
"""A look ahead, which elementwise groups cannot do: later rows are not finished there."""


def _schedule(work: _Work) -> list[_Unit]:
    numbers = [number for number in range(len(work.steps)) if not work.is_given(number)]
    users: dict[int, list[int]] = {}
    waiting: dict[int, int] = {}
    for number in numbers:
        below = {under for under in work.inputs(number) if not work.is_given(under)}
        waiting[number] = len(below)
        for under in below:
            users.setdefault(under, []).append(number)
    rows: dict[Source, deque[int]] = {}
    bundles: dict[tuple[object, ...], list[int]] = {}
    calls: deque[int] = deque()

    def admit(ready: Iterable[int]) -> None:
        for number in ready:
            if number in work.bundled:
                bundles.setdefault(work.bundle_key(number), []).append(number)
            elif work.is_rows(number):
                rows.setdefault(work.source(number), deque()).append(number)
            else:
                calls.append(number)

    def finish(number: int) -> list[int]:
        ready = []
        for user in users.get(number, ()):
            waiting[user] -= 1
            if waiting[user] == 0:
                ready.append(user)
        return ready

    admit(number for number in numbers if waiting[number] == 0)
    units: list[_Unit] = []
    while rows or bundles or calls:
        if rows:
            source, group = next(iter(rows.items()))
            done = []
            while group:
                done.append(group.popleft())
                admit(finish(done[-1]))
            del rows[source]
            units.append(_Unit(tuple(done), source, Opcode.ROWS))
        elif bundles:
            key = next(iter(bundles))
            entries = sorted(bundles.pop(key), key=lambda number: (work.entry(number)[1] or np.inf, number))
            for first in range(0, len(entries), _MOST_ENTRIES):
                some = tuple(entries[first : first + _MOST_ENTRIES])
                units.append(_Unit(some, work.source(some[0]), work.bundled[some[0]].opcode))
            for number in entries:
                admit(finish(number))
        else:
            number = calls.popleft()
            units.append(_Unit((number,), work.source(number), None))
            admit(finish(number))
    return units


class _Layout:
    """Where every value is."""

    def __init__(self, work: _Work, units: Sequence[_Unit], outputs: Sequence[int]) -> None:
        self._work = work
        self.columns: dict[Source, int] = {}
        self.places: dict[int, int] = {}
        self.copies: list[tuple[int, int]] = []
        self.constants: list[float] = []
        self.temporaries = 0
        self._rows_of_constants: dict[str, int] = {}
        self._temporaries: dict[int, int] = {}
        self._free: dict[Source, list[int]] = {}
        self._place_outputs(outputs)
        unit_of = {number: place for place, unit in enumerate(units) for number in unit.steps}
        last_use: dict[int, int] = {}
        for place, unit in enumerate(units):
            for number in unit.steps:
                for below in work.inputs(number):
                    last_use[below] = place
        for number in range(len(work.steps)):
            if work.node(number).operation is FIELD:
                self._take(number)
        local = self._local_values(units, unit_of)
        dying: dict[int, list[int]] = {}
        kept = set(outputs)
        for number, place in last_use.items():
            if number not in kept and number not in local and not work.is_constant(number):
                dying.setdefault(place, []).append(number)
        for place, unit in enumerate(units):
            for number in unit.steps:
                if number not in local and number not in work.several:
                    self._take(number)
            if unit.opcode is Opcode.ROWS:
                self._place_temporaries(unit, local)
            for number in dying.get(place, ()):
                if number in self.places:
                    self._free.setdefault(work.source(number), []).append(self.places[number])

    def operand(self, number: int) -> int:
        """Where a value is found: a column, or, below 0, a row of the scratch table. Constants come after all others."""
        if self._work.is_constant(number):
            return self.constant(float(self._work.node(number).settings[0]))
        if number in self._temporaries:
            return -1 - self._temporaries[number]
        return self.places[number]

    def constant(self, value: float) -> int:
        """The row of the scratch table that holds a number everywhere."""
        row = self._rows_of_constants.setdefault(repr(value), len(self.constants))
        if row == len(self.constants):
            self.constants.append(value)
        return -1 - (self.temporaries + row)

    def _place_outputs(self, outputs: Sequence[int]) -> None:
        """Outputs that are columns of the job's own source have the first places, in their order."""
        for place, number in enumerate(outputs):
            if number in self.places:
                self.copies.append((self.places[number], place))
            else:
                self.places[number] = place
        self.columns[OWN] = len(outputs)

    def _take(self, number: int) -> None:
        source = self._work.source(number)
        if number in self.places and source == OWN:
            return
        free = self._free.get(source)
        if free:
            self.places[number] = free.pop()
            return
        self.places[number] = self.columns.get(source, 0)
        self.columns[source] = self.places[number] + 1

    def _local_values(self, units: Sequence[_Unit], unit_of: Mapping[int, int]) -> set[int]:
        """Elementwise values that only other elementwise work of their own group reads, each in its own row."""
        local = {
            number
            for unit in units
            if unit.opcode is Opcode.ROWS
            for number in unit.steps
            if number not in self.places
        }
        for place, unit in enumerate(units):
            for number in unit.steps:
                looks_back = self._work.node(number).operation.name == "shift"
                for below in self._work.inputs(number):
                    if below in local and (looks_back or unit_of[below] != place):
                        local.remove(below)
        return local

    def _place_temporaries(self, unit: _Unit, local: set[int]) -> None:
        last_use = {below: number for number in unit.steps for below in self._work.inputs(number) if below in local}
        free: list[int] = []
        count = 0
        for number in unit.steps:
            if number in local:
                if free:
                    self._temporaries[number] = free.pop()
                else:
                    self._temporaries[number] = count
                    count += 1
                if number not in last_use:
                    free.append(self._temporaries[number])
            free.extend(self._temporaries[below] for below in {*self._work.inputs(number)} if last_use.get(below) == number)
        self.temporaries = max(self.temporaries, count)


def _encode(work: _Work, units: Sequence[_Unit], layout: _Layout) -> list[Run | Call]:
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
        nanos += sum(work.node(number).operation.nanos(*work.node(number).settings) for number in unit.steps)
    flush()
    return parts


def _rows_words(work: _Work, unit: _Unit, layout: _Layout) -> list[int]:
    words = [len(unit.steps)]
    for number in unit.steps:
        node = work.node(number)
        looks_back = node.operation.name == "shift"
        operands = [layout.operand(below) for below in work.inputs(number)]
        while len(operands) < 3:  # noqa: PLR2004 - every instruction has room for three
            operands.append(operands[0])
        words += (
            int(RowOp.SHIFT if looks_back else ROW_OPERATIONS[node.operation.name]),
            layout.operand(number),
            *operands,
            int(node.settings[0]) if looks_back else 0,
        )
    return words


def _bundle_words(work: _Work, unit: _Unit, layout: _Layout) -> list[int]:
    inputs = [layout.operand(below) for below in work.inputs(unit.steps[0])]
    _, _, shared, _ = work.entry(unit.steps[0])
    words = [inputs[0], inputs[-1], layout.constant(shared), len(unit.steps)]
    for number in unit.steps:
        bundled, window, _, own = work.entry(number)
        words += (window, int(bundled.statistic), layout.constant(own), layout.operand(number))
    assert len(words) == HEADER_FIELDS + ENTRY_FIELDS * len(unit.steps)  # noqa: S101 - what the machine counts on
    return words
