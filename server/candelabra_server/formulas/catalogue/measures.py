"""Measures of a price: returns, ranges, scores within the window, and how one series moves with another."""

from __future__ import annotations

from typing import Any

from candelabra_server.formulas.catalogue.function import Family, Function, SettingKind, SettingParameter, kernel
from candelabra_server.formulas.catalogue.language import typical_price
from candelabra_server.formulas.graph import Graph, Node

__all__ = ["MEASURE_FUNCTIONS"]

_FULL_WINDOW = "period - 1"
_ALL_HISTORY = "all history"
_SESSIONS = ("1d", "1w", "1M")
_ONE_BY_DEFAULT = SettingParameter(name="period", default=1)


def _ratio(graph: Graph, inputs: tuple[Node, ...], settings: tuple[Any, ...]) -> Node:
    """The value by that of as many candles ago as the settings say."""
    (series,) = inputs
    return graph.apply("divide", series, graph.apply("shift", series, settings=settings))


def _simple_return(graph: Graph, inputs: tuple[Node, ...], settings: tuple[Any, ...]) -> tuple[Node, ...]:
    return (graph.apply("subtract", _ratio(graph, inputs, settings), graph.constant(1)),)


def _log_return(graph: Graph, inputs: tuple[Node, ...], settings: tuple[Any, ...]) -> tuple[Node, ...]:
    return (graph.apply("logarithm", _ratio(graph, inputs, settings)),)


def _true_range(graph: Graph, inputs: tuple[Node, ...], _settings: tuple[Any, ...]) -> tuple[Node, ...]:
    high, low, close = inputs
    before = graph.apply("shift", close, settings=(1,))
    up, down = (graph.apply("absolute", graph.apply("subtract", price, before)) for price in (high, low))
    return (graph.apply("greatest", graph.apply("greatest", graph.apply("subtract", high, low), up), down),)


def _drawdown(graph: Graph, inputs: tuple[Node, ...], _settings: tuple[Any, ...]) -> tuple[Node, ...]:
    (series,) = inputs
    ratio = graph.apply("divide", series, graph.apply("highest_so_far", series))
    return (graph.apply("subtract", ratio, graph.constant(1)),)


def _session_vwap(graph: Graph, inputs: tuple[Node, ...], settings: tuple[Any, ...]) -> tuple[Node, ...]:
    *prices, volume = inputs
    (price,) = typical_price(graph, tuple(prices), ())
    return (graph.apply("session_weighted_mean", price, volume, settings=settings),)


def _pair(name: str, operation: str, summary: str, source: str) -> Function:
    return Function(
        name=name,
        family=Family.SIGNAL,
        inputs=("first", "second"),
        settings=(SettingParameter(name="period", minimum=2),),
        build=kernel(operation),
        warm_up=_FULL_WINDOW,
        summary=f"{summary}; NaN where the window holds a NaN or an infinity",
        source=source,
    )


MEASURE_FUNCTIONS = (
    Function(
        name="simple_return",
        family=Family.SIGNAL,
        inputs=("series",),
        settings=(_ONE_BY_DEFAULT,),
        build=_simple_return,
        warm_up="period",
        summary="change from the value `period` candles ago as a fraction of it; infinite or NaN where that is 0",
        source="series / series[period] - 1",
    ),
    Function(
        name="log_return",
        family=Family.SIGNAL,
        inputs=("series",),
        settings=(_ONE_BY_DEFAULT,),
        build=_log_return,
        warm_up="period",
        summary="natural logarithm of the value by that of `period` candles ago; NaN where the signs differ",
        source="log(series / series[period])",
    ),
    Function(
        name="true_range",
        family=Family.SIGNAL,
        inputs=("high", "low", "close"),
        implied=("high", "low", "close"),
        build=_true_range,
        warm_up="1",
        summary="largest of high - low and the distances of both from the last close; NaN in the first candle",
        source="TA-Lib TRANGE",
    ),
    Function(
        name="session_vwap",
        family=Family.SIGNAL,
        inputs=("high", "low", "close", "volume"),
        implied=("high", "low", "close", "volume"),
        settings=(SettingParameter(name="session", kind=SettingKind.CHOICE, default="1d", choices=_SESSIONS),),
        build=_session_vwap,
        warm_up=_ALL_HISTORY,
        summary="typical price weighted by volume since the UTC day, week (from Monday) or month began; NaN while no "
        "volume has been traded, and from a NaN to the end of the session",
        source="Pine ta.vwap of hlc3, anchored in UTC",
    ),
    Function(
        name="zscore",
        family=Family.SIGNAL,
        inputs=("series",),
        settings=(SettingParameter(name="period", default=20, minimum=2),),
        build=kernel("standard_score"),
        warm_up=_FULL_WINDOW,
        summary="standard deviations (divisor period) by which the value is above the window's mean; NaN where flat",
        source="(series - sma(series, period)) / stddev(series, period), without its rounding",
    ),
    Function(
        name="percent_rank",
        family=Family.SIGNAL,
        inputs=("series",),
        settings=(SettingParameter(name="period", default=20),),
        build=kernel("percent_rank"),
        warm_up="period",
        summary="percentage of the `period` values before it that are less than or equal to the value, 0 to 100; "
        "NaN where any of them is",
        source="Pine ta.percentrank",
    ),
    Function(
        name="drawdown",
        family=Family.SIGNAL,
        inputs=("series",),
        build=_drawdown,
        warm_up=_ALL_HISTORY,
        summary="the value by the highest so far, less 1: 0 at a new high, -0.2 where a fifth of it is lost; NaN is "
        "passed over",
        source="series / highest so far - 1",
    ),
    _pair("covariance", "covariance", "covariance of the two, divisor period - 1", "pandas rolling cov"),
    _pair(
        "correlation",
        "correlation",
        "Pearson's correlation of the two, -1 to 1; NaN where either is flat",
        "pandas rolling corr",
    ),
    _pair(
        "beta_to",
        "beta",
        "covariance of the two by the variance of `second`, as of a share on an index; NaN where `second` is flat",
        "least squares: the slope of `first` on `second`",
    ),
)
