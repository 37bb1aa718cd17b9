"""How often a process must ask the system for memory while pieces of 8 MiB come and go: `page_faults`."""

import mmap
import platform
import subprocess
import sys

import pytest

ON_GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep memory")
_ROUNDS, _PIECES, _PIECE_BYTES = 20, 3, 8 * 1024 * 1024
PAGES_USED = _ROUNDS * _PIECES * _PIECE_BYTES // mmap.PAGESIZE
_PROGRAM = f"""\
import resource, sys

exec(sys.argv[1])

def use():
    pieces = [bytes(bytearray(b"x") * {_PIECE_BYTES}) for _ in range({_PIECES})]

use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({_ROUNDS}):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(statement):
    """Of a process that has run the statement first."""
    finished = subprocess.run(
        [sys.executable, "-c", _PROGRAM, statement], capture_output=True, text=True, timeout=60, check=True
    )
    return int(finished.stdout)
