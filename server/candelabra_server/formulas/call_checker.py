"""Calls: which argument goes where, whether it may, and the nodes that come of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

from candelabra_server.domain.periods import most_candles
from candelabra_server.domain.timeframe import Timeframe
from candelabra_server.formulas.catalogue import (
    CROSS_SECTIONAL,
    ELSEWHERE,
    FUNCTIONS,
    KNOWN_FIELDS,
    NOT_AVAILABLE,
    OF_TWO_VALUES,
    SYMBOL,
    Function,
    SettingKind,
    SettingParameter,
    is_cross_sectional,
)
from candelabra_server.formulas.graph import Node, Source, other_symbol_need
from candelabra_server.formulas.nodes import Argument, Call, ColumnKind, Expression, Field, Name, SavedCall
from candelabra_server.formulas.operations import ALL_HISTORY
from candelabra_server.formulas.problems import Span, quoted
from candelabra_server.formulas.scope import Scope, parts_of
from candelabra_server.formulas.settings import find_fault
from candelabra_server.formulas.values import Bundle, OtherSymbol, Series, TextValue, Value

__all__ = ["CallChecker"]

_Bound = Mapping[str, Expression]
"""Arguments by the names of the function's inputs and settings."""
_LONGEST_SYMBOL = 64


class _Expressions(Protocol):
    """What calls need of the checker of expressions."""

    def value(self, expression: Expression) -> Value:
        """What an expression is."""

    def field(self, name: str) -> Series:
        """A stored column."""

    def elsewhere(self, source: Source, expression: Expression) -> Value:
        """An expression over another source."""


class CallChecker:
    """Checks calls of one text against the catalogue."""

    def __init__(self, scope: Scope, expressions: _Expressions) -> None:
        """Keeps what all calls share; `expressions` resolves arguments."""
        self._scope = scope
        self._graph = scope.workspace.graph
        self._problems = scope.problems
        self._rules = scope.rules
        self._expressions = expressions

    def call(self, call: Call) -> Value:
        """The value of a call; every argument is looked at even where another is wrong."""
        function = FUNCTIONS.get(call.name)
        if function is None:
            self._unknown_function(call)
            for argument in call.arguments:
                self._expressions.value(argument.value)
            return None
        self._scope.used_functions[function.name] = None
        bound = self._bind(function, call)
        settings = self._settings(function, bound)
        inputs = self._inputs(function, bound, settings)
        self._missing(function, bound, call)
        if None in settings.values() or None in inputs:
            return None
        if function is SYMBOL:
            return OtherSymbol(str(settings["name"]))
        constants = [value for value in settings.values() if value is not None]
        return self._build(function, call, [series for series in inputs if series], constants)

    def single(self, value: Value, span: Span) -> Series | None:
        """The value as one series; a function of several outputs must say which."""
        match value:
            case Bundle():
                message = f"`{value.function}` has several outputs; choose one of {value.choices}"
                self._problems.add("SEVERAL_OUTPUTS", message, span)
                return None
            case TextValue():
                self._problems.add("TEXT_HERE", "a text cannot stand here; expected a series or a number", span)
                return None
            case OtherSymbol():
                message = f'expected one of its fields, as in `symbol("{value.symbol}").close`'
                self._problems.add("SEVERAL_OUTPUTS", message, span)
                return None
        return value

    def condition(self, series: Series, span: Span, taker: str) -> Node | None:
        """The node of a signal; a constant is one too. `taker` begins what is wrong with anything else."""
        if series.kind is ColumnKind.SIGNAL or series.node.constant is not None:
            return series.node
        message = f"{taker} needs a signal such as `close > open`, not numbers"
        self._problems.add("NOT_A_SIGNAL", message, span)
        return None

    def setting(
        self, setting: SettingParameter, expression: Expression, label: str, hint: str = ""
    ) -> float | str | None:
        """The value of a constant argument, an int where it must be whole.

        Args:
            setting: what it may be.
            expression: the argument.
            label: begins the sentence that says what is wrong with it.
            hint: ends it where it is no constant.
        """
        value = self._expressions.value(expression)
        if setting.kind.is_text:
            return self._text(setting, value, expression, label)
        series = self.single(value, expression.span)
        if series is None:
            return None
        constant = series.node.constant
        if constant is None:
            message = f"{label} must be a number or a parameter, the same for every candle{hint}"
            self._problems.add("SETTING_NOT_CONSTANT", message, expression.span)
            return None
        if math.isnan(constant) and self._scope.options.draft:
            return _whole(setting, setting.default or setting.minimum or 1)
        if fault := find_fault(setting, constant, self._rules):
            origin = f" (given as {quoted(expression.name)})" if isinstance(expression, Name) else ""
            self._problems.add(fault.code, f"{label}{origin} {fault.message}", expression.span)
            return None
        return _whole(setting, constant)

    def checked(self, node: Node, span: Span) -> Node:
        """The node, once its warm-up is known to be within the limit; all of the history is no number of candles."""
        limit = self._rules.limits.max_warm_up_candles
        for needed in (node.warm_up, other_symbol_need(node)):
            if limit < needed < ALL_HISTORY and not self._scope.options.draft:
                message = f"needs {needed} candles of warm-up; the limit is {limit}"
                self._problems.add("WARM_UP_TOO_LONG", message, span)
        return node

    def _settings(self, function: Function, bound: _Bound) -> dict[str, float | str | None]:
        """Every setting by name, None where it is wrong or missing."""
        settings: dict[str, float | str | None] = {}
        for setting in function.settings:
            if setting.name in bound:
                label = f"`{setting.name}` of `{function.name}`"
                other = OF_TWO_VALUES.get(function.name)
                hint = f"; of two values, one a candle, it is `{other}(a, b)`" if other else ""
                settings[setting.name] = self.setting(setting, bound[setting.name], label, hint)
            else:
                settings[setting.name] = _whole(setting, setting.default)
        return settings

    def _text(self, setting: SettingParameter, value: Value, expression: Expression, label: str) -> str | None:
        span = expression.span
        if value is None:
            return None
        if not isinstance(value, TextValue):
            message = f"{label} must be a text in quotes, such as {_example(setting)}"
            self._problems.add("SETTING_NOT_TEXT", message, span)
            return None
        text = value.text
        if setting.kind is SettingKind.CHOICE and text not in setting.choices:
            choices = ", ".join(f'"{choice}"' for choice in setting.choices)
            self._problems.add("UNKNOWN_CHOICE", f"{label} must be one of {choices}, not {quoted(text)}", span)
            return None
        if setting.kind is SettingKind.SYMBOL and not 1 <= len(text) <= _LONGEST_SYMBOL:
            message = f"{label} must be a symbol of 1 to {_LONGEST_SYMBOL} characters"
            self._problems.add("UNKNOWN_CHOICE", message, span)
            return None
        if setting.kind is SettingKind.TIMEFRAME:
            return self._timeframe(text, span, label)
        return text

    def _timeframe(self, text: str, span: Span, label: str) -> str | None:
        try:
            timeframe = Timeframe.parse(text).text
            most_candles(self._scope.source.timeframe or self._scope.workspace.timeframe, timeframe)
        except ValueError as error:
            self._problems.add("TIMEFRAME", f"{label}: {error}", span)
            return None
        return timeframe

    def _unknown_function(self, call: Call) -> None:
        name = call.name
        if is_cross_sectional(name):
            message = f"{quoted(name)} compares symbols with one another, which is not available yet"
            hint = CROSS_SECTIONAL.get(name.lower(), "")
            self._problems.add("CROSS_SECTIONAL", f"{message}{hint and f'; {hint}'}", call.name_span)
        elif name in NOT_AVAILABLE:
            self._problems.add("NOT_AVAILABLE", f"{quoted(name)} {NOT_AVAILABLE[name]}", call.name_span)
        elif name in KNOWN_FIELDS:
            message = f"`{call.name}` is a field, not a function; its history is written `{call.name}[1]`"
            self._problems.add("UNKNOWN_FUNCTION", message, call.name_span)
        else:
            message, meant = f"unknown function {quoted(name)}", ELSEWHERE.get(name.lower())
            self._problems.add("UNKNOWN_FUNCTION", message, call.name_span, known=FUNCTIONS, meant=meant)

    def _bind(self, function: Function, call: Call) -> _Bound:
        """Arguments by name; what does not fit is noted and left out, but looked at."""
        settings = [setting.name for setting in function.settings]
        names = [*settings, *function.inputs] if function.settings_first else [*function.inputs, *settings]
        bound: dict[str, Expression] = {}
        for argument, name in zip(call.arguments, self._names(function, call, names, settings), strict=True):
            if name is not None and name not in bound:
                bound[name] = argument.value
                continue
            if name is not None:
                message = f"`{name}` of `{function.signature}` is given twice"
                self._problems.add("DUPLICATE_ARGUMENT", message, argument.span, signature=function.signature)
            self._expressions.value(argument.value)
        return bound

    def _names(self, function: Function, call: Call, names: Sequence[str], settings: Sequence[str]) -> list[str | None]:
        """For every argument the name it is meant for, None where there is none."""
        positional = [argument for argument in call.arguments if argument.name is None]
        # All of the implied inputs are given, or none of them.
        implied = (
            bool(function.implied)
            and len(positional) <= len(settings)
            and not (positional and self._looks_like_a_series(positional[0].value))
        )
        places = iter(settings if implied else names)
        found: list[str | None] = []
        seen_named = False
        for argument in call.arguments:
            if argument.name is not None:
                found.append(self._named(function, argument, names))
                # A name that does not exist says nothing of what was meant to come after it.
                seen_named = seen_named or found[-1] is not None
            elif seen_named:
                message = "an argument by position follows one by name; name it too, or put it first"
                self._problems.add("POSITION_AFTER_NAME", message, argument.span)
                found.append(None)
            else:
                found.append(next(places, None))
                if found[-1] is None:
                    message = f"more arguments than `{function.signature}` takes"
                    self._problems.add("TOO_MANY_ARGUMENTS", message, argument.span, signature=function.signature)
        return found

    def _looks_like_a_series(self, expression: Expression) -> bool:
        """Whether anything in it is of candles, seen without giving it a value: that comes once, and later."""
        return any(self._is_of_candles(part) for part in parts_of(expression))

    def _is_of_candles(self, part: Expression) -> bool:
        match part:
            case Field() | SavedCall():
                return True
            case Call(name=name):
                return name in FUNCTIONS and bool(FUNCTIONS[name].implied)
            case Name(name=name) if name in self._scope.defined:
                value = self._expressions.value(part)
                return isinstance(value, Series) and value.node.constant is None
            case Name(name=name):
                return name in KNOWN_FIELDS and name not in self._scope.parameters
        return False

    def _named(self, function: Function, argument: Argument, names: Sequence[str]) -> str | None:
        name = argument.name or ""
        if name in names:
            return name
        span = Span(argument.span.start, argument.span.start + len(name))
        message = f"`{function.signature}` has no argument {quoted(name)} (for equality write `==`)"
        self._problems.add("UNKNOWN_ARGUMENT", message, span, known=names, signature=function.signature)
        return None

    def _inputs(
        self, function: Function, bound: _Bound, settings: Mapping[str, float | str | None]
    ) -> list[Series | None]:
        if function.implied and not any(name in bound for name in function.inputs):
            return [self._expressions.field(name) for name in function.implied]
        inputs: list[Series | None] = []
        for name in function.inputs:
            expression = bound.get(name)
            if expression is None:
                inputs.append(None)
                continue
            if function.symbol_setting:
                source = Source(str(settings[function.symbol_setting]), self._scope.source.timeframe)
                value = self._expressions.elsewhere(source, expression)
            else:
                value = self._expressions.value(expression)
            series = self.single(value, expression.span)
            if series is not None and name in function.conditions:
                label = f"`{name}` of `{function.name}`"
                series = series if self.condition(series, expression.span, label) is not None else None
            inputs.append(series)
        return inputs

    def _missing(self, function: Function, bound: _Bound, call: Call) -> None:
        """Notes what a call leaves out, unless arguments that fit nowhere were noted, which explains it."""
        needed = [setting.name for setting in function.settings if setting.default is None]
        if not function.implied or any(name in bound for name in function.inputs):
            needed = [*function.inputs, *needed]
        missing = [name for name in needed if name not in bound]
        if missing and len(bound) == len(call.arguments):
            names = " and ".join(f"`{name}`" for name in missing)
            message = f"`{function.signature}` lacks {names}"
            self._problems.add("MISSING_ARGUMENT", message, call.span, signature=function.signature)

    def _build(
        self, function: Function, call: Call, inputs: Sequence[Series], settings: Sequence[float | str]
    ) -> Series | Bundle | None:
        nodes = [
            self._graph.apply("signal_or_zero", series.node)
            if function.unknown_is_false and series.kind is ColumnKind.SIGNAL
            else series.node
            for series in inputs
        ]
        kind = function.kind
        if kind is None:
            given = dict(zip(function.inputs, inputs, strict=True))
            signals = all(given[name].kind is ColumnKind.SIGNAL for name in function.kind_from)
            kind = ColumnKind.SIGNAL if signals else ColumnKind.NUMBER
        build = function.qlib_build if self._rules.qlib_defects and function.qlib_build else function.build
        columns = [
            Series(self.checked(node, call.span), kind) for node in build(self._graph, tuple(nodes), tuple(settings))
        ]
        if any(series.node.constant is not None and math.isinf(series.node.constant) for series in columns):
            self._problems.add("CONSTANT_INFINITE", f"`{function.name}` is infinite for this constant", call.span)
            return None
        if len(columns) == 1:
            return columns[0]
        return Bundle(function.name, dict(zip(function.outputs, columns, strict=True)))


def _whole(setting: SettingParameter, value: float | str | None) -> float | str | None:
    """A whole number as an int; Qlib's fractions, where they are allowed, stay what they are."""
    if isinstance(value, str) or value is None or not setting.kind.whole or not float(value).is_integer():
        return value
    return int(value)


def _example(setting: SettingParameter) -> str:
    return {SettingKind.CHOICE: f'"{(setting.choices or ("",))[0]}"', SettingKind.TIMEFRAME: '"1w"'}.get(
        setting.kind, '"SPY"'
    )
