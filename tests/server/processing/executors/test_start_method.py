"""Workers are started without forking this process, and with one thread a library."""

import multiprocessing
import os
import sys
import threading
from pathlib import Path

import psutil
import pytest

from candelabra_server.processing.executors import start_method
from candelabra_server.processing.executors.local_pool import create_pool
from candelabra_server.processing.executors.start_method import helper_process, worker_context
from support.workers import run_until


def test_workers_are_never_forked_from_this_process():
    """Pool rule 1: an explicit forkserver on every version of Python."""
    assert worker_context().get_start_method() in {"forkserver", "spawn"}


def test_spawn_is_used_where_there_is_no_forkserver(monkeypatch):
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    assert worker_context().get_start_method() == "spawn"
    assert helper_process() is None


def test_the_environment_of_this_process_stays_as_it_was(monkeypatch):
    monkeypatch.setattr(start_method, "_helper_lives", lambda: False)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    before = dict(os.environ)
    worker_context()
    assert dict(os.environ) == before


def test_the_environment_is_not_touched_while_the_helper_process_lives(monkeypatch):
    """Threads of C libraries may read it at any time."""
    worker_context()
    monkeypatch.setattr(start_method, "_environment", lambda _: pytest.fail("touched"))
    worker_context()


def test_a_helper_process_that_is_not_there_or_not_ours_does_not_live(monkeypatch):
    for process_id in (None, os.getpid()):
        monkeypatch.setattr(start_method, "helper_process", lambda found=process_id: found)
        assert not start_method._helper_lives()


def test_a_worker_has_its_modules_one_thread_a_library_and_no_grpc():
    """Pool rule 2, trap 9."""
    with create_pool(1) as pool:
        found = pool.submit(_describe_process).result(timeout=60)
    assert found["OMP_NUM_THREADS"] == "1"
    assert found["threads"] == ["MainThread", "candelabra-parent-watch"]
    assert not {"grpc", "pyarrow", "pandas", "polars", "typer"} & found["modules"]
    assert "candelabra_server.candles.arrow_store" in found["modules"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads the thread count of another process as Linux has it")
def test_the_forkserver_has_one_thread():
    """Pool rule 2: what is preloaded starts none."""
    with create_pool(1) as pool:
        worker = pool.submit(os.getpid).result(timeout=60)
        forkserver = psutil.Process(worker).parent()
        assert forkserver.pid != os.getpid()
        assert forkserver.num_threads() == 1


@pytest.mark.skipif(os.name == "nt", reason="kills a process by signal")
def test_workers_end_when_their_server_is_killed(tmp_path):
    """Pool traps 6 and 7, rule 13."""
    context = multiprocessing.get_context("spawn")
    pids = context.SimpleQueue()
    server = context.Process(target=_own_a_pool, args=(pids,))
    server.start()
    worker = psutil.Process(pids.get())
    server.kill()
    server.join(60)
    run_until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)


def _own_a_pool(pids):
    pool = create_pool(1)
    pids.put(pool.submit(os.getpid).result())
    threading.Event().wait(3_600)


def _describe_process():
    return {
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        "threads": sorted(t.name for t in threading.enumerate() if not t.name.startswith("QueueFeeder")),
        "modules": {name for name in sys.modules if name.count(".") == 0}
        | {name for name in sys.modules if name.startswith("candelabra_server.")},
    }
