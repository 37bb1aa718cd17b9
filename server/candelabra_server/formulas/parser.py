"""The grammar: the text of one statement to typed nodes.

Lark's LALR parser keeps its own stack and calls the builder bottom-up, so no text can make it recurse.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from candelabra_server.formulas.nodes import (
    Argument,
    Arithmetic,
    Bitwise,
    Call,
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
from candelabra_server.formulas.prescan import StatementText
from candelabra_server.formulas.problems import ProblemLog, Span, quoted

__all__ = ["MAX_DEPTH", "MAX_TOTAL_DEPTH", "parse_statement"]

MAX_DEPTH = 120
"""Deepest tree of a statement."""
MAX_TOTAL_DEPTH = 180
"""Deepest of all trees that are walked within one another; a level takes four frames, and Python allows a thousand."""

_GRAMMAR = r"""
start: [NAME ASSIGN] _expression

_expression: disjunction
?disjunction: conjunction | conjunction (OR conjunction)+        -> logic
?conjunction: negation | negation (AND negation)+                -> logic
?negation: comparison | NOT negation                             -> unary
?comparison: either | either (COMPARE either)+                   -> compare
?either: both | both (PIPE both)+                                -> bitwise
?both: sum | sum (AMPERSAND sum)+                                -> bitwise
?sum: product | product ((PLUS | MINUS) product)+                -> arithmetic
?product: sign | sign (SCALE sign)+                              -> arithmetic
?sign: power | (PLUS | MINUS) sign                               -> unary
?power: postfix | postfix POWER sign                             -> power
?postfix: atom | atom _trailer+                                  -> postfix
_trailer: index | member | timeframe
index: LSQB _expression RSQB
member: DOT NAME
timeframe: TIMEFRAME
?atom: NUMBER                                                    -> number
     | NAME                                                      -> name
     | FIELD                                                     -> field
     | TEXT                                                      -> text
     | NAME LPAR [argument (_COMMA argument)* [_COMMA]] RPAR     -> call
     | SAVED LPAR [argument (_COMMA argument)* [_COMMA]] RPAR    -> saved_call
     | LPAR _expression RPAR                                     -> group
argument: [NAME ASSIGN] _expression

AND: "and"
OR: "or"
NOT: "not"
NAME: /[A-Za-z_][A-Za-z0-9_]*/
FIELD: /\$[A-Za-z_][A-Za-z0-9_]*/
TEXT: /"[^"\n]*"|'[^'\n]*'/
TIMEFRAME: /@[0-9]+[A-Za-z]+/
SAVED: /@[A-Za-z_][A-Za-z0-9_]*(\/[A-Za-z_][A-Za-z0-9_]*)*(@[0-9]+)?/
NUMBER: /([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?/
COMPARE: "<" | "<=" | ">" | ">=" | "==" | "!="
POWER: "^" | "**"
SCALE: "*" | "/" | "%"
AMPERSAND: "&"
PIPE: "|"
PLUS: "+"
MINUS: "-"
ASSIGN: "="
LPAR: "("
RPAR: ")"
LSQB: "["
RSQB: "]"
DOT: "."
_COMMA: ","
%ignore / +/
"""

# What may come next, in the order in which it is told; one terminal of a group stands for all of it.
_EXPECTED_WORDS = (
    ("NUMBER", "a value (a number, name, `$field` or function call)"),
    ("SCALE", "an operator"),
    ("_COMMA", "`,`"),
    ("RPAR", "`)`"),
    ("RSQB", "`]`"),
    ("$END", "the end of the statement"),
)
_ONLY_EXPECTED = {
    frozenset({"NAME"}): ["the name of an output"],
    frozenset({"LPAR"}): ["`(` and the saved formula's parameters, as in `@trend(20)`"],
}
_AFTER_VALUE = frozenset({"_COMMA", "RPAR", "RSQB", "$END"})
_CHARACTER_HINTS = {"$": "; a stored column is `$name`, and point-in-time columns (`$$name`) are not stored"}
_PREFIXED = re.compile(r"[A-Za-z_]\.([A-Za-z_][A-Za-z0-9_]*) *$")
_DOUBLED = {"AMPERSAND": "and", "PIPE": "or"}
_NAMED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*=(?!=)")
_WORD_OPERATORS = ("and", "or", "not")


def parse_statement(source: StatementText, problems: ProblemLog) -> Statement:
    """Typed nodes of one statement. What is wrong is noted, and the statement then has no expression."""
    span = Span(source.start, source.start + len(source.text))
    try:
        # Blanks in front make the positions of tokens positions in the whole text.
        parsed: Any = _parser().parse(" " * source.start + source.text)
    except UnexpectedInput as error:
        _note(error, source, span, problems)
        return _without_expression(source, span)
    name, expression = parsed
    if expression.depth > MAX_DEPTH:
        problems.add("TOO_DEEP", f"nested more than {MAX_DEPTH} levels deep; name a part in a line of its own", span)
        return _without_expression(source, span)
    return Statement(span, None if name is None else str(name), span if name is None else _span(name), expression)


class _Builder(Transformer[Token, Any]):
    """Nodes from the grammar's rules, bottom-up, while the parser runs."""

    def start(self, children: list[Any]) -> tuple[Token | None, Expression]:
        name, _, expression = children
        return name, expression

    def number(self, children: list[Token]) -> Number:
        return Number(_span(children[0]), 1, float(children[0]))

    def name(self, children: list[Token]) -> Name:
        return Name(_span(children[0]), 1, str(children[0]))

    def field(self, children: list[Token]) -> Field:
        return Field(_span(children[0]), 1, str(children[0])[1:])

    def text(self, children: list[Token]) -> Text:
        return Text(_span(children[0]), 1, str(children[0])[1:-1])

    def group(self, children: list[Any]) -> Expression:
        expression: Expression = children[1]
        return expression

    def call(self, children: list[Any]) -> Call:
        name, closing = children[0], children[-1]
        arguments = tuple(child for child in children if isinstance(child, Argument))
        span = Span(_start(name), _end(closing))
        depth = 1 + max((argument.value.depth for argument in arguments), default=0)
        return Call(span, depth, str(name), _span(name), arguments)

    def saved_call(self, children: list[Any]) -> SavedCall:
        call = self.call(children)
        return SavedCall(call.span, call.depth, call.name[1:], call.name_span, call.arguments)

    def argument(self, children: list[Any]) -> Argument:
        name, _, value = children
        start = value.span.start if name is None else _start(name)
        return Argument(Span(start, value.span.end), None if name is None else str(name), value)

    def unary(self, children: list[Any]) -> Unary:
        operator, operand = children
        return Unary(Span(_start(operator), operand.span.end), operand.depth + 1, str(operator), operand)

    def power(self, children: list[Any]) -> Power:
        base, _, exponent = children
        return Power(Span(base.span.start, exponent.span.end), _depth([base, exponent]), base, exponent)

    def arithmetic(self, children: list[Any]) -> Arithmetic:
        return Arithmetic(*_chain(children))

    def compare(self, children: list[Any]) -> Comparison:
        return Comparison(*_chain(children))

    def logic(self, children: list[Any]) -> Logic:
        return Logic(*_chain(children))

    def bitwise(self, children: list[Any]) -> Bitwise:
        return Bitwise(*_chain(children))

    def index(self, children: list[Any]) -> Index:
        opening, candles, closing = children
        return Index(Span(_start(opening), _end(closing)), candles)

    def member(self, children: list[Token]) -> Member:
        return Member(_span(children[1]), str(children[1]))

    def timeframe(self, children: list[Token]) -> TimeframeSuffix:
        return TimeframeSuffix(_span(children[0]), str(children[0])[1:])

    def postfix(self, children: list[Any]) -> Expression:
        expression: Expression = children[0]
        for trailer in children[1:]:
            below = [expression, *([trailer.candles] if isinstance(trailer, Index) else [])]
            span = Span(expression.span.start, trailer.span.end)
            expression = Postfix(span, _depth(below), expression, trailer)
        return expression


@cache
def _parser() -> Lark:
    """The grammar's tables, built once a process; parsing with them is safe from several threads."""
    return Lark(_GRAMMAR, parser="lalr", lexer="basic", maybe_placeholders=True, transformer=_Builder())


def _chain(children: Sequence[Any]) -> tuple[Span, int, tuple[Expression, ...], tuple[str, ...]]:
    operands = tuple(children[::2])
    operators = tuple(str(operator) for operator in children[1::2])
    return Span(operands[0].span.start, operands[-1].span.end), _depth(operands), operands, operators


def _depth(below: Sequence[Expression]) -> int:
    return 1 + max(expression.depth for expression in below)


def _start(token: Token) -> int:
    return token.start_pos or 0


def _end(token: Token) -> int:
    return token.end_pos or 0


def _span(token: Token) -> Span:
    return Span(_start(token), _end(token))


def _without_expression(source: StatementText, span: Span) -> Statement:
    """What can be told of a statement that has no tree: its name, so that later uses of it are no mistakes."""
    if match := _NAMED.match(source.text):
        return Statement(span, match[1], Span(span.start, span.start + len(match[1])), None)
    return Statement(span, None, span, None)


def _note(error: UnexpectedInput, source: StatementText, span: Span, problems: ProblemLog) -> None:
    """Says in words what stood in the way and what could have stood there."""
    if isinstance(error, UnexpectedCharacters):
        at = error.pos_in_stream or 0
        hint = _CHARACTER_HINTS.get(_character(error), "")
        problems.add("SYNTAX", f"{quoted(_character(error))} cannot stand here{hint}", Span(at, at + 1))
        return
    if not isinstance(error, UnexpectedToken):
        raise error  # an LALR parser with a lexer has no other
    accepted = error.accepts or set()
    if "NUMBER" not in accepted and not _AFTER_VALUE.isdisjoint(accepted):
        accepted = accepted | {"SCALE"}  # the parser may have taken the value for complete already
    expected = [words for terminal, words in _EXPECTED_WORDS if terminal in accepted]
    expected = _ONLY_EXPECTED.get(frozenset(accepted), expected)
    wanted = " or ".join([", ".join(expected[:-1]), expected[-1]] if len(expected) > 1 else expected)
    token = error.token
    if token.type == "$END":
        hint = "; a line may break inside brackets" if problems.has_line_after(span.end) else ""
        message = f"the statement ends too early; expected {wanted}{hint}"
        problems.add("SYNTAX", message, Span(span.end, span.end + 1))
        return
    hint = _hint(token, accepted, source)
    problems.add(
        "SYNTAX",
        f"unexpected {quoted(str(token))}; expected {wanted}{hint}",
        _span(token),
        known=_WORD_OPERATORS if token.type == "NAME" else None,
    )


def _hint(token: Token, accepted: set[str], source: StatementText) -> str:
    if token.type == "SAVED" and "SCALE" in accepted:
        return "; a longer timeframe is written `@1w`"
    before = source.text[: _start(token) - source.start]
    if token.type == "LPAR" and (prefixed := _PREFIXED.search(before)):
        return f"; functions are written without a prefix: `{prefixed[1]}(…)`"
    if token.type in _DOUBLED and before.endswith(str(token)):
        return f"; write `{_DOUBLED[token.type]}`"
    if token.type == "ASSIGN" and "SCALE" in accepted:
        return "; for equality write `==`"
    if token.type == "COMPARE" and before.endswith("="):
        return f"; write `{token}=`"
    return ""


def _character(error: UnexpectedCharacters) -> str:
    return str(error.char)
