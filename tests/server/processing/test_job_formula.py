"""A job's formula on its way to the workers: saved formulas, other symbols, options."""

import asyncio

import numpy as np
import pytest

from candelabra.v1 import ColumnKind, Compatibility, ProcessingResult, SavedFormula
from candelabra.worker.v1 import ChunkTask, JobTask
from candelabra_server.errors import InvalidRequestError, Reason
from candelabra_server.formulas.saved import DeclaredParameter
from candelabra_server.formulas.saved import SavedFormula as StoredFormula
from candelabra_server.formulas.service import FormulaService
from candelabra_server.formulas.store import FormulaStore
from candelabra_server.processing.job_formula import from_message, to_message
from candelabra_server.processing.job_plan import prepare_symbol_args
from candelabra_server.processing.processing_engine import ProcessingEngine
from candelabra_server.processing.result_transport import PacketReader
from candelabra_server.processing.worker_functions import _worker_process_chunk, _worker_process_symbol
from support.jobs import job
from support.memory_repository import MemoryRepository, candles_of

TREND = StoredFormula(
    id="trend",
    expression="sma(close, days)",
    parameters=(DeclaredParameter(name="days", default=3.0, minimum=2, maximum=50),),
)


@pytest.fixture
def store(tmp_path):
    store = FormulaStore(tmp_path)
    store.create(TREND)
    return store


def run(request, *symbols, service, workers=2):
    with ProcessingEngine(MemoryRepository(symbols), service, max_workers=workers) as engine:
        return asyncio.run(engine.process_batch(request))


def by_id(symbols, identifier, **parameters):
    request = job(symbols, "", parameters=parameters)
    request.formula.id = identifier
    return request


def values_of(result):
    return np.array(result.columns[0].values)


def test_a_job_runs_a_saved_formula_by_its_id(store):
    (result,) = run(by_id("A", "trend"), "A", service=FormulaService(store=store))
    (expected,) = run(job("A", "sma(close, 3)"), "A", service=FormulaService())
    np.testing.assert_array_equal(values_of(result), values_of(expected))


def test_a_job_calls_saved_formulas_from_its_text(store):
    request = job(["A", "B"], "close - @trend(n)", parameters={"n": 4})
    results = run(request, "A", "B", service=FormulaService(store=store))
    expected = run(job(["A", "B"], "close - sma(close, 4)"), "A", "B", service=FormulaService())
    for result, wanted in zip(results, expected, strict=True):
        np.testing.assert_array_equal(values_of(result), values_of(wanted))


def test_workers_use_the_version_that_the_job_was_planned_with(store):
    """What a job needs goes with its chunks: a change, a delete or another machine's disk cannot reach it."""
    planned = store.get("trend")
    task = JobTask()
    task.task.timeframe, task.task.formula_expression = "1d", "@trend(3)"
    task.task.saved_formulas.append(to_message(planned))
    task.candle_repo_config = (
        '{"type": "support.memory_repository:create", "symbols": ["A"], "rows": 100, "marker": ""}'
    )
    task.formula_service_config = '{"type": "builtin"}'
    reply = _worker_process_chunk(ChunkTask(job=task.SerializeToString(), symbols=["A"]).SerializeToString())
    result = ProcessingResult.FromString(bytes(next(iter(PacketReader(reply, None)))[1][0]))
    (expected,) = run(job("A", "sma(close, 3)"), "A", service=FormulaService())
    np.testing.assert_array_equal(values_of(result), values_of(expected))


def test_a_worker_that_is_given_an_id_alone_looks_it_up_itself(store):
    args = prepare_symbol_args("A", by_id("A", "trend", days=5))
    config = MemoryRepository(["A"]).worker_config()
    result = _worker_process_symbol(args, config, FormulaService(store=store).worker_config())
    (expected,) = run(job("A", "sma(close, 5)"), "A", service=FormulaService())
    np.testing.assert_array_equal(values_of(result), values_of(expected))


@pytest.mark.parametrize(
    ("identifier", "parameters", "field", "reason"),
    [
        ("trand", {}, "formula.id", Reason.FORMULA_NOT_FOUND),
        ("trend@2", {}, "formula.id", Reason.FORMULA_NOT_FOUND),
        ("trend", {"days": 1.0}, "parameters[days]", Reason.INVALID_REQUEST),
        ("trend", {"days": 2.5}, "formula.id", Reason.INVALID_REQUEST),
    ],
)
def test_what_is_wrong_with_a_saved_formula_fails_the_job(store, identifier, parameters, field, reason):
    with pytest.raises(InvalidRequestError) as caught:
        run(by_id("A", identifier, **parameters), "A", service=FormulaService(store=store))
    assert [violation.field for violation in caught.value.violations] == [field]
    assert caught.value.reason == reason


def test_a_job_looks_at_another_symbol_over_the_time_of_its_own_candles():
    text = 'a = close - symbol("B").close; b = ChangeInstrument("B", sma($close, 7))'
    request = job("A", text, start="2020-02-10", end="2020-03-01")
    (result,) = run(request, "A", "B", service=FormulaService())
    own, other = (candles_of(name, 100).fields["close"] for name in "AB")
    rows = slice(40, 61)  # daily candles from 2020-01-01
    np.testing.assert_array_equal(values_of(result), (own - other)[rows])
    average = [other[row - 6 : row + 1].mean() for row in range(40, 61)]
    np.testing.assert_allclose(np.array(result.columns[1].values), average, rtol=1e-12)
    assert result.info.warm_up_candles_used == 0


def test_a_symbol_that_the_formula_looks_at_must_be_stored():
    with pytest.raises(InvalidRequestError, match="looks at the symbol 'SPY', which is not stored") as caught:
        run(job("A", 'close / symbol("SPY").close'), "A", service=FormulaService())
    assert [violation.reason for violation in caught.value.violations] == [Reason.UNKNOWN_SYMBOL]


@pytest.mark.parametrize(("end", "rows"), [("2020-01-20", 20), ("2020-03-10", 70)])
def test_another_symbol_that_begins_later_has_no_values_until_then(end, rows):
    request = job("A", 'symbol("BEGINS-LATER").close', end=end)
    (result,) = run(request, "A", "BEGINS-LATER", service=FormulaService())
    expected = candles_of("BEGINS-LATER", rows).fields["close"].copy()
    expected[:50] = np.nan
    np.testing.assert_array_equal(values_of(result), expected)
    assert result.info.columns[0].nan_reasons.warm_up == min(50, rows)


def test_longer_timeframes_follow_the_jobs_own():
    (result,) = run(job("A", "sma(close, 2)@1w", start="2020-03-02"), "A", service=FormulaService())
    assert result.info.warm_up_candles_used == (1 + 2) * 7
    assert not np.isnan(values_of(result)).any()


def test_the_compatibility_of_a_job_and_32_bit_fields_reach_the_workers():
    request = job("A", "close")
    request.formula.float32_fields = True
    (result,) = run(request, "A", service=FormulaService())
    close = candles_of("A", 100).fields["close"]
    assert values_of(result).tolist() == close.astype(np.float32).astype(float).tolist()
    request = job("A", "WMA($close, 5)")
    request.formula.compatibility = Compatibility.COMPATIBILITY_QLIB
    (qlib,) = run(request, "A", service=FormulaService())
    (right,) = run(job("A", "WMA($close, 5)"), "A", service=FormulaService())
    np.testing.assert_allclose(values_of(qlib)[4:], values_of(right)[4:] / 5, rtol=1e-12)


def test_every_nan_of_a_result_has_a_reason():
    (result,) = run(job("A", "a = sma(close, 5); b = close > sma(close, 3); c = close"), "A", service=FormulaService())
    first, second, third = result.info.columns
    assert (first.nan_count, first.nan_reasons.warm_up) == (4, 4)
    assert (second.nan_count, second.nan_reasons.warm_up) == (2, 2)
    assert result.columns[1].kind == ColumnKind.COLUMN_KIND_SIGNAL
    assert (third.nan_count, third.HasField("nan_reasons")) == (0, False)


def test_a_saved_formula_survives_its_message():
    whole = StoredFormula(
        id="desk/a",
        version=7,
        expression="close",
        description="what it is for",
        parameters=(
            DeclaredParameter(name="a", default=0.0, minimum=0.0, maximum=0.0, description="zero is a value"),
            DeclaredParameter(name="b"),
        ),
        qlib_defects=True,
        float32_fields=True,
        etag="e",
        create_time_micros=1,
        update_time_micros=2,
    )
    assert from_message(SavedFormula.FromString(to_message(whole).SerializeToString())) == whole


def everything(symbols):
    """One formula of every family, so that no order of work could hide."""
    return job(
        symbols,
        "m = macd(close); r = rsi(close, 7); q = Mean($close, 5) / Std($close, 9); w = sma(close, 2)@1w;"
        's = symbol("S07").close / close; n = Rank($close, 10); c = Corr($close, Log($volume + 1), 8);'
        "b = bars_since(cross_over(close, sma(close, 4))); k = kama(close, 5); e = EMA($close, 4)",
    )


def test_values_are_the_same_bits_in_any_order_with_any_number_of_workers_and_in_any_chunks():
    symbols = [f"S{index:02}" for index in range(40)]
    found = []
    for order, workers in ((symbols, 1), (symbols[::-1], 2), (symbols[::3] + symbols[1::3] + symbols[2::3], 2)):
        results = run(everything(order), *symbols, service=FormulaService(), workers=workers)
        found.append({result.symbol: [column.SerializeToString() for column in result.columns] for result in results})
    (alone,) = run(everything("S11"), *symbols, service=FormulaService(), workers=1)
    assert [column.SerializeToString() for column in alone.columns] == found[0]["S11"]
    assert found[0].keys() == set(symbols)
    assert all(other == found[0] for other in found[1:])
