"""What the server's process is given: its event loop, and memory that it keeps."""

import sys
from pathlib import Path

import pytest

from candelabra_server.server_process import new_event_loop
from support.page_faults import ON_GLIBC, PAGES_USED, page_faults
from support.server_process import server_process


@ON_GLIBC
def test_memory_that_comes_and_goes_is_kept():
    assert page_faults("") > PAGES_USED / 2
    keeping = "from candelabra_server.server_process import keep_freed_memory; keep_freed_memory()"
    assert page_faults(keeping) < PAGES_USED / 100


@pytest.mark.skipif(sys.platform == "win32", reason="there is no uvloop for Windows")
def test_the_event_loop_is_uvloops():
    loop = new_event_loop()
    loop.close()
    assert type(loop).__module__ == "uvloop"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads another process as Linux shows it")
def test_a_server_runs_on_it(tmp_path):
    with server_process(tmp_path / "go") as (process, _channel):
        maps = Path(f"/proc/{process.pid}/maps").read_text()
    assert "uvloop" in maps
