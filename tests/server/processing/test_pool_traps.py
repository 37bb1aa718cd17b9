"""What process pools do that one would not expect, each trap and rule with the guard that we have against it.

The numbers are those of the list of facts about pools: 10 traps and 15 rules. Guarded elsewhere, in tests that name
them: in this folder and executors/; trap 10 also in tests/server/test_config.py; rule 2 also in
tests/server/test_command.py. Without a test: trap 8, Dask's `pure=True`, and rule 14, one suite for local, Dask and
Ray: there is no adapter yet but the local pool. Rule 12 is kept by its second half only: nothing is recycled.

Of the fault matrix {crash, exit, error} by {pickle, unpickle, run, result pickled and unpickled, garbage collection}:
a task is bytes that the server itself encodes, and a worker decodes them with a class of ours, so nothing of a user's
is there to fail in either. What comes nearest is here: the import and the making of a repository in a worker.
"""

import asyncio
import json
import logging
import multiprocessing
import os
import pickle
import select
import signal
import sys
import threading
from concurrent.futures.process import _ResultItem
from contextlib import aclosing
from functools import partial
from multiprocessing import forkserver
from pathlib import Path

import psutil
import pytest

from candelabra.v1 import ScreenResponse
from candelabra_server import app, config, serve_settings
from candelabra_server.config import ServerConfig, TimeLimits
from candelabra_server.errors import ConfigurationError, UnavailableError
from candelabra_server.formulas.service import FormulaService
from candelabra_server.processing import dispatcher, worker_pool
from candelabra_server.processing.executors import local_pool, start_method
from candelabra_server.processing.executors.local_pool import create_pool, is_broken, worker_processes
from candelabra_server.processing.processing_engine import ProcessingEngine
from candelabra_server.processing.result_transport import PacketWriter, ResultSlots, SlotMapping, TransportSettings
from candelabra_server.processing.worker_logging import CarriedRecord
from support.faulty_repository import FaultyRepository, loads_of
from support.hostile_repository import HARMS, HostileRepository
from support.jobs import job
from support.memory_repository import MemoryRepository, UnpicklableError
from support.screens import rows_of, screen
from support.sized_repository import SizedRepository
from support.workers import run_until

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="the faults are signals, told as Linux does")

WORKERS = 2
OTHERS = [f"S{number:02}" for number in range(40)]
MEBIBYTE = 1024 * 1024
LENGTH_BYTES = 4
"""What stands in front of each message of a pipe."""


@pytest.fixture(autouse=True)
def _frequent_watch(monkeypatch):
    monkeypatch.setattr(dispatcher, "_WATCH_SECONDS", 0.02)


def make_engine(*symbols, workers=WORKERS, transport=None, **settings):
    repository = HostileRepository(symbols, **settings)
    return ProcessingEngine(repository, FormulaService(), max_workers=workers, transport=transport)


def run(body):
    return asyncio.run(asyncio.wait_for(body, 90))


def outcomes(engine, *symbols):
    """By symbol how it ended, and after how many attempts."""
    results = run(engine.process_batch(job(list(symbols), "close")))
    assert [result.symbol for result in results] == list(symbols)
    return {result.symbol: (result.error.reason or "ok", result.attempts) for result in results}


def kill_a_worker(engine):
    """Returns when the pool knows."""
    os.kill(worker_processes(engine._executor)[0].pid, signal.SIGKILL)
    run_until(lambda: is_broken(engine._executor))


def has_ended(process):
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


# Traps.


def test_a_worker_that_is_killed_in_the_middle_of_a_large_result_holds_nobody_up(tmp_path):
    """Pool trap 1: the standard pool reads for ever what never comes, since the server itself can still write there.

    Where a worker cannot reach its slot, results take the pipe however large they are. Rule 10: the watch over the
    workers' ends sees it; that nothing moves would be noticed only after the grace.
    """
    marker = tmp_path / "killed"
    repository = HostileRepository(["SENDS-HALF", "A", "B"], rows=20_000, marker=str(marker))
    with ProcessingEngine(
        repository,
        FormulaService(),
        max_workers=WORKERS,
        time_limits=TimeLimits(grace_seconds=3_600),
        transport=TransportSettings(tmp_path),
    ) as engine:
        executor = engine._ensure_executor()
        engine._pool.slots_of(executor).path.unlink()  # before a worker has mapped it
        found = outcomes(engine, "SENDS-HALF", "A", "B")
        assert engine._pool.generation == 2
        assert worker_processes(executor) == []
    assert marker.exists()
    assert found == dict.fromkeys(["SENDS-HALF", "A", "B"], ("ok", 1))


@pytest.mark.parametrize("logs", [0, 3, 200])
def test_what_takes_the_pipe_is_never_more_than_it_takes_at_once(logs, tmp_path):
    """Pool trap 1, rule 4: the system writes so much whole or not at all, whatever becomes of the writer."""
    slots = ResultSlots(1, TransportSettings(tmp_path, slot_bytes=MEBIBYTE))
    slot = slots.take()
    message = slot.to_message()
    record = CarriedRecord("candelabra_server", logging.ERROR, "x" * 100, 1.5, 7)
    for size in range(0, 20_000, 97):
        packet = PacketWriter(SlotMapping().memory(message.path), message)
        assert packet.add_message(bytes(size))
        item = _ResultItem(2**40, result=packet.finish(0.5, (record,) * logs), exit_pid=2**22)
        assert len(pickle.dumps(item)) + LENGTH_BYTES <= select.PIPE_BUF
    slots.close()


def test_a_worker_may_have_any_number_of_tasks():
    """Pool trap 2, rule 12: `max_tasks_per_child` hangs a pool, which is why it is not used."""
    with create_pool(1) as pool:
        processes = {pool.submit(os.getpid).result(60) for _ in range(500)}
    assert len(processes) == 1


@pytest.mark.parametrize("how", HARMS)
@pytest.mark.parametrize("where", ["pickling", "unpickling"])
def test_exceptions_are_never_pickled(how, where):
    """Pool trap 3, rules 5 and 15: one that does harm then would end the worker, the pool or the server."""
    bad = f"{how} at {where}"
    with make_engine(bad, *OTHERS) as engine:
        found = outcomes(engine, *OTHERS, bad)
        assert engine._pool.generation == 1
    assert found.pop(bad) == ("INTERNAL", 1)
    assert set(found.values()) == {("ok", 1)}


@pytest.mark.parametrize("bad", ["EXITS", "UNPICKLABLE", "leave at pickling", "crash at unpickling"])
def test_no_exception_leaves_a_worker_in_a_screen(bad):
    """Pool traps 3 and 4: the same where many symbols have one message."""

    async def body(engine):
        async with aclosing(engine.screen(screen([*OTHERS, bad], "close"))) as responses:
            return [ScreenResponse.FromString(message) async for message in responses]

    with make_engine(bad, *OTHERS) as engine:
        responses = run(body(engine))
        assert engine._pool.generation == 1
    assert sorted(row[0] for row in rows_of(responses)) == OTHERS


@pytest.mark.parametrize("raised", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
def test_an_exception_that_leaves_a_worker_in_spite_of_all_does_not_end_the_event_loop(raised, monkeypatch):
    """Pool trap 4: awaiting such a task would raise SystemExit in the server."""
    monkeypatch.setattr(worker_pool, "_worker_process_chunk", partial(let_out, raised, ()))
    with make_engine("A", "B") as engine:
        assert outcomes(engine, "A", "B") == dict.fromkeys("AB", ("INTERNAL", 1))


def test_an_exception_that_breaks_every_pool_ends_the_job_all_the_same(monkeypatch):
    """Pool trap 3: should one leave a worker, each pool breaks without a death that could be judged."""
    monkeypatch.setattr(worker_pool, "_worker_process_chunk", partial(let_out, UnpicklableError, ("one", "two")))
    with make_engine("A", "B") as engine, pytest.raises(UnavailableError, match="in a row without a symbol done"):
        outcomes(engine, "A", "B")


def let_out(raised, arguments, _task):
    raise raised(*arguments)


def test_a_factory_that_exits_does_not_end_the_event_loop_when_the_server_starts():
    """Pool trap 4: the first question to a worker is a task like others."""
    repository = MemoryRepository(["A"], exits=True)
    with ProcessingEngine(repository, FormulaService(), max_workers=1) as engine:
        with pytest.raises(ConfigurationError, match="could not create its candle repository"):
            run(engine.warm_up())


def test_a_job_that_is_cancelled_has_no_more_than_the_window_in_the_pool(tmp_path):
    """Pool trap 5, rule 3: what the standard pool calls running, two a worker and one, cannot be cancelled."""
    loads, marker = tmp_path / "loads", tmp_path / "go"
    repository = SizedRepository(dict.fromkeys(OTHERS, 10), loads=str(loads), waits_from=1, marker=str(marker))

    async def body(engine):
        client = asyncio.ensure_future(engine.process_batch(job(OTHERS, "close")))
        while not loads.exists() or loads.stat().st_size < WORKERS:
            await asyncio.sleep(0)
        given = len(engine._executor._pending_work_items)
        client.cancel()
        await asyncio.wait([client])
        marker.touch()
        while engine._current_dispatcher._scheduler.in_flight:
            await asyncio.sleep(0)
        return given

    with ProcessingEngine(repository, FormulaService(), max_workers=WORKERS) as engine:
        assert run(body(engine)) == WORKERS + 1
    assert loads.stat().st_size == WORKERS  # the one that waited in the pool was told to stop before it began


def test_workers_live_on_when_the_thread_that_started_them_ends():
    """Pool trap 6: PR_SET_PDEATHSIG is of the thread that forked a worker; the engine starts them from any thread."""
    with create_pool(1) as pool:
        started = []

        def start():
            started.append((pool.submit(os.getpid).result(60), threading.get_native_id()))

        thread = threading.Thread(target=start)
        thread.start()
        thread.join(60)
        ((worker, native_id),) = started
        run_until(lambda: not Path(f"/proc/self/task/{native_id}").exists())
        assert pool.submit(os.getpid).result(60) == worker


def test_a_killed_server_leaves_no_process_although_all_its_workers_are_busy(tmp_path):
    """Pool traps 6 and 7, rules 13 and 15: workers survive their server unless they watch it, and watch none but it."""
    process = in_a_process(own_an_engine, str(tmp_path))
    try:
        run_until(lambda: all(loads_of(symbol, tmp_path) for symbol in ("H0", "H1")))
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) == WORKERS + 1  # and what starts them
    finally:
        process.kill()
        process.join(60)
    run_until(lambda: all(map(has_ended, family)))


def own_an_engine(folder):
    repository = FaultyRepository(["H0", "H1"], {"H0": ["hang"], "H1": ["hang"]}, folder)
    with ProcessingEngine(repository, FormulaService(), max_workers=WORKERS) as engine:
        asyncio.run(engine.process_batch(job(["H0", "H1"], "close")))


def in_a_process(function, *arguments):
    """A fresh interpreter that does it."""
    process = multiprocessing.get_context("spawn").Process(target=function, args=arguments)
    process.start()
    return process


def told_by_a_server(tmp_path, *arguments):
    """What `serve` found in a fresh interpreter."""
    process = in_a_process(serve, str(tmp_path / "told"), *arguments)
    process.join(90)
    assert process.exitcode == 0
    return json.loads((tmp_path / "told").read_text())


def serve(told, preloaded_module):
    """Serves until it is ready; tells what it warned of, and whether workers could be started when grpc was loaded."""
    found = {"was grpc there": "grpc" in sys.modules, "warnings": []}

    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == "grpc":
                found["could start workers"] = forkserver._forkserver._forkserver_pid is not None

    class Warnings(logging.Handler):
        def emit(self, record):
            found["warnings"].append(record.getMessage())

    sys.meta_path.insert(0, Finder())
    logging.getLogger("candelabra_server").addHandler(Warnings(logging.WARNING))
    start_method.PRELOADED_MODULE = preloaded_module
    app.create_candle_repository = lambda _config: MemoryRepository(["A"])
    settings = ServerConfig(listen="127.0.0.1:0", store=Path(told).parent / "store", workers=1)
    asyncio.run(app.serve(settings, on_ready=lambda *_: os.kill(os.getpid(), signal.SIGTERM)))
    Path(told).write_text(json.dumps(found))


def test_the_process_that_starts_workers_is_there_before_grpc_is_loaded(tmp_path):
    """Pool rule 2, trap 9: all that workers have from the start is preloaded, and the server says nothing of it."""
    found = told_by_a_server(tmp_path, start_method.PRELOADED_MODULE)
    assert found == {"was grpc there": False, "could start workers": True, "warnings": []}


def test_a_preload_that_fails_is_told(tmp_path):
    """Pool trap 9: multiprocessing passes over it in silence, and every worker then takes long to start."""
    found = told_by_a_server(tmp_path, "no_such_module")
    assert any("without preloaded modules" in message for message in found["warnings"])


def test_what_becomes_of_this_process_environment_is_nothing_to_workers(monkeypatch):
    """Pool trap 9, rule 2: the forkserver's environment is frozen; every library has one thread from its start."""
    libraries = ["OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA", "ARROW"]
    names = [*(f"{library}_NUM_THREADS" for library in libraries), "POLARS_MAX_THREADS"]
    for name in names:
        monkeypatch.setenv(name, "7")
    with create_pool(1) as pool:
        assert [pool.submit(os.getenv, name).result(60) for name in names] == ["1"] * len(names)


def test_a_server_has_as_many_workers_as_its_container_has_processors(monkeypatch, tmp_path):
    """Pool trap 10: `os.cpu_count()` is the host's; the engine alone defaults to that, as it is specified."""
    (quota := tmp_path / "cpu.max").write_text("100000 100000")
    monkeypatch.setattr(config, "_CGROUP_QUOTA", quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(64)))
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    settings = serve_settings._config({setting.name: setting.default for setting in serve_settings.SETTINGS})
    assert settings.workers == 1


# Rules.


def let_out_at_start(_log_level):
    raise UnpicklableError("one", "two")


def test_an_initializer_that_raises_ends_jobs_in_a_bounded_time(monkeypatch):
    """Pool rule 6: the standard pool breaks without saying why, each time anew; ours needs a thread."""
    monkeypatch.setattr(local_pool, "_start_worker", let_out_at_start)
    with make_engine("A") as engine:
        with pytest.raises(UnavailableError, match="cannot be started"):
            outcomes(engine, "A")
        monkeypatch.undo()
        assert outcomes(engine, "A") == {"A": ("ok", 1)}


def test_each_generation_has_a_place_for_results_of_its_own(tmp_path):
    """Pool rule 7: what a worker of an earlier one still writes reaches nobody."""
    with make_engine("A", transport=TransportSettings(tmp_path)) as engine:
        (first,) = used(engine, tmp_path)
        kill_a_worker(engine)
        (second,) = used(engine, tmp_path)
        assert engine._pool.generation == 2
    assert first != second


def used(engine, folder):
    """The files of results after a job."""
    assert outcomes(engine, "A") == {"A": ("ok", 1)}
    return sorted(folder.iterdir())


def test_a_pool_is_made_anew_by_one_thread_at_a_time(monkeypatch):
    """Pool rule 11."""
    was_locked = []

    def create_watched(workers):
        def try_to_lock():
            was_locked.append(not engine._pool.lock.acquire(blocking=False))

        thread = threading.Thread(target=try_to_lock)
        thread.start()
        thread.join(60)
        return create_pool(workers)

    with make_engine("A") as engine:
        assert outcomes(engine, "A") == {"A": ("ok", 1)}
        monkeypatch.setattr(worker_pool, "create_pool", create_watched)
        kill_a_worker(engine)
        assert outcomes(engine, "A") == {"A": ("ok", 1)}
    assert was_locked == [True]


# The fault matrix (rule 15); "run" is in test_faults.py and test_engine_jobs.py.


@pytest.mark.parametrize("how", HARMS)
@pytest.mark.parametrize("where", ["import", "making"])
def test_a_repository_that_does_harm_when_a_worker_makes_it_is_told(how, where, tmp_path, monkeypatch):
    """Pool rules 6 and 15: what comes nearest to a task that cannot be unpickled."""
    text = HARMS[how] if where == "import" else f"def create(config):\n    {HARMS[how]}"
    (tmp_path / "harmful_plug_in.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    repository = MemoryRepository(["A", "B"])
    monkeypatch.setattr(repository, "worker_config", lambda: {"type": "harmful_plug_in:create"})
    with ProcessingEngine(repository, FormulaService(), max_workers=WORKERS) as engine:
        if how in {"leave", "error"}:
            assert outcomes(engine, "A", "B") == dict.fromkeys("AB", ("WORKER_START_FAILED", 1))
            with pytest.raises(ConfigurationError, match="could not create its candle repository"):
                run(engine.warm_up())
        else:
            with pytest.raises(UnavailableError, match="cannot be started"):
                outcomes(engine, "A", "B")
            with pytest.raises(UnavailableError, match="die at their start"):
                run(engine.warm_up())


@pytest.mark.parametrize(
    ("how", "outcome"),
    [
        ("crash", ("WORKER_DIED", 3)),
        ("exit", ("WORKER_DIED", 3)),
        ("leave", ("ok", 1)),
        ("error", ("ok", 1)),
    ],
)
def test_candles_that_do_harm_when_they_are_freed_harm_their_own_symbol_only(how, outcome):
    """Pool rules 8, 9 and 15; Python passes over what is raised there."""
    bad = f"{how} at garbage"
    with make_engine(bad, *OTHERS) as engine:
        found = outcomes(engine, *OTHERS[:20], bad, *OTHERS[20:])
    assert found.pop(bad) == outcome
    assert set(found.values()) == {("ok", 1)}


@pytest.mark.parametrize("how", HARMS)
def test_garbage_that_does_harm_when_another_symbol_collects_it_costs_that_one_a_retry_at_most(how):
    """Pool rules 9 and 15: the collector comes when it likes; alone in quarantine, an innocent symbol is done."""
    bad = f"{how} at garbage in a circle"
    with make_engine(bad, "COLLECTS", "A", workers=1) as engine:
        found = outcomes(engine, bad, "COLLECTS", "A")
    assert {reason for reason, _ in found.values()} == {"ok"}
    assert max(attempts for _, attempts in found.values()) == (2 if how in {"crash", "exit"} else 1)


@pytest.mark.parametrize("how", HARMS)
def test_a_failure_that_does_harm_when_it_is_told_fails_its_own_symbol_only(how):
    """Pool rules 5, 8 and 15."""
    bad = f"{how} at its text"
    with make_engine(bad, *OTHERS) as engine:
        found = outcomes(engine, *OTHERS[:20], bad, *OTHERS[20:])
    assert found.pop(bad)[0] in {"INTERNAL", "WORKER_DIED"}
    assert set(found.values()) == {("ok", 1)}


def test_every_test_is_bounded_and_tells_where_it_was(pytestconfig):
    """Pool rule 15: a pool that hangs shall fail its test, with the stacks of all threads."""
    assert 0 < float(pytestconfig.getini("faulthandler_timeout")) < float(pytestconfig.getini("timeout"))
