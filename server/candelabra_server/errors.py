"""Every error that Candelabra raises on purpose, with the stable reason a program can act on.

The text of these errors is written for users and may reach a client as it is; the text of any other
exception never does.

    CandelabraError
    ├── ConfigurationError        the server cannot work as configured
    │   └── WorkerStartError      a worker could not build what it needs from its configuration
    ├── InvalidRequestError       a request cannot run; carries every violation found
    ├── FormulaError              a formula is wrong; carries every problem found
    ├── FormulaNotFoundError      no formula is saved under this id, or not in this version
    ├── FormulaExistsError        a formula of this id is saved already
    ├── FormulaChangedError       somebody else has changed the formula meanwhile
    ├── ImportRefusedError        files cannot be imported; carries every problem found
    ├── StoreError                the candle store or the saved formulas cannot be read or written
    │   └── TimeframeNotStoredError
    ├── SymbolFailure             one symbol of a job has no result, the others go on
    ├── JobTimeLimitError         a job was not finished in the time that it had
    ├── OverloadedError           too much is asked of the server at once; says when to come again
    └── UnavailableError          not now: shutting down, no worker can be started, or saved formulas are locked
        └── EngineShutDownError   the server was shut down before a job was finished
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

__all__ = [
    "CandelabraError",
    "ConfigurationError",
    "EngineShutDownError",
    "FormulaChangedError",
    "FormulaError",
    "FormulaExistsError",
    "FormulaNotFoundError",
    "FormulaProblem",
    "ImportProblem",
    "ImportRefusedError",
    "InvalidRequestError",
    "JobTimeLimitError",
    "OverloadedError",
    "Reason",
    "StoreError",
    "SymbolFailure",
    "TimeframeNotStoredError",
    "UnavailableError",
    "Violation",
    "WorkerStartError",
]

_SHOWN_CHARACTERS = 100
"""Most characters of a formula's line that a problem shows."""


class Reason(StrEnum):
    """Stable, machine-readable causes: of jobs (ErrorInfo.reason) and of symbols (SymbolError.reason)."""

    # Requests
    INVALID_REQUEST = "INVALID_REQUEST"
    INVALID_FORMULA = "INVALID_FORMULA"
    FORMULA_NOT_FOUND = "FORMULA_NOT_FOUND"
    FORMULA_EXISTS = "FORMULA_EXISTS"
    FORMULA_CHANGED = "FORMULA_CHANGED"
    TIMEFRAME_NOT_STORED = "TIMEFRAME_NOT_STORED"
    # Symbols
    UNKNOWN_SYMBOL = "UNKNOWN_SYMBOL"
    NO_CANDLES = "NO_CANDLES"
    FIELD_NOT_STORED = "FIELD_NOT_STORED"
    EVALUATION_FAILED = "EVALUATION_FAILED"
    SYMBOL_TIME_LIMIT = "SYMBOL_TIME_LIMIT"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    WORKER_START_FAILED = "WORKER_START_FAILED"
    WORKER_DIED = "WORKER_DIED"
    # The server
    CONFIGURATION_INVALID = "CONFIGURATION_INVALID"
    IMPORT_REFUSED = "IMPORT_REFUSED"
    STORE_UNREADABLE = "STORE_UNREADABLE"
    JOB_TIME_LIMIT = "JOB_TIME_LIMIT"
    TOO_MANY_JOBS = "TOO_MANY_JOBS"
    TOO_MANY_SYMBOLS_QUEUED = "TOO_MANY_SYMBOLS_QUEUED"
    TOO_MANY_BYTES_WAITING = "TOO_MANY_BYTES_WAITING"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL = "INTERNAL"


class CandelabraError(Exception):
    """Base of all errors that Candelabra raises on purpose.

    Attributes:
        reason: the stable cause.
        metadata: details of the cause, all strings.
    """

    reason: Reason = Reason.INTERNAL

    def __init__(
        self, message: str, *, reason: Reason | None = None, metadata: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        if reason is not None:
            self.reason = reason
        self.metadata: Mapping[str, str] = MappingProxyType(dict(metadata or {}))


class ConfigurationError(CandelabraError):
    """The server, or something it is made of, cannot work as configured."""

    reason = Reason.CONFIGURATION_INVALID


class WorkerStartError(ConfigurationError):
    """A worker process could not build its repository or its formula service from their configuration."""

    reason = Reason.WORKER_START_FAILED


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong with a request.

    Attributes:
        field: path of the field in the request's message, for example `formula.expression`.
        description: what is wrong, what was expected and what to do.
        reason: a stable cause, finer than the request's own.
    """

    field: str
    description: str
    reason: str = ""


class InvalidRequestError(CandelabraError):
    """A request cannot run as it is; `violations` has everything that is wrong with it, at least one."""

    reason = Reason.INVALID_REQUEST

    def __init__(self, violations: Iterable[Violation], *, reason: Reason | None = None) -> None:
        self.violations = tuple(violations)
        first = self.violations[0]
        more = f" (and {len(self.violations) - 1} more)" if len(self.violations) > 1 else ""
        super().__init__(f"{first.field}: {first.description}{more}", reason=reason)


@dataclass(frozen=True, slots=True)
class FormulaProblem:
    """One mistake in a formula.

    Attributes:
        code: stable, upper-case, for example `UNKNOWN_FUNCTION`.
        message: one line: what is wrong and what was expected.
        line: counted from 1.
        column: counted from 1, in characters.
        length: how many characters are wrong, at least 1.
        source: the line of the formula that has the mistake.
        suggestion: a name to write instead, or None.
        signature: how the function that is called wrongly is written, or empty.
    """

    code: str
    message: str
    line: int
    column: int
    length: int
    source: str
    suggestion: str | None = None
    signature: str = ""

    def __str__(self) -> str:
        """Position, message and suggestion; then the line, or what lies around in a long one, with carets below."""
        hint = f"; did you mean `{self.suggestion}`?" if self.suggestion else ""
        first = 0 if len(self.source) <= _SHOWN_CHARACTERS else max(0, self.column - 1 - _SHOWN_CHARACTERS // 2)
        shown = self.source[first : first + _SHOWN_CHARACTERS]
        shown = "".join(character if character.isprintable() else " " for character in shown)
        start = self.column - 1 - first
        carets = " " * start + "^" * max(1, min(self.length, len(shown) - start))
        return f"line {self.line}, column {self.column}: {self.message}{hint}\n  {shown}\n  {carets}"


class FormulaError(CandelabraError):
    """A formula is wrong; `problems` has every mistake found, in order of position, at least one."""

    reason = Reason.INVALID_FORMULA

    def __init__(self, problems: Iterable[FormulaProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class FormulaNotFoundError(CandelabraError):
    """No formula is saved under this id, or not in this version; the message suggests a close one."""

    reason = Reason.FORMULA_NOT_FOUND


class FormulaExistsError(CandelabraError):
    """A new formula cannot have this id: one that has it is saved."""

    reason = Reason.FORMULA_EXISTS


class FormulaChangedError(CandelabraError):
    """The formula is not in the version any more that a change was made from; nothing was changed."""

    reason = Reason.FORMULA_CHANGED


@dataclass(frozen=True, slots=True)
class ImportProblem:
    """One thing that is wrong in a file to import.

    Attributes:
        file: the file as the user named it.
        line: counted from 1 with the header as line 1 (for Parquet and Arrow: the row, from 1); None when
            the whole file is meant.
        message: what is wrong and what was expected.
    """

    file: str
    line: int | None
    message: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.message}"


class ImportRefusedError(CandelabraError):
    """Nothing was imported; `problems` has what is wrong, up to a limit, and `problem_count` how many in all."""

    reason = Reason.IMPORT_REFUSED

    def __init__(self, problems: Sequence[ImportProblem], *, problem_count: int | None = None) -> None:
        self.problems = tuple(problems)
        self.problem_count = len(self.problems) if problem_count is None else problem_count
        lines = [str(problem) for problem in self.problems]
        if self.problem_count > len(lines):
            lines.append(f"and {self.problem_count - len(lines)} more problems")
        super().__init__("\n".join(lines))


class StoreError(CandelabraError):
    """The candle store, or the saved formulas in its folder, cannot be read or written."""

    reason = Reason.STORE_UNREADABLE


class TimeframeNotStoredError(StoreError):
    """No candles of this timeframe are stored; the message names the timeframes that are."""

    reason = Reason.TIMEFRAME_NOT_STORED

    def __init__(self, timeframe: str, stored: Sequence[str]) -> None:
        have = f"stored are: {', '.join(stored)}" if stored else "the store is empty, import some candles first"
        super().__init__(f"no candles of timeframe {timeframe} are stored; {have}", metadata={"timeframe": timeframe})


class SymbolFailure(CandelabraError):  # noqa: N818 - a failure of one symbol, not of the program
    """One symbol has no result. Raised in workers and sent to the client as that symbol's `error`."""

    reason = Reason.EVALUATION_FAILED


class UnavailableError(CandelabraError):
    """The server cannot take the job or call now; the same one may succeed a moment later."""

    reason = Reason.UNAVAILABLE


class JobTimeLimitError(CandelabraError):
    """A job was not finished within the seconds that it had; what was not delivered has no result."""

    reason = Reason.JOB_TIME_LIMIT

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"the job was not finished within {seconds:,.3g} s, the time that it had; "
            "send it again for the symbols that are missing, in smaller parts",
            metadata={"seconds": f"{seconds:.3f}"},
        )


class EngineShutDownError(UnavailableError):
    """The engine was shut down before a job was finished; what was not delivered has no result."""

    def __init__(self) -> None:
        super().__init__(
            "the server was shut down before the job was finished; send it again for the symbols that are missing"
        )


class OverloadedError(CandelabraError):
    """The server has as much to do as it takes; nothing of the request was begun.

    Attributes:
        retry_seconds: when it is worth to ask again, above 0.
    """

    reason = Reason.TOO_MANY_JOBS

    def __init__(self, message: str, *, reason: Reason, retry_seconds: float, metadata: Mapping[str, str]) -> None:
        super().__init__(message, reason=reason, metadata=metadata)
        self.retry_seconds = retry_seconds
