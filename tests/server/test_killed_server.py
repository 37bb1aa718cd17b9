"""What a server leaves that is killed: nothing that goes on, and nothing that the next start does not remove."""

import signal
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from support.server_process import server_process, takes_jobs, waiting_server


@pytest.fixture
def short_folder():
    """A folder for temporary files whose path leaves room for the names of sockets."""
    with tempfile.TemporaryDirectory(prefix="c") as folder:
        yield Path(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="its sockets and locks are other ones")
def test_a_server_that_is_killed_leaves_nothing_that_outlives_the_next_start(tmp_path, short_folder):
    """pool trap 7: workers end with their parent. Semaphores are removed by the standard library's own tracker."""
    temporary, results, socket = short_folder, tmp_path / "results", tmp_path / "socket"
    results.mkdir()
    settings = {"listen": f"unix:{socket}", "results_folder": str(results), "temporary": temporary}

    def left():
        return {path.name for path in [*temporary.iterdir(), *results.iterdir()]}

    with waiting_server(tmp_path / "go", **settings) as (process, _channel, _call):
        processes = psutil.Process(process.pid).children(recursive=True)
        assert len(processes) >= 4  # two workers, what starts them, and what looks after semaphores
        process.kill()
        process.wait(60)
        _, alive = psutil.wait_procs(processes, timeout=60)
        assert alive == []
    first = left()
    assert len(first) == 2
    assert socket.exists()
    with server_process(tmp_path / "go", **settings) as (process, channel):
        assert takes_jobs(channel)
        second = left()
        assert len(second) == 2
        assert not first & second
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert left() == set()
    assert not socket.exists()
