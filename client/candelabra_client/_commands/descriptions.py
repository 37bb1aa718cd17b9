"""Lays out what formulas are: columns, parameters, warm-up, the graph, and what is wrong with a text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from candelabra import v1
from candelabra_client._commands.exits import error_text
from candelabra_client._commands.tables import counted

__all__ = ["print_formula", "print_graph", "print_problems", "value_table"]

_KINDS = {
    v1.ColumnKind.COLUMN_KIND_UNSPECIFIED: "as its inputs",
    v1.ColumnKind.COLUMN_KIND_NUMBER: "number",
    v1.ColumnKind.COLUMN_KIND_SIGNAL: "signal",
}
_MOST_COLUMNS = 40


def print_problems(problems: Iterable[v1.FormulaProblem]) -> None:
    """Prints every mistake on standard error, with its place in the text."""
    for problem in problems:
        signature = "" if not problem.signature or problem.signature in problem.text else f"\n  {problem.signature}"
        error_text(problem.text + signature)


def print_formula(console: Console, formula: v1.FormulaDescription) -> None:
    """Prints what a formula gives and needs."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("column", "kind", "warm-up", "depends on the start"):
        table.add_column(name)
    for output in formula.outputs[:_MOST_COLUMNS]:
        table.add_row(
            output.name, _KINDS[output.kind], _candles(output.warm_up_candles, output.whole_history), _start(output)
        )
    console.print(table)
    if len(formula.outputs) > _MOST_COLUMNS:
        console.print(f"and {counted(len(formula.outputs) - _MOST_COLUMNS, 'more column')}")
    console.print()
    rows = [("reads", ", ".join(_field(field) for field in formula.fields) or "no stored column")]
    rows += [(f"warm-up{_of(need)}", _candles(need.candles, need.whole_history)) for need in formula.warm_ups]
    rows += [(f"parameter {use.name}", _parameter(use)) for use in formula.parameters]
    rows += [("looks ahead", counted(ahead, "candle"))] if (ahead := _look_ahead(formula.outputs)) else []
    rows += [("calls", ", ".join(formula.saved_formulas))] if formula.saved_formulas else []
    shared = sum(node.uses > 1 for node in formula.nodes)
    rows.append(("computes", f"{counted(len(formula.nodes), 'node')}, {shared:,} of them shared"))
    console.print(value_table(rows))
    for warning in formula.warnings:
        console.print(Text.assemble(("warning: ", "bold yellow"), warning))


def print_graph(console: Console, formula: v1.FormulaDescription) -> None:
    """Prints every node, inputs first; what is shared says how often it is used."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("node", "operation", "of", "used", "warm-up", "over", "kernel", "ns a row"):
        table.add_column(name, justify="right" if name in {"node", "used", "ns a row"} else "left")
    names: dict[int, list[str]] = {}
    for output in formula.outputs:
        names.setdefault(output.node, []).append(output.name)
    for number, node in enumerate(formula.nodes):
        operation = f"{node.operation}({', '.join(node.settings)})" if node.settings else node.operation
        given = f"  → {', '.join(names[number])}" if number in names else ""
        table.add_row(
            str(number),
            f"{operation}{given}",
            " ".join(map(str, node.inputs)),
            f"{node.uses}×" if node.uses > 1 else "",
            _candles(node.warm_up_candles, node.whole_history, few=""),
            f"{node.symbol}{'@' if node.timeframe else ''}{node.timeframe}",
            node.kernel,
            f"{node.nanos_per_row:,.1f}",
        )
    console.print(table)


def value_table(rows: Iterable[tuple[str, str]]) -> Table:
    """Names and values, one a line."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, value in rows:
        table.add_row(name, value)
    return table


def _candles(count: int, whole_history: bool, *, few: str = "none") -> str:  # noqa: FBT001 - a field of the message
    if whole_history:
        return "all history"
    return counted(count, "candle") if count else few


def _start(output: v1.FormulaOutput) -> str:
    return "by less than 1e-9" if output.exactness == v1.Exactness.EXACTNESS_CLOSE else "no, to the bit"


def _of(need: v1.WarmUp) -> str:
    over = f"{need.symbol}{'@' if need.timeframe else ''}{need.timeframe}"
    return f" of {over}" if over else ""


def _field(field: v1.FieldUse) -> str:
    of_symbol = f'symbol("{field.symbol}").{field.name}' if field.symbol else field.name
    return f"{of_symbol}@{field.timeframe}" if field.timeframe else of_symbol


def _parameter(use: v1.ParameterUse) -> str:
    notes = [note for note, holds in (("default", use.is_default), ("not used", not use.used)) if holds]
    return f"{use.value:g} ({', '.join(notes)})" if notes else f"{use.value:g}"


def _look_ahead(outputs: Sequence[v1.FormulaOutput]) -> int:
    return max((output.look_ahead_candles for output in outputs), default=0)
