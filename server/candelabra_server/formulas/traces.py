"""Traces: a plan laid out so that every step's values stay, with what tells where its NaN come from.

Only for plans over the job's own candles whose steps have three inputs at most; all others are traced step by step
(missing_values.py, which has the rules).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from candelabra_server.formulas.compiled.opcodes import TRACE_FIELDS, TraceKind
from candelabra_server.formulas.graph import OWN, Node
from candelabra_server.formulas.operations import CONSTANT, FIELD, OUTPUT, MissingCause
from candelabra_server.formulas.programs import Program, make_program, read_only
from candelabra_server.formulas.step_work import PlanStep

__all__ = ["CAUSE_CODES", "Trace", "make_trace"]

CAUSE_CODES: Mapping[MissingCause, int] = {cause: code for code, cause in enumerate(MissingCause, 1)}
"""What stands for a cause where one is looked for in every row; 0 where there is a value."""
_MOST_INPUTS = TRACE_FIELDS - 4


@dataclass(frozen=True, slots=True)
class Trace:
    """What to run to find causes.

    Attributes:
        program: gives a column for every step that has one.
        code: how the columns hang together: see compiled/tracing.py.
        outputs: for every output of the plan its column.
    """

    program: Program
    code: npt.NDArray[np.int64]
    outputs: tuple[int, ...]


def make_trace(steps: Sequence[PlanStep], outputs: Sequence[int]) -> Trace | None:
    """The trace of a plan's steps; None where it must be traced step by step."""
    if any(step.node.source not in {None, OWN} or len(step.inputs) > _MOST_INPUTS for step in steps):
        return None
    several = {step.inputs[0] for step in steps if step.node.operation is OUTPUT}
    columns = [number for number in range(len(steps)) if number not in several]
    places = {number: place for place, number in enumerate(columns)}
    words: list[int] = []
    for number in columns:
        step = steps[number]
        is_part = step.node.operation is OUTPUT
        whole = steps[step.inputs[0]] if is_part else step
        kind, reach = _kind(whole.node)
        inputs = [places[below] for below in whole.inputs]
        inputs += [-1] * (_MOST_INPUTS - len(inputs))
        own = MissingCause.MISSING_INPUT if kind is TraceKind.GIVEN else whole.node.operation.missing
        words += (int(kind), reach, CAUSE_CODES[own], CAUSE_CODES[MissingCause.WARM_UP], *inputs)
    return Trace(
        program=make_program(steps, columns),
        code=read_only(words),
        outputs=tuple(places[number] for number in outputs),
    )


def _kind(node: Node) -> tuple[TraceKind, int]:
    """How a node's NaN come about, and how many rows it looks back for their causes."""
    operation = node.operation
    if operation in {CONSTANT, FIELD}:
        return TraceKind.GIVEN, 0
    if operation.name == "shift":
        return TraceKind.SHIFT, int(node.settings[0])
    if operation.name == "choose":
        return TraceKind.CHOOSE, 0
    if operation.elementwise:
        return TraceKind.FIRST_OF, 0
    return TraceKind.LOOK_BACK, operation.warm_up(*node.settings)
