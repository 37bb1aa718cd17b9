"""Signals and state: what happened, and what has happened since."""

from __future__ import annotations

from typing import Any

from candelabra_server.formulas.catalogue.function import Family, Function, SettingKind, SettingParameter, kernel
from candelabra_server.formulas.catalogue.technical import TECHNICAL_FUNCTIONS
from candelabra_server.formulas.graph import Graph, Node
from candelabra_server.formulas.nodes import ColumnKind

__all__ = ["SIGNAL_FUNCTIONS"]

_ALL_HISTORY = "all history"
_FULL_WINDOW = "period - 1"
_NAN_IS_FALSE = "a NaN condition counts as false"
_MOST_OCCURRENCES = 100_000

_PERIOD = SettingParameter(name="period")
_ONE_BY_DEFAULT = SettingParameter(name="period", default=1)
_CROSSINGS = tuple(function.build for function in TECHNICAL_FUNCTIONS if function.name in {"cross_over", "cross_under"})


def _cross(graph: Graph, inputs: tuple[Node, ...], settings: tuple[Any, ...]) -> tuple[Node, ...]:
    (over,), (under,) = (build(graph, inputs, settings) for build in _CROSSINGS)
    return (graph.apply("or", over, under),)


def _rising(graph: Graph, inputs: tuple[Node, ...], settings: tuple[Any, ...]) -> tuple[Node, ...]:
    (series,) = inputs
    before = graph.apply("shift", graph.apply("highest", series, settings=settings), settings=(1,))
    return (graph.apply("less", before, series),)


def _falling(graph: Graph, inputs: tuple[Node, ...], settings: tuple[Any, ...]) -> tuple[Node, ...]:
    (series,) = inputs
    before = graph.apply("shift", graph.apply("lowest", series, settings=settings), settings=(1,))
    return (graph.apply("less", series, before),)


def _pivot(name: str, summary: str, source: str) -> Function:
    return Function(
        name=name,
        family=Family.SIGNAL,
        inputs=("series",),
        settings=(SettingParameter(name="left"), SettingParameter(name="right")),
        build=kernel(name),
        warm_up="left + right",
        summary=f"{summary}, in the row `right` candles after it, where it is known to be one; NaN in all other rows",
        source=source,
    )


def _extreme_bars(name: str, which: str, source: str) -> Function:
    return Function(
        name=name,
        family=Family.SIGNAL,
        inputs=("series",),
        settings=(_PERIOD,),
        build=kernel(name),
        warm_up=_FULL_WINDOW,
        summary=f"distance to the {which} value of the window, 0 or negative; the oldest of equal ones counts",
        source=source,
    )


SIGNAL_FUNCTIONS = (
    Function(
        name="cross",
        family=Family.SIGNAL,
        inputs=("first", "second"),
        kind=ColumnKind.SIGNAL,
        build=_cross,
        warm_up="1",
        summary="`first` crosses `second` in either direction: cross_over or cross_under",
        source="Pine ta.cross",
    ),
    Function(
        name="bars_since",
        family=Family.SIGNAL,
        inputs=("condition",),
        conditions=("condition",),
        build=kernel("bars_since"),
        warm_up=_ALL_HISTORY,
        summary=f"candles since the condition was last true, 0 where it is, NaN before the first time; {_NAN_IS_FALSE}",
        source="Pine ta.barssince",
    ),
    Function(
        name="value_when",
        family=Family.SIGNAL,
        inputs=("condition", "series"),
        settings=(
            SettingParameter(
                name="occurrence", kind=SettingKind.WHOLE, default=0, minimum=0, maximum=_MOST_OCCURRENCES
            ),
        ),
        kind=None,
        kind_from=("series",),
        conditions=("condition",),
        build=kernel("value_when"),
        warm_up=_ALL_HISTORY,
        summary="value of `series` where the condition was last true, or `occurrence` times before that; NaN where it "
        f"has not been true that often; {_NAN_IS_FALSE}",
        source="Pine ta.valuewhen",
    ),
    Function(
        name="streak",
        family=Family.SIGNAL,
        inputs=("condition",),
        conditions=("condition",),
        build=kernel("streak"),
        warm_up=_ALL_HISTORY,
        summary=f"candles in a row for which the condition has been true, 0 where it is not; {_NAN_IS_FALSE}",
        source="the count of candles since the condition was last not true",
    ),
    Function(
        name="count_if",
        family=Family.SIGNAL,
        inputs=("condition",),
        settings=(_PERIOD,),
        conditions=("condition",),
        build=kernel("count_if"),
        warm_up=_FULL_WINDOW,
        summary=f"candles of the window for which the condition is true; {_NAN_IS_FALSE}",
        source="Excel COUNTIF over a window",
    ),
    Function(
        name="rising",
        family=Family.SIGNAL,
        inputs=("series",),
        settings=(_ONE_BY_DEFAULT,),
        kind=ColumnKind.SIGNAL,
        build=_rising,
        warm_up="period",
        summary="the value is greater than each of the `period` before it; NaN where any of them is",
        source="Pine ta.rising as its reference defines it, which passes over NaN",
    ),
    Function(
        name="falling",
        family=Family.SIGNAL,
        inputs=("series",),
        settings=(_ONE_BY_DEFAULT,),
        kind=ColumnKind.SIGNAL,
        build=_falling,
        warm_up="period",
        summary="the value is less than each of the `period` before it; NaN where any of them is",
        source="Pine ta.falling as its reference defines it, which passes over NaN",
    ),
    _pivot(
        "pivot_high",
        "value of a peak: none of the `left` before it is larger, the `right` after it are all smaller",
        "Pine ta.pivothigh; of equal peaks the last",
    ),
    _pivot(
        "pivot_low",
        "value of a trough: none of the `left` before it is smaller, the `right` after it are all larger",
        "Pine ta.pivotlow; of equal troughs the last",
    ),
    _extreme_bars("highest_bars", "highest", "Pine ta.highestbars"),
    _extreme_bars("lowest_bars", "lowest", "Pine ta.lowestbars"),
    Function(
        name="fix_nan",
        family=Family.SIGNAL,
        inputs=("x",),
        kind=None,
        kind_from=("x",),
        build=kernel("last_present"),
        warm_up=_ALL_HISTORY,
        summary="the last value that was not NaN",
        source="Pine fixnan",
    ),
)
