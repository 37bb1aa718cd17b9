"""The functions as a page shows them: made from the catalogue, so that it cannot say anything else."""

from __future__ import annotations

from collections.abc import Iterator

from candelabra_server.formulas.catalogue import FUNCTIONS, Family, Function
from candelabra_server.formulas.graph import Graph
from candelabra_server.formulas.limits import FormulaLimits
from candelabra_server.formulas.operations import ALL_HISTORY, Exactness

__all__ = ["dependence_class", "function_reference"]

_PLACEHOLDER = 20
"""Stands for settings that have no default, where a function is built only to look at it."""
_HEAD = """# Functions

Made from the catalogue (`candelabra_server.formulas.catalogue`); a test compares. What the columns mean, and the
language around the functions, is told in [formulas.md](formulas.md). In brackets are inputs that may be left out,
all of them together. The class says how far a value may depend on where the range starts.
"""
_CLASSES = {Exactness.EXACT: "exact", Exactness.CLOSE: "1e-9"}


def function_reference() -> str:
    """The page: one Markdown table a family, functions in the catalogue's order."""
    return "\n".join([_HEAD, *(line for family in Family for line in _table(family))]).rstrip() + "\n"


def dependence_class(function: Function) -> str:
    """How far values of a function may depend on where the range starts: `exact`, `1e-9` or `whole history`."""
    graph = Graph(FormulaLimits(), "1d")
    inputs = tuple(graph.field(name) for name in function.implied or function.inputs)
    defaults = (
        (setting.choices or ("1w",))[0] if setting.kind.is_text else setting.maximum or setting.minimum or _PLACEHOLDER
        for setting in function.settings
        if setting.default is None
    )
    settings = tuple(next(defaults) if setting.default is None else setting.default for setting in function.settings)
    nodes = function.build(graph, inputs, settings)
    if any(node.warm_up >= ALL_HISTORY for node in nodes):
        return "whole history"
    return _CLASSES[max((node.exactness for node in nodes), default=Exactness.EXACT)]


def _table(family: Family) -> Iterator[str]:
    yield f"## {family.value}"
    yield ""
    yield "| function | gives | outputs | kind | warm-up (candles) | class | definition |"
    yield "|---|---|---|---|---|---|---|"
    for function in FUNCTIONS.values():
        if function.family is family:
            cells = (
                f"`{function.signature}`",
                f"{function.summary} ({function.warning})" if function.warning else function.summary,
                ", ".join(f"`.{output}`" for output in function.outputs if output),
                _kind(function),
                function.warm_up,
                dependence_class(function),
                function.source,
            )
            yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""


def _kind(function: Function) -> str:
    if function.kind is not None:
        return function.kind.value
    return f"as {' and '.join(f'`{name}`' for name in function.kind_from)}"
