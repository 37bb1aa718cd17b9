"""From a ProcessingJob to a plan: everything that can be wrong is found before the first byte is sent.

1. job_checks.py finds everything that is wrong, and holds the state of the store that the job will read.
2. What every chunk of the job shares is encoded once.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from candelabra.v1 import Compatibility, ProcessingJob
from candelabra.worker.v1 import ChunkTask, JobTask, ScreenTask, SymbolTask
from candelabra_server.candles.repository import ICandleRepository, Snapshot
from candelabra_server.config import JobLimits, TimeLimits
from candelabra_server.errors import FormulaProblem, InvalidRequestError, Reason, Violation
from candelabra_server.formulas.service import FormulaService
from candelabra_server.processing.job_checks import CheckedJob, check_job
from candelabra_server.processing.job_formula import shipped_formulas
from candelabra_server.processing.marks import monotonic_micros
from candelabra_server.processing.result_encoding import UNLIMITED_MESSAGE_BYTES
from candelabra_server.processing.worker_configs import WorkerConfigs

__all__ = ["JobPlan", "JobTiming", "all_violations", "make_job_plan", "plan_job", "prepare_symbol_args", "refusal"]


class JobTiming(NamedTuple):
    """How long a job and each of its symbols may take."""

    limits: TimeLimits
    seconds: float
    until_micros: int

    @classmethod
    def of(cls, limits: TimeLimits, timeout_seconds: float | None) -> JobTiming:
        """From now on, until the caller's timeout where that is earlier than the limit."""
        seconds = limits.job_seconds if timeout_seconds is None else max(0.0, min(timeout_seconds, limits.job_seconds))
        return cls(limits, seconds, monotonic_micros() + int(seconds * 1_000_000))


@dataclass(frozen=True, slots=True)
class JobPlan:
    """A job that can run.

    Holds a snapshot of the store until it is closed.

    Attributes:
        job_id: as given, or made here.
        symbols: each once, in the order in which the job names them; a pattern's matches are sorted.
        weight: share of the workers relative to other jobs.
        symbol_seconds: what one symbol may take.
        seconds: what the job may take from its planning on.
        until_micros: when that is over, by the monotonic clock.
    """

    job_id: str
    symbols: tuple[str, ...]
    weight: float
    symbol_seconds: float
    seconds: float
    until_micros: int
    snapshot: Snapshot
    shared_bytes: bytes

    def chunk_bytes(self, symbols: Sequence[str], first_row: int = 0) -> bytes:
        """An encoded ChunkTask for some of the symbols, or for the rows of one from `first_row` on."""
        return self.shared_bytes + ChunkTask(symbols=symbols, first_row=first_row).SerializeToString()

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
    timing: JobTiming,
    whole_symbols: bool = False,
) -> JobPlan:
    """Checks a job and makes its plan, whose snapshot the caller closes. Blocks: call it from a thread.

    With `whole_symbols`, a symbol's result is one message however large it is.

    Raises:
        InvalidRequestError: the job cannot run; has everything that is wrong with it.
        StoreError: the store cannot be read.
    """
    checked = check_job(job, candle_repo=candle_repo, formula_service=formula_service, limits=limits)
    try:
        violations = all_violations(job, checked)
        if violations:
            raise refusal(violations)
        return make_job_plan(job, checked, configs=configs, timing=timing, whole_symbols=whole_symbols)
    except BaseException:
        checked.close()
        raise


def all_violations(job: ProcessingJob, checked: CheckedJob) -> list[Violation]:
    """Everything that is wrong with a job, mistakes in its formula's text included."""
    return [*checked.violations, *_formula_violations(job, checked.formula_problems)]


def refusal(violations: Sequence[Violation]) -> InvalidRequestError:
    """The error that a request with these violations, at least one, ends with."""
    return InvalidRequestError(violations, reason=_overall_reason(violations))


def make_job_plan(
    job: ProcessingJob,
    checked: CheckedJob,
    *,
    configs: WorkerConfigs,
    timing: JobTiming,
    whole_symbols: bool = False,
    screen: ScreenTask | None = None,
) -> JobPlan:
    """The plan of a job with which nothing is wrong; it has the snapshot of `checked`, and closes it.

    With `screen`, workers answer as that says.
    """
    assert checked.snapshot is not None  # noqa: S101 - where there is none, that is a violation
    asked_millis = job.options.symbol_time_limit_millis or math.inf
    symbol_millis = math.ceil(min(asked_millis, 1_000 * timing.limits.symbol_seconds))
    args = prepare_symbol_args("", job) | {"timeframe": checked.timeframe, "symbol_time_limit_millis": symbol_millis}
    if whole_symbols:
        args["max_message_bytes"] = UNLIMITED_MESSAGE_BYTES
    shared = JobTask(
        task=SymbolTask(**args),
        candle_repo_config=configs.candle_repo,
        formula_service_config=configs.formula_service,
        snapshot_id=checked.snapshot.id,
        screen=screen,
    )
    if checked.formula is not None:
        shared.task.saved_formulas.extend(shipped_formulas(checked.formula))
    return JobPlan(
        job_id=job.job_id or f"{'job' if screen is None else 'screen'}-{secrets.token_hex(8)}",
        symbols=checked.symbols,
        weight=job.options.weight or 1.0,
        symbol_seconds=symbol_millis / 1_000,
        seconds=timing.seconds,
        until_micros=timing.until_micros,
        snapshot=checked.snapshot,
        shared_bytes=ChunkTask(job=shared.SerializeToString(), deadline_micros=timing.until_micros).SerializeToString(),
    )


def _formula_violations(job: ProcessingJob, problems: Sequence[FormulaProblem]) -> Iterator[Violation]:
    field = "formula.id" if job.formula.id else "formula.expression"
    for problem in problems:
        yield Violation(field, str(problem), reason=problem.code)


def _overall_reason(violations: Sequence[Violation]) -> Reason:
    """The reason of the whole request: the formula's if only it is wrong, the one violation's own, else the general."""
    if all(violation.field == "formula.expression" for violation in violations):
        return Reason.INVALID_FORMULA
    own = {violation.reason for violation in violations}
    for reason in (Reason.FORMULA_NOT_FOUND, Reason.TIMEFRAME_NOT_STORED):
        if own == {reason}:
            return reason
    return Reason.INVALID_REQUEST
