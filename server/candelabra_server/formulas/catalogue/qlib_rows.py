"""Qlib's operators on the values of one row, and those that mark or fill what is missing."""

from __future__ import annotations

import math
from typing import Any

from candelabra_server.formulas.catalogue.function import Build, Family, Function, kernel
from candelabra_server.formulas.graph import Graph, Node
from candelabra_server.formulas.nodes import ColumnKind

__all__ = ["QLIB_ROW_FUNCTIONS"]

_ONE = ("feature",)
_TWO = ("feature_left", "feature_right")
_NO_WARM_UP = "none"
_NAN_IS_FALSE = "NaN where either is (false with compat=qlib)"


def _swapped(operation: str) -> Build:
    """`a > b` is `b < a`."""
    straight = kernel(operation)

    def build(graph: Graph, inputs: tuple[Node, ...], settings: tuple[Any, ...]) -> tuple[Node, ...]:
        return straight(graph, inputs[::-1], settings)

    return build


def _never_unknown(comparison: Build) -> Build:
    """As numpy compares: false where either side is NaN."""

    def build(graph: Graph, inputs: tuple[Node, ...], settings: tuple[Any, ...]) -> tuple[Node, ...]:
        (compared,) = comparison(graph, inputs, settings)
        return (graph.apply("signal_or_zero", compared),)

    return build


def _or_missing(graph: Graph, node: Node) -> Node:
    """True where the node is, and where it is NaN."""
    return graph.apply("or", graph.apply("is_missing", node), node)


def _qlib_not_equal(graph: Graph, inputs: tuple[Node, ...], _settings: tuple[Any, ...]) -> tuple[Node, ...]:
    return (_or_missing(graph, graph.apply("not_equal", *inputs)),)


def _qlib_if(graph: Graph, inputs: tuple[Node, ...], _settings: tuple[Any, ...]) -> tuple[Node, ...]:
    condition, then, otherwise = inputs
    return (graph.apply("choose", _or_missing(graph, condition), then, otherwise),)


def _qlib_sign(graph: Graph, inputs: tuple[Node, ...], _settings: tuple[Any, ...]) -> tuple[Node, ...]:
    return (graph.apply("sign", graph.apply("round_to_float32", *inputs)),)


def _is_infinite(graph: Graph, inputs: tuple[Node, ...], _settings: tuple[Any, ...]) -> tuple[Node, ...]:
    infinite = graph.apply("equal", graph.apply("absolute", *inputs), graph.constant(math.inf))
    return (graph.apply("signal_or_zero", infinite),)


def _row(
    name: str,
    inputs: tuple[str, ...],
    build: Build,
    summary: str,
    *,
    qlib_build: Build | None = None,
    kind: ColumnKind | None = ColumnKind.NUMBER,
    kind_from: tuple[str, ...] = (),
    conditions: tuple[str, ...] = (),
    warm_up: str = _NO_WARM_UP,
) -> Function:
    return Function(
        name=name,
        family=Family.QLIB,
        inputs=inputs,
        kind=kind,
        kind_from=kind_from,
        conditions=conditions,
        unknown_is_false=True,
        build=build,
        qlib_build=qlib_build,
        warm_up=warm_up,
        summary=summary,
        source=f"Qlib {name}, in float64",
    )


def _comparison(name: str, build: Build, summary: str) -> Function:
    return _row(
        name,
        _TWO,
        build,
        f"{summary}; {_NAN_IS_FALSE}",
        qlib_build=_never_unknown(build),
        kind=ColumnKind.SIGNAL,
    )


def _logic(name: str, operation: str, inputs: tuple[str, ...], summary: str) -> Function:
    return _row(name, inputs, kernel(operation), summary, kind=ColumnKind.SIGNAL, conditions=inputs)


QLIB_ROW_FUNCTIONS = (
    _row("Abs", _ONE, kernel("absolute"), "the value without its sign"),
    _row(
        "Sign",
        _ONE,
        kernel("sign"),
        "1 above 0, -1 below, 0 at 0 (with compat=qlib, of the value in float32)",
        qlib_build=_qlib_sign,
    ),
    _row("Log", _ONE, kernel("logarithm"), "natural logarithm; minus infinity for 0, NaN for a negative number"),
    _row("Power", _TWO, kernel("power"), "feature_left to the power of feature_right; NaN for a root of a negative"),
    _row("Add", _TWO, kernel("add"), "feature_left + feature_right"),
    _row("Sub", _TWO, kernel("subtract"), "feature_left - feature_right"),
    _row("Mul", _TWO, kernel("multiply"), "feature_left * feature_right"),
    _row("Div", _TWO, kernel("divide"), "feature_left / feature_right; by zero an infinity, or NaN for 0 / 0"),
    _row("Greater", _TWO, kernel("greatest"), "the larger of two values of the same row, NaN where either is"),
    _row("Less", _TWO, kernel("least"), "the smaller of two values of the same row, NaN where either is"),
    _comparison("Gt", _swapped("less"), "feature_left > feature_right"),
    _comparison("Ge", _swapped("less_equal"), "feature_left >= feature_right"),
    _comparison("Lt", kernel("less"), "feature_left < feature_right"),
    _comparison("Le", kernel("less_equal"), "feature_left <= feature_right"),
    _comparison("Eq", kernel("equal"), "feature_left == feature_right"),
    _row(
        "Ne",
        _TWO,
        kernel("not_equal"),
        "feature_left != feature_right; NaN where either is (true with compat=qlib)",
        qlib_build=_qlib_not_equal,
        kind=ColumnKind.SIGNAL,
    ),
    _logic("And", "and", _TWO, "both are true; an unknown signal counts as false"),
    _logic("Or", "or", _TWO, "either is true; an unknown signal counts as false"),
    _logic("Not", "not", _ONE, "the signal is not true; an unknown one counts as false"),
    _row(
        "If",
        ("condition", *_TWO),
        kernel("choose"),
        "feature_left where the condition is true, else feature_right; an unknown signal counts as false, and a number "
        "that is NaN gives NaN (feature_left with compat=qlib)",
        qlib_build=_qlib_if,
        kind=None,
        kind_from=_TWO,
    ),
    _row("IsNull", _ONE, kernel("is_missing"), "true where the value is NaN", kind=ColumnKind.SIGNAL),
    _row(
        "IsInf", _ONE, _is_infinite, "true where the value is infinite, false where it is NaN", kind=ColumnKind.SIGNAL
    ),
    _row(
        "FFillNan",
        _ONE,
        kernel("last_present"),
        "the last value that is not NaN",
        kind=None,
        kind_from=_ONE,
        warm_up="all history",
    ),
)
