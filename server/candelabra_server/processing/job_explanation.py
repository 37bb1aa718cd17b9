"""What a job would do, told without running it."""

from __future__ import annotations

from contextlib import closing
from itertools import islice

from candelabra.v1 import (
    ExplainJobRequest,
    ExplainJobResponse,
    FormulaDescription,
    JobEstimate,
    JobViolation,
    ProcessingJob,
)
from candelabra_server.candles.repository import ICandleRepository
from candelabra_server.config import JobLimits
from candelabra_server.formulas.service import FormulaService
from candelabra_server.processing.formula_description import describe_formula, problem_messages
from candelabra_server.processing.job_checks import CheckedJob, check_job
from candelabra_server.processing.job_estimate import estimate_job

__all__ = ["explain_job"]

_MOST_UNKNOWN_SYMBOLS = 100


def explain_job(
    request: ExplainJobRequest, *, candle_repo: ICandleRepository, formula_service: FormulaService, limits: JobLimits
) -> ExplainJobResponse:
    """Tells what a job would do, or everything that is wrong with it; blocks.

    Raises:
        StoreError: the store cannot be read.
    """
    job = request.job
    checked = check_job(job, candle_repo=candle_repo, formula_service=formula_service, limits=limits)
    with closing(checked):
        formula = describe_formula(checked.formula, given=job.parameters) if checked.formula else None
        return ExplainJobResponse(
            violations=[
                JobViolation(field=violation.field, description=violation.description, reason=violation.reason)
                for violation in checked.violations
            ],
            formula_problems=problem_messages(checked.formula_problems),
            formula=formula,
            symbols_total=len(checked.symbols),
            unknown_symbols=_unknown_symbols(checked),
            timeframe=checked.timeframe,
            estimate=_estimate(job, checked, formula, candle_repo),
            snapshot_id=checked.snapshot.id if checked.snapshot else None,
        )


def _unknown_symbols(checked: CheckedJob) -> list[str]:
    stored = frozenset(checked.snapshot.symbols) if checked.snapshot else frozenset()
    return list(islice((symbol for symbol in checked.symbols if symbol not in stored), _MOST_UNKNOWN_SYMBOLS))


def _estimate(
    job: ProcessingJob, checked: CheckedJob, formula: FormulaDescription | None, candle_repo: ICandleRepository
) -> JobEstimate | None:
    """What the job would cost, or None where it cannot run."""
    if checked.violations or checked.formula_problems or checked.timeframe is None:
        return None
    return estimate_job(
        job,
        symbols=checked.symbols,
        stored=candle_repo.list_symbols(checked.timeframe),
        formula=checked.formula,
        nanos_per_row=formula.nanos_per_row if formula else 0.0,
    )
