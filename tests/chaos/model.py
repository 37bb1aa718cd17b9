"""What each client must receive: every arrival is checked when it comes, what is missing at the end.

What depends on faults (errors of symbols) is only noted here, and judged in `verdict.py` when all faults are known.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from chaos.candles import is_poison
from chaos.requests import Answer, Formula, Request, answer_of

__all__ = ["Arrival", "Claim", "Ending", "ExpectedJob", "ExpectedScreen", "Ledger", "Problem"]

_Column = npt.NDArray[np.float64] | npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A symbol's result, or its error, has come whole."""

    nanoseconds: int
    job: int
    symbol: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """The server says that a symbol has no result, and why."""

    job: int
    symbol: str
    reason: str
    text: str
    began: int = 0
    """When the job began, by CLOCK_MONOTONIC in nanoseconds, and when the error came."""
    nanoseconds: int = 0


@dataclass(frozen=True, slots=True)
class Ending:
    """A client has asked for no more of a job, at this moment."""

    nanoseconds: int
    job: int
    how: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A broken promise; `what` is lost, doubled, wrong or hung."""

    what: str
    job: int
    text: str

    def __str__(self) -> str:
        return f"{self.what}: job {self.job}: {self.text}"


@dataclass
class Ledger:
    """All that clients have seen. Several threads add to it; each addition is one call of a list's or a counter's."""

    arrivals: list[Arrival] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How many jobs of each kind of client ended how."""
    unavailable: int = 0
    """How many times a job was refused or ended with UNAVAILABLE, and was sent again by the harness."""


class Expected:
    """A job or screen that runs; `moved` is when anything of it was last heard of, by time.monotonic()."""

    def __init__(self, ledger: Ledger, number: int, kind: str) -> None:
        self.number = number
        self.kind = kind
        self.moved = time.monotonic()
        self._began = time.monotonic_ns()
        self._ledger = ledger

    def move(self) -> None:
        """Something has happened, be it that the client waits on purpose."""
        self.moved = time.monotonic()

    def problem(self, what: str, text: str) -> None:
        """A promise was broken."""
        self._ledger.problems.append(Problem(what, self.number, f"{self.kind}: {text}"))

    def stop_caring(self, how: str, nanoseconds: int | None = None) -> None:
        """From now on, or from then on, nobody wants more of it."""
        self._ledger.endings.append(Ending(nanoseconds or time.monotonic_ns(), self.number, how))

    def _arrive(self, symbol: str, *, is_error: bool = False) -> None:
        self.move()
        self._ledger.arrivals.append(Arrival(time.monotonic_ns(), self.number, symbol, is_error))

    def _claim(self, symbol: str, reason: str, text: str) -> None:
        self._ledger.claims.append(Claim(self.number, symbol, reason, text, self._began, time.monotonic_ns()))


class ExpectedJob(Expected):
    """What one job must give."""

    def __init__(self, ledger: Ledger, request: Request, kind: str) -> None:
        super().__init__(ledger, request.number, kind)
        self.request = request
        self._done: set[str] = set()

    @property
    def missing(self) -> tuple[str, ...]:
        """Symbols that have not come yet."""
        return tuple(symbol for symbol in self.request.symbols if symbol not in self._done)

    def result(self, symbol: str, times: npt.NDArray[np.int64], columns: Mapping[str, _Column]) -> None:
        """A whole result has come."""
        self.part(symbol, 0, times, columns, is_last=True)

    def part(
        self,
        symbol: str,
        first_row: int,
        times: npt.NDArray[np.int64],
        columns: Mapping[str, _Column],
        *,
        is_last: bool,
    ) -> None:
        """Some rows of a result have come."""
        self.move()
        if symbol not in self.request.symbols:
            self.problem("wrong", f"{symbol} was not asked for")
            return
        if symbol in self._done:
            self.problem("doubled", f"{symbol} came again")
        if is_poison(symbol):
            self.problem("wrong", f"{symbol} has a result although its worker dies")
        difference = _difference(self.request.answer(symbol), first_row, times, columns, is_last=is_last)
        if difference:
            self.problem("wrong", f"{symbol}: {difference}")
        if is_last:
            self._complete(symbol)

    def error(self, symbol: str, reason: str, text: str) -> None:
        """The symbol has failed."""
        if symbol not in self.request.symbols:
            self.problem("wrong", f"{symbol} was not asked for")
            return
        if symbol in self._done:
            self.problem("doubled", f"{symbol} failed after it had come")
        self._claim(symbol, reason, text)
        self._complete(symbol, is_error=True)

    def finish(self, why: str = "") -> None:
        """The job has ended, and what is missing now is lost."""
        for symbol in self.missing:
            self.problem("lost", f"{symbol} {why}")

    def _complete(self, symbol: str, *, is_error: bool = False) -> None:
        self._done.add(symbol)
        self._arrive(symbol, is_error=is_error)


class ExpectedScreen(Expected):
    """What one screen must give.

    Args:
        ledger: of the run.
        number: names the screen, as jobs.
        kind: of client.
        symbols: that are screened.
        formula: whose column `up`, where it has one, says which of them pass.
        limit: where there is one, the screen is sorted, the largest `average` first.
    """

    def __init__(
        self, ledger: Ledger, number: int, kind: str, *, symbols: Sequence[str], formula: Formula, limit: int = 0
    ) -> None:
        super().__init__(ledger, number, kind)
        self.symbols, self.formula, self.limit = tuple(symbols), formula, limit
        self.rows: list[str] = []

    def begin_again(self) -> None:
        """The harness sends the whole screen again."""
        self.move()
        self.rows.clear()

    def row(self, symbol: str, values: Mapping[str, float]) -> None:
        """A symbol has passed."""
        if symbol not in self.symbols:
            self.problem("wrong", f"{symbol} was not asked for")
            return
        if symbol in self.rows:
            self.problem("doubled", f"{symbol} came again")
        self.rows.append(symbol)
        self._arrive(symbol)
        last = self.last(symbol)
        if is_poison(symbol) or not _passes(last) or not _equal(last, values):
            self.problem("wrong", f"{symbol} has {values}, expected {last}")

    def finish(self, errors: Mapping[str, tuple[str, str]]) -> None:
        """The screen has ended; `errors` has reason and text of each symbol that has failed."""
        for symbol, (reason, text) in errors.items():
            if symbol not in self.rows:
                self._claim(symbol, reason, text)
        passing = [
            symbol
            for symbol in self.symbols
            if symbol not in errors or symbol in self.rows
            if is_poison(symbol) or _passes(self.last(symbol))
        ]
        if self.limit:
            passing.sort(key=lambda symbol: (-self.last(symbol)["average"], symbol))
            passing = passing[: self.limit]
            if self.rows != passing and not set(passing) - set(self.rows):
                self.problem("wrong", f"rows are not in order: {self.rows}, expected {passing}")
        for symbol in passing:
            if symbol not in self.rows:
                self.problem("lost", symbol)

    def last(self, symbol: str) -> dict[str, float]:
        """A symbol's last row."""
        return {name: float(column[-1]) for name, column in answer_of(symbol, self.formula).columns.items()}


def _passes(row: Mapping[str, float]) -> bool:
    return bool(row.get("up", 1.0))


def _equal(expected: Mapping[str, float], found: Mapping[str, float]) -> bool:
    return expected.keys() == found.keys() and all(
        np.array_equal(expected[name], found[name], equal_nan=True) for name in expected
    )


def _difference(
    answer: Answer,
    first_row: int,
    times: npt.NDArray[np.int64],
    columns: Mapping[str, _Column],
    *,
    is_last: bool,
) -> str:
    """How rows differ from those that are right; empty when they do not."""
    end = first_row + len(times)
    if end > len(answer.times) or (is_last and end != len(answer.times)):
        return f"rows {first_row} to {end} came as {'the last' if is_last else 'some'} of {len(answer.times)}"
    if not np.array_equal(answer.times[first_row:end], times):
        return f"the times of rows {first_row} to {end} are not right"
    if answer.columns.keys() != columns.keys():
        return f"its columns are {list(columns)}, expected {list(answer.columns)}"
    for name, column in columns.items():
        expected = answer.columns[name][first_row:end]
        if not np.array_equal(expected.astype(column.dtype, copy=False), column, equal_nan=True):
            return f"the values of {name} in rows {first_row} to {end} are not right"
    return ""
