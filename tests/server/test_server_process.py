"""What the server's process is given: its event loop, and memory that it keeps."""

import mmap
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from candelabra_server import server_process
from support.server_process import server_process as running_server

ON_GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")
ROUNDS, PIECES, PIECE_BYTES = 20, 3, 8 * 1024 * 1024
CHANGING_LOAD = f"""\
import resource, sys
from candelabra_server.server_process import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()

def use():
    pieces = [bytes(bytearray(b"x") * {PIECE_BYTES}) for _ in range({PIECES})]

use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({ROUNDS}):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(choice):
    finished = subprocess.run(
        [sys.executable, "-c", CHANGING_LOAD, choice], capture_output=True, text=True, timeout=60, check=True
    )
    return int(finished.stdout)


@ON_GLIBC
def test_memory_that_comes_and_goes_is_kept():
    pages = ROUNDS * PIECES * PIECE_BYTES // mmap.PAGESIZE
    assert faults("leave") > pages / 2
    assert faults("keep") < pages / 100


@pytest.mark.skipif(sys.platform == "win32", reason="there is no uvloop for Windows")
def test_the_event_loop_is_uvloops():
    loop = server_process.new_event_loop()
    loop.close()
    assert type(loop).__module__ == "uvloop"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads another process as Linux shows it")
def test_a_server_runs_on_it(tmp_path):
    with running_server(tmp_path / "go") as (process, _channel):
        maps = Path(f"/proc/{process.pid}/maps").read_text()
    assert "uvloop" in maps
