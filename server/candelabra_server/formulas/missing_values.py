"""Why a NaN is NaN: each traced to the operation, or the stored value, that it began with.

A column of causes goes along with every column of values:

1. A NaN that is stored, or that the formula itself writes, is a missing input.
2. An operation on single rows passes on the cause of the first of its inputs that is NaN in the row; where none is,
   the operation itself is the cause (`Operation.missing`).
3. So does an operation that looks back, over all rows it looks at, the newest first. Where all of them have values,
   it is the cause itself, or the warm-up is, as long as it has not had a value yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from candelabra_server.domain.candles import FloatTable
from candelabra_server.domain.periods import period_starts
from candelabra_server.formulas.buffers import Buffers
from candelabra_server.formulas.compiled.loading import loaded_machine
from candelabra_server.formulas.evaluator import Evaluation
from candelabra_server.formulas.graph import OWN, Node
from candelabra_server.formulas.operations import ALIGN, CONSTANT, FIELD, OUTPUT, REDUCE, MissingCause
from candelabra_server.formulas.planner import Plan
from candelabra_server.formulas.traces import CAUSE_CODES

__all__ = ["CAUSES", "cause_counts", "count_missing", "lacks_only_warm_up", "named", "warm_up_only"]

CAUSES = tuple(CAUSE_CODES)
"""In the order of the columns of a table of counts."""
CauseTable = npt.NDArray[np.int64]
"""How many rows of each column have no value: one row a column, one number for each of CAUSES."""

_Causes = npt.NDArray[np.int8]
_WARM_UP = CAUSE_CODES[MissingCause.WARM_UP]
_MISSING_INPUT = CAUSE_CODES[MissingCause.MISSING_INPUT]


_PLAIN = frozenset(
    {
        "add", "and", "constant", "equal", "exponential_mean", "field", "highest", "less", "less_equal", "lowest",
        "macd", "multiply", "negate", "not", "not_equal", "or", "output", "relative_strength", "round_to_float32",
        "shift", "signal_or_zero", "simple_mean", "standard_deviation", "subtract", "weighted_mean",
    }
)  # fmt: skip
"""Operations that give a value wherever their inputs are numbers and their window is full."""


def lacks_only_warm_up(plan: Plan) -> bool:
    """Whether a NaN can have no other cause than the warm-up, over the job's own candles without gaps."""
    return plan.look_ahead_candles == 0 and all(
        step.node.operation.name in _PLAIN and step.node.constant == step.node.constant  # NaN is not itself
        for step in plan.steps
    )


def count_missing(columns: FloatTable, first_row: int) -> tuple[list[int], int]:
    """How many NaN every column has from a row on, and the last row in which any has one (-1: none)."""
    machine = loaded_machine()
    if machine is not None:
        counts = np.empty(len(columns), dtype=np.int64)
        last = machine.count_missing(columns, first_row, counts)
        return counts.tolist(), last
    missing = np.isnan(columns[:, first_row:])
    rows = np.flatnonzero(missing.any(axis=0))
    return np.count_nonzero(missing, axis=1).tolist(), first_row + int(rows[-1]) if len(rows) else -1


def warm_up_only(missing: npt.NDArray[np.int64]) -> CauseTable:
    """What `cause_counts` gives where nothing but the warm-up can be the cause of what is missing in each column."""
    table = np.zeros((len(missing), len(CAUSES)), dtype=np.int64)
    table[:, _WARM_UP - 1] = missing
    return table


def cause_counts(
    plan: Plan, evaluation: Evaluation, first_row: int, buffers: Buffers, *, end_row: int | None = None
) -> CauseTable:
    """How many NaN every output has from a row on, by cause; runs the whole plan again.

    Args:
        plan: what the evaluation runs.
        evaluation: over the candles.
        first_row: rows before it are not counted.
        buffers: memory for the values of every step.
        end_row: rows from it on are not counted; None counts all.
    """
    if end_row is not None and end_row < len(evaluation.candles_of(OWN)):
        rest = cause_counts(plan, evaluation, end_row, buffers)
        return cause_counts(plan, evaluation, first_row, buffers) - rest
    machine = loaded_machine()
    if machine is not None and plan.trace is not None:
        values = evaluation.run(plan.trace.program, machine, buffers)
        causes = np.empty(values.shape, dtype=np.int8)
        counts = np.empty((len(values), len(CAUSES) + 1), dtype=np.int64)
        machine.trace_missing(plan.trace.code, values, causes, first_row, counts)
        return counts[list(plan.trace.outputs), 1:]
    return _counts_by_steps(plan, evaluation, first_row)


def named(table: CauseTable) -> list[Mapping[MissingCause, int]]:
    """A column's counts by cause, of those that there are."""
    return [_named(tuple(row)) for row in table.tolist()]


def _counts_by_steps(plan: Plan, evaluation: Evaluation, first_row: int) -> CauseTable:
    causes: list[Any] = [None] * len(plan.steps)
    outputs = dict.fromkeys(plan.outputs)
    found: dict[int, _Causes] = {}
    for number, step, inputs, value in evaluation.steps():
        below = [causes[index] for index in step.inputs]
        causes[number] = _traced(evaluation, step.node, inputs, below, value)
        if number in outputs:
            found[number] = causes[number]
        for index in step.free:
            causes[index] = None
    rows = len(evaluation.candles_of(OWN))
    counted = [np.broadcast_to(found[number], rows)[first_row:] for number in plan.outputs]
    return np.array([np.bincount(causes, minlength=len(CAUSES) + 1)[1:] for causes in counted], dtype=np.int64)


@lru_cache(maxsize=1_024)  # most columns of a formula lack the same rows for the same causes
def _named(counts: tuple[int, ...]) -> Mapping[MissingCause, int]:
    return MappingProxyType({cause: count for cause, count in zip(CAUSES, counts, strict=True) if count})


def _traced(evaluation: Evaluation, node: Node, inputs: list[Any], below: list[Any], value: Any) -> Any:  # noqa: ANN401 - as values: a column, a number's, or a tuple of them
    """The causes that go with a value."""
    operation = node.operation
    if isinstance(value, tuple):
        return tuple(_looking_back(node, below, column) for column in value)
    missing = np.isnan(value)
    match operation.name:
        case OUTPUT.name:
            causes = below[0][int(node.settings[0])]
        case CONSTANT.name | FIELD.name:
            causes = missing * np.int8(_MISSING_INPUT)
        case ALIGN.name:
            causes = _aligned(evaluation.closed_rows(node), below[0])
        case REDUCE.name:
            causes = np.where(missing, _last_of_period(evaluation, node, below[0]), 0)
        case "shift":
            causes = _shifted(np.broadcast_to(below[0], len(value)), int(node.settings[0]))
        case "choose":
            causes = np.where(missing, _chosen(inputs[0], below), 0)
        case _ if operation.elementwise:
            causes = np.where(missing, _first_of(below, CAUSE_CODES[operation.missing]), 0)
        case _:
            causes = _looking_back(node, below, value)
    return causes.astype(np.int8)


def _first_of(below: Sequence[_Causes], otherwise: int) -> _Causes:
    """In every row the first cause that there is."""
    result: Any = np.int8(otherwise)
    for causes in reversed(below):
        result = np.where(causes != 0, causes, result)
    return np.asarray(result, dtype=np.int8)


def _chosen(condition: Any, below: Sequence[_Causes]) -> _Causes:  # noqa: ANN401 - a column or a number
    """The condition's cause, or that of the branch which it takes."""
    of_condition, then, otherwise = below
    taken = np.where(np.not_equal(condition, 0), then, otherwise)
    return np.where(of_condition != 0, of_condition, taken)


def _shifted(causes: _Causes, candles: int) -> _Causes:
    rows = len(causes)
    shifted = np.full(rows, _WARM_UP, dtype=np.int8)
    if 0 <= candles < rows:
        shifted[candles:] = causes[: rows - candles]
    elif -rows < candles < 0:
        shifted[:candles] = causes[-candles:]
    return shifted


def _aligned(rows: npt.NDArray[np.int64], causes: _Causes) -> _Causes:
    if not len(causes):
        return np.full(len(rows), _WARM_UP, dtype=np.int8)
    return np.where(rows >= 0, causes[np.maximum(rows, 0)], _WARM_UP).astype(np.int8)


def _last_of_period(evaluation: Evaluation, node: Node, causes: _Causes) -> _Causes:
    """The cause in the last row of every period that has one."""
    times = evaluation.reduced_times(node)
    starts = period_starts(times, str(node.settings[1]))
    lasts = np.append(np.flatnonzero(starts[1:] != starts[:-1]), len(starts) - 1)
    return np.broadcast_to(causes, len(times))[lasts] if len(times) else np.zeros(0, dtype=np.int8)


def _looking_back(node: Node, below: Sequence[_Causes], value: npt.NDArray[np.float64]) -> _Causes:
    missing = np.isnan(value)
    rows = np.arange(len(value))
    reach = node.operation.warm_up(*node.settings)
    had_value = np.maximum.accumulate(~missing) if len(value) else ~missing
    own = np.where((rows < reach) & ~had_value, _WARM_UP, CAUSE_CODES[node.operation.missing])
    result = own.astype(np.int8)
    for causes in reversed(below):
        column = np.broadcast_to(causes, len(value))
        newest = np.maximum.accumulate(np.where(column != 0, rows, -1)) if len(value) else rows
        result = np.where((newest >= 0) & (rows - newest <= reach), column[newest], result)
    return np.where(missing, result, 0).astype(np.int8)
