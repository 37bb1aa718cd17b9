"""Explanations of jobs: what is told is what the job would do, and nothing of it is done."""

import asyncio

import pytest

from candelabra.v1 import ExplainJobRequest, OutputOptions, Precision, ProcessingJob, ProcessingResult
from candelabra_server.candles.repository import StoredSymbol
from candelabra_server.config import JobLimits, TimeLimits
from candelabra_server.errors import InvalidRequestError, StoreError
from candelabra_server.formulas.service import CompiledFormula, FormulaService
from candelabra_server.processing.job_explanation import explain_job
from candelabra_server.processing.job_plan import JobTiming, plan_job
from candelabra_server.processing.processing_engine import ProcessingEngine
from candelabra_server.processing.worker_configs import WorkerConfigs
from support.jobs import job
from support.memory_repository import DAY, FIRST, MemoryRepository, MemorySnapshot, candles_of

STORED = ["A", "AA", "AB", "B"]


class WholeRepository(MemoryRepository):
    """Lists the fields that its candles have."""

    def list_symbols(self, timeframe):
        return [
            StoredSymbol(name, self._rows, FIRST, FIRST + (self._rows - 1) * DAY, tuple(candles_of(name, 1).fields))
            for name in self._symbols
        ]


def explain(request, *, repository=None, limits=None):
    answer = explain_job(
        ExplainJobRequest(job=request),
        candle_repo=repository or WholeRepository(STORED),
        formula_service=FormulaService(),
        limits=limits or JobLimits(),
    )
    assert MemorySnapshot.open_count == 0
    return answer


def told(answer):
    return {violation.field: violation.description for violation in answer.violations}


def test_a_job_that_can_run_is_told_with_its_symbols_formula_and_state():
    answer = explain(job(["B", "A*", "NOPE", "A"], "sma(close, 20)", timeframe="day"))
    assert (told(answer), list(answer.formula_problems)) == ({}, [])
    assert (answer.symbols_total, list(answer.unknown_symbols)) == (5, ["NOPE"])
    assert (answer.timeframe, answer.snapshot_id) == ("1d", "memory-1")
    assert answer.formula.outputs[0].warm_up_candles == 19
    assert (answer.estimate.candles_read, answer.estimate.result_rows) == (400, 400)


def test_nothing_is_loaded_and_nothing_is_computed(monkeypatch):
    def refuse(*_arguments, **_options):
        raise AssertionError

    monkeypatch.setattr(MemoryRepository, "load", refuse)
    monkeypatch.setattr(CompiledFormula, "evaluate", refuse)
    assert explain(job("*", "sma(close, 20)")).estimate.result_rows == 400


def test_a_job_without_a_formula_has_no_description():
    answer = explain(job("A"))
    assert not answer.HasField("formula")
    assert answer.estimate.result_rows == 100


def test_at_most_a_hundred_unknown_symbols_are_named():
    answer = explain(job([f"N{number}" for number in range(150)], "close"))
    assert answer.symbols_total == 150
    assert list(answer.unknown_symbols) == [f"N{number}" for number in range(100)]


def test_mistakes_in_the_text_are_data_and_all_else_is_a_violation():
    request = job(["A", "Z*"], "a = smaa(close, 3); b = closse", start="yesterday")
    request.output.last_n = -1
    answer = explain(request)
    assert [problem.code for problem in answer.formula_problems] == ["UNKNOWN_FUNCTION", "UNKNOWN_NAME"]
    assert set(told(answer)) == {"date_range.start", "output.last_n", "symbols[1]"}
    assert not answer.HasField("formula")
    assert not answer.HasField("estimate")
    assert (answer.symbols_total, list(answer.unknown_symbols)) == (1, [])


def test_a_formula_that_is_right_is_described_also_where_the_job_is_wrong():
    answer = explain(job("A", "close@1w", timeframe="1h"))
    assert list(told(answer)) == ["timeframe"]
    assert answer.violations[0].reason == "TIMEFRAME_NOT_STORED"
    assert (answer.timeframe, answer.snapshot_id) == ("1h", "")
    assert answer.formula.warm_ups[0].candles == 2 * 7 * 24
    assert not answer.HasField("estimate")


def test_an_empty_request_is_answered():
    answer = explain(ProcessingJob())
    assert set(told(answer)) == {"symbols", "timeframe"}
    assert (answer.symbols_total, answer.timeframe) == (0, "")


def test_a_symbol_that_the_formula_looks_at_must_be_stored():
    answer = explain(job("A", 'close / symbol("SPY").close'))
    assert [violation.reason for violation in answer.violations] == ["UNKNOWN_SYMBOL"]
    assert answer.HasField("formula")


def test_too_many_symbols_are_told_with_how_many_there_are():
    answer = explain(job("*", "close"), limits=JobLimits(max_symbols=3))
    assert told(answer) == {"symbols": "are 4; one job may have 3 at most"}
    assert answer.symbols_total == 4


@pytest.mark.parametrize(
    "request_",
    [
        ProcessingJob(job_id="?"),
        job("A", "a = smaa(close, 3); b = closse"),
        job(["A", "Z*"], "smaa(close)", start="yesterday", parameters={"n": float("nan")}),
        job("A", "close", timeframe="1h"),
        job("A", 'close / symbol("SPY").close'),
        job("A", "", parameters={"n": 1}),
    ],
)
def test_what_is_told_is_what_the_job_would_be_refused_for(request_):
    with pytest.raises(InvalidRequestError) as caught:
        plan_job(
            request_,
            candle_repo=MemoryRepository(STORED),
            formula_service=FormulaService(),
            configs=WorkerConfigs(candle_repo="{}", formula_service="{}"),
            timing=JobTiming.of(TimeLimits(), None),
            limits=JobLimits(),
        )
    answer = explain(request_)
    refused = [(violation.field, violation.description, violation.reason) for violation in caught.value.violations]
    assert refused == [
        *((violation.field, violation.description, violation.reason) for violation in answer.violations),
        *(("formula.expression", problem.text, problem.code) for problem in answer.formula_problems),
    ]


def test_a_store_that_cannot_be_read_is_an_error_and_leaves_nothing_open(monkeypatch):
    def fail(_self, _timeframe):
        raise StoreError("the disk is gone")

    monkeypatch.setattr(WholeRepository, "list_symbols", fail)
    with pytest.raises(StoreError):
        explain(job("A", "close"))
    assert MemorySnapshot.open_count == 0


@pytest.fixture(scope="module")
def engine():
    with ProcessingEngine(WholeRepository(STORED), FormulaService(), max_workers=1) as engine:
        yield engine


@pytest.mark.parametrize(
    ("expression", "output"),
    [
        (None, {}),
        ("sma(close, 20)", {}),
        ("a = sma(close, 20); b = close > a", {"precision": Precision.PRECISION_FLOAT32}),
        ("sma(close, 20) - sma(close, 20)[1]", {"last_n": 7}),
        ("streak(close > open)", {"last_n": 7}),
        ("sma(close, 2)@1w", {}),
    ],
)
@pytest.mark.parametrize(("start", "end"), [("", ""), ("2020-02-10", "2020-03-01"), ("2020-01-10", "2020-01-12")])
def test_the_estimate_is_what_the_job_then_takes(engine, expression, output, start, end):
    request = job(["*", "NOPE"], expression, start=start, end=end)
    request.output.CopyFrom(OutputOptions(**output))
    told = explain(request).estimate

    async def run():
        return [message async for message in engine.stream(request)]

    messages = asyncio.run(run())
    results = [ProcessingResult.FromString(message) for message in messages]
    assert told.candles_read == sum(result.info.candles_read for result in results)
    assert told.result_rows == sum(len(result.open_time_micros) for result in results)
    sent = sum(map(len, messages))
    assert told.result_bytes == pytest.approx(sent, rel=0.1, abs=80 * len(results))
    assert told.cpu_micros > 0
