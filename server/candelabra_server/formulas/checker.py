"""Meaning: names, kinds and arguments of parsed statements, everything wrong noted, everything right put in a graph.

1. Each statement's name is checked against fields, functions, parameters and earlier names.
2. Its expression becomes nodes of the graph (calls in call_checker.py); a mistake gives no value, and what uses it
   is silent.
3. What the statements name becomes output columns; parameters that nothing used become warnings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from candelabra_server.formulas.call_checker import CallChecker
from candelabra_server.formulas.catalogue import FUNCTIONS, KNOWN_FIELDS, SettingKind, SettingParameter
from candelabra_server.formulas.graph import Graph, GraphTooLargeError, Node
from candelabra_server.formulas.nodes import (
    Arithmetic,
    Call,
    ColumnKind,
    Comparison,
    Expression,
    Field,
    Index,
    Logic,
    Member,
    Name,
    Number,
    Postfix,
    Power,
    Statement,
    Unary,
)
from candelabra_server.formulas.problems import ProblemLog, Span, quoted
from candelabra_server.formulas.settings import SettingRules
from candelabra_server.formulas.values import Bundle, Series, Value

__all__ = ["Checked", "Output", "check"]

DEFAULT_NAME = "value"
"""Column of a lone expression."""
_HIDDEN = "_"
"""Names that begin with it are no columns."""
_ARITHMETIC = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide", "%": "remainder"}
# Operation, and whether the operands change places.
_COMPARISONS = {
    "<": ("less", False),
    "<=": ("less_equal", False),
    ">": ("less", True),
    ">=": ("less_equal", True),
    "==": ("equal", False),
    "!=": ("not_equal", False),
}
_HISTORY = SettingParameter(name="history", kind=SettingKind.SHIFT)


@dataclass(frozen=True, slots=True)
class Output:
    """One column to be."""

    name: str
    series: Series


@dataclass(frozen=True, slots=True)
class Checked:
    """A formula that can be computed: its columns in order, and what its author should know."""

    outputs: tuple[Output, ...]
    warnings: tuple[str, ...]


def check(
    statements: Sequence[Statement],
    *,
    parameters: Mapping[str, float],
    rules: SettingRules,
    graph: Graph,
    problems: ProblemLog,
) -> Checked:
    """Resolves all statements; the outputs are complete only where `problems` stays empty."""
    checker = _Checker(statements, parameters, rules, graph, problems)
    outputs = checker.run()
    return Checked(outputs, checker.warnings())


class _Checker:
    """One walk over one formula."""

    def __init__(
        self,
        statements: Sequence[Statement],
        parameters: Mapping[str, float],
        rules: SettingRules,
        graph: Graph,
        problems: ProblemLog,
    ) -> None:
        self._statements = statements
        self._parameters = parameters
        self._rules = rules
        self._graph = graph
        self._problems = problems
        self._used: set[str] = set()
        self._values: dict[str, Value] = {}
        self._calls = CallChecker(graph, problems, rules, self.value)
        self._visitors: dict[type[Expression], Callable[[Any], Value]] = {
            Number: self._number,
            Name: self._name,
            Field: self._field,
            Call: self._call,
            Unary: self._unary,
            Power: self._power,
            Arithmetic: self._arithmetic,
            Comparison: self._comparison,
            Logic: self._logic,
            Postfix: self._postfix,
        }

    def run(self) -> tuple[Output, ...]:
        """Checks every statement in order."""
        outputs: list[Output] = []
        for statement in self._statements:
            if self._problems.full:
                break
            try:
                value = None if statement.expression is None else self.value(statement.expression)
            except GraphTooLargeError:
                limit = self._rules.limits.max_nodes
                self._problems.add(
                    "TOO_LARGE", f"the formula needs more than {limit} operations, the limit", statement.span
                )
                break
            name = self._define(statement, value)
            if not name.startswith(_HIDDEN):
                outputs.extend(_columns(name, value))
        if not outputs and not self._problems:
            self._problems.add(
                "NO_OUTPUT", "every name begins with `_`, so there is no column", self._statements[-1].name_span
            )
        return tuple(outputs)

    def warnings(self) -> tuple[str, ...]:
        """What is odd, but no mistake."""
        unused = sorted(set(self._parameters) - self._used)
        return tuple(f"parameter {quoted(name)} is not used by the formula" for name in unused)

    def value(self, expression: Expression) -> Value:
        """What an expression is; what is wrong with it is noted."""
        return self._visitors[type(expression)](expression)

    def _define(self, statement: Statement, value: Value) -> str:
        """Makes a statement's value known by its name; returns the name of its column."""
        name, span = statement.name, statement.name_span
        if name is None:
            if len(self._statements) > 1:
                self._problems.add(
                    "UNNAMED",
                    "this expression has no name; where there are several statements, write `name = expression`",
                    span,
                )
            return DEFAULT_NAME
        taken = (
            (name in KNOWN_FIELDS, "a field; choose another name, or write `==` for equality"),
            (name in FUNCTIONS, "a function; choose another name"),
            (name in self._parameters, "a parameter of the job; choose another name"),
            (name in self._values, "defined already; choose another name"),
        )
        for is_taken, what in taken:
            if is_taken:
                self._problems.add("NAME_TAKEN", f"{quoted(name)} is {what}", span)
                break
        self._values[name] = value
        return name

    def _series(self, expression: Expression) -> Series | None:
        """One value a row; a bundle is a mistake here."""
        return self._calls.single(self.value(expression), expression.span)

    def _number(self, expression: Number) -> Value:
        return Series(self._graph.constant(expression.value))

    def _field(self, expression: Field) -> Value:
        return Series(self._graph.field(expression.name))

    def _call(self, expression: Call) -> Value:
        return self._calls.call(expression)

    def _name(self, expression: Name) -> Value:
        name = expression.name
        if name in self._values:
            return self._values[name]
        if name in self._parameters:
            self._used.add(name)
            if name in KNOWN_FIELDS:
                message = f"{quoted(name)} is a field and a parameter of the job; rename the parameter"
                self._problems.add("PARAMETER_NAME_TAKEN", message, expression.span)
            return Series(self._graph.constant(self._parameters[name]))
        if name in KNOWN_FIELDS:
            return Series(self._graph.field(name))
        self._unknown(name, expression.span)
        return None

    def _unknown(self, name: str, span: Span) -> None:
        later = next((statement for statement in self._statements if statement.name == name), None)
        if later is not None:
            if later.span.start <= span.start < later.span.end:
                message = f"{quoted(name)} is used in its own definition"
            else:
                line = self._problems.line_of(later.span.start)
                message = f"{quoted(name)} has no value yet; it is defined on line {line}"
            self._problems.add("NOT_YET_DEFINED", message, span)
        elif name in FUNCTIONS:
            message = f"{quoted(name)} is a function; write `{FUNCTIONS[name].signature}`"
            self._problems.add("FUNCTION_WITHOUT_CALL", message, span)
        else:
            message = (
                f"unknown name {quoted(name)}; expected a field ({', '.join(KNOWN_FIELDS)}, any other stored column "
                "as `$column`), an earlier name or a parameter of the job"
            )
            known = (*KNOWN_FIELDS, *self._values, *self._parameters, *FUNCTIONS)
            self._problems.add("UNKNOWN_NAME", message, span, known=known)

    def _unary(self, expression: Unary) -> Value:
        operand = self._series(expression.operand)
        if operand is None:
            return None
        if expression.operator == "not":
            return Series(self._graph.apply("not", operand.node), ColumnKind.SIGNAL)
        return Series(operand.node if expression.operator == "+" else self._graph.apply("negate", operand.node))

    def _power(self, expression: Power) -> Value:
        base, exponent = self._series(expression.base), self._series(expression.exponent)
        if base is None or exponent is None:
            return None
        return Series(self._graph.apply("power", base.node, exponent.node))

    def _arithmetic(self, expression: Arithmetic) -> Value:
        nodes = self._operands(expression.operands)
        if nodes is None:
            return None
        result = nodes[0]
        for operator, node in zip(expression.operators, nodes[1:], strict=True):
            result = self._graph.apply(_ARITHMETIC[operator], result, node)
        return Series(result)

    def _comparison(self, expression: Comparison) -> Value:
        nodes = self._operands(expression.operands)
        if nodes is None:
            return None
        result: Node | None = None
        for left, operator, right in zip(nodes, expression.operators, nodes[1:], strict=False):
            operation, swapped = _COMPARISONS[operator]
            link = self._graph.apply(operation, *((right, left) if swapped else (left, right)))
            result = link if result is None else self._graph.apply("and", result, link)
        return None if result is None else Series(result, ColumnKind.SIGNAL)

    def _logic(self, expression: Logic) -> Value:
        nodes = self._operands(expression.operands)
        if nodes is None:
            return None
        result = nodes[0]
        for operator, node in zip(expression.operators, nodes[1:], strict=True):
            result = self._graph.apply(operator, result, node)
        return Series(result, ColumnKind.SIGNAL)

    def _operands(self, expressions: Sequence[Expression]) -> list[Node] | None:
        """The nodes of all operands, or None if any is wrong; all of them are looked at."""
        nodes: list[Node] = []
        for expression in expressions:  # no comprehension: it would be one more frame a level on Python 3.11
            series = self._series(expression)
            if series is not None:
                nodes.append(series.node)
        return nodes if len(nodes) == len(expressions) else None

    def _postfix(self, expression: Postfix) -> Value:
        value = self.value(expression.base)
        for trailer in expression.trailers:
            if isinstance(trailer, Member):
                value = self._member(value, trailer)
            else:
                value = self._history(self._calls.single(value, expression.base.span), trailer)
        return value

    def _member(self, value: Value, member: Member) -> Value:
        if value is None:
            return None
        if isinstance(value, Series):
            message = f"{quoted(member.name)} is asked of something that has one value only"
            self._problems.add("NO_OUTPUTS", message, member.span)
            return None
        if member.name not in value.outputs:
            message = f"`{value.function}` has no output {quoted(member.name)}; it has {value.choices}"
            self._problems.add("UNKNOWN_OUTPUT", message, member.span, known=value.outputs)
            return None
        return value.outputs[member.name]

    def _history(self, series: Series | None, index: Index) -> Value:
        candles = self._calls.setting(_HISTORY, index.candles, "the number of candles in `[…]`")
        if series is None or candles is None:
            return None
        if candles == 0:
            return series
        shifted = self._graph.apply("shift", series.node, settings=(candles,))
        return Series(self._calls.checked(shifted, index.span), series.kind)


def _columns(name: str, value: Value) -> list[Output]:
    if isinstance(value, Bundle):
        return [Output(f"{name}.{output}", series) for output, series in value.outputs.items()]
    return [] if value is None else [Output(name, value)]
