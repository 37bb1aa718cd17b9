"""A first pass over the text in linear time: limits, characters, brackets, and where each statement stands.

Nothing that passes here can make the grammar or a tree walk expensive:

1. Length is checked before anything else looks at the text.
2. Characters that can be seen nowhere or change how others are seen are refused, in texts and comments too.
3. Comments become blanks, and so do line breaks inside brackets; offsets stay what they are.
4. Brackets are matched and nesting is measured: open brackets, plus prefix operators and powers that hang on one
   another, since each of those is a level of the tree too.
5. The text is cut into statements, so that each can have a syntax error of its own.

It stops where it has seen enough to refuse the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from candelabra_server.formulas.limits import FormulaLimits
from candelabra_server.formulas.problems import MOST_PROBLEMS, ProblemLog, Span

__all__ = ["StatementText", "prescan", "refuse_long_text"]

_TOKEN = re.compile(
    r"(?P<blank>[ \t\r]+)"
    r"|(?P<comment>\#[^\n]*)"
    r"|(?P<text>\"[^\"\n]*\"|'[^'\n]*')"
    r"|(?P<at>@[A-Za-z0-9_]+(?:/[A-Za-z_][A-Za-z0-9_]*)*(?:@[0-9]+)?)"
    r"|(?P<word>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[$A-Za-z_][$A-Za-z_0-9]*)"
    r"|(?P<power>\*\*|\^)"
    r"|(?P<compare>[<>=!]=|[<>])"
    r"|(?P<open>[(\[])"
    r"|(?P<close>[)\]])"
    r"|(?P<sign>[+-])"
    r"|(?P<scale>[*/%&|])"
    r"|(?P<comma>[,=])"
    r"|(?P<separator>[;\n](?:[;\n \t\r]|\#[^\n]*)*)"
    r"|(?P<dot>\.)"
    r"|(?P<other>.)",
    re.DOTALL,
)
_COMMENT = re.compile(r"\#[^\n]*")
# Control characters but tab and line ends, marks that turn the direction of writing, halves of UTF-16 pairs.
_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_SHOWN_OF_LONG_TEXT = 100
_CLOSER = {"(": ")", "[": "]"}
_HINTS = {
    "!": "write `not`, or `!=` for not equal",
    "?": "write `if(condition, a, b)`",
    ":": "write `if(condition, a, b)` for a choice, `=` for a name",
    "{": "write `(`",
    "}": "write `)`",
    "'": "a text ends on the line where it begins, with the same mark",
    '"': "a text ends on the line where it begins, with the same mark",
    "@": "write `close@1w` for another timeframe, `@name(…)` for a saved formula",
    "~": "write `not`",
    "\u2212": "write `-`",
    "\u2013": "write `-`",
    "\u00d7": "write `*`",
    "\u00f7": "write `/`",
    "\u2264": "write `<=`",
    "\u2265": "write `>=`",
    "\u00a0": "use a plain blank",
}


@dataclass(frozen=True, slots=True)
class StatementText:
    """One statement's text, without comments and on one line; `start` is its offset in the whole text."""

    text: str
    start: int


class _Level:
    """What hangs together at one level of brackets: `signs` ends at the next weaker operator, `negations` later."""

    __slots__ = ("negations", "opener", "signs", "start")

    def __init__(self, opener: str, start: int) -> None:
        self.opener = opener
        self.start = start
        self.signs = 0
        self.negations = 0

    @property
    def depth(self) -> int:
        return self.signs + self.negations


def prescan(text: str, limits: FormulaLimits, problems: ProblemLog, *, trusted: bool = False) -> list[StatementText]:
    """Cuts the text into statements, none of them blank; the length of a trusted text has no limit.

    Raises:
        FormulaError: a limit is passed, a character cannot be used, brackets do not match, or there is nothing.
    """
    if not trusted:
        refuse_long_text(text, limits)
    for match in islice(_UNSEEN.finditer(text), MOST_PROBLEMS):
        _note_unusable(match.group(), match.start(), problems)
    statements = list(islice(_Scan(text, limits, problems).run(), limits.max_statements + 1))
    if not problems and not statements:
        problems.add("EMPTY", "the formula is empty; expected an expression such as `sma(close, 20)`", Span(0, 1))
    if len(statements) > limits.max_statements:
        problems.add(
            "TOO_MANY_STATEMENTS",
            f"the formula has more than {limits.max_statements} statements, the limit",
            Span(statements[-1].start, statements[-1].start + 1),
        )
    if problems:
        problems.fail()
    return statements


def refuse_long_text(text: str, limits: FormulaLimits) -> None:
    """Refuses a text of too many characters, and keeps nothing of it but its beginning.

    Raises:
        FormulaError: it has too many.
    """
    most = limits.max_expression_length
    if len(text) > most:
        problems = ProblemLog(text[:_SHOWN_OF_LONG_TEXT])
        problems.add("TOO_LONG", f"the formula has {len(text)} characters; the limit is {most}", Span(0, 1))
        problems.fail()


class _Scan:
    """One pass over one text."""

    def __init__(self, text: str, limits: FormulaLimits, problems: ProblemLog) -> None:
        self._text = text
        self._limits = limits
        self._problems = problems
        self._levels = [_Level("", 0)]
        self._outer_depth = 0  # of all levels but the innermost, their brackets included
        self._after_operand = False

    def run(self) -> Iterator[StatementText]:
        parts: list[str] = []
        start = 0
        for match in _TOKEN.finditer(self._text):
            kind, piece = match.lastgroup, match.group()
            if kind == "separator" and (len(self._levels) == 1 or ";" in _COMMENT.sub("", piece)):
                self._unclosed()
                yield from _statement(parts, start)
                parts, start = [], match.end()
                self._after_operand = False
            elif kind in {"comment", "separator", "blank"}:
                parts.append(" " * len(piece))
            else:
                parts.append(piece)
                self._follow(kind, piece, match.start())
        self._unclosed()
        yield from _statement(parts, start)

    def _follow(self, kind: str | None, piece: str, start: int) -> None:
        """Keeps brackets and nesting."""
        level = self._levels[-1]
        after_operand, self._after_operand = self._after_operand, False
        if kind == "word":
            self._word(level, piece)
        elif kind in {"text", "at"}:
            self._after_operand = True
        elif kind == "open":
            self._outer_depth += level.depth + 1
            self._levels.append(_Level(piece, start))
        elif kind == "close":
            self._close(piece, start)
        elif kind == "power" or (kind == "sign" and not after_operand):
            level.signs += 1
        elif kind in {"sign", "scale", "compare"}:
            level.signs = 0
        elif kind == "comma":
            level.signs = level.negations = 0
        elif kind == "other":
            self._unusable(piece, start)
        if self._outer_depth + self._levels[-1].depth > self._limits.max_nesting:
            self._problems.add(
                "TOO_DEEP",
                f"nested more than {self._limits.max_nesting} levels deep; name a part in a line of its own",
                Span(start, start + len(piece)),
            )
            self._problems.fail()

    def _word(self, level: _Level, piece: str) -> None:
        if piece in {"and", "or"}:
            level.signs = level.negations = 0
        elif piece == "not":
            level.negations += 1
        else:
            self._after_operand = True

    def _close(self, piece: str, start: int) -> None:
        level = self._levels[-1]
        if _CLOSER.get(level.opener) == piece:
            self._levels.pop()
            self._outer_depth -= self._levels[-1].depth + 1
            self._after_operand = True
            return
        if level.opener:
            message = f"`{level.opener}` is closed by `{piece}`; expected `{_CLOSER[level.opener]}`"
        else:
            message = f"`{piece}` closes nothing"
        self._problems.add("UNBALANCED", message, Span(start, start + 1))
        self._problems.fail()

    def _unclosed(self) -> None:
        """Every bracket still open at the end of a statement; then a new beginning."""
        for level in self._levels[1:]:
            self._problems.add("UNBALANCED", f"`{level.opener}` is never closed", Span(level.start, level.start + 1))
        if len(self._levels) > 1:
            self._problems.fail()
        self._levels = [_Level("", 0)]
        self._outer_depth = 0

    def _unusable(self, piece: str, start: int) -> None:
        _note_unusable(piece, start, self._problems)
        if self._problems.full:
            self._problems.fail()
        self._after_operand = not piece.isascii()


def _note_unusable(piece: str, start: int, problems: ProblemLog) -> None:
    shown = f"`{piece}`" if piece.isprintable() else f"U+{ord(piece):04X}"
    if not piece.isascii():
        shown += f" ({unicodedata.name(piece, 'no name')})"
    hint = f"; {_HINTS[piece]}" if piece in _HINTS else ""
    problems.add("BAD_CHARACTER", f"{shown} cannot be used in a formula{hint}", Span(start, start + 1))


def _statement(parts: list[str], start: int) -> Iterator[StatementText]:
    text = "".join(parts)
    if stripped := text.strip():
        yield StatementText(stripped, start + len(text) - len(text.lstrip()))
