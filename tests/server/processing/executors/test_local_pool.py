"""Pools end for certain, and their deaths are seen."""

import logging
import os
import signal
import threading
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool

import psutil
import pytest

from candelabra_server.processing.executors import local_pool
from candelabra_server.processing.executors.local_pool import (
    bounded_shutdown,
    create_pool,
    hard_stop,
    has_silently_died,
    is_broken,
    kill_worker,
    launch_workers,
    worker_processes,
)
from support.workers import run_until, sleep_in_worker


@pytest.fixture
def pool():
    pool = create_pool(2)
    yield pool
    hard_stop(pool, grace_seconds=0)


def busy(pool):
    """Occupies every worker; gives the futures."""
    futures = [pool.submit(sleep_in_worker, 3_600) for _ in range(2)]
    run_until(lambda: all(future.running() for future in futures) and len(worker_processes(pool)) == 2)
    return futures


def interrupt_a_result(pool):
    """Leaves what a worker leaves that is killed in the middle of sending a result: half a message."""
    futures = busy(pool)
    os.write(pool._result_queue._writer.fileno(), b"\x00\x00\x10\x00half")
    for process in worker_processes(pool):
        os.kill(process.pid, signal.SIGKILL)
    return futures


def test_a_pool_without_work_has_no_workers(pool):
    assert worker_processes(pool) == []
    assert not is_broken(pool)
    assert not has_silently_died(pool)


def test_a_pool_that_was_shut_down_takes_no_work():
    pool = create_pool(1)
    pool.shutdown()
    assert is_broken(pool)
    hard_stop(pool, grace_seconds=0)


def test_a_killed_worker_breaks_the_pool(pool):
    pid = pool.submit(os.getpid).result(timeout=60)
    os.kill(pid, signal.SIGKILL)
    run_until(lambda: is_broken(pool))
    assert not has_silently_died(pool)


def test_a_hard_stop_ends_workers_that_are_busy(pool):
    futures = busy(pool)
    processes = worker_processes(pool)
    hard_stop(pool, grace_seconds=0)
    assert not any(psutil.pid_exists(process.pid) for process in processes)
    for future in futures:
        with pytest.raises((BrokenProcessPool, CancelledError)):
            future.result(timeout=10)


def test_a_hard_stop_lets_idle_workers_end_by_themselves(pool):
    pool.submit(os.getpid).result(timeout=60)
    processes = worker_processes(pool)
    hard_stop(pool, grace_seconds=60)
    assert [process.exitcode for process in processes] == [0]


def test_a_death_in_the_middle_of_a_result_is_silent_and_a_hard_stop_ends_it(pool):
    """Pool trap 1, rule 10: killing the workers is not enough, the pool's own end of the pipe is to be closed."""
    futures = interrupt_a_result(pool)
    run_until(lambda: has_silently_died(pool))
    manager = pool._executor_manager_thread
    hard_stop(pool, grace_seconds=0)
    assert not manager.is_alive()
    for future in futures:
        with pytest.raises(BrokenProcessPool):
            future.result(timeout=10)


def test_a_shutdown_after_a_silent_death_is_bounded(pool, caplog):
    """Pool trap 1, rule 10."""
    interrupt_a_result(pool)
    run_until(lambda: has_silently_died(pool))
    with bounded_shutdown(pool, warn_seconds=0.01, limit_seconds=0.02):
        pool.shutdown(wait=True)
    assert any("exceeded" in record.getMessage() for record in caplog.records)


def test_a_limit_below_the_warning_time_is_kept(pool, caplog):
    """Pool rule 10: one deadline."""
    busy(pool)
    with bounded_shutdown(pool, warn_seconds=3_600, limit_seconds=0.01):
        pool.shutdown(wait=True)
    assert any("exceeded" in record.getMessage() for record in caplog.records)


def test_a_shutdown_between_warning_and_limit_is_not_forced(pool, caplog, tmp_path):
    future = pool.submit(sleep_in_worker, 3_600)
    run_until(future.running)
    (process,) = worker_processes(pool)
    with bounded_shutdown(pool, warn_seconds=0.01, limit_seconds=3_600):
        run_until(lambda: any("still waits" in record.getMessage() for record in caplog.records))
        os.kill(process.pid, signal.SIGKILL)
        pool.shutdown(wait=True)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_shutdown_of_a_pool_without_work_starts_and_ends_its_watch():
    pool = create_pool(1)
    threads = threading.active_count()
    with bounded_shutdown(pool, warn_seconds=0, limit_seconds=0):
        pool.shutdown(wait=True)
    assert threading.active_count() == threads


def test_a_pool_whose_internals_are_unknown_is_still_shut_down():
    class Bare:
        def __init__(self):
            self.calls = []

        def shutdown(self, **options):
            self.calls.append(options)

    bare = Bare()
    hard_stop(bare, grace_seconds=0)
    assert bare.calls == [{"wait": False, "cancel_futures": True}]
    assert worker_processes(bare) == []
    with bounded_shutdown(bare, warn_seconds=0, limit_seconds=0):
        bare.shutdown(wait=True)
    assert bare.calls[1:] == [{"wait": True}]


def test_a_shutdown_where_no_thread_can_be_started_is_not_watched(monkeypatch):
    def refuse(_thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    pool = create_pool(1)
    with monkeypatch.context() as ending:
        ending.setattr(threading.Thread, "start", refuse)
        with bounded_shutdown(pool, warn_seconds=0, limit_seconds=0):
            pool.shutdown(wait=True)
    assert is_broken(pool)


def test_all_workers_of_a_pool_are_started_before_it_has_work_and_no_more_after(pool):
    launch_workers(pool)
    started = [process.pid for process in worker_processes(pool)]
    assert len(started) == 2
    assert pool.submit(os.getpid).result(timeout=60) in started
    launch_workers(pool)
    assert [process.pid for process in worker_processes(pool)] == started


def test_a_pool_whose_workers_have_had_no_work_is_stopped_hard_too(pool):
    launch_workers(pool)
    processes = worker_processes(pool)
    hard_stop(pool, grace_seconds=60)
    assert not any(psutil.pid_exists(process.pid) for process in processes)


def test_a_pool_that_cannot_start_its_workers_ahead_starts_them_with_its_work():
    class Unknown:
        pass

    launch_workers(Unknown())


def test_a_broken_pool_is_asked_to_shut_down_only_when_its_workers_have_ended(monkeypatch):
    """From Python 3.12 on it holds its lock until then: with a worker that does not end, that were for ever."""
    told = []

    class Broken:
        _broken = "a worker died"

        def shutdown(self, **_):
            told.append("shutdown")

    class Manager:
        def is_alive(self):
            return True

        def join(self, _seconds):
            told.append("join")

    broken = Broken()
    broken._executor_manager_thread = Manager()
    monkeypatch.setattr(local_pool, "_kill", lambda _: told.append("kill"))
    hard_stop(broken, grace_seconds=0.5)
    assert told[:2] == ["join", "kill"]
    assert told[-1] == "shutdown"
    assert told.count("shutdown") == 1


def test_one_worker_is_killed_once(pool):
    launch_workers(pool)
    first, _ = [process.pid for process in worker_processes(pool)]
    assert kill_worker(pool, first)
    run_until(lambda: not psutil.pid_exists(first))
    assert not kill_worker(pool, first)
    assert not kill_worker(pool, os.getpid())
