"""Where the values of a plan are.

Outputs are the first columns, in their order. What only its own group of elementwise work needs is a row of the
scratch table. All else is a column that others use again afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from candelabra_server.formulas.compiled.opcodes import Opcode
from candelabra_server.formulas.graph import OWN, Source
from candelabra_server.formulas.operations import FIELD
from candelabra_server.formulas.step_work import StepWork
from candelabra_server.formulas.work_order import Unit

__all__ = ["Layout"]


class Layout:
    """Where every value is.

    Attributes:
        columns: how many columns each source's table has.
        places: for every step whose value is a column, which one.
        copies: outputs that are a value again: from which column to which.
        constants: the last rows of the scratch table.
        temporaries: how many rows there are before them.
    """

    def __init__(self, work: StepWork, units: Sequence[Unit], outputs: Sequence[int]) -> None:
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
        for number in range(len(work.steps)):
            if work.node(number).operation is FIELD:
                self._take(number)
        last_use = {below: place for place, unit in enumerate(units) for below in self._inputs(unit)}
        local = self._local_values(units, last_use)
        kept = local | set(outputs)
        done_with: dict[int, list[int]] = {}
        for number, place in last_use.items():
            if number not in kept:
                done_with.setdefault(place, []).append(number)
        for place, unit in enumerate(units):
            for number in unit.steps:
                if number not in local and number not in work.several:
                    self._take(number)
            if unit.opcode is Opcode.ROWS:
                self._place_temporaries(unit, local)
            self._give_back(done_with.get(place, ()))

    def _inputs(self, unit: Unit) -> Iterator[int]:
        for number in unit.steps:
            yield from self._work.inputs(number)

    def operand(self, number: int) -> int:
        """Where a value is found: a column, or, below 0, a row of the scratch table, in which constants come last."""
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

    def _give_back(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            if number in self.places:
                self._free.setdefault(self._work.source(number), []).append(self.places[number])

    def _local_values(self, units: Sequence[Unit], last_use: Mapping[int, int]) -> set[int]:
        """Elementwise values that only other elementwise work of their own group reads, each in its own row."""
        groups = [(place, unit) for place, unit in enumerate(units) if unit.opcode is Opcode.ROWS]
        local = {number for place, unit in groups for number in unit.steps if last_use.get(number) == place}
        shifted = {
            below
            for _, unit in groups
            for number in unit.steps
            if self._work.node(number).operation.name == "shift"
            for below in self._work.inputs(number)
        }
        return local - shifted - set(self.places)

    def _place_temporaries(self, unit: Unit, local: set[int]) -> None:
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
            free.extend(
                self._temporaries[below] for below in {*self._work.inputs(number)} if last_use.get(below) == number
            )
        self.temporaries = max(self.temporaries, count)
