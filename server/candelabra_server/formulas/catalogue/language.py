"""Functions that are part of the language itself, and functions of one row."""

from __future__ import annotations

from typing import Any

from candelabra_server.formulas.catalogue.function import Build, Family, Function, SettingKind, SettingParameter, kernel
from candelabra_server.formulas.graph import Graph, Node
from candelabra_server.formulas.nodes import ColumnKind

__all__ = ["LANGUAGE_FUNCTIONS", "typical_price"]


def _clamp(graph: Graph, inputs: tuple[Node, ...], _settings: tuple[Any, ...]) -> tuple[Node, ...]:
    series, low, high = inputs
    return (graph.apply("least", graph.apply("greatest", series, low), high),)


def _nz(graph: Graph, inputs: tuple[Node, ...], settings: tuple[Any, ...]) -> tuple[Node, ...]:
    (x,) = inputs
    (replacement,) = settings
    return (graph.apply("choose", graph.apply("is_missing", x), graph.constant(replacement), x),)


def typical_price(graph: Graph, inputs: tuple[Node, ...], _settings: tuple[Any, ...]) -> tuple[Node, ...]:
    """The node of (high + low + close) / 3."""
    high, low, close = inputs
    total = graph.apply("add", graph.apply("add", high, low), close)
    return (graph.apply("divide", total, graph.constant(3)),)


def _one_row(name: str, inputs: tuple[str, ...], build: Build, summary: str, source: str) -> Function:
    """A number from the numbers of the same row."""
    return Function(
        name=name,
        family=Family.LANGUAGE,
        inputs=inputs,
        build=build,
        warm_up="none",
        summary=summary,
        source=source,
    )


LANGUAGE_FUNCTIONS = (
    Function(
        name="if",
        family=Family.LANGUAGE,
        inputs=("condition", "then", "otherwise"),
        kind=None,
        kind_from=("then", "otherwise"),
        conditions=("condition",),
        build=kernel("choose"),
        warm_up="none",
        summary="`then` where the condition is true, `otherwise` where it is false, NaN where it is unknown",
        source="three-valued logic (Kleene)",
    ),
    _one_row("abs", ("x",), kernel("absolute"), "the value without its sign", "Pine math.abs"),
    _one_row(
        "log",
        ("x",),
        kernel("logarithm"),
        "natural logarithm; minus infinity for 0, NaN for a negative number",
        "Pine math.log",
    ),
    _one_row("sign", ("x",), kernel("sign"), "1 above 0, -1 below, 0 at 0", "Pine math.sign"),
    _one_row("round", ("x",), kernel("round"), "nearest whole number, halves up: -2.5 gives -2", "Pine math.round"),
    _one_row(
        "greatest",
        ("first", "second"),
        kernel("greatest"),
        "the larger of two values of the same candle, NaN where either is",
        "Pine math.max of two values, NaN as in every other operation",
    ),
    _one_row(
        "least",
        ("first", "second"),
        kernel("least"),
        "the smaller of two values of the same candle, NaN where either is",
        "Pine math.min of two values, NaN as in every other operation",
    ),
    _one_row(
        "clamp",
        ("series", "low", "high"),
        _clamp,
        "`series` kept between `low` and `high`; `high` where that is below `low`; NaN where any of them is",
        "least(greatest(series, low), high)",
    ),
    Function(
        name="na",
        family=Family.LANGUAGE,
        inputs=("x",),
        kind=ColumnKind.SIGNAL,
        build=kernel("is_missing"),
        warm_up="none",
        summary="true where the value is NaN, else false; never NaN",
        source="Pine na",
    ),
    Function(
        name="nz",
        family=Family.LANGUAGE,
        inputs=("x",),
        settings=(SettingParameter(name="replacement", kind=SettingKind.FACTOR, default=0),),
        build=_nz,
        warm_up="none",
        summary="the value, and `replacement` where it is NaN",
        source="Pine nz, with a constant replacement",
    ),
    Function(
        name="typical_price",
        family=Family.LANGUAGE,
        inputs=("high", "low", "close"),
        implied=("high", "low", "close"),
        build=typical_price,
        warm_up="none",
        summary="(high + low + close) / 3",
        source="TA-Lib TYPPRICE, Pine hlc3",
    ),
)
