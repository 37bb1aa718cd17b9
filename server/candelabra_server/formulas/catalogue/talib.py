"""TA-Lib's catalogue, made from its own metadata: names, constants with defaults and ranges, inputs and outputs.

Functions that catalogue/technical.py has under TA-Lib's names are left to it.
"""

from __future__ import annotations

from typing import Any

from candelabra_server.formulas.catalogue.function import (
    Build,
    Family,
    Function,
    SettingKind,
    SettingParameter,
    kernel,
)
from candelabra_server.formulas.catalogue.technical import TECHNICAL_FUNCTIONS
from candelabra_server.formulas.graph import Graph, Node
from candelabra_server.formulas.kernels.talib_metadata import (
    MOVING_AVERAGES,
    TALIB,
    TalibFunction,
    TalibParameter,
    lookback,
)
from candelabra_server.formulas.nodes import ColumnKind
from candelabra_server.formulas.operations import ALL_HISTORY, OPERATIONS
from candelabra_server.formulas.operations.talib import talib_operation_name

__all__ = ["TALIB_FUNCTIONS"]

_INPUTS = {"price": "series", "price0": "first", "price1": "second"}
"""Series that are the caller's choice, by TA-Lib's names; others keep theirs."""
_SETTINGS = {
    "timeperiod": "period",
    "timeperiod1": "period1",
    "timeperiod2": "period2",
    "timeperiod3": "period3",
    "fastperiod": "fast",
    "slowperiod": "slow",
    "signalperiod": "signal",
    "nbdevup": "up",
    "nbdevdn": "down",
}
"""Constants by TA-Lib's names; others lose `_period` at their end."""
_OUTPUTS = {"bullpower": "bull", "bearpower": "bear", "plusvi": "plus", "minusvi": "minus"}
"""Outputs by TA-Lib's names; others lose what they begin or end with needlessly."""
_NOTES = {
    "BETA": "of `second` against `first`",
    "FRACTAL": "100 where one is confirmed, which is `rightbars` candles after it",
    "MAXINDEX": "a row, counted from 0 at the first candle of the history",
    "MININDEX": "a row, counted from 0 at the first candle of the history",
    "MINMAXINDEX": "rows, counted from 0 at the first candle of the history",
    "VAR": "divisor `period`; `nbdev` changes nothing",
    "VWAP": "since the first candle of the history",
}
"""What the title leaves open."""
_AVERAGE_TEXTS = {number: text for text, number in MOVING_AVERAGES.items()}
_DIRECTIONS = ("bullish", "bearish")


def _input_name(name: str) -> str:
    return _INPUTS.get(name, name)


def _setting_name(name: str) -> str:
    return _SETTINGS.get(name, name.removesuffix("_period"))


def _output_names(function: TalibFunction) -> tuple[str, ...]:
    """Short names: `macdsignal` of macd is `signal`, `upperband` is `upper`; one output needs none."""
    if function.pattern:
        return _DIRECTIONS
    if len(function.outputs) == 1:
        return ("",)
    return tuple(_output_name(function, output) for output in function.outputs)


def _output_name(function: TalibFunction, output: str) -> str:
    short = _OUTPUTS.get(output, output).removesuffix("band")
    for prefix in (function.name.lower(), function.outputs[0]):
        short = short.removeprefix(prefix) or short
    return short


def _setting(parameter: TalibParameter) -> SettingParameter:
    name = _setting_name(parameter.name)
    if parameter.averages:
        default = _AVERAGE_TEXTS[int(parameter.default)]
        return SettingParameter(name=name, kind=SettingKind.CHOICE, default=default, choices=parameter.averages)
    kind = SettingKind.WINDOW if isinstance(parameter.default, int) else SettingKind.FACTOR
    return SettingParameter(
        name=name, kind=kind, default=parameter.default, minimum=parameter.minimum, maximum=parameter.maximum
    )


def _several(operation: str, outputs: int) -> Build:
    """A call of several outputs: one node that gives all of them, and one that takes each out."""

    def build(graph: Graph, inputs: tuple[Node, ...], settings: tuple[Any, ...]) -> tuple[Node, ...]:
        bundle = graph.apply(operation, *inputs, settings=settings)
        return tuple(graph.output(bundle, index) for index in range(outputs))

    return build


def _pattern(operation: str) -> Build:
    """A pattern as two signals: TA-Lib gives a number above 0 for a bullish one, below 0 for a bearish one."""

    def build(graph: Graph, inputs: tuple[Node, ...], settings: tuple[Any, ...]) -> tuple[Node, ...]:
        found = graph.apply(operation, *inputs, settings=settings)
        nothing = graph.constant(0)
        return graph.apply("less", nothing, found), graph.apply("less", found, nothing)

    return build


def _changing_period(graph: Graph, inputs: tuple[Node, ...], settings: tuple[Any, ...]) -> tuple[Node, ...]:
    """The bounds of the periods in either order: TA-Lib refuses the longer one first."""
    first, second, average = settings
    bounds = (min(first, second), max(first, second), average)
    return (graph.apply(talib_operation_name("MAVP"), *inputs, settings=bounds),)


def _build(function: TalibFunction) -> Build:
    operation = talib_operation_name(function.name)
    if function.name == "MAVP":
        return _changing_period
    if function.pattern:
        return _pattern(operation)
    return kernel(operation) if len(function.outputs) == 1 else _several(operation, len(function.outputs))


def _warm_up(function: TalibFunction, settings: tuple[SettingParameter, ...]) -> str:
    rows = lookback(function.name, *function.defaults)
    candles = OPERATIONS[talib_operation_name(function.name)].warm_up(*(setting.default for setting in settings))
    if candles == ALL_HISTORY:
        return "all history"
    default = " by default" if function.parameters else ""
    if candles == rows:
        rule = f"{rows}{default}" if rows else "none"
    else:
        rule = f"{rows}, then until earlier candles weigh less than 1e-14: {candles}{default}"
    return f'{rule}; all history with "mama"' if any(setting.choices for setting in settings) else rule


def _summary(function: TalibFunction) -> str:
    summary = f"{function.title} ({function.group.lower()})"
    if function.pattern:
        return f"{summary}: `bullish` where TA-Lib gives more than 0, `bearish` where it gives less"
    note = _NOTES.get(function.name)
    return f"{summary}: {note}" if note else summary


def _function(function: TalibFunction) -> Function:
    settings = tuple(_setting(parameter) for parameter in function.parameters)
    return Function(
        name=function.name.lower(),
        family=Family.TALIB,
        inputs=tuple(_input_name(name) for name in function.inputs),
        implied=() if function.named_inputs else function.inputs,
        settings=settings,
        outputs=_output_names(function),
        kind=ColumnKind.SIGNAL if function.pattern else ColumnKind.NUMBER,
        build=_build(function),
        warm_up=_warm_up(function, settings),
        summary=_summary(function),
        source=f"TA-Lib {function.name}",
    )


_ELSEWHERE = {function.name for function in TECHNICAL_FUNCTIONS}

TALIB_FUNCTIONS: tuple[Function, ...] = tuple(
    _function(function) for function in TALIB.values() if function.name.lower() not in _ELSEWHERE
)
