"""Collecting everything that is wrong with one formula, with positions and suggestions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from heapq import nsmallest
from typing import NamedTuple, NoReturn

from candelabra_server.errors import FormulaError, FormulaProblem

__all__ = ["MOST_PROBLEMS", "ProblemLog", "Span", "closest_name", "quoted"]

MOST_PROBLEMS = 20
"""Past this many, one more mistake helps nobody."""
_MAX_NAME = 40
"""Longer names are cut in messages and get no suggestion."""
_MOST_COMPARED = 30
"""Names that are compared letter by letter with a wrong one: a text may bring hundreds that are nearly equal."""


class Span(NamedTuple):
    """Where something stands in the text: `start` inclusive, `end` exclusive, characters counted from 0."""

    start: int
    end: int


class ProblemLog:
    """Problems of one text. Not for use by several threads.

    Every position becomes line and column here. A span over several lines is cut at the end of its first line.

    Args:
        text: that the problems are of.
        most: further problems are dropped.
    """

    def __init__(self, text: str, *, most: int = MOST_PROBLEMS) -> None:
        self._text = text
        self._most = most
        self._lines: dict[int, str] = {}
        """By where they begin: problems of one line share its text."""
        self._found: list[tuple[Span, FormulaProblem]] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(
        self,
        code: str,
        message: str,
        span: Span,
        *,
        known: Iterable[str] | None = None,
        meant: str | None = None,
        signature: str = "",
    ) -> None:
        """Notes a problem, once however often it is met.

        Args:
            code: stable, upper-case.
            message: one line.
            span: what is wrong.
            known: names of which the closest to the spanned text is suggested.
            meant: what is suggested without looking for it.
            signature: how the function that is called wrongly is written.
        """
        if self.full or any(span == place and problem.code == code for place, problem in self._found):
            return
        text = self._text
        start = min(max(span.start, 0), len(text))
        line_start = text.rfind("\n", 0, start) + 1
        line_end = text.find("\n", start)
        line_end = len(text) if line_end < 0 else line_end
        suggestion = meant
        if meant is None and known is not None:
            suggestion = closest_name(text[span.start : span.end].lstrip("$"), known)
        self._found.append(
            (
                span,
                FormulaProblem(
                    code=code,
                    message=message,
                    line=text.count("\n", 0, start) + 1,
                    column=start - line_start + 1,
                    length=max(1, min(span.end, line_end) - start),
                    source=self._lines.setdefault(line_start, text[line_start:line_end]),
                    suggestion=suggestion,
                    signature=signature,
                ),
            )
        )

    @property
    def full(self) -> bool:
        """Whether further problems are dropped."""
        return len(self._found) >= self._most

    def line_of(self, offset: int) -> int:
        """The line of a character, counted from 1."""
        return self._text.count("\n", 0, offset) + 1

    def has_line_after(self, offset: int) -> bool:
        """Whether more text follows on a later line."""
        return "\n" in self._text[offset:].rstrip()

    def fail(self) -> NoReturn:
        """Raises everything found, in order of position.

        Raises:
            FormulaError: always.
        """
        ordered = sorted(self._found, key=lambda found: found[0])
        raise FormulaError(problem for _, problem in ordered)


def quoted(name: str) -> str:
    """A name as messages show it: in backticks, cut when very long."""
    return f"`{name}`" if len(name) <= _MAX_NAME else f"`{name[:_MAX_NAME]}…`"


def closest_name(name: str, known: Iterable[str]) -> str | None:
    """The known name that was most likely meant, or None where none is close.

    Spellings that differ only in case come first, then the smallest edit distance (a swap of neighbours counts as
    one edit) up to a third of the name's length: one of one or two letters is within an edit of something by chance.
    """
    if not 0 < len(name) <= _MAX_NAME:
        return None
    best = min(_close_names(name, known), default=None)
    return None if best is None else best[-1]


def _close_names(name: str, known: Iterable[str]) -> Iterator[tuple[int, int, str]]:
    lowered = name.lower()
    allowed = len(name) // 3
    for _, folded, candidate in nsmallest(_MOST_COMPARED, _possible_names(name, lowered, allowed, known)):
        distance = _edit_distance(lowered, folded)
        if distance <= allowed:
            is_same = (lowered, folded) == (name, candidate)
            yield distance, distance if is_same else _edit_distance(name, candidate), candidate


def _possible_names(name: str, lowered: str, allowed: int, known: Iterable[str]) -> Iterator[tuple[int, str, str]]:
    """The names that the letters alone do not rule out, with the fewest edits that can be between."""
    letters = Counter(lowered)
    for candidate in known:
        if candidate == name or abs(len(candidate) - len(name)) > allowed:
            continue
        folded = candidate.lower()
        others = Counter(folded)
        least = max((letters - others).total(), (others - letters).total())
        if least <= allowed:
            yield least, folded, candidate


def _edit_distance(first: str, second: str) -> int:
    """Insertions, deletions, replacements and swaps of neighbours (optimal string alignment)."""
    before: list[int] = []
    above = list(range(len(second) + 1))
    for row, left in enumerate(first, 1):
        current = [row]
        for column, right in enumerate(second, 1):
            cost = min(above[column] + 1, current[column - 1] + 1, above[column - 1] + (left != right))
            if row > 1 and column > 1 and left == second[column - 2] and first[row - 2] == right:
                cost = min(cost, before[column - 2] + 1)
            current.append(cost)
        before, above = above, current
    return above[-1]
