"""From a ProcessingJob to a plan: everything that can be wrong is found before the first byte is sent.

1. Fields are checked on their own; every violation is collected.
2. The timeframe's present state is opened and held; symbols and patterns are resolved in it.
3. The formula is compiled, which gives columns and warm-up candles.
4. What every chunk of the job shares is encoded once.
"""

from __future__ import annotations

import fnmatch
import math
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from candelabra.v1 import Compatibility, Precision, ProcessingJob
from candelabra.worker.v1 import ChunkTask, SymbolTask
from candelabra_server.candles.repository import ICandleRepository, Snapshot
from candelabra_server.config import JobLimits
from candelabra_server.domain.date_range import DateRange
from candelabra_server.domain.timeframe import Timeframe
from candelabra_server.errors import (
    FormulaError,
    FormulaNotFoundError,
    InvalidRequestError,
    Reason,
    TimeframeNotStoredError,
    Violation,
)
from candelabra_server.formulas.service import CompiledFormula, FormulaService
from candelabra_server.processing.job_formula import compile_job, shipped_formulas
from candelabra_server.processing.result_encoding import UNLIMITED_MESSAGE_BYTES

__all__ = ["JobPlan", "WorkerConfigs", "check_symbol_names", "matching_symbols", "plan_job", "prepare_symbol_args"]

_JOB_ID = re.compile(r"[A-Za-z0-9._:-]{0,128}")
_LONGEST_SYMBOL = 64
_SMALLEST_MESSAGE, _LARGEST_MESSAGE = 16_384, 67_108_864
_SMALLEST_WEIGHT, _LARGEST_WEIGHT = 0.01, 100.0
_MOST_VIOLATIONS = 100


@dataclass(frozen=True, slots=True)
class WorkerConfigs:
    """What workers build their repository and formula service from, each a JSON object as text."""

    candle_repo: str
    formula_service: str


@dataclass(frozen=True, slots=True)
class JobPlan:
    """A job that can run.

    Holds a snapshot of the store until it is closed.

    Attributes:
        job_id: as given, or made here.
        symbols: each once, in the order in which the job names them; a pattern's matches are sorted.
        weight: share of the workers relative to other jobs.
    """

    job_id: str
    symbols: tuple[str, ...]
    weight: float
    snapshot: Snapshot
    shared_bytes: bytes

    def chunk_bytes(self, symbols: Sequence[str]) -> bytes:
        """An encoded ChunkTask for some of the symbols."""
        return self.shared_bytes + ChunkTask(symbols=symbols).SerializeToString()

    def close(self) -> None:
        """Lets go of the snapshot."""
        self.snapshot.close()


def prepare_symbol_args(symbol: str, job: ProcessingJob) -> dict[str, Any]:
    """Flattens a job to picklable primitives: the fields of SymbolTask, by name.

    The first seven are always there. Options are there when the job sets them.
    """
    has_formula = job.HasField("formula")
    args: dict[str, Any] = {
        "symbol": symbol,
        "timeframe": job.timeframe,
        "date_range_start": job.date_range.start,
        "date_range_end": job.date_range.end,
        "formula_expression": job.formula.expression if has_formula else None,
        "formula_id": job.formula.id if has_formula else None,
        "parameters": dict(job.parameters),
    }
    options = {
        "precision": job.output.precision,
        "last_n": job.output.last_n,
        "max_message_bytes": job.output.max_message_bytes,
        "allow_lookahead": job.options.allow_lookahead,
        "symbol_time_limit_millis": job.options.symbol_time_limit_millis,
        "qlib_defects": job.formula.compatibility == Compatibility.COMPATIBILITY_QLIB,
        "float32_fields": job.formula.float32_fields,
    }
    return args | {name: value for name, value in options.items() if value}


def plan_job(
    job: ProcessingJob,
    *,
    candle_repo: ICandleRepository,
    formula_service: FormulaService,
    configs: WorkerConfigs,
    limits: JobLimits,
    whole_symbols: bool = False,
) -> JobPlan:
    """Checks a job and makes its plan, whose snapshot the caller closes. Blocks: call it from a thread.

    With `whole_symbols`, a symbol's result is one message however large it is.

    Raises:
        InvalidRequestError: the job cannot run; has everything that is wrong with it.
        StoreError: the store cannot be read.
    """
    violations = [*_check_fields(job), *_check_output(job)]
    timeframe = _parse_timeframe(job.timeframe, violations)
    formula = _compile_formula(job, timeframe, formula_service, limits, violations)
    snapshot = _open_snapshot(candle_repo, timeframe, violations) if timeframe else None
    try:
        symbols = _resolve_symbols(job.symbols, snapshot.symbols if snapshot else None, limits, violations)
        if formula is not None and snapshot is not None:
            violations.extend(_check_other_symbols(formula, snapshot))
        if violations or snapshot is None:
            raise InvalidRequestError(violations, reason=_overall_reason(violations))
        args = prepare_symbol_args("", job) | {"timeframe": timeframe}
        if whole_symbols:
            args["max_message_bytes"] = UNLIMITED_MESSAGE_BYTES
        shared = ChunkTask(
            task=SymbolTask(**args),
            candle_repo_config=configs.candle_repo,
            formula_service_config=configs.formula_service,
            snapshot_id=snapshot.id,
        )
        if formula is not None:
            shared.task.saved_formulas.extend(shipped_formulas(formula))
        return JobPlan(
            job_id=job.job_id or f"job-{secrets.token_hex(8)}",
            symbols=symbols,
            weight=job.options.weight or 1.0,
            snapshot=snapshot,
            shared_bytes=shared.SerializeToString(),
        )
    except BaseException:
        if snapshot is not None:
            snapshot.close()
        raise


def matching_symbols(patterns: Sequence[str], stored: Sequence[str]) -> dict[str, list[str]]:
    """The stored symbols that each pattern matches (`*` any characters, `?` one); exact names match themselves."""
    known = set(stored)
    matches: dict[str, list[str]] = {}
    for pattern in dict.fromkeys(patterns):
        if _is_pattern(pattern):
            # Brackets are ordinary characters of a symbol: only * and ? are special.
            expression = re.compile(fnmatch.translate(pattern.replace("[", "[[]")))
            matches[pattern] = [symbol for symbol in stored if expression.match(symbol)]
        else:
            matches[pattern] = [pattern] if pattern in known else []
    return matches


def _is_pattern(name: str) -> bool:
    return "*" in name or "?" in name


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
            f"must be 1 or more, or 0 for no limit, not {options.symbol_time_limit_millis}",
        )
    if options.weight and not _SMALLEST_WEIGHT <= options.weight <= _LARGEST_WEIGHT:
        yield Violation("options.weight", f"must be {_SMALLEST_WEIGHT} to {_LARGEST_WEIGHT}, not {options.weight}")


def _compile_formula(
    job: ProcessingJob,
    timeframe: str | None,
    formula_service: FormulaService,
    limits: JobLimits,
    violations: list[Violation],
) -> CompiledFormula | None:
    """The job's formula, or None where it has none or a wrong one."""
    found = list(_check_formula_fields(job, limits))
    violations.extend(found)
    if found or not job.HasField("formula"):
        return None
    try:
        return compile_job(job, timeframe, formula_service)
    except FormulaError as error:
        field = "formula.id" if job.formula.id else "formula.expression"
        violations.extend(Violation(field, str(problem), reason=problem.code) for problem in error.problems)
    except FormulaNotFoundError as error:
        violations.append(Violation("formula.id", error.message, reason=error.reason))
    except InvalidRequestError as error:
        violations.extend(error.violations)
    return None


def _check_formula_fields(job: ProcessingJob, limits: JobLimits) -> Iterator[Violation]:
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
        yield Violation("formula.expression", "is empty; give a formula, or leave `formula` unset to get the candles")


def _check_other_symbols(formula: CompiledFormula, snapshot: Snapshot) -> Iterator[Violation]:
    stored = frozenset(snapshot.symbols) if formula.other_symbols else frozenset()
    for symbol in sorted(formula.other_symbols):
        if symbol not in stored:
            yield Violation(
                "formula.expression",
                f"looks at the symbol {symbol!r}, which is not stored in this timeframe",
                reason=Reason.UNKNOWN_SYMBOL,
            )


def _parse_timeframe(spelling: str, violations: list[Violation]) -> str | None:
    if not spelling:
        violations.append(Violation("timeframe", "is required; for example 1d"))
        return None
    try:
        return Timeframe.parse(spelling).text
    except ValueError as error:
        violations.append(Violation("timeframe", str(error)))
        return None


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
    if not wanted:
        violations.append(Violation("symbols", "is required: name at least one symbol, or * for all"))
    violations.extend(check_symbol_names(wanted, limits))
    if stored is None or violations:
        return ()
    symbols: dict[str, None] = {}
    matches = matching_symbols(wanted, stored)
    for index, name in enumerate(wanted):
        found = matches[name]
        if not found and _is_pattern(name):
            violations.append(Violation(f"symbols[{index}]", f"no stored symbol matches {name!r}"))
        symbols.update(dict.fromkeys(found or [name]))
    if len(symbols) > limits.max_symbols:
        violations.append(
            Violation("symbols", f"are {len(symbols):,}; one job may have {limits.max_symbols:,} at most")
        )
    return tuple(symbols)


def check_symbol_names(wanted: Sequence[str], limits: JobLimits) -> list[Violation]:
    """What is wrong with names and patterns by themselves; bounded work, whatever is asked for."""
    if len(wanted) > limits.max_symbols:
        return [Violation("symbols", f"are {len(wanted):,}; one job may have {limits.max_symbols:,} at most")]
    if len({name for name in wanted if _is_pattern(name)}) > limits.max_patterns:
        return [Violation("symbols", f"have more than {limits.max_patterns} patterns, the most that are allowed")]
    unfit = ((index, name) for index, name in enumerate(wanted) if not 1 <= len(name) <= _LONGEST_SYMBOL)
    return [
        Violation(
            f"symbols[{index}]",
            f"{f'has {len(name)} characters' if name else 'is empty'}; expected 1 to {_LONGEST_SYMBOL}",
        )
        for index, name in islice(unfit, _MOST_VIOLATIONS)
    ]


def _overall_reason(violations: Sequence[Violation]) -> Reason:
    """The reason of the whole request: the formula's if only it is wrong, the one violation's own, else the general."""
    if all(violation.field == "formula.expression" for violation in violations):
        return Reason.INVALID_FORMULA
    own = {violation.reason for violation in violations}
    for reason in (Reason.FORMULA_NOT_FOUND, Reason.TIMEFRAME_NOT_STORED):
        if own == {reason}:
            return reason
    return Reason.INVALID_REQUEST
