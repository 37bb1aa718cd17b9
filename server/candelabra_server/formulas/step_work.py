"""What kind of work each step of a plan is: elementwise, an entry of a bundle, or a call of its own kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from candelabra_server.formulas.compiled.opcodes import Opcode, Statistic
from candelabra_server.formulas.graph import OWN, Node, Source
from candelabra_server.formulas.instruction_table import (
    BUNDLE_OUTPUTS,
    BUNDLES,
    ROW_NANOS,
    ROW_OPERATIONS,
    Bundled,
    bundle_nanos,
)
from candelabra_server.formulas.operations import CONSTANT, FIELD, OUTPUT

__all__ = ["PlanStep", "StepWork"]

_NO_PARAMETER = 0.0
_AHEAD = Bundled(Opcode.SHIFT, Statistic.VALUE)
"""A look ahead, which elementwise groups cannot do: later rows are not finished there."""


class PlanStep(Protocol):
    """What a program is made from: see planner.Step."""

    @property
    def node(self) -> Node:
        """What to compute."""

    @property
    def inputs(self) -> tuple[int, ...]:
        """Numbers of the steps that gave its inputs."""


class StepWork:
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

    def nanos(self, number: int) -> float:
        """About how long one row of a step takes."""
        operation = self.node(number).operation
        if number in self.hidden:
            return 0.0  # its parts have it
        if number in self.bundled:
            return bundle_nanos(self.bundled[number].opcode, self.entry(number)[1])
        return ROW_NANOS if self.is_rows(number) else operation.nanos(*self.node(number).settings)

    def entry(self, number: int) -> tuple[Bundled, int, float, float]:
        """How a step is an entry of its bundle: with its window, and the bundle's and its own parameter."""
        bundled = self.bundled[number]
        settings = self.node(self._parents.get(number, number)).settings
        return (
            bundled,
            0 if bundled.window is None else abs(int(settings[bundled.window])),
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
