"""Plans: what can be wrong with a job is found before anything runs, all of it at once."""

import json

import pytest

from candelabra.v1 import ProcessingJob
from candelabra.worker.v1 import ChunkTask, JobTask
from candelabra_server.config import JobLimits, TimeLimits
from candelabra_server.errors import InvalidRequestError, Reason
from candelabra_server.formulas.service import FormulaService
from candelabra_server.processing.job_checks import matching_symbols
from candelabra_server.processing.job_plan import JobTiming, plan_job
from candelabra_server.processing.worker_configs import WorkerConfigs
from support.jobs import job
from support.memory_repository import MemoryRepository, MemorySnapshot

STORED = ["A", "AA", "AB", "B", "B[C]"]


def plan(request, *, limits=None):
    return plan_job(
        request,
        candle_repo=MemoryRepository(STORED),
        formula_service=FormulaService(),
        configs=WorkerConfigs(candle_repo=json.dumps({"type": "x"}), formula_service="{}"),
        timing=JobTiming.of(TimeLimits(), None),
        limits=limits or JobLimits(),
    )


def violations(request, **options):
    with pytest.raises(InvalidRequestError) as caught:
        plan(request, **options)
    assert MemorySnapshot.open_count == 0
    return {violation.field: violation.description for violation in caught.value.violations}, caught.value.reason


def edited(**changes):
    """A job that is well but for some fields, given as `output__last_n=-1`."""
    request = job("A", "close")
    for path, value in changes.items():
        *parents, name = path.split("__")
        target = request
        for parent in parents:
            target = getattr(target, parent)
        setattr(target, name, value)
    return request


def test_symbols_come_once_in_the_jobs_order_with_patterns_resolved_and_unknown_names_kept():
    made = plan(job(["B", "A*", "NOPE", "A"]))
    assert made.symbols == ("B", "A", "AA", "AB", "NOPE")
    made.close()
    assert MemorySnapshot.open_count == 0


def test_a_chunk_has_the_jobs_part_and_its_symbols():
    made = plan(edited(timeframe="day", job_id="mine"))
    chunk = ChunkTask.FromString(made.chunk_bytes(["A", "B"]))
    made.close()
    assert list(chunk.symbols) == ["A", "B"]
    job = JobTask.FromString(chunk.job)
    assert job.task.timeframe == "1d"
    assert job.task.formula_expression == "close"
    assert job.snapshot_id == "memory-1"
    assert json.loads(job.candle_repo_config) == {"type": "x"}
    assert made.job_id == "mine"
    assert made.weight == 1


def test_a_job_without_an_id_gets_one_of_its_own():
    first, second = plan(job("A")), plan(job("A"))
    first.close(), second.close()
    assert first.job_id != second.job_id


@pytest.mark.parametrize(
    ("changes", "field", "told"),
    [
        ({"job_id": "a b"}, "job_id", "128 characters"),
        ({"job_id": "x" * 129}, "job_id", "128 characters"),
        ({"timeframe": ""}, "timeframe", "required"),
        ({"timeframe": "2 fortnights"}, "timeframe", "1m, 5m"),
        ({"timeframe": "1h"}, "timeframe", "stored are: 1d"),
        ({"date_range__start": "1/2/2012"}, "date_range.start", "ISO 8601"),
        ({"date_range__end": "2012-02-30"}, "date_range.end", "date that exists"),
        ({"date_range__start": "2012-01-02", "date_range__end": "2012-01-01"}, "date_range", "before it starts"),
        ({"formula__expression": " "}, "formula.expression", "is empty"),
        ({"formula__expression": "", "formula__id": "mine"}, "formula.id", "there is no formula"),
        ({"formula__id": "mine"}, "formula", "give one of them"),
        ({"output__last_n": -1}, "output.last_n", "1 or more"),
        ({"output__max_message_bytes": 100}, "output.max_message_bytes", "16,384 to 67,108,864"),
        ({"output__precision": 9}, "output.precision", "FLOAT64 or FLOAT32"),
        ({"options__weight": 1000.0}, "options.weight", "0.01 to 100"),
        ({"options__symbol_time_limit_millis": -5}, "options.symbol_time_limit_millis", "1 or more"),
    ],
)
def test_a_wrong_field_is_named_with_what_was_expected(changes, field, told):
    found, _ = violations(edited(**changes))
    assert list(found) == [field]
    assert told in found[field]


@pytest.mark.parametrize(
    ("symbols", "field", "told"),
    [
        ([], "symbols", "at least one symbol"),
        ([""], "symbols[0]", "is empty"),
        (["A", "x" * 65], "symbols[1]", "65 characters"),
        (["A", "Z*"], "symbols[1]", "no stored symbol matches 'Z*'"),
    ],
)
def test_wrong_symbols_are_named(symbols, field, told):
    found, reason = violations(job(symbols, "close"))
    assert list(found) == [field]
    assert told in found[field]
    assert reason == Reason.INVALID_REQUEST


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_parameters_must_be_finite(value):
    found, _ = violations(job("A", "close * n", parameters={"n": value}))
    assert list(found) == ["parameters[n]"]


def test_parameters_without_a_formula_are_refused():
    assert list(violations(job("A", parameters={"n": 1}))[0]) == ["parameters[n]"]


def test_too_many_symbols_are_refused():
    found, _ = violations(job("*"), limits=JobLimits(max_symbols=3))
    assert found == {"symbols": "are 5; one job may have 3 at most"}


def test_what_costs_the_server_much_is_refused_before_it_is_done():
    assert violations(job([""] * 200_000))[0] == {"symbols": "are 200,000; one job may have 100,000 at most"}
    assert len(violations(job([""] * 90_000))[0]) == 100
    found, _ = violations(job([f"A{number}*" for number in range(101)]))
    assert found == {"symbols": "have more than 100 patterns, the most that are allowed"}
    found, _ = violations(job("A", "close", parameters={f"p{number}": 1 for number in range(257)}))
    assert found == {"parameters": "are 257; one job may have 256 at most"}


def test_everything_that_is_wrong_is_told_at_once():
    found, reason = violations(ProcessingJob(job_id="?"))
    assert set(found) == {"job_id", "symbols", "timeframe"}
    assert reason == Reason.INVALID_REQUEST


def test_a_wrong_formula_gives_its_own_reason_and_every_problem():
    with pytest.raises(InvalidRequestError) as caught:
        plan(job("A", "a = smaa(close, 3); b = closse"))
    assert caught.value.reason == Reason.INVALID_FORMULA
    assert [violation.field for violation in caught.value.violations] == ["formula.expression"] * 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"timeframe": "1h"}, Reason.TIMEFRAME_NOT_STORED),
        ({"formula__expression": "", "formula__id": "mine"}, Reason.FORMULA_NOT_FOUND),
    ],
)
def test_a_job_with_one_fault_has_its_reason(changes, reason):
    assert violations(edited(**changes))[1] == reason


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [("*", STORED), ("A?", ["AA", "AB"]), ("B[C]", ["B[C]"]), ("B[*", ["B[C]"]), ("C", []), ("a*", [])],
)
def test_patterns_know_only_star_and_question_mark(pattern, matched):
    assert matching_symbols([pattern], STORED) == {pattern: matched}
