"""Expressions: what each kind of node in the text means, as nodes of the graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from candelabra_server.domain.periods import most_candles
from candelabra_server.domain.timeframe import Timeframe
from candelabra_server.formulas.call_checker import CallChecker
from candelabra_server.formulas.catalogue import FUNCTIONS, KNOWN_FIELDS, SettingKind, SettingParameter
from candelabra_server.formulas.graph import Node, Source
from candelabra_server.formulas.nodes import (
    Arithmetic,
    Bitwise,
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
    SavedCall,
    Statement,
    Text,
    TimeframeSuffix,
    Unary,
)
from candelabra_server.formulas.parser import MAX_TOTAL_DEPTH
from candelabra_server.formulas.problems import Span, quoted
from candelabra_server.formulas.saved_calls import SavedCallChecker
from candelabra_server.formulas.scope import Scope
from candelabra_server.formulas.values import Bundle, OtherSymbol, Series, TextValue, Value

__all__ = ["NO_VALUE", "ExpressionChecker"]

NO_VALUE = "nan"
"""The name of the constant that stands for "no value"."""
_ARITHMETIC = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide", "%": "remainder"}
_BITWISE = {"&": "and", "|": "or"}
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
_LEVELS_OF_A_STATEMENT = 4
"""What a statement adds to the depth of a walk, beside its expression: it may be that of a saved formula."""
_MOST_SOURCES = 32


class ExpressionChecker:
    """One walk over the expressions of one text."""

    def __init__(self, scope: Scope, check_text: Callable[..., Any]) -> None:
        """Keeps the scope; `check_text` checks the text of a saved formula that is called."""
        self._scope = scope
        self._graph = scope.workspace.graph
        self._problems = scope.problems
        self._calls = CallChecker(scope, self)
        self._saved_calls = SavedCallChecker(scope, self._calls, check_text)
        self._visitors: dict[type[Expression], Callable[[Any], Value]] = {
            Number: self._number,
            Name: self._name,
            Field: self._field,
            Text: self._text,
            Call: self._calls.call,
            SavedCall: self._saved_calls.call,
            Unary: self._unary,
            Power: self._power,
            Arithmetic: self._arithmetic,
            Comparison: self._comparison,
            Bitwise: self._bitwise,
            Logic: self._logic,
            Postfix: self._postfix,
        }

    def value(self, expression: Expression) -> Value:
        """What an expression is; what is wrong with it is noted, until enough is."""
        self._graph.count_step()
        if self._problems.full:
            return None
        return self._visitors[type(expression)](expression)

    def statement(self, statement: Statement) -> Value:
        """What a statement's expression is, wherever it is looked at from."""
        if statement.expression is None:
            return None
        workspace = self._scope.workspace
        levels = statement.expression.depth + _LEVELS_OF_A_STATEMENT
        if workspace.depth + levels > MAX_TOTAL_DEPTH:
            message = "names and saved formulas are nested too deeply within one another; name parts of this one"
            self._problems.add("TOO_DEEP", message, statement.span)
            return None
        workspace.depth += levels
        try:
            return self.value(statement.expression)
        finally:
            workspace.depth -= levels

    def field(self, name: str) -> Series:
        """A stored column over the candles at hand."""
        node = self._graph.field(name, self._scope.source)
        return Series(self._graph.apply("round_to_float32", node) if self._scope.options.float32_fields else node)

    def elsewhere(self, source: Source, expression: Expression) -> Value:
        """The value of an expression over candles of another source, for the rows of this one."""
        here = self._scope.source
        sources = self._scope.workspace.sources
        sources.add(source)
        if len(sources) > _MOST_SOURCES:
            message = f"the formula looks at more than {_MOST_SOURCES} combinations of symbol and timeframe"
            self._problems.add("TOO_MANY_SOURCES", message, expression.span)
            return None
        with self._scope.over(source):
            value = self.value(expression)
        return self._aligned(value, here, expression.span)

    def _series(self, expression: Expression) -> Series | None:
        """One value a row; anything else is a mistake here."""
        return self._calls.single(self.value(expression), expression.span)

    def _number(self, expression: Number) -> Value:
        if math.isinf(expression.value):
            self._problems.add("CONSTANT_INFINITE", "the number is too large for 64 bits", expression.span)
            return None
        return Series(self._graph.constant(expression.value))

    def _text(self, expression: Text) -> Value:
        return TextValue(expression.value)

    def _field(self, expression: Field) -> Value:
        return self.field(expression.name)

    def _name(self, expression: Name) -> Value:
        name, scope = expression.name, self._scope
        if name in scope.defined:
            return scope.value_of(name, self.statement)
        if name in scope.parameters:
            scope.used_parameters.add(name)
            if name in KNOWN_FIELDS or name == NO_VALUE:
                what = "the constant for no value" if name == NO_VALUE else "a field"
                message = f"{quoted(name)} is {what} and a parameter of the job; rename the parameter"
                self._problems.add("PARAMETER_NAME_TAKEN", message, expression.span)
            return Series(self._graph.constant(scope.parameters[name]))
        if name in KNOWN_FIELDS:
            return self.field(name)
        if name == NO_VALUE:
            return Series(self._graph.constant(math.nan))
        self._unknown(name, expression.span)
        return None

    def _unknown(self, name: str, span: Span) -> None:
        scope = self._scope
        later = next((statement for statement in scope.statements if statement.name == name), None)
        if later is not None:
            if later.span.start <= span.start < later.span.end:
                message = f"{quoted(name)} is used in its own definition"
            else:
                line = self._problems.line_of(later.span.start)
                message = f"{quoted(name)} has no value yet; it is defined on line {line}"
            self._problems.add("NOT_YET_DEFINED", message, span)
        elif name in FUNCTIONS:
            signature = FUNCTIONS[name].signature
            message = f"{quoted(name)} is a function; write `{signature}`"
            self._problems.add("FUNCTION_WITHOUT_CALL", message, span, signature=signature)
        else:
            message = (
                f"unknown name {quoted(name)}; expected a field ({', '.join(KNOWN_FIELDS)}, any other stored column "
                "as `$column`), an earlier name or a parameter of the job"
            )
            known = (*KNOWN_FIELDS, *scope.defined, *scope.parameters, *FUNCTIONS)
            self._problems.add("UNKNOWN_NAME", message, span, known=known)

    def _unary(self, expression: Unary) -> Value:
        if expression.operator == "not":
            condition = self._condition(expression.operand, "`not`")
            return None if condition is None else Series(self._graph.apply("not", condition), ColumnKind.SIGNAL)
        operand = self._series(expression.operand)
        if operand is None:
            return None
        return Series(operand.node if expression.operator == "+" else self._graph.apply("negate", operand.node))

    def _power(self, expression: Power) -> Value:
        base, exponent = self._series(expression.base), self._series(expression.exponent)
        if base is None or exponent is None:
            return None
        return self._finite(self._graph.apply("power", base.node, exponent.node), expression.span)

    def _arithmetic(self, expression: Arithmetic) -> Value:
        nodes = self._operands(expression.operands)
        if nodes is None:
            return None
        result = nodes[0]
        for operator, node in zip(expression.operators, nodes[1:], strict=True):
            result = self._graph.apply(_ARITHMETIC[operator], result, node)
        return self._finite(result, expression.span)

    def _finite(self, node: Node, span: Span) -> Series | None:
        """A constant that became infinite was a mistake: nothing that is stored made it so."""
        constant = node.constant
        if constant is not None and math.isinf(constant):
            message = f"this constant is infinite; write `{NO_VALUE}` where no value is meant"
            self._problems.add("CONSTANT_INFINITE", message, span)
            return None
        return Series(node)

    def _comparison(self, expression: Comparison) -> Value:
        nodes = self._operands(expression.operands)
        if nodes is None:
            return None
        result: Node | None = None
        for left, operator, right in zip(nodes, expression.operators, nodes[1:], strict=False):
            operation, swapped = _COMPARISONS[operator]
            link = self._graph.apply(operation, *((right, left) if swapped else (left, right)))
            if self._scope.rules.qlib_defects:
                link = self._never_unknown(link, operator)
            result = link if result is None else self._graph.apply("and", result, link)
        return None if result is None else Series(result, ColumnKind.SIGNAL)

    def _never_unknown(self, compared: Node, operator: str) -> Node:
        """As numpy compares, and so Qlib: NaN is unequal to everything, and no other comparison with it is true."""
        if operator == "!=":
            return self._graph.apply("or", self._graph.apply("is_missing", compared), compared)
        return self._graph.apply("signal_or_zero", compared)

    def _logic(self, expression: Logic) -> Value:
        return self._joined(expression, expression.operators, f"`{expression.operators[0]}`")

    def _bitwise(self, expression: Bitwise) -> Value:
        meant = f"`{expression.operators[0]}`, which binds tighter than comparisons (put those in parentheses),"
        return self._joined(expression, [_BITWISE[operator] for operator in expression.operators], meant)

    def _joined(self, expression: Logic | Bitwise, operations: Sequence[str], taker: str) -> Value:
        conditions: list[Node] = []
        for operand in expression.operands:
            condition = self._condition(operand, taker)
            if condition is not None:
                conditions.append(condition)
        if len(conditions) < len(expression.operands):
            return None
        result = conditions[0]
        for operation, condition in zip(operations, conditions[1:], strict=True):
            result = self._graph.apply(operation, result, condition)
        return Series(result, ColumnKind.SIGNAL)

    def _condition(self, expression: Expression, taker: str) -> Node | None:
        series = self._series(expression)
        return None if series is None else self._calls.condition(series, expression.span, taker)

    def _operands(self, expressions: Sequence[Expression]) -> list[Node] | None:
        """The nodes of all operands, or None if any is wrong; all of them are looked at."""
        nodes: list[Node] = []
        for expression in expressions:  # no comprehension: it would be one more frame a level on Python 3.11
            series = self._series(expression)
            if series is not None:
                nodes.append(series.node)
        return nodes if len(nodes) == len(expressions) else None

    def _postfix(self, expression: Postfix) -> Value:
        trailer = expression.trailer
        if isinstance(trailer, TimeframeSuffix):
            return self._longer(expression.base, trailer)
        value = self.value(expression.base)
        if isinstance(trailer, Member):
            return self._member(value, trailer)
        return self._history(self._calls.single(value, expression.base.span), trailer)

    def _member(self, value: Value, member: Member) -> Value:
        if value is None:
            return None
        if isinstance(value, OtherSymbol):
            source = Source(value.symbol, self._scope.source.timeframe)
            return self.elsewhere(source, Field(member.span, 1, member.name))
        if not isinstance(value, Bundle):
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
        if series is None or not isinstance(candles, int):
            return None
        if candles == 0:
            return series
        shifted = self._graph.apply("shift", series.node, settings=(candles,))
        return Series(self._calls.checked(shifted, index.span), series.kind)

    def _longer(self, base: Expression, suffix: TimeframeSuffix) -> Value:
        """`expression@1w`."""
        try:
            timeframe = Timeframe.parse(suffix.timeframe).text
            most_candles(self._scope.source.timeframe or self._scope.workspace.timeframe, timeframe)
        except ValueError as error:
            self._problems.add("TIMEFRAME", str(error), suffix.span)
            self.value(base)  # what is wrong there is told too
            return None
        if timeframe == self._scope.workspace.timeframe:
            timeframe = ""
        return self.elsewhere(Source(self._scope.source.symbol, timeframe), base)

    def _aligned(self, value: Value, source: Source, span: Span) -> Value:
        match value:
            case Series():
                return Series(self._calls.checked(self._graph.align(value.node, source), span), value.kind)
            case Bundle():
                outputs = {name: self._aligned(output, source, span) for name, output in value.outputs.items()}
                return Bundle(
                    value.function,
                    {name: output for name, output in outputs.items() if isinstance(output, Series | Bundle)},
                )
            case OtherSymbol():
                message = f'a timeframe stands behind a field: `symbol("{value.symbol}").close@1w`'
                self._problems.add("NO_SERIES", message, span)
            case TextValue():
                self._problems.add("TEXT_HERE", "a text has no values over other candles", span)
        return None
