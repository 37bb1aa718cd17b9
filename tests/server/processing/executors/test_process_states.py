"""What the system tells of processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from candelabra_server.processing.executors import process_states
from candelabra_server.processing.executors.process_states import is_orphaned_worker, is_stopped
from support.workers import run_until

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="tells what /proc has")


@pytest.fixture
def sleeper():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    yield process
    process.kill()
    process.wait(60)


def test_a_process_is_stopped_from_one_signal_to_the_other(sleeper):
    assert not is_stopped(sleeper.pid)
    os.kill(sleeper.pid, signal.SIGSTOP)
    run_until(lambda: is_stopped(sleeper.pid))
    os.kill(sleeper.pid, signal.SIGCONT)
    run_until(lambda: not is_stopped(sleeper.pid))


def test_what_is_no_process_is_neither_stopped_nor_orphaned(sleeper):
    sleeper.kill()
    sleeper.wait(60)
    assert not is_stopped(sleeper.pid)
    assert not is_orphaned_worker(sleeper.pid)


def test_a_process_of_somebody_else_is_no_orphaned_worker(sleeper):
    assert not is_orphaned_worker(sleeper.pid)


def made(folder, process, command, *, parent, name="(odd) name"):
    (folder / str(process)).mkdir()
    (folder / str(process) / "stat").write_text(f"{process} ({name}) S {parent} 1 1 0")
    (folder / str(process) / "cmdline").write_bytes(command)


def test_a_worker_is_orphaned_when_its_parent_is_not_what_started_it(tmp_path, monkeypatch):
    monkeypatch.setattr(process_states, "_PROC", tmp_path)
    starter = b"python\0-c\0from multiprocessing.forkserver import main; main(5)\0"
    made(tmp_path, 1, b"init\0", parent=0)
    made(tmp_path, 10, starter, parent=1)
    made(tmp_path, 11, starter, parent=10)
    made(tmp_path, 12, starter, parent=1)
    made(tmp_path, 13, b"other\0", parent=1)
    assert [process for process in (1, 10, 11, 12, 13, 99) if is_orphaned_worker(process)] == [10, 12]
    (tmp_path / "1" / "cmdline").unlink()
    assert is_orphaned_worker(12)
