"""From a ScreenRequest to a plan: everything that can be wrong is found before the first byte is sent.

1. The screen is written as the job that gives the same rows: up to `as_of`, the last row of each symbol.
2. job_checks.py finds what is wrong with that job; here it gets the names of the screen's own fields.
3. What only screens have is checked against the formula's outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

from candelabra.v1 import ColumnKind, DateRange, OutputOptions, ProcessingJob, ScreenRequest
from candelabra.worker.v1 import ScreenTask
from candelabra_server.candles.repository import ICandleRepository
from candelabra_server.config import JobLimits
from candelabra_server.errors import Violation
from candelabra_server.formulas.problems import closest_name, quoted
from candelabra_server.formulas.service import ColumnKind as OutputKind
from candelabra_server.formulas.service import FormulaService, OutputColumn
from candelabra_server.processing.job_checks import check_job
from candelabra_server.processing.job_formula import COLUMN_KINDS
from candelabra_server.processing.job_plan import JobPlan, JobTiming, all_violations, make_job_plan, refusal
from candelabra_server.processing.worker_configs import WorkerConfigs

__all__ = ["OrderKey", "ScreenColumn", "ScreenPlan", "plan_screen"]

_OWN_FIELDS = {"date_range.end": "as_of", "job_id": "screen_id"}
"""What fields of the job are called in the screen."""
_BY_SYMBOL = "symbol"
_DIRECTIONS = {"asc": False, "desc": True}
_NAMES_TOLD = 20
_MOST_VIOLATIONS = 20


class ScreenColumn(NamedTuple):
    """One output of the screen's formula."""

    name: str
    kind: ColumnKind


class OrderKey(NamedTuple):
    """What to sort by."""

    column: int | None
    """Index of the column; None is the symbol's name."""
    descending: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenPlan:
    """A screen that can run.

    Holds a snapshot of the store until it is closed.

    Attributes:
        job: its symbols, and what workers are told.
        columns: what the formula gives, in order.
        filter_column: index of the column that decides which symbols pass; None when all do.
        order: the most important key first; ties that remain are in the order of symbols' names.
        limit: most symbols to send; 0 is all.
        warnings: what the formula's author should know, one sentence each.
    """

    job: JobPlan
    columns: tuple[ScreenColumn, ...]
    filter_column: int | None
    order: tuple[OrderKey, ...]
    limit: int
    warnings: tuple[str, ...]

    @property
    def screen_id(self) -> str:
        """As given, or made here."""
        return self.job.job_id

    @property
    def is_sorted(self) -> bool:
        """Whether rows can be sent only after all symbols were looked at."""
        return bool(self.order or self.limit)

    def close(self) -> None:
        """Lets go of the snapshot."""
        self.job.close()


def plan_screen(
    request: ScreenRequest,
    *,
    candle_repo: ICandleRepository,
    formula_service: FormulaService,
    configs: WorkerConfigs,
    limits: JobLimits,
    timing: JobTiming,
) -> ScreenPlan:
    """Checks a screen and makes its plan, which the caller closes. Blocks: call it from a thread.

    Raises:
        InvalidRequestError: the screen cannot run; has everything that is wrong with it.
        StoreError: the store cannot be read.
    """
    job = _equivalent_job(request)
    checked = check_job(job, candle_repo=candle_repo, formula_service=formula_service, limits=limits)
    try:
        outputs = checked.formula.columns if checked.formula else None
        filter_column, filter_violations = _filter_column(request.filter, outputs)
        order, order_violations = _order(request.order_by, outputs)
        violations = [
            *_check_formula_given(request),
            *(
                replace(violation, field=_OWN_FIELDS.get(violation.field, violation.field))
                for violation in all_violations(job, checked)
            ),
            *filter_violations,
            *order_violations,
            *_check_limit(request.limit),
        ]
        if violations or checked.formula is None:
            raise refusal(violations)
        return ScreenPlan(
            job=make_job_plan(
                job, checked, configs=configs, timing=timing, screen=ScreenTask(filter_column=filter_column)
            ),
            columns=tuple(ScreenColumn(column.name, COLUMN_KINDS[column.kind]) for column in checked.formula.columns),
            filter_column=filter_column,
            order=order,
            limit=request.limit,
            warnings=checked.formula.warnings,
        )
    except BaseException:
        checked.close()
        raise


def _equivalent_job(request: ScreenRequest) -> ProcessingJob:
    """The job whose only row of each symbol is the screen's; without a formula where the screen has none to compute."""
    return ProcessingJob(
        job_id=request.screen_id,
        symbols=request.symbols,
        timeframe=request.timeframe,
        date_range=DateRange(end=request.as_of),
        formula=request.formula if _has_formula(request) else None,
        parameters=request.parameters,
        output=OutputOptions(last_n=1),
        options=request.options,
    )


def _has_formula(request: ScreenRequest) -> bool:
    return bool(request.formula.id or request.formula.expression.strip())


def _check_formula_given(request: ScreenRequest) -> Iterator[Violation]:
    if not _has_formula(request):
        yield Violation(
            "formula.expression" if request.HasField("formula") else "formula",
            "is required: what to compute of each symbol, for example `pick = rsi(close, 14) < 30`",
        )


def _filter_column(name: str, outputs: Sequence[OutputColumn] | None) -> tuple[int | None, list[Violation]]:
    """Index of the column that filters; outputs are None where the formula is missing or wrong."""
    if outputs is None:
        return None, []
    if not name:
        is_condition = len(outputs) == 1 and outputs[0].kind is OutputKind.SIGNAL
        return (0 if is_condition else None), []
    names = [output.name for output in outputs]
    if name in names:
        return names.index(name), []
    told = (
        f"{quoted(name)} is not an output of the formula{_meant(name, names)}; outputs are: {_listed(names)}; "
        "a condition is given a name in the formula: `pick = rsi < 30`, and then filters by it: `pick`"
    )
    return None, [Violation("filter", told)]


def _order(text: str, outputs: Sequence[OutputColumn] | None) -> tuple[tuple[OrderKey, ...], list[Violation]]:
    if not text:
        return (), []
    names = None if outputs is None else [output.name for output in outputs]
    keys: dict[str, OrderKey] = {}
    found = islice(_order_entries(text, names, keys), _MOST_VIOLATIONS)
    violations = [Violation("order_by", told) for told in found]
    return tuple(keys.values()), violations


def _order_entries(text: str, names: Sequence[str] | None, keys: dict[str, OrderKey]) -> Iterator[str]:
    """Reads what to sort by into `keys`; yields what is wrong with it."""
    for entry in text.split(","):
        name, *rest = entry.split() or [""]
        descending = _DIRECTIONS.get(" ".join(rest).lower() or "asc")
        if not name:
            yield "has an empty name; expected names of outputs separated by commas, such as `rsi desc, symbol`"
        elif descending is None:
            yield f"has {quoted(entry.strip())}; expected the name of an output, then nothing, `asc` or `desc`"
        elif name in keys:
            yield f"has {quoted(name)} twice"
        elif name == _BY_SYMBOL:
            keys[name] = OrderKey(None, descending)
        elif names is not None and name not in names:
            known = [*names, _BY_SYMBOL]
            yield (
                f"{quoted(name)} is not an output of the formula{_meant(name, known)}; "
                f"outputs are: {_listed(names)}; `{_BY_SYMBOL}` sorts by name"
            )
        else:
            keys[name] = OrderKey(names.index(name) if names is not None else None, descending)


def _check_limit(limit: int) -> Iterator[Violation]:
    if limit < 0:
        yield Violation("limit", f"must be 1 or more, or 0 for all symbols, not {limit}")


def _meant(name: str, known: Sequence[str]) -> str:
    close = closest_name(name, known)
    return f" (did you mean `{close}`?)" if close else ""


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_TOLD
    return ", ".join(map(quoted, names[:_NAMES_TOLD])) + (f" and {more} more" if more > 0 else "")
