"""A formula as a message: what one that can run does, and what is wrong with one that cannot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from candelabra.v1 import (
    FieldUse,
    FormulaDescription,
    FormulaOutput,
    GraphNode,
    ParameterUse,
    WarmUp,
)
from candelabra.v1 import FormulaProblem as FormulaProblemMessage
from candelabra_server.errors import FormulaProblem
from candelabra_server.formulas.graph import OWN, Node, Source
from candelabra_server.formulas.nodes import ColumnKind
from candelabra_server.formulas.operations import ALIGN, ALL_HISTORY, FIELD, REDUCE, Setting
from candelabra_server.formulas.planner import Plan
from candelabra_server.formulas.saved import SavedFormula
from candelabra_server.formulas.service import CompiledFormula

__all__ = ["column_kind", "describe_formula", "problem_messages"]

_SHOWN_SETTINGS = {FIELD.name: slice(1), ALIGN.name: slice(0), REDUCE.name: slice(3, 4)}
"""The others of these operations follow from whose candles a node's rows are, for which its message has fields."""
_OPEN_CANDLES = 2
"""Of a longer timeframe, beyond what a value needs: the one that the range starts in, and the last closed one."""


def describe_formula(formula: CompiledFormula, *, given: Mapping[str, float]) -> FormulaDescription:
    """What a formula does, by its plan; nothing is evaluated.

    Args:
        formula: can run.
        given: parameters that the request gave; others have the formula's own defaults.
    """
    plan = formula.plan
    warm_ups = [step.node.warm_up for step in plan.steps]
    nodes = _nodes(plan, warm_ups)
    return FormulaDescription(
        outputs=[
            FormulaOutput(
                name=column.name,
                kind=column_kind(column.kind),
                warm_up_candles=_counted(warm_ups[number]),
                whole_history=warm_ups[number] == ALL_HISTORY,
                look_ahead_candles=plan.steps[number].node.look_ahead,
                exactness=f"EXACTNESS_{plan.steps[number].node.exactness.name}",
                node=number,
            )
            for column, number in zip(formula.columns, plan.outputs, strict=True)
        ],
        parameters=[
            ParameterUse(name=name, value=value, is_default=name not in given, used=name in formula.used_parameters)
            for name, value in sorted(formula.parameters.items())
        ],
        fields=[
            FieldUse(name=name, symbol=source.symbol, timeframe=source.timeframe)
            for source, names in plan.fields.items()
            for name in names
        ],
        warm_ups=_source_warm_ups(plan, warm_ups),
        nodes=nodes,
        warnings=formula.warnings,
        saved_formulas=_references(formula.saved_formulas.values()),
        nanos_per_row=sum(node.nanos_per_row for node in nodes),
    )


def problem_messages(problems: Iterable[FormulaProblem]) -> list[FormulaProblemMessage]:
    """Mistakes as messages, in their order."""
    return [
        FormulaProblemMessage(
            code=problem.code,
            message=problem.message,
            line=problem.line,
            column=problem.column,
            length=problem.length,
            source_line=problem.source,
            suggestion=problem.suggestion or "",
            signature=problem.signature,
            text=str(problem),
        )
        for problem in problems
    ]


def column_kind(kind: ColumnKind | None) -> str:
    """The kind of a column as messages name it; None is COLUMN_KIND_UNSPECIFIED."""
    return "COLUMN_KIND_UNSPECIFIED" if kind is None else f"COLUMN_KIND_{kind.name}"


def _source_warm_ups(plan: Plan, warm_ups: Sequence[int]) -> list[WarmUp]:
    """What is needed before the range of everything that is read, the job's own candles first."""
    needs = {OWN: max(warm_ups[number] for number in plan.outputs)}
    needs |= {Source(symbol, ""): need for symbol, need in plan.other_symbols.items()}
    for step in plan.steps:
        if step.node.operation is not ALIGN:
            continue
        (below,) = step.inputs
        source = plan.steps[below].node.source
        if source is not None and source.timeframe:
            need = min(warm_ups[below] + _OPEN_CANDLES, ALL_HISTORY)
            needs[source] = max(needs.get(source, 0), need)
    return [
        WarmUp(
            symbol=source.symbol,
            timeframe=source.timeframe,
            candles=_counted(needs[source]),
            whole_history=needs[source] == ALL_HISTORY,
        )
        for source in sorted(needs)
    ]


def _nodes(plan: Plan, warm_ups: Sequence[int]) -> list[GraphNode]:
    uses = Counter(number for step in plan.steps for number in set(step.inputs))
    uses.update(plan.outputs)
    return [
        GraphNode(
            operation=step.node.operation.name,
            settings=_setting_texts(step.node),
            inputs=step.inputs,
            uses=uses[number],
            warm_up_candles=_counted(warm_ups[number]),
            whole_history=warm_ups[number] == ALL_HISTORY,
            symbol=step.node.source.symbol if step.node.source else "",
            timeframe=step.node.source.timeframe if step.node.source else "",
            nanos_per_row=plan.program.nanos[number],
            kernel=plan.program.kernels[number],
        )
        for number, step in enumerate(plan.steps)
    ]


def _counted(warm_up: int) -> int:
    return 0 if warm_up == ALL_HISTORY else warm_up


def _setting_texts(node: Node) -> list[str]:
    shown = _SHOWN_SETTINGS.get(node.operation.name, slice(None))
    return [_setting_text(setting) for setting in node.settings[shown]]


def _setting_text(setting: Setting) -> str:
    """A text as it is, a number in the fewest digits that mean it."""
    return repr(setting).removesuffix(".0") if isinstance(setting, float) else str(setting)


def _references(formulas: Iterable[SavedFormula]) -> list[str]:
    return sorted({f"{formula.id}@{formula.version}" for formula in formulas})
