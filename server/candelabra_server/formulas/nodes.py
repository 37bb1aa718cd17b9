"""What a formula is made of once parsed: statements and expressions, each with its place in the text."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from candelabra_server.formulas.problems import Span

__all__ = [
    "Argument",
    "Arithmetic",
    "Bitwise",
    "Call",
    "ColumnKind",
    "Comparison",
    "Expression",
    "Field",
    "Index",
    "Logic",
    "Member",
    "Name",
    "Number",
    "Postfix",
    "Power",
    "SavedCall",
    "Statement",
    "Text",
    "TimeframeSuffix",
    "Unary",
]


class ColumnKind(StrEnum):
    """What the values of a column are."""

    NUMBER = "NUMBER"
    """Any number; NaN is "no value"."""
    SIGNAL = "SIGNAL"
    """1 is true, 0 is false, NaN is unknown."""


@dataclass(frozen=True, slots=True, eq=False)
class Expression:
    """Anything that has a value.

    Operators of equal rank stand in one node, however many there are: a tree is never deeper than its text is
    nested, so walking it needs little stack.

    Attributes:
        span: its place in the text.
        depth: levels of expressions below this one, itself included.
    """

    span: Span
    depth: int


@dataclass(frozen=True, slots=True, eq=False)
class Number(Expression):
    """A number as written."""

    value: float


@dataclass(frozen=True, slots=True, eq=False)
class Name(Expression):
    """A bare name: a field, an earlier name or a parameter."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Field(Expression):
    """`$name`: a stored column, whatever it is called."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Text(Expression):
    """A text in quotes, without them."""

    value: str


@dataclass(frozen=True, slots=True, eq=False)
class Argument:
    """One argument of a call; `name` is None for one by position, and `span` covers name and value."""

    span: Span
    name: str | None
    value: Expression


@dataclass(frozen=True, slots=True, eq=False)
class Call(Expression):
    """`function(…)`; `name_span` is the function's name alone."""

    name: str
    name_span: Span
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SavedCall(Expression):
    """`@id(…)` or `@id@version(…)`; `reference` is without the first `@`, and `name_span` is of both."""

    reference: str
    name_span: Span
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Unary(Expression):
    """`-x`, `+x` or `not x`."""

    operator: str
    operand: Expression


@dataclass(frozen=True, slots=True, eq=False)
class Power(Expression):
    """`base ^ exponent`, also written `**`."""

    base: Expression
    exponent: Expression


@dataclass(frozen=True, slots=True, eq=False)
class Arithmetic(Expression):
    """`a + b - c` or `a * b / c % d`, from left to right; one operator fewer than operands."""

    operands: tuple[Expression, ...]
    operators: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Comparison(Expression):
    """`a < b` or a chain `a < b <= c`, which means `a < b and b <= c`."""

    operands: tuple[Expression, ...]
    operators: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Logic(Expression):
    """`a and b and c`, or the same with `or`."""

    operands: tuple[Expression, ...]
    operators: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Bitwise(Expression):
    """`a & b & c`, or the same with `|`: as in Python, and so in Qlib, they bind tighter than comparisons."""

    operands: tuple[Expression, ...]
    operators: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """`[candles]` behind an expression: its value that many candles ago."""

    span: Span
    candles: Expression


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """`.name` behind an expression: one of several outputs."""

    span: Span
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class TimeframeSuffix:
    """`@1w` behind an expression: the same over longer candles; `timeframe` as it was written."""

    span: Span
    timeframe: str


@dataclass(frozen=True, slots=True, eq=False)
class Postfix(Expression):
    """An expression with one of `[…]`, `.name` and `@timeframe` behind it."""

    base: Expression
    trailer: Index | Member | TimeframeSuffix


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """`name = expression` or an expression alone.

    Attributes:
        span: the whole statement.
        name: None where none was written.
        name_span: the name's place, or the statement's where there is none.
        expression: None where it could not be parsed; the name is then known, its value is not.
    """

    span: Span
    name: str | None
    name_span: Span
    expression: Expression | None
