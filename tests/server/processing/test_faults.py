"""What dies, stalls or lies in workers, and what becomes of the job: nothing is lost, and nobody else is blamed."""

import asyncio
import logging
import os
import signal
import sys
import time
from multiprocessing import forkserver

import psutil
import pytest

from candelabra_server.config import TimeLimits
from candelabra_server.errors import JobTimeLimitError, UnavailableError
from candelabra_server.formulas.service import FormulaService
from candelabra_server.processing import dispatcher
from candelabra_server.processing.executors.local_pool import is_broken, worker_processes
from candelabra_server.processing.executors.process_states import is_stopped
from candelabra_server.processing.processing_engine import ProcessingEngine
from support.faulty_repository import FaultyRepository, loads_of
from support.jobs import job
from support.workers import run_until, sleep_in_worker

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the faults are signals")

SYMBOLS = [f"S{number:03}" for number in range(150)]


@pytest.fixture(autouse=True)
def _frequent_watch(monkeypatch):
    monkeypatch.setattr(dispatcher, "_WATCH_SECONDS", 0.02)


def make_engine(folder, faults, *symbols, workers=2, **time_limits):
    repository = FaultyRepository([*symbols, *faults], faults, folder)
    return ProcessingEngine(repository, FormulaService(), max_workers=workers, time_limits=TimeLimits(**time_limits))


def run(engine, request):
    """The results of a job by symbol, each of which came once."""
    with engine:
        results = asyncio.run(asyncio.wait_for(engine.process_batch(request), 90))
    found = {result.symbol: result for result in results}
    assert len(found) == len(results) == len(request.symbols)
    return found


def outcome(result):
    return result.error.reason or "ok", result.attempts


@pytest.mark.parametrize("fault", ["SIGKILL", "SIGSEGV", "SIGTERM", "exit 3", "exit 0"])
def test_a_symbol_whose_worker_dies_once_is_done_and_no_other_notices(fault, tmp_path):
    """A worker that ends itself as the pool ends workers is not known to have died: its symbol is not charged.

    Pool rule 8.
    """
    symbols = [*SYMBOLS[:75], "BAD", *SYMBOLS[75:]]
    found = run(make_engine(tmp_path, {"BAD": [fault]}, *SYMBOLS), job(symbols, "close"))
    assert outcome(found.pop("BAD")) == ("ok", 1 if fault == "SIGTERM" else 2)
    assert {outcome(result) for result in found.values()} == {("ok", 1)}


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("SIGKILL", {"exit_code": "-9", "signal": "SIGKILL"}),
        ("SIGSEGV", {"exit_code": "-11", "signal": "SIGSEGV"}),
        ("exit 3", {"exit_code": "3"}),
        ("exit 0", {"exit_code": "0"}),
    ],
)
def test_a_symbol_whose_worker_always_dies_is_convicted_and_the_error_says_how(fault, told, tmp_path, caplog):
    """Pool rules 8 and 9."""
    symbols = [*SYMBOLS, "BAD"]
    found = run(make_engine(tmp_path, {"BAD": [fault] * 99}, *SYMBOLS), job(symbols, "close"))
    bad = found.pop("BAD")
    assert outcome(bad) == ("WORKER_DIED", 3)
    assert dict(bad.error.metadata) == {"symbol": "BAD", "attempts": "3"} | told
    assert loads_of("BAD", tmp_path) == 3
    assert {outcome(result) for result in found.values()} == {("ok", 1)}
    told_in_log = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert sum("while it was at BAD" in message for message in told_in_log) == 3


def test_a_death_that_nobody_can_explain_is_the_symbols_own_when_it_is_alone(tmp_path):
    """Pool rule 9: in quarantine, every end of the worker is its symbol's."""
    found = run(make_engine(tmp_path, {"BAD": ["SIGTERM"] * 99}, "A", "B"), job(["A", "BAD", "B"], "close"))
    assert {symbol: outcome(result) for symbol, result in found.items()} == {
        "A": ("ok", 1),
        "BAD": ("WORKER_DIED", 3),
        "B": ("ok", 1),
    }


def test_the_same_faults_give_the_same_attempts_and_outcomes_every_time(tmp_path):
    faults = {
        "B0": ["SIGKILL"],
        "B1": ["exit 1", "SIGSEGV"],
        "B2": ["SIGKILL"] * 9,
        "B3": ["load"],
        "B4": ["memory"],
    }
    runs = []
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        found = run(make_engine(folder, faults, *SYMBOLS, workers=1), job([*faults, *SYMBOLS], "close"))
        runs.append({symbol: outcome(result) for symbol, result in found.items()})
    assert runs[0] == runs[1] == runs[2]
    wanted = {
        "B0": ("ok", 2),
        "B1": ("ok", 3),
        "B2": ("WORKER_DIED", 3),
        "B3": ("ok", 1),
        "B4": ("OUT_OF_MEMORY", 1),
    }
    assert {symbol: runs[0][symbol] for symbol in faults} == wanted


def test_too_little_memory_is_told_apart_and_costs_no_worker(tmp_path):
    engine = make_engine(tmp_path, {"BIG": ["memory"]}, "A")
    found = run(engine, job(["BIG", "A"], "close"))
    assert found["BIG"].error.reason == "OUT_OF_MEMORY"
    assert engine._pool.generation == 1


def test_many_bad_symbols_in_a_row_are_each_convicted_and_the_job_ends(tmp_path):
    bad = [f"B{number}" for number in range(8)]
    found = run(make_engine(tmp_path, {symbol: ["SIGKILL"] * 9 for symbol in bad}, "A"), job([*bad, "A"], "close"))
    assert {symbol: outcome(found[symbol]) for symbol in bad} == dict.fromkeys(bad, ("WORKER_DIED", 3))
    assert outcome(found["A"]) == ("ok", 1)


@pytest.mark.parametrize("fault", ["SIGSTOP", "hang"])
def test_a_symbol_that_does_not_look_up_loses_its_worker_after_the_grace(fault, tmp_path):
    engine = make_engine(tmp_path, {"BAD": [fault]}, *SYMBOLS, symbol_seconds=0.2, grace_seconds=0.2)
    found = run(engine, job([*SYMBOLS, "BAD"], "close"))
    assert outcome(found.pop("BAD")) == ("ok", 2)
    assert {outcome(result) for result in found.values()} == {("ok", 1)}


def test_a_symbol_that_never_looks_up_fails_with_the_time_limit(tmp_path):
    engine = make_engine(tmp_path, {"BAD": ["hang"] * 9}, "A", symbol_seconds=0.1, grace_seconds=0.1)
    found = run(engine, job(["BAD", "A"], "close"))
    assert outcome(found["BAD"]) == ("SYMBOL_TIME_LIMIT", 3)
    assert found["BAD"].error.metadata["cause"] == "overtime"
    assert outcome(found["A"]) == ("ok", 1)


def test_idle_workers_that_are_stopped_hold_nobody_up(tmp_path):
    """One of them holds the lock of the queue: no other worker can take anything."""
    engine = make_engine(tmp_path, {}, *SYMBOLS, grace_seconds=0.1)

    async def body():
        await engine.process_batch(job(SYMBOLS, "close"))
        for process in worker_processes(engine._executor):
            os.kill(process.pid, signal.SIGSTOP)
        return await asyncio.wait_for(engine.process_batch(job(SYMBOLS, "close")), 60)

    with engine:
        results = asyncio.run(body())
    assert {outcome(result) for result in results} == {("ok", 1)}
    assert engine._pool.generation > 1


def test_a_stopped_worker_does_not_hold_up_the_end_of_a_pool_that_another_one_broke(tmp_path):
    faults = {"STOPS": ["SIGSTOP"], "DIES": ["load", "SIGKILL"]}
    engine = make_engine(tmp_path, faults, *SYMBOLS, symbol_seconds=3_600, grace_seconds=3_600)

    async def body():
        await engine.process_batch(job("DIES", "close"))
        stops = asyncio.ensure_future(engine.process_batch(job("STOPS", "close")))
        while not loads_of("STOPS", tmp_path):
            await asyncio.sleep(0)
        results = await engine.process_batch(job(["DIES", *SYMBOLS], "close"))
        return [*results, *await stops]

    with engine:
        results = asyncio.run(asyncio.wait_for(body(), 90))
    found = {result.symbol: outcome(result) for result in results}
    assert (found.pop("DIES"), found.pop("STOPS")) == (("ok", 2), ("ok", 1))
    assert set(found.values()) == {("ok", 1)}


def test_the_death_of_the_process_that_starts_workers_is_nobodys_fault(tmp_path):
    """With it the exit codes of all workers are lost; the new one has the same modules and one thread a library.

    Pool trap 9: the new one's environment is not that of the server either.
    """
    faults = {"WAITS": ["hang"]}
    engine = make_engine(tmp_path, faults, *SYMBOLS)

    async def body():
        await engine.warm_up()
        waits = asyncio.ensure_future(engine.process_batch(job(["WAITS", *SYMBOLS], "close")))
        while not loads_of("WAITS", tmp_path):
            await asyncio.sleep(0)
        old = [process.pid for process in worker_processes(engine._executor)]
        helper = forkserver._forkserver._forkserver_pid
        os.kill(helper, signal.SIGKILL)
        results = await asyncio.wait_for(waits, 60)
        return results, old, helper, await engine.warm_up()

    with engine:
        results, old, helper, reports = asyncio.run(body())
        assert forkserver._forkserver._forkserver_pid != helper
        environment = psutil.Process(forkserver._forkserver._forkserver_pid).environ()
        run_until(lambda: not any(map(psutil.pid_exists, old)))
    assert {outcome(result) for result in results} == {("ok", 1)}
    assert all(report.preloaded for report in reports)
    assert environment["OMP_NUM_THREADS"] == "1"


def test_a_stopped_worker_does_not_outlive_the_process_that_started_it(tmp_path):
    """It looks dead then, and a signal that would end it waits until it goes on."""
    with make_engine(tmp_path, {}, "A") as engine:
        asyncio.run(engine.warm_up())
        first, *_ = old = [process.pid for process in worker_processes(engine._executor)]
        os.kill(first, signal.SIGSTOP)
        run_until(lambda: is_stopped(first))
        os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)
        run_until(lambda: is_broken(engine._executor))
        (result,) = asyncio.run(asyncio.wait_for(engine.process_batch(job("A", "close")), 60))
        assert outcome(result) == ("ok", 1)
        run_until(lambda: not any(map(psutil.pid_exists, old)))


def test_a_stopped_starter_of_workers_is_found_although_no_death_can_be_seen_while_it_is(tmp_path, caplog):
    with make_engine(tmp_path, {"BAD": ["SIGKILL"]}, *SYMBOLS, grace_seconds=0.1) as engine:
        asyncio.run(engine.warm_up())
        helper = stop_helper()
        results = asyncio.run(asyncio.wait_for(engine.process_batch(job(["BAD", *SYMBOLS], "close")), 60))
        assert {outcome(result) for result in results} == {("ok", 1)}
        assert forkserver._forkserver._forkserver_pid != helper
    assert "is stopped: ending it" in caplog.text


def test_a_stopped_starter_of_workers_does_not_hold_up_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr("candelabra_server.processing.worker_pool._SHUTDOWN_WARN_SECONDS", 0.1)
    with make_engine(tmp_path, {}, "A") as engine:
        asyncio.run(engine.warm_up())
        processes = [psutil.Process(process.pid) for process in worker_processes(engine._executor)]
        stop_helper()
    run_until(lambda: not any(process.is_running() for process in processes))


def test_a_stopped_starter_of_workers_does_not_hold_up_the_next_generation(tmp_path):
    with make_engine(tmp_path, {}, "A") as engine:
        asyncio.run(engine.warm_up())
        os.kill(worker_processes(engine._executor)[0].pid, signal.SIGKILL)
        run_until(lambda: is_broken(engine._executor))
        stop_helper()
        (result,) = asyncio.run(asyncio.wait_for(engine.process_batch(job("A", "close")), 60))
    assert outcome(result) == ("ok", 1)


def stop_helper():
    """Stops the process that starts workers; its id."""
    helper = forkserver._forkserver._forkserver_pid
    os.kill(helper, signal.SIGSTOP)
    run_until(lambda: is_stopped(helper))
    return helper


def test_a_job_that_is_not_finished_in_its_time_ends_and_leaves_its_worker_to_others(tmp_path):
    engine = make_engine(tmp_path, {"BAD": ["hang"]}, "A", workers=1, job_seconds=0.2, grace_seconds=0.1)

    async def body():
        with pytest.raises(JobTimeLimitError, match="not finished within"):
            await asyncio.wait_for(engine.process_batch(job(["BAD"], "close")), 60)
        return await asyncio.wait_for(patient(engine, job("A", "close")), 60)

    with engine:
        assert outcome(asyncio.run(body())) == ("ok", 1)


async def patient(engine, request):
    """A job's only result, however often its time is over while the worker is still taken."""
    while True:
        try:
            (result,) = await engine.process_batch(request)
        except JobTimeLimitError:
            continue
        return result


def test_the_deadline_goes_with_the_work_and_no_clock_of_the_wall_is_asked(tmp_path, monkeypatch):
    """The time of day jumps by a year, there and back, while jobs run."""
    years = iter([0, 365 * 86_400, -365 * 86_400] * 10_000)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + next(years))
    found = run(make_engine(tmp_path, {}, *SYMBOLS, symbol_seconds=60, job_seconds=60), job(SYMBOLS, "close"))
    assert {outcome(result) for result in found.values()} == {("ok", 1)}


def test_workers_that_do_not_answer_at_their_start_are_given_up_one_after_the_other(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("candelabra_server.processing.worker_pool._worker_ping", _hang)
    with make_engine(tmp_path, {}, "A", grace_seconds=0.01) as engine:
        with pytest.raises(UnavailableError, match="cannot be started"):
            asyncio.run(asyncio.wait_for(engine._pool.start(), 60))
        assert engine._pool.generation == 3
    assert sum("did not answer" in record.getMessage() for record in caplog.records) == 3


def _hang(*_):
    sleep_in_worker(3_600)
