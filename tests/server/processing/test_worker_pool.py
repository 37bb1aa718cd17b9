"""The pool of workers behind the engine: one generation at a time, each started whole and ended for certain."""

import asyncio
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from types import SimpleNamespace
from unittest.mock import MagicMock

import psutil
import pytest

from candelabra_server.errors import UnavailableError
from candelabra_server.formulas.service import FormulaService
from candelabra_server.processing import worker_pool
from candelabra_server.processing.executors.local_pool import create_pool, is_broken, worker_processes
from candelabra_server.processing.processing_engine import ProcessingEngine
from support.jobs import job
from support.memory_repository import MemoryRepository
from support.workers import run_until


def make_engine():
    return ProcessingEngine(MagicMock(), MagicMock(), max_workers=2)


def make_engine_with(submit):
    """One whose pool is launched, and does this when it is given something."""
    engine = make_engine()
    engine._executor = SimpleNamespace(submit=partial(submit, engine))
    engine._pool._generations.append(worker_pool._Generation(engine._executor, None, 0, is_launched=True))
    return engine


def _break(engine):
    """Kills a worker and waits until the pool knows."""
    executor = engine._ensure_executor()
    pid = executor.submit(os.getpid).result(timeout=60)
    os.kill(pid, signal.SIGKILL)
    run_until(lambda: is_broken(executor))
    return executor


def test_work_for_an_engine_without_a_pool_is_refused():
    engine = make_engine()
    with pytest.raises(UnavailableError, match="shut down"):
        engine._pool.submit(b"")
    with engine:
        with pytest.raises(BrokenProcessPool, match="broken or being made"):
            engine._pool.submit(b"")
        engine._pool.launch(engine._pool.shutdowns)
        engine._executor.shutdown()
        with pytest.raises(BrokenProcessPool, match="broken or being made"):
            engine._pool.submit(b"")


@pytest.mark.parametrize("error", [EOFError("the process that starts workers died"), OSError("no more processes")])
def test_a_pool_whose_workers_cannot_all_be_started_is_ended_and_the_next_one_works(monkeypatch, error):
    """Those that were started already are ended with it."""
    real, started = ProcessPoolExecutor._spawn_process, []

    def refuse(pool):
        real(pool)
        started.extend(worker_processes(pool))
        raise error

    with make_engine() as engine:
        pool = engine._pool
        with monkeypatch.context() as refusing:
            refusing.setattr(ProcessPoolExecutor, "_spawn_process", refuse)
            pool.launch(pool.shutdowns)
        assert not pool.is_running(pool.shutdowns)
        assert len(started) == 1
        run_until(lambda: not psutil.pid_exists(started[0].pid))
        pool.launch(pool.shutdowns)
        assert pool.is_running(pool.shutdowns)
        assert pool.generation == 2


def test_workers_are_not_started_for_work_from_before_a_shutdown():
    with make_engine() as engine:
        planned = engine._pool.shutdowns
        engine.shutdown()
        with pytest.raises(UnavailableError, match="shut down"):
            engine._pool.launch(planned)
        assert engine._executor is None


@pytest.mark.parametrize(("seen", "has_died"), [([1, 1, 1, 2], True), ([1], False)])
def test_a_helper_process_that_dies_is_waited_for_until_it_can_be_seen(seen, has_died, monkeypatch):
    """Its workers are said to have ended with 255 before the system tells that it has ended itself."""
    monkeypatch.setattr(worker_pool, "_HELPER_DEATH_SECONDS", 3_600.0 if has_died else 0.0)
    monkeypatch.setattr(worker_pool, "worker_context", lambda: None)
    answers = iter([*seen, *[seen[-1]] * 9])
    monkeypatch.setattr(worker_pool, "helper_process", lambda: next(answers))
    made = worker_pool._Generation(None, 1, 0)
    assert worker_pool.WorkerPool._helper_has_died(made, [MagicMock(exitcode=255)]) is has_died


def test_a_pool_without_work_has_neither_workers_to_end_nor_stopped_ones():
    engine = make_engine()
    assert engine._pool.stopped_workers() == []
    engine._pool.end_worker(1)
    with engine:
        assert engine._pool.stopped_workers() == []
        engine._pool.end_worker(1)
        assert engine._pool.end_broken() == {}


def test_work_that_comes_just_after_a_shutdown_is_refused():
    def submit(engine, *_):
        engine._executor = None
        raise RuntimeError("cannot schedule new futures after shutdown")

    with pytest.raises(UnavailableError, match="shut down"):
        make_engine_with(submit)._pool.submit(b"")


def test_work_that_comes_just_when_a_generation_is_ended_is_for_the_next():
    def submit(_engine, *_):
        raise RuntimeError("cannot schedule new futures after shutdown")

    with pytest.raises(BrokenProcessPool, match="being ended"):
        make_engine_with(submit)._pool.submit(b"")


def test_a_slot_is_not_used_again_when_nobody_knows_whether_the_pool_has_the_chunk():
    def submit(_engine, *_):
        raise MemoryError

    engine = make_engine_with(submit)
    for _ in range(6):
        with pytest.raises(MemoryError):
            engine._pool.submit(b"")
    assert engine._pool.submit(b"") is None
    engine._pool._close_slots()


def test_the_end_of_a_generation_is_told_once_and_leaves_the_next_one_alone():
    """Whatever is lost with one is judged by how its own workers died, also after it was replaced."""
    with make_engine() as engine:
        pool = engine._pool
        pool.launch(pool.shutdowns)
        first = engine._executor
        killed, _ = [process.pid for process in worker_processes(first)]
        os.kill(killed, signal.SIGKILL)
        run_until(lambda: is_broken(first))
        pool.launch(pool.shutdowns)
        second = engine._executor
        assert second is not first
        assert pool.end_broken(first)[killed].exit_code == -signal.SIGKILL
        assert pool.end_broken(first) is pool.end_broken(first)
        assert pool.is_running(pool.shutdowns)
        assert len(worker_processes(second)) == 2


def test_a_shutdown_does_not_wait_for_a_launch_that_is_stuck(monkeypatch):
    monkeypatch.setattr(worker_pool, "_LOCK_SECONDS", 0.01)
    launching, let_go = threading.Event(), threading.Event()

    def launch(pool):
        with pool.lock:
            launching.set()
            assert let_go.wait(60)

    with make_engine() as engine:
        thread = threading.Thread(target=launch, args=(engine._pool,))
        thread.start()
        assert launching.wait(60)
        engine.shutdown()
        assert engine._executor is None
        let_go.set()
        thread.join(60)


def test_a_pool_of_somebody_else_is_replaced_when_it_is_broken():
    with make_engine() as engine:
        own = engine._executor
        engine._executor = foreign = create_pool(1)
        foreign.shutdown()
        assert engine._ensure_executor() not in {own, foreign}
        own.shutdown()


def test_workers_that_never_had_work_end_with_their_engine():
    with make_engine() as engine:
        engine._pool.launch(engine._pool.shutdowns)
        started = [process.pid for process in worker_processes(engine._executor)]
    assert len(started) == 2
    run_until(lambda: not any(map(psutil.pid_exists, started)))


def test_what_the_system_refuses_makes_a_job_unavailable_and_is_told_in_the_log_only(monkeypatch, caplog):
    def refuse(*_):
        raise OSError(24, "Too many open files: /a/secret/path")

    repository = MemoryRepository(["A"])
    engine = ProcessingEngine(repository, FormulaService(), max_workers=1)
    with monkeypatch.context() as refusing:
        refusing.setattr(worker_pool, "create_pool", refuse)
        with pytest.raises(UnavailableError, match="the server's log has the cause") as caught:
            asyncio.run(engine.process_batch(job("A", "close")))
    assert "secret" not in caught.value.message
    assert "secret" in caplog.text
    with engine:
        assert len(asyncio.run(engine.process_batch(job("A", "close")))) == 1


def test_work_for_a_broken_pool_is_told_apart_from_work_for_none():
    with make_engine() as engine:
        _break(engine)
        with pytest.raises(BrokenProcessPool):
            engine._pool.submit(b"")


def test_a_generation_that_was_replaced_gets_no_place_for_results():
    """Pool rules 7 and 11: nothing that comes late from an earlier generation counts."""
    with make_engine() as engine:
        broken = _break(engine)
        slots = engine._pool.slots_of(engine._ensure_executor())
        with pytest.raises(BrokenProcessPool, match="was replaced"):
            engine._pool.slots_of(broken)
        assert engine._pool.slots_of(engine._executor) is slots
