"""Running a plan over one symbol's candles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from candelabra_server.domain.candles import Candles, FloatColumn
from candelabra_server.errors import Reason, SymbolFailure
from candelabra_server.formulas.operations import CONSTANT, FIELD
from candelabra_server.formulas.planner import Plan, Step

__all__ = ["evaluate"]


def evaluate(plan: Plan, candles: Candles, *, checkpoint: Callable[[], None] | None = None) -> list[FloatColumn]:
    """Every output over all rows of the candles, warm-up included.

    Args:
        plan: what to compute; not changed, and may be shared by threads.
        candles: only read.
        checkpoint: called before every step; what it raises ends the evaluation.

    Returns:
        one new C-contiguous column an output, in their order; no two share memory, none with the candles.

    Raises:
        SymbolFailure: the candles lack a field that the formula reads.
    """
    _require_fields(plan, candles)
    values: list[Any] = [None] * len(plan.steps)
    # Division by zero, roots of negative numbers and overflow give infinities and NaN, quietly.
    with np.errstate(all="ignore"):
        for number, step in enumerate(plan.steps):
            if checkpoint is not None:
                checkpoint()
            values[number] = _run(step, [values[below] for below in step.inputs], candles)
            for below in step.free:
                values[below] = None
    columns: list[FloatColumn] = []
    given: set[int] = set()
    for number in plan.outputs:
        shared = number in given or plan.steps[number].node.operation is FIELD
        columns.append(_own_column(values[number], len(candles), shared=shared))
        given.add(number)
    return columns


def _run(step: Step, inputs: list[Any], candles: Candles) -> Any:  # noqa: ANN401 - a column, a number or a bundle
    node = step.node
    if node.operation is FIELD:
        return candles.fields[str(node.settings[0])]
    if node.operation is CONSTANT:
        return np.float64(node.settings[0])
    if not node.operation.elementwise:
        inputs = [np.full(len(candles), value) if isinstance(value, np.float64) else value for value in inputs]
    return node.operation.kernel(*inputs, *node.settings)


def _own_column(value: FloatColumn | np.float64, rows: int, *, shared: bool) -> FloatColumn:
    if isinstance(value, np.float64):
        return np.full(rows, value)
    return np.array(value, dtype=np.float64, order="C", copy=True) if shared else np.ascontiguousarray(value)


def _require_fields(plan: Plan, candles: Candles) -> None:
    missing = [name for name in plan.fields if name not in candles.fields]
    if not missing:
        return
    names = ", ".join(f"`{name}`" for name in missing)
    raise SymbolFailure(
        f"the candles of {candles.symbol} have no field {names}; stored are: {', '.join(sorted(candles.fields))}",
        reason=Reason.FIELD_NOT_STORED,
        metadata={"fields": ",".join(missing)},
    )
