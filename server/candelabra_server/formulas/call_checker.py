"""Calls: which argument goes where, whether it may, and the nodes that come of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from candelabra_server.formulas.catalogue import FUNCTIONS, KNOWN_FIELDS, Function, SettingParameter
from candelabra_server.formulas.graph import Graph, Node
from candelabra_server.formulas.nodes import Argument, Call, ColumnKind, Expression, Name
from candelabra_server.formulas.operations import ALL_HISTORY
from candelabra_server.formulas.problems import ProblemLog, Span, quoted
from candelabra_server.formulas.settings import SettingRules, find_fault
from candelabra_server.formulas.values import Bundle, Series, Value

__all__ = ["CallChecker"]

_Bound = Mapping[str, Expression]
"""Arguments by the names of the function's inputs and settings."""


class CallChecker:
    """Checks calls of one formula against the catalogue."""

    def __init__(
        self, graph: Graph, problems: ProblemLog, rules: SettingRules, value: Callable[[Expression], Value]
    ) -> None:
        """Keeps what all calls share; `value` resolves an argument."""
        self._graph = graph
        self._problems = problems
        self._rules = rules
        self._value = value

    def call(self, call: Call) -> Value:
        """The value of a call; every argument is looked at even where another is wrong."""
        function = FUNCTIONS.get(call.name)
        if function is None:
            self._unknown_function(call)
            for argument in call.arguments:
                self._value(argument.value)
            return None
        bound = self._bind(function, call)
        inputs = self._inputs(function, bound)
        settings: list[float | None] = []
        for setting in function.settings:
            if setting.name in bound:
                label = f"`{setting.name}` of `{function.name}`"
                settings.append(self.setting(setting, bound[setting.name], label))
            else:
                settings.append(_whole(setting, setting.default))
        self._missing(function, bound, call)
        if None in settings or None in inputs:
            return None
        return self._build(
            function, call, [series for series in inputs if series], [value for value in settings if value is not None]
        )

    def single(self, value: Value, span: Span) -> Series | None:
        """The value as one series; a function of several outputs must say which."""
        if isinstance(value, Bundle):
            message = f"`{value.function}` has several outputs; choose one of {value.choices}"
            self._problems.add("SEVERAL_OUTPUTS", message, span)
            return None
        return value

    def setting(self, setting: SettingParameter, expression: Expression, label: str) -> float | None:
        """The value of a constant argument, an int where it must be whole; `label` begins what is wrong with it."""
        series = self.single(self._value(expression), expression.span)
        if series is None:
            return None
        constant = series.node.constant
        if constant is None:
            message = f"{label} must be a number or a parameter, the same for every candle"
            self._problems.add("SETTING_NOT_CONSTANT", message, expression.span)
            return None
        if fault := find_fault(setting, constant, self._rules):
            origin = f" (given as {quoted(expression.name)})" if isinstance(expression, Name) else ""
            self._problems.add(fault.code, f"{label}{origin} {fault.message}", expression.span)
            return None
        return _whole(setting, constant)

    def checked(self, node: Node, span: Span) -> Node:
        """The node, once its warm-up is known to be within the limit."""
        limit = self._rules.limits.max_warm_up_candles
        if limit < node.warm_up < ALL_HISTORY:
            message = f"needs {node.warm_up} candles of warm-up; the limit is {limit}"
            self._problems.add("WARM_UP_TOO_LONG", message, span)
        return node

    def _unknown_function(self, call: Call) -> None:
        if call.name in KNOWN_FIELDS:
            message = f"`{call.name}` is a field, not a function; its history is written `{call.name}[1]`"
            self._problems.add("UNKNOWN_FUNCTION", message, call.name_span)
        else:
            self._problems.add(
                "UNKNOWN_FUNCTION", f"unknown function {quoted(call.name)}", call.name_span, known=FUNCTIONS
            )

    def _bind(self, function: Function, call: Call) -> _Bound:
        """Arguments by name; what does not fit is noted and left out, but looked at."""
        settings = [setting.name for setting in function.settings]
        names = [*function.inputs, *settings]
        bound: dict[str, Expression] = {}
        for argument, name in zip(call.arguments, self._names(function, call, names, settings), strict=True):
            if name is not None and name not in bound:
                bound[name] = argument.value
                continue
            if name is not None:
                message = f"`{name}` of `{function.signature}` is given twice"
                self._problems.add("DUPLICATE_ARGUMENT", message, argument.span)
            self._value(argument.value)
        return bound

    def _names(self, function: Function, call: Call, names: Sequence[str], settings: Sequence[str]) -> list[str | None]:
        """For every argument the name it is meant for, None where there is none."""
        positional = [argument for argument in call.arguments if argument.name is None]
        # All of the implied inputs are given, or none of them.
        implied = bool(function.implied) and len(positional) <= len(settings)
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
                    self._problems.add("TOO_MANY_ARGUMENTS", message, argument.span)
        return found

    def _named(self, function: Function, argument: Argument, names: Sequence[str]) -> str | None:
        name = argument.name or ""
        if name in names:
            return name
        span = Span(argument.span.start, argument.span.start + len(name))
        message = f"`{function.signature}` has no argument {quoted(name)} (for equality write `==`)"
        self._problems.add("UNKNOWN_ARGUMENT", message, span, known=names)
        return None

    def _inputs(self, function: Function, bound: _Bound) -> list[Series | None]:
        if function.implied and not any(name in bound for name in function.inputs):
            return [Series(self._graph.field(name)) for name in function.implied]
        inputs: list[Series | None] = []
        for name in function.inputs:
            value = self._value(bound[name]) if name in bound else None
            inputs.append(self.single(value, bound[name].span) if name in bound else None)
        return inputs

    def _missing(self, function: Function, bound: _Bound, call: Call) -> None:
        """Notes what a call leaves out, unless arguments that fit nowhere were noted, which explains it."""
        needed = [setting.name for setting in function.settings if setting.default is None]
        if not function.implied or any(name in bound for name in function.inputs):
            needed = [*function.inputs, *needed]
        missing = [name for name in needed if name not in bound]
        if missing and len(bound) == len(call.arguments):
            names = " and ".join(f"`{name}`" for name in missing)
            self._problems.add("MISSING_ARGUMENT", f"`{function.signature}` lacks {names}", call.span)

    def _build(
        self, function: Function, call: Call, inputs: Sequence[Series], settings: Sequence[float]
    ) -> Series | Bundle:
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
        built = function.build(self._graph, tuple(nodes), tuple(settings))
        columns = [Series(self.checked(node, call.span), kind) for node in built]
        if len(columns) == 1:
            return columns[0]
        return Bundle(function.name, dict(zip(function.outputs, columns, strict=True)))


def _whole(setting: SettingParameter, value: float | None) -> float | None:
    return int(value) if value is not None and setting.kind.whole else value
