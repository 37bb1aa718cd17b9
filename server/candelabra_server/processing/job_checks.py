"""What is wrong with a job, all of it at once, and what it needs to run.

1. Fields are checked on their own; every violation is collected.
2. The formula is compiled, which gives columns and warm-up candles.
3. The timeframe's present state is opened and held; symbols and patterns are resolved in it.
"""

from __future__ import annotations

import fnmatch
import math
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from candelabra.v1 import Compatibility, Precision, ProcessingJob
from candelabra_server.candles.repository import ICandleRepository, Snapshot
from candelabra_server.config import JobLimits
from candelabra_server.domain.date_range import DateRange
from candelabra_server.domain.timeframe import Timeframe
from candelabra_server.errors import (
    FormulaError,
    FormulaNotFoundError,
    FormulaProblem,
    InvalidRequestError,
    Reason,
    TimeframeNotStoredError,
    Violation,
)
from candelabra_server.formulas.service import CompiledFormula, FormulaService
from candelabra_server.processing.job_formula import compile_job

__all__ = [
    "CheckedJob",
    "check_formula_fields",
    "check_job",
    "check_symbol_names",
    "is_pattern",
    "matching_symbols",
    "parse_timeframe",
    "pattern_expression",
]

_JOB_ID = re.compile(r"[A-Za-z0-9._:-]{0,128}")
_LONGEST_SYMBOL = 64
_ALL = "*"
_SMALLEST_MESSAGE, _LARGEST_MESSAGE = 16_384, 67_108_864
_SMALLEST_WEIGHT, _LARGEST_WEIGHT = 0.01, 100.0
_MOST_VIOLATIONS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedJob:
    """What a job turns out to be, right or wrong.

    Holds a snapshot of the store, where there is one of its timeframe, until it is closed.

    Attributes:
        timeframe: canonical; None where the job's cannot be read.
        symbols: each once, in the order in which the job names them; a pattern's matches are sorted. Empty where names
            are wrong or nothing is stored of the timeframe.
        formula: None where the job has none, or a wrong one.
        snapshot: None where nothing is stored of the timeframe.
        violations: everything that is wrong, except what is wrong in the formula's text.
        formula_problems: every mistake in the formula's text.
    """

    timeframe: str | None
    symbols: tuple[str, ...]
    formula: CompiledFormula | None
    snapshot: Snapshot | None
    violations: tuple[Violation, ...]
    formula_problems: tuple[FormulaProblem, ...]

    def close(self) -> None:
        """Lets go of the snapshot."""
        if self.snapshot is not None:
            self.snapshot.close()


def check_job(
    job: ProcessingJob, *, candle_repo: ICandleRepository, formula_service: FormulaService, limits: JobLimits
) -> CheckedJob:
    """Finds everything that is wrong with a job, and what it needs to run; the caller closes it. Blocks.

    Raises:
        StoreError: the store cannot be read.
    """
    violations = [*_check_fields(job), *_check_output(job)]
    timeframe = parse_timeframe(job.timeframe, violations)
    formula, problems = _compile_formula(job, timeframe, formula_service, limits, violations)
    snapshot = _open_snapshot(candle_repo, timeframe, violations) if timeframe else None
    try:
        symbols = _resolve_symbols(job.symbols, snapshot.symbols if snapshot else None, limits, violations)
        if formula is not None and snapshot is not None:
            violations.extend(_check_other_symbols(formula, snapshot))
    except BaseException:
        if snapshot is not None:
            snapshot.close()
        raise
    return CheckedJob(
        timeframe=timeframe,
        symbols=symbols,
        formula=formula,
        snapshot=snapshot,
        violations=tuple(violations),
        formula_problems=problems,
    )


def check_formula_fields(job: ProcessingJob, limits: JobLimits) -> Iterator[Violation]:
    """What is wrong with a job's parameters and formula by themselves, before any text is read."""
    if len(job.parameters) > limits.max_parameters:
        yield Violation("parameters", f"are {len(job.parameters):,}; one job may have {limits.max_parameters} at most")
        return
    for name, value in sorted(job.parameters.items()):
        if not math.isfinite(value):
            yield Violation(f"parameters[{name}]", f"must be finite, not {value}")
        elif not job.HasField("formula"):
            yield Violation(f"parameters[{name}]", "the job has no formula that could use it")
    if not job.HasField("formula"):
        return
    if job.formula.compatibility not in Compatibility.values():
        yield Violation("formula.compatibility", f"{job.formula.compatibility} is not known; expected QLIB or none")
    if job.formula.id and job.formula.expression:
        yield Violation("formula", "has an id and an expression; give one of them")
    elif not job.formula.id and not job.formula.expression.strip():
        yield Violation(
            "formula.expression", "is empty; give a text or `formula.id`; a job without `formula` gives the candles"
        )


def parse_timeframe(spelling: str, violations: list[Violation]) -> str | None:
    """The canonical spelling of a timeframe, or None and a violation."""
    if not spelling:
        violations.append(Violation("timeframe", "is required; for example 1d"))
        return None
    try:
        return Timeframe.parse(spelling).text
    except ValueError as error:
        violations.append(Violation("timeframe", str(error)))
        return None


def check_symbol_names(wanted: Sequence[str], limits: JobLimits) -> list[Violation]:
    """What is wrong with names and patterns by themselves; bounded work, whatever is asked for."""
    if len(wanted) > limits.max_symbols:
        return [Violation("symbols", f"are {len(wanted):,}; one job may have {limits.max_symbols:,} at most")]
    if len({name for name in wanted if is_pattern(name)}) > limits.max_patterns:
        return [Violation("symbols", f"have more than {limits.max_patterns} patterns, the most that are allowed")]
    unfit = ((index, name) for index, name in enumerate(wanted) if not 1 <= len(name) <= _LONGEST_SYMBOL)
    return [
        Violation(
            f"symbols[{index}]",
            f"{f'has {len(name)} characters' if name else 'is empty'}; expected 1 to {_LONGEST_SYMBOL}",
        )
        for index, name in islice(unfit, _MOST_VIOLATIONS)
    ]


def matching_symbols(patterns: Sequence[str], stored: Sequence[str]) -> dict[str, list[str]]:
    """The stored symbols, which are sorted, that each pattern matches (`*` any characters, `?` one).

    Exact names match themselves.
    """
    matches: dict[str, list[str]] = {}
    for pattern in dict.fromkeys(patterns):
        if pattern == _ALL:
            matches[pattern] = list(stored)
        elif is_pattern(pattern):
            expression = pattern_expression(pattern)
            matches[pattern] = [symbol for symbol in stored if expression.match(symbol)]
        else:
            place = bisect_left(stored, pattern)
            matches[pattern] = [pattern] if place < len(stored) and stored[place] == pattern else []
    return matches


def is_pattern(name: str) -> bool:
    """Whether it has a wildcard."""
    return "*" in name or "?" in name


def pattern_expression(pattern: str) -> re.Pattern[str]:
    """What finds a pattern's matches; brackets are ordinary characters, only `*` and `?` are special."""
    return re.compile(fnmatch.translate(pattern.replace("[", "[[]")))


def _check_fields(job: ProcessingJob) -> Iterator[Violation]:
    if not _JOB_ID.fullmatch(job.job_id):
        yield Violation("job_id", "must have at most 128 characters, each a letter, a digit or one of . _ : -")
    for name, parse in (("start", DateRange.parse_start), ("end", DateRange.parse_end)):
        try:
            parse(getattr(job.date_range, name))
        except ValueError as error:
            yield Violation(f"date_range.{name}", str(error))
            return
    try:
        DateRange.parse(job.date_range.start, job.date_range.end)
    except ValueError as error:
        yield Violation("date_range", str(error))


def _check_output(job: ProcessingJob) -> Iterator[Violation]:
    output, options = job.output, job.options
    if output.precision not in Precision.values():
        yield Violation("output.precision", f"{output.precision} is not a precision; expected FLOAT64 or FLOAT32")
    if output.last_n < 0:
        yield Violation("output.last_n", f"must be 1 or more, or 0 for all rows, not {output.last_n}")
    if output.max_message_bytes and not _SMALLEST_MESSAGE <= output.max_message_bytes <= _LARGEST_MESSAGE:
        yield Violation(
            "output.max_message_bytes",
            f"must be {_SMALLEST_MESSAGE:,} to {_LARGEST_MESSAGE:,}, or 0 for the default, "
            f"not {output.max_message_bytes:,}",
        )
    if options.symbol_time_limit_millis < 0:
        yield Violation(
            "options.symbol_time_limit_millis",
            f"must be 1 or more, or 0 for the server's own limit, not {options.symbol_time_limit_millis}",
        )
    if options.weight and not _SMALLEST_WEIGHT <= options.weight <= _LARGEST_WEIGHT:
        yield Violation("options.weight", f"must be {_SMALLEST_WEIGHT} to {_LARGEST_WEIGHT}, not {options.weight}")


def _compile_formula(
    job: ProcessingJob,
    timeframe: str | None,
    formula_service: FormulaService,
    limits: JobLimits,
    violations: list[Violation],
) -> tuple[CompiledFormula | None, tuple[FormulaProblem, ...]]:
    """The job's formula, or None where it has none or a wrong one; and what is wrong in its text."""
    found = list(check_formula_fields(job, limits))
    violations.extend(found)
    if found or not job.HasField("formula"):
        return None, ()
    try:
        return compile_job(job, timeframe, formula_service), ()
    except FormulaError as error:
        return None, error.problems
    except FormulaNotFoundError as error:
        violations.append(Violation("formula.id", error.message, reason=error.reason))
    except InvalidRequestError as error:
        violations.extend(error.violations)
    return None, ()


def _check_other_symbols(formula: CompiledFormula, snapshot: Snapshot) -> Iterator[Violation]:
    stored = frozenset(snapshot.symbols) if formula.other_symbols else frozenset()
    for symbol in sorted(formula.other_symbols):
        if symbol not in stored:
            yield Violation(
                "formula.expression",
                f"looks at the symbol {symbol!r}, which is not stored in this timeframe",
                reason=Reason.UNKNOWN_SYMBOL,
            )


def _open_snapshot(candle_repo: ICandleRepository, timeframe: str, violations: list[Violation]) -> Snapshot | None:
    try:
        return candle_repo.snapshot(timeframe)
    except TimeframeNotStoredError as error:
        violations.append(Violation("timeframe", error.message, reason=error.reason))
        return None


def _resolve_symbols(
    wanted: Sequence[str], stored: Sequence[str] | None, limits: JobLimits, violations: list[Violation]
) -> tuple[str, ...]:
    """Each symbol once. Names that are not stored stay: they get an error result of their own."""
    unfit = check_symbol_names(wanted, limits)
    if not wanted:
        unfit.append(Violation("symbols", "is required: name at least one symbol, or * for all"))
    violations.extend(unfit)
    if stored is None or unfit:
        return ()
    symbols: dict[str, None] = {}
    matches = matching_symbols([name for name in wanted if is_pattern(name)], stored)
    for index, name in enumerate(wanted):
        found = matches.get(name, [name])
        if not found:
            violations.append(Violation(f"symbols[{index}]", f"no stored symbol matches {name!r}"))
        symbols.update(dict.fromkeys(found))
    if len(symbols) > limits.max_symbols:
        violations.append(
            Violation("symbols", f"are {len(symbols):,}; one job may have {limits.max_symbols:,} at most")
        )
    return tuple(symbols)
