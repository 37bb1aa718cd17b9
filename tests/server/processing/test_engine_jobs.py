"""Jobs on the real pool: every symbol answered once, whatever one of them does."""

import asyncio
import logging
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

import numpy as np
import pytest

from candelabra.v1 import ProcessingResult
from candelabra_server.errors import ConfigurationError, InvalidRequestError, UnavailableError
from candelabra_server.formulas.service import FormulaService
from candelabra_server.processing import dispatcher
from candelabra_server.processing.executors.local_pool import worker_processes
from candelabra_server.processing.processing_engine import ProcessingEngine
from support.jobs import job
from support.memory_repository import MemoryRepository, MemorySnapshot, candles_of
from support.workers import run_until

pytestmark = pytest.mark.usefixtures("no_snapshot_stays_open")


@pytest.fixture
def no_snapshot_stays_open():
    yield
    run_until(lambda: MemorySnapshot.open_count == 0)


def make_engine(*symbols, workers=2, **settings):
    return ProcessingEngine(MemoryRepository(symbols, **settings), FormulaService(), max_workers=workers)


def run_batch(engine, request):
    with engine:
        return asyncio.run(engine.process_batch(request))


async def collect(engine, request):
    async with aclosing(engine.stream(request)) as messages:
        return [ProcessingResult.FromString(message) async for message in messages]


def values_of(result, name="value"):
    return next(np.array(column.values) for column in result.columns if column.name == name)


def test_a_batch_comes_in_the_order_of_the_jobs_symbols():
    symbols = [f"S{index:03}" for index in range(60)]
    wanted = [*reversed(symbols), "S000"]
    results = run_batch(make_engine(*symbols), job(wanted, "close * 2"))
    assert [result.symbol for result in results] == list(reversed(symbols))
    for result in results:
        np.testing.assert_array_equal(values_of(result), candles_of(result.symbol, 100).fields["close"] * 2)
    assert sorted(result.sequence for result in results) == list(range(1, 61))
    assert {result.symbols_total for result in results} == {60}
    assert sorted(result.symbols_done for result in results) == list(range(1, 61))
    assert {result.attempts for result in results} == {1}


def test_a_batch_keeps_a_symbol_whole_however_large_it_is():
    (result,) = run_batch(make_engine("BIG", rows=200_000), job("BIG"))
    assert len(result.open_time_micros) == 200_000
    assert result.last_part


def test_a_stream_sends_the_parts_of_a_symbol_in_order():
    request = job("BIG")
    request.output.max_message_bytes = 65_536
    with make_engine("BIG", rows=20_000) as engine:
        parts = asyncio.run(collect(engine, request))
    assert len(parts) > 10
    assert max(part.ByteSize() for part in parts) <= 65_536
    times = np.concatenate([part.open_time_micros for part in parts])
    np.testing.assert_array_equal(times, candles_of("BIG", 20_000).open_time_micros)
    assert [part.symbols_done for part in parts] == [0] * (len(parts) - 1) + [1]


def test_a_job_without_formula_gives_the_candles():
    (result,) = run_batch(make_engine("A"), job("A"))
    assert [column.name for column in result.columns] == ["open", "high", "low", "close", "volume"]


def test_warm_up_candles_come_before_the_range_and_are_reported():
    (result,) = run_batch(make_engine("A"), job("A", "sma(close, 10)", start="2020-01-06", end="2020-02-01"))
    assert not np.isnan(values_of(result)[4:]).any()
    assert result.info.warm_up_candles_used == 5
    (result,) = run_batch(make_engine("A"), job("A", "sma(close, 10)", start="2020-02-01", end="2020-02-29"))
    assert result.info.warm_up_candles_used == 9
    assert result.info.candles_read == 9 + 29
    assert not np.isnan(values_of(result)).any()
    assert result.info.snapshot_id == "memory-1"


def test_only_the_last_rows_are_sent_when_asked_for():
    request = job("A", "close")
    request.output.last_n = 3
    (result,) = run_batch(make_engine("A"), request)
    np.testing.assert_array_equal(values_of(result), candles_of("A", 100).fields["close"][-3:])


@pytest.mark.parametrize("bad", ["RAISES", "EXITS", "UNPICKLABLE"])
def test_a_symbol_that_fails_in_its_worker_is_one_error_among_results(bad, caplog):
    """Pool traps 3 and 4, rule 5."""
    symbols = [*(f"S{index}" for index in range(20)), bad]
    with make_engine(*symbols) as engine:
        results = {result.symbol: result for result in asyncio.run(engine.process_batch(job(symbols, "close")))}
        assert engine._pool.generation == 1
    assert len(results) == 21
    assert results.pop(bad).error.reason == "INTERNAL"
    assert not any(result.HasField("error") for result in results.values())
    assert "secret" not in str(results)
    assert any(f"cannot process {bad}" in record.getMessage() for record in caplog.records)


def test_an_unknown_symbol_is_one_error_among_results():
    results = run_batch(make_engine("A"), job(["A", "NOPE"], "close"))
    assert [result.error.reason for result in results] == ["", "UNKNOWN_SYMBOL"]


def test_a_time_limit_ends_a_symbol_and_not_the_job(tmp_path):
    """LATE comes back only after its limit has passed; A has all the time it needs."""
    request = job(["LATE", "A"], "close")
    request.options.symbol_time_limit_millis = 500
    results = run_batch(make_engine("LATE", "A"), request)
    assert [result.error.reason for result in results] == ["SYMBOL_TIME_LIMIT", ""]


def test_a_symbol_that_kills_its_worker_is_convicted_and_the_others_are_not(tmp_path, caplog):
    symbols = [*(f"S{index}" for index in range(200)), "KILLS"]
    with make_engine(*symbols) as engine:
        results = {result.symbol: result for result in asyncio.run(engine.process_batch(job(symbols, "close")))}
        assert engine._pool.generation > 1
        again = asyncio.run(engine.process_batch(job("S1", "close")))
    assert len(results) == 201
    assert results.pop("KILLS").error.reason == "WORKER_DIED"
    assert not any(result.HasField("error") for result in results.values())
    assert not again[0].HasField("error")
    assert any("is broken, starting generation" in record.getMessage() for record in caplog.records)


def test_a_worker_that_dies_once_costs_a_second_attempt_only(tmp_path):
    marker = tmp_path / "killed"
    results = run_batch(make_engine("KILLS-ONCE", marker=str(marker)), job("KILLS-ONCE", "close"))
    assert not results[0].HasField("error")
    assert results[0].attempts == 2


async def begun(engine):
    """Returns when a worker has begun something."""
    while not (
        engine._current_dispatcher
        and any(
            known.mark().position >= 0 and known.mark().is_begun
            for known in engine._current_dispatcher._workers.in_flight.values()
        )
    ):
        await asyncio.sleep(0)


def test_a_death_that_the_pool_never_reports_is_found(tmp_path, monkeypatch, caplog):
    """A worker killed in the middle of sending a large result: the standard pool would wait for ever.

    Pool trap 1, rule 10.
    """
    monkeypatch.setattr(dispatcher, "_WATCH_SECONDS", 0.05)
    marker = tmp_path / "go"

    async def body():
        with make_engine("WAITS", workers=1, rows=10, marker=str(marker)) as engine:
            answer = asyncio.ensure_future(engine.process_batch(job("WAITS", "close")))
            await begun(engine)
            # Half a message in the pipe is what a worker leaves that dies while it sends.
            os.write(engine._executor._result_queue._writer.fileno(), b"\x00\x00\x10\x00half")
            (process,) = worker_processes(engine._executor)
            os.kill(process.pid, signal.SIGKILL)
            marker.touch()
            return await asyncio.wait_for(answer, 60)

    (result,) = asyncio.run(body())
    assert not result.HasField("error")
    assert result.attempts == 2
    assert any("its pool did not notice" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("error", [OSError("no more processes"), RuntimeError("odd")])
def test_a_worker_that_the_system_refuses_ends_jobs_as_unavailable_and_the_next_job_runs(monkeypatch, caplog, error):
    def refuse(*_):
        raise error

    with make_engine("A", "B") as engine:
        with monkeypatch.context() as refusing:
            refusing.setattr(engine._pool, "submit", refuse)
            with pytest.raises(UnavailableError, match="cannot be started"):
                asyncio.run(engine.process_batch(job(["A", "B"], "close")))
        assert len(asyncio.run(engine.process_batch(job(["A", "B"], "close")))) == 2
    assert any("no worker can be given work" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("error", [RuntimeError("odd"), asyncio.CancelledError()])
def test_a_recovery_that_fails_in_any_way_ends_the_jobs_and_the_next_one_runs(monkeypatch, tmp_path, error):
    async def fail():
        raise error

    async def body():
        with make_engine("KILLS", "A") as engine:
            with monkeypatch.context() as failing:
                failing.setattr(engine._pool, "recover", fail)
                with pytest.raises(UnavailableError):
                    await asyncio.wait_for(engine.process_batch(job("KILLS", "close")), 60)
            return await asyncio.wait_for(engine.process_batch(job("A", "close")), 60)

    assert asyncio.run(body())[0].symbol == "A"


def test_a_log_handler_that_raises_costs_no_result(monkeypatch):
    def full(_record):
        raise OSError("log disk full")

    logger = logging.getLogger("candelabra_server.processing.worker_functions")
    logger.addFilter(full)
    try:
        results = run_batch(make_engine("A", "RAISES"), job(["A", "RAISES"], "close"))
    finally:
        logger.removeFilter(full)
    assert [result.error.reason for result in results] == ["", "INTERNAL"]


def test_a_failure_that_no_message_can_hold_costs_its_symbol_only():
    symbols = ["S1", "S2", "ODD-FAILURE", "S3"]
    results = run_batch(make_engine(*symbols), job(symbols, "close"))
    assert [result.error.reason for result in results] == ["", "", "INTERNAL", ""]


def test_a_factory_that_exits_is_a_structured_error():
    """Pool trap 4."""
    (result,) = run_batch(make_engine("A", exits=True), job("A", "close"))
    assert result.error.reason == "WORKER_START_FAILED"


def test_two_event_loops_at_once_are_refused(tmp_path):
    marker = tmp_path / "go"
    with make_engine("WAITS", "A", marker=str(marker)) as engine:
        with ThreadPoolExecutor(1) as thread:
            first = thread.submit(lambda: asyncio.run(engine.process_batch(job("WAITS", "close"))))
            run_until(lambda: engine._current_dispatcher is not None and engine._current_dispatcher.is_in_use)
            with pytest.raises(RuntimeError, match="jobs on another event loop"):
                asyncio.run(engine.process_batch(job("A", "close")))
            marker.touch()
            assert first.result(60)[0].symbol == "WAITS"
        assert asyncio.run(engine.process_batch(job("A", "close")))[0].symbol == "A"


def test_a_job_that_is_planned_while_the_engine_is_shut_down_does_not_bring_the_pool_back(monkeypatch):
    async def body():
        engine = make_engine("A")
        with engine:
            answer = asyncio.ensure_future(engine.process_batch(job("A", "close")))
            await asyncio.sleep(0)
        with pytest.raises(UnavailableError, match="shut down"):
            await answer
        assert engine._executor is None

    asyncio.run(body())


def test_two_jobs_at_once_get_their_own_results():
    symbols = [f"S{index}" for index in range(100)]

    async def body():
        with make_engine(*symbols) as engine:
            return await asyncio.gather(
                engine.process_batch(job(symbols, "close")), engine.process_batch(job(symbols, "open"))
            )

    closes, opens = asyncio.run(body())
    for close, open_ in zip(closes, opens, strict=True):
        np.testing.assert_array_equal(values_of(open_), values_of(close) * 1.001)


def test_one_engine_serves_one_event_loop_after_another():
    with make_engine("A") as engine:
        for _ in range(3):
            assert asyncio.run(engine.process_batch(job("A", "close")))[0].symbol == "A"


def test_a_stream_that_is_closed_early_drops_what_is_queued():
    symbols = [f"S{index}" for index in range(500)]

    async def body():
        with make_engine(*symbols) as engine:
            async with aclosing(engine.stream(job(symbols, "close"))) as messages:
                first = ProcessingResult.FromString(await anext(messages))
            assert first.symbols_total == 500
            return await engine.process_batch(job("S1", "close"))

    assert asyncio.run(body())[0].symbol == "S1"


def test_a_reader_that_does_not_read_stalls_its_own_job_only():
    symbols = [f"S{index}" for index in range(300)]

    async def body():
        with make_engine(*symbols) as engine:
            async with aclosing(engine.stream(job(symbols, "close"))) as slow:
                await anext(slow)
                others = await engine.process_batch(job(symbols[:50], "close"))
                rest = [message async for message in slow]
        return others, rest

    others, rest = asyncio.run(body())
    assert len(others) == 50
    assert len(rest) == 299


def test_a_job_that_cannot_run_says_everything_that_is_wrong():
    request = job(["", "Z*"], "smaa(close, 10)", timeframe="fortnight", start="2012-02-30")
    with pytest.raises(InvalidRequestError) as caught:
        run_batch(make_engine("A"), request)
    assert [violation.field for violation in caught.value.violations] == [
        "date_range.start",
        "timeframe",
        "symbols[0]",
        "formula.expression",
    ]


def test_a_shutdown_during_a_job_ends_it_as_unavailable():
    symbols = [f"S{index}" for index in range(500)]

    async def body():
        engine = make_engine(*symbols)
        async with engine, aclosing(engine.stream(job(symbols, "close"))) as messages:
            await anext(messages)
            await asyncio.to_thread(engine.shutdown)
            async for _ in messages:
                pass

    with pytest.raises(UnavailableError, match="shut down"):
        asyncio.run(body())


def test_a_job_cancelled_while_it_is_planned_leaves_no_snapshot_open(monkeypatch):
    is_asked, may_answer = threading.Event(), threading.Event()
    snapshot = MemoryRepository.snapshot

    def slow_snapshot(self, timeframe):
        is_asked.set()
        assert may_answer.wait(60)
        return snapshot(self, timeframe)

    monkeypatch.setattr(MemoryRepository, "snapshot", slow_snapshot)

    async def body():
        with make_engine("A") as engine:
            task = asyncio.create_task(engine.process_batch(job("A", "close")))
            await asyncio.to_thread(is_asked.wait, 60)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            may_answer.set()

    asyncio.run(body())


def test_a_job_cancelled_just_when_its_plan_is_made_leaves_no_snapshot_open():
    async def body():
        one_thread = ThreadPoolExecutor(1)
        asyncio.get_running_loop().set_default_executor(one_thread)
        with make_engine("A") as engine:
            task = asyncio.create_task(engine.process_batch(job("A", "close")))
            await asyncio.sleep(0)
            # The loop does not run until the thread is idle: the plan is made, and the task does not know.
            one_thread.submit(int).result(timeout=60)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(body())


def test_an_engine_without_a_pool_has_nothing_to_break_up_and_nothing_to_recover():
    async def body():
        engine = make_engine("A")
        assert engine._pool.end_broken() == {}
        with pytest.raises(UnavailableError, match="shut down"):
            await engine._pool.recover()

    asyncio.run(body())


# Workers at their start.


def test_workers_report_that_they_were_preloaded():
    """Pool trap 9."""
    with make_engine("A") as engine:
        reports = asyncio.run(engine.warm_up())
    assert len({report.process for report in reports}) == 2
    assert all(report.preloaded for report in reports)


def test_workers_log_their_configuration_without_its_values(caplog):
    caplog.set_level(logging.INFO)
    with make_engine("A", password="hunter2") as engine:
        asyncio.run(engine.warm_up())
    (message, *_) = [r.getMessage() for r in caplog.records if r.getMessage().startswith("worker started")]
    assert "candle repository 'support.memory_repository:create'" in message
    assert "password" in message
    assert "hunter2" not in caplog.text


def test_a_worker_that_cannot_start_names_the_cause_and_no_secret(caplog):
    """Pool rule 6."""
    with make_engine("A", "B", broken=True) as engine:
        results = asyncio.run(engine.process_batch(job(["A", "B"], "close")))
        with pytest.raises(ConfigurationError, match=r"could not create its candle repository: .* ValueError"):
            asyncio.run(engine.warm_up())
    assert {result.error.reason for result in results} == {"WORKER_START_FAILED"}
    assert "could not create its candle repository: " in results[0].error.message
    assert "ValueError" in results[0].error.message
    assert "hunter2" not in str(results)
    assert "hunter2" in caplog.text


def test_a_configuration_that_names_no_module_is_a_structured_error(monkeypatch):
    repository = MemoryRepository(["A"])
    monkeypatch.setattr(repository, "worker_config", lambda: {"type": "no_such_module:create"})
    with ProcessingEngine(repository, FormulaService(), max_workers=1) as engine:
        (result,) = asyncio.run(engine.process_batch(job("A", "close")))
    assert result.error.reason == "WORKER_START_FAILED"
    assert "no_such_module" in result.error.message


def test_workers_that_die_at_their_start_make_jobs_unavailable(monkeypatch):
    """Pool rule 6."""
    with make_engine("A") as engine:
        monkeypatch.setattr("candelabra_server.processing.worker_pool._worker_ping", _die)
        with pytest.raises(UnavailableError, match="die at their start"):
            asyncio.run(engine.warm_up())
        with pytest.raises(UnavailableError, match="cannot be started"):
            asyncio.run(_process_on_broken_pool(engine))


async def _process_on_broken_pool(engine):
    monkey = engine._executor
    run_until(lambda: monkey._broken)
    engine._pool.ensure = lambda: monkey
    return await engine.process_batch(job("A", "close"))


def _die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
