"""The engine's life: made, entered, lazily made, shut down, broken, forgotten."""

import asyncio
import gc
import json
import logging
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from unittest.mock import MagicMock

import pytest

from candelabra.worker.v1 import SymbolTask
from candelabra_server.errors import ConfigurationError
from candelabra_server.processing.executors.local_pool import worker_processes
from candelabra_server.processing.processing_engine import IProcessingEngine, ProcessingEngine
from support.jobs import job
from support.workers import run_until, sleep_in_worker

ENGINE_LOGGER = "candelabra_server.processing.processing_engine"


def make_engine(**options):
    return ProcessingEngine(MagicMock(), MagicMock(), max_workers=2, **options)


# The specification's tests, by name.


def test_executor_context_manager():
    """Test context manager creates and shuts down executor"""
    engine = ProcessingEngine(MagicMock(), MagicMock(), max_workers=2)

    assert engine._executor is None

    with engine:
        assert engine._executor is not None
        assert isinstance(engine._executor, ProcessPoolExecutor)

    assert engine._executor is None


def test_executor_lazy_creation():
    """Test executor is created lazily outside context"""
    engine = ProcessingEngine(MagicMock(), MagicMock(), max_workers=2)

    executor = engine._ensure_executor()

    assert executor is not None
    engine.shutdown()


def test_executor_manual_shutdown():
    """Test manual shutdown"""
    engine = ProcessingEngine(MagicMock(), MagicMock(), max_workers=2)
    engine._ensure_executor()

    engine.shutdown(wait=True)

    assert engine._executor is None


# The acceptance scenarios.


def test_scenario_1_entering_creates_the_pool_with_the_given_workers_and_logs_it(caplog):
    caplog.set_level(logging.DEBUG, ENGINE_LOGGER)
    with make_engine() as engine:
        assert isinstance(engine._executor, ProcessPoolExecutor)
        assert engine._executor._max_workers == 2
        assert (logging.DEBUG, "ProcessPoolExecutor started with 2 workers") in _logged(caplog)


def test_scenario_2_leaving_waits_clears_logs_and_lets_the_exception_through(caplog):
    caplog.set_level(logging.DEBUG, ENGINE_LOGGER)
    engine = make_engine()
    executor = MagicMock(spec=ProcessPoolExecutor)
    with pytest.raises(KeyError, match="mine"), engine:
        engine.shutdown()  # the real pool; the rest of this test looks at how the engine ends one
        engine._executor = executor
        raise KeyError("mine")
    executor.shutdown.assert_called_once_with(wait=True)
    assert engine._executor is None
    assert _logged(caplog)[-1] == (logging.DEBUG, "ProcessPoolExecutor shutdown complete")


def test_scenario_3_a_pool_outside_a_context_comes_with_a_warning(caplog):
    engine = make_engine()
    executor = engine._ensure_executor()
    assert isinstance(executor, ProcessPoolExecutor)
    assert engine._ensure_executor() is executor
    warnings = [message for level, message in _logged(caplog) if level == logging.WARNING]
    assert len(warnings) == 1
    assert "with ProcessingEngine(...) as engine:" in warnings[0]
    engine.shutdown()


def test_scenario_4_shutdown_clears_the_pool_and_a_second_one_does_nothing():
    engine = make_engine()
    executor = engine._ensure_executor()
    engine.shutdown(wait=True)
    assert engine._executor is None
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(os.getpid)
    engine.shutdown(wait=True)
    assert engine._executor is None


def test_scenario_5_symbol_arguments_are_picklable_primitives():
    request = job("AAPL", "sma(close, n)", parameters={"n": 3}, start="2012-01-01", end="2012-12-31")
    request.formula.id = ""
    args = make_engine()._prepare_symbol_args("AAPL", request)
    assert args == {
        "symbol": "AAPL",
        "timeframe": "1d",
        "date_range_start": "2012-01-01",
        "date_range_end": "2012-12-31",
        "formula_expression": "sma(close, n)",
        "formula_id": "",
        "parameters": {"n": 3.0},
    }
    assert type(args["parameters"]) is dict
    assert json.loads(json.dumps(args)) == args
    assert SymbolTask.FromString(SymbolTask(**args).SerializeToString()).formula_expression == "sma(close, n)"


def test_a_job_without_formula_has_none_for_both_of_its_arguments():
    args = make_engine()._prepare_symbol_args("AAPL", job("AAPL"))
    assert args["formula_expression"] is None
    assert args["formula_id"] is None
    assert not SymbolTask(**args).HasField("formula_expression")


def test_options_are_among_the_arguments_when_the_job_sets_them():
    request = job("AAPL")
    request.output.last_n = 5
    request.options.allow_lookahead = True
    args = make_engine()._prepare_symbol_args("AAPL", request)
    assert args["last_n"] == 5
    assert args["allow_lookahead"] is True
    assert "precision" not in args


# Workers.


@pytest.mark.parametrize(("cpus", "workers"), [(7, 7), (None, 4)])
def test_workers_default_to_the_cpus_and_to_four_where_that_is_unknown(monkeypatch, cpus, workers):
    monkeypatch.setattr(os, "cpu_count", lambda: cpus)
    assert ProcessingEngine(MagicMock(), MagicMock()).max_workers == workers


@pytest.mark.parametrize("workers", [0, -1])
def test_fewer_than_one_worker_is_refused(workers):
    with pytest.raises(ValueError, match="max_workers must be 1 or more"):
        ProcessingEngine(MagicMock(), MagicMock(), max_workers=workers)


def test_the_number_of_workers_is_logged_at_info(caplog):
    caplog.set_level(logging.INFO, ENGINE_LOGGER)
    make_engine()
    assert (logging.INFO, "ProcessingEngine initialized: max_workers=2") in _logged(caplog)


def test_it_is_an_engine_of_the_interface():
    assert issubclass(ProcessingEngine, IProcessingEngine)


def test_entering_twice_keeps_the_pool():
    with make_engine() as engine:
        executor = engine._executor
        with engine:
            assert engine._executor is executor


def test_async_with_does_the_same():
    async def body():
        async with make_engine() as engine:
            assert isinstance(engine._executor, ProcessPoolExecutor)
        return engine

    assert asyncio.run(body())._executor is None


# Shutdown.


def test_pending_tasks_finish_before_shutdown_returns():
    with make_engine() as engine:
        futures = [engine._executor.submit(pow, 2, n) for n in range(50)]
    assert [future.result(timeout=0) for future in futures] == [2**n for n in range(50)]


def test_shutdown_without_waiting_returns_at_once_and_tasks_still_finish(caplog):
    caplog.set_level(logging.DEBUG, ENGINE_LOGGER)
    engine = make_engine()
    future = engine._ensure_executor().submit(pow, 2, 10)
    engine.shutdown(wait=False)
    assert engine._executor is None
    assert future.result(timeout=60) == 1024
    assert "not waiting" in _logged(caplog)[-1][1]


def test_a_shutdown_that_would_hang_is_bounded_and_says_why(caplog, monkeypatch):
    """Pool rule 10."""
    monkeypatch.setattr("candelabra_server.processing.worker_pool._SHUTDOWN_WARN_SECONDS", 0.05)
    engine = make_engine(shutdown_limit_seconds=0.1)
    future = engine._ensure_executor().submit(sleep_in_worker, 3600)
    run_until(future.running)
    processes = worker_processes(engine._executor)
    engine.shutdown(wait=True)
    assert all(process.exitcode is not None for process in processes)
    with pytest.raises(BrokenProcessPool):
        future.result(timeout=10)
    messages = [message for _, message in _logged(caplog)]
    assert any("still waits after 0.1 s for workers [" in message for message in messages)
    assert any("killing workers" in message for message in messages)


# Broken and forgotten pools.


def _break(engine):
    """Kills a worker and waits until the pool knows."""
    executor = engine._ensure_executor()
    pid = executor.submit(os.getpid).result(timeout=60)
    os.kill(pid, signal.SIGKILL)
    run_until(lambda: executor._broken)
    return executor


def test_a_broken_pool_is_replaced_by_a_new_generation_with_a_log(caplog):
    with make_engine() as engine:
        broken = _break(engine)
        fresh = engine._ensure_executor()
        assert fresh is not broken
        assert fresh.submit(pow, 2, 5).result(timeout=60) == 32
        assert engine._ensure_executor() is fresh
    assert "ProcessPoolExecutor generation 1 is broken, starting generation 2" in [m for _, m in _logged(caplog)]


def test_threads_that_find_a_broken_pool_get_the_same_new_one():
    """Pool rule 11: pools are made anew under a lock."""
    with make_engine() as engine:
        broken = _break(engine)
        found = []
        threads = [threading.Thread(target=lambda: found.append(engine._ensure_executor())) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(map(id, found))) == 1
        assert found[0] is not broken


def test_a_forgotten_engine_is_ended(caplog):
    engine = make_engine()
    executor = engine._ensure_executor()
    executor.submit(os.getpid).result(timeout=60)
    processes = worker_processes(executor)
    manager = executor._executor_manager_thread
    del engine, executor
    gc.collect()
    manager.join(timeout=60)
    assert not manager.is_alive()
    assert all(process.exitcode == 0 for process in processes)
    assert any("forgotten" in message for _, message in _logged(caplog))


def test_an_engine_that_was_shut_down_is_not_reported_as_forgotten(caplog):
    engine = make_engine()
    engine._ensure_executor()
    engine.shutdown()
    del engine
    gc.collect()
    assert not any("forgotten" in message for _, message in _logged(caplog))


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), -1.0])
def test_a_shutdown_limit_that_is_no_time_is_refused(seconds):
    with pytest.raises(ValueError, match="shutdown_limit_seconds must be"):
        make_engine(shutdown_limit_seconds=seconds)


# Configuration.


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (MagicMock(), "must return a dictionary"),
        ({"path": "x"}, "must return a dictionary with a text under 'type'"),
        ({"type": "arrow", 5: "x"}, "has the key 5; keys must be text"),
        ({"type": "arrow", "path": object()}, "has a object under 'path'; only what JSON can hold"),
    ],
)
def test_a_configuration_that_cannot_cross_is_refused_before_a_worker_starts(config, message):
    repository = MagicMock()
    repository.worker_config.return_value = config
    with ProcessingEngine(repository, MagicMock(), max_workers=1) as engine:
        with pytest.raises(ConfigurationError, match=message):
            asyncio.run(engine.process_batch(job("AAPL")))
        assert worker_processes(engine._executor) == []


def _logged(caplog):
    return [(record.levelno, record.getMessage()) for record in caplog.records]
