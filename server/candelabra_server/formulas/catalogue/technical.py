"""Technical analysis: lower-case functions whose value needs a full window."""

from __future__ import annotations

from typing import Any

from candelabra_server.formulas.catalogue.function import (
    Family,
    Function,
    SettingKind,
    SettingParameter,
    kernel,
)
from candelabra_server.formulas.graph import Graph, Node
from candelabra_server.formulas.kernels.talib_metadata import MOVING_AVERAGES
from candelabra_server.formulas.nodes import ColumnKind

__all__ = ["TECHNICAL_FUNCTIONS"]

_FULL_WINDOW = "period - 1"
_WEIGHT = "until earlier candles weigh less than 1e-14"


def _period(default: int, minimum: int | None = None) -> tuple[SettingParameter, ...]:
    return (SettingParameter(name="period", default=default, minimum=minimum),)


def _change(graph: Graph, inputs: tuple[Node, ...], settings: tuple[float, ...]) -> tuple[Node, ...]:
    (series,) = inputs
    return (graph.apply("subtract", series, graph.apply("shift", series, settings=settings)),)


def _rate_of_change(graph: Graph, inputs: tuple[Node, ...], settings: tuple[float, ...]) -> tuple[Node, ...]:
    (series,) = inputs
    ratio = graph.apply("divide", series, graph.apply("shift", series, settings=settings))
    return (graph.apply("multiply", graph.apply("subtract", ratio, graph.constant(1)), graph.constant(100)),)


def _bands(graph: Graph, inputs: tuple[Node, ...], settings: tuple[Any, ...]) -> tuple[Node, ...]:
    (series,) = inputs
    period, up, down, average = settings
    if average == "sma":
        middle = graph.apply("simple_mean", series, settings=(period,))
    else:
        middle = graph.apply("talib_ma", series, settings=(period, average))
    deviation = graph.apply("standard_deviation", series, settings=(period,))
    return (
        graph.apply("add", middle, graph.apply("multiply", deviation, graph.constant(up))),
        middle,
        graph.apply("subtract", middle, graph.apply("multiply", deviation, graph.constant(down))),
    )


def _deviation(graph: Graph, inputs: tuple[Node, ...], settings: tuple[float, ...]) -> tuple[Node, ...]:
    period, deviations = settings
    deviation = graph.apply("standard_deviation", *inputs, settings=(period,))
    return (deviation if deviations == 1 else graph.apply("multiply", deviation, graph.constant(deviations)),)


def _macd(graph: Graph, inputs: tuple[Node, ...], settings: tuple[float, ...]) -> tuple[Node, ...]:
    bundle = graph.apply("macd", *inputs, settings=settings)
    return tuple(graph.output(bundle, index) for index in range(3))


def _cross(graph: Graph, inputs: tuple[Node, ...], _settings: tuple[float, ...]) -> tuple[Node, ...]:
    """`first` was at or below `second` one candle ago and is above it now; NaN where any of the four is NaN."""
    first, second = inputs
    before = graph.apply(
        "less_equal", graph.apply("shift", first, settings=(1,)), graph.apply("shift", second, settings=(1,))
    )
    # As a product, not Kleene's and: 0 would hide that the other half is unknown.
    return (graph.apply("multiply", before, graph.apply("less", second, first)),)


def _cross_under(graph: Graph, inputs: tuple[Node, ...], settings: tuple[float, ...]) -> tuple[Node, ...]:
    return _cross(graph, inputs[::-1], settings)


def _series(name: str, operation: str, default: int, summary: str, source: str) -> Function:
    """A function of one series and one period whose value needs that window and nothing else."""
    return Function(
        name=name,
        family=Family.TECHNICAL,
        inputs=("series",),
        settings=_period(default),
        build=kernel(operation),
        warm_up=_FULL_WINDOW,
        summary=summary,
        source=source,
    )


TECHNICAL_FUNCTIONS = (
    _series("sma", "simple_mean", 30, "simple moving average", "TA-Lib SMA"),
    Function(
        name="ema",
        family=Family.TECHNICAL,
        inputs=("series",),
        settings=_period(30),
        build=kernel("exponential_mean"),
        warm_up=f"period - 1, then {_WEIGHT}",
        summary="exponential moving average, alpha = 2 / (period + 1), seeded with the first simple average",
        source="TA-Lib EMA",
    ),
    _series("wma", "weighted_mean", 30, "weighted moving average, weights 1 (oldest) to period", "TA-Lib WMA"),
    Function(
        name="rsi",
        family=Family.TECHNICAL,
        inputs=("series",),
        settings=_period(14, 2),
        build=kernel("relative_strength"),
        warm_up=f"period, then {_WEIGHT}",
        summary="relative strength index, 0 to 100, with Wilder's averages; 0 where nothing moves",
        source="TA-Lib RSI",
    ),
    Function(
        name="atr",
        family=Family.TECHNICAL,
        inputs=("high", "low", "close"),
        implied=("high", "low", "close"),
        settings=_period(14),
        build=kernel("average_true_range"),
        warm_up=f"period, then {_WEIGHT}",
        summary="average true range with Wilder's average",
        source="TA-Lib ATR",
    ),
    Function(
        name="macd",
        family=Family.TECHNICAL,
        inputs=("series",),
        settings=(
            SettingParameter(name="fast", default=12, minimum=2),
            SettingParameter(name="slow", default=26, minimum=2),
            SettingParameter(name="signal", default=9),
        ),
        outputs=("macd", "signal", "hist"),
        build=_macd,
        warm_up="that of ema(slow), plus that of ema(signal)",
        summary="difference of two exponential averages (the longer is the slow one), its average, and the rest",
        source="TA-Lib MACD",
    ),
    Function(
        name="bbands",
        family=Family.TECHNICAL,
        inputs=("series",),
        settings=(
            SettingParameter(name="period", default=20, minimum=2),
            SettingParameter(name="up", default=2, kind=SettingKind.FACTOR),
            SettingParameter(name="down", default=2, kind=SettingKind.FACTOR),
            SettingParameter(name="matype", default="sma", kind=SettingKind.CHOICE, choices=tuple(MOVING_AVERAGES)),
        ),
        outputs=("upper", "middle", "lower"),
        build=_bands,
        warm_up=f'{_FULL_WINDOW}; that of ma(period, matype) where it is not "sma"',
        summary="moving average, and that plus `up` and minus `down` standard deviations (divisor period)",
        source="TA-Lib BBANDS",
    ),
    Function(
        name="stddev",
        family=Family.TECHNICAL,
        inputs=("series",),
        settings=(*_period(5, 2), SettingParameter(name="nbdev", default=1, kind=SettingKind.FACTOR)),
        build=_deviation,
        warm_up=_FULL_WINDOW,
        summary="`nbdev` standard deviations, divisor period",
        source="TA-Lib STDDEV",
    ),
    _series("highest", "highest", 30, "largest value of the window", "TA-Lib MAX"),
    _series("lowest", "lowest", 30, "smallest value of the window", "TA-Lib MIN"),
    Function(
        name="change",
        family=Family.TECHNICAL,
        inputs=("series",),
        settings=_period(1),
        build=_change,
        warm_up="period",
        summary="difference from the value `period` candles ago",
        source="TA-Lib MOM",
    ),
    Function(
        name="roc",
        family=Family.TECHNICAL,
        inputs=("series",),
        settings=_period(10),
        build=_rate_of_change,
        warm_up="period",
        summary="change from the value `period` candles ago in percent of it; infinite or NaN where that is 0",
        source="TA-Lib ROC, which gives 0 for a change from 0",
    ),
    Function(
        name="cross_over",
        family=Family.TECHNICAL,
        inputs=("first", "second"),
        kind=ColumnKind.SIGNAL,
        build=_cross,
        warm_up="1",
        summary="`first` rises above `second`: above now, not above one candle ago",
        source="Pine ta.crossover",
    ),
    Function(
        name="cross_under",
        family=Family.TECHNICAL,
        inputs=("first", "second"),
        kind=ColumnKind.SIGNAL,
        build=_cross_under,
        warm_up="1",
        summary="`first` falls below `second`: below now, not below one candle ago",
        source="Pine ta.crossunder",
    ),
)
