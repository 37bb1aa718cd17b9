"""Gathering a large job costs little more memory than its table has."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.command import serving_command
from support.page_faults import ON_GLIBC, PAGES_USED, page_faults

PROGRAM = """
import json, re, sys
from pathlib import Path
import pyarrow
from candelabra_client import Client

def peak():  # not getrusage: what it tells is inherited from the process that started this one
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

with Client(sys.argv[1]) as client:
    client.process("AAPL", timeframe="1d").to_arrow()  # whatever is imported and set up only once
    before = peak()
    table = client.process("*", timeframe="1d", formula="value = close").to_arrow()
print(json.dumps({"symbols": len(table["symbol"].unique()), "table": table.nbytes, "peak": peak() - before}))
"""


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads peak memory where Linux has it")
def test_eight_thousand_symbols_become_one_table_in_less_than_three_times_its_size(demo_store):
    with serving_command("--store", str(demo_store)) as server:
        finished = subprocess.run(
            [sys.executable, "-c", PROGRAM, server.address], capture_output=True, text=True, timeout=110, check=False
        )
    assert finished.returncode == 0, finished.stderr
    measured = json.loads(finished.stdout)
    assert measured["symbols"] == 8_005
    assert measured["table"] > 60_000_000
    assert 0 < measured["peak"] < 3 * measured["table"]


@ON_GLIBC
def test_a_program_that_says_so_keeps_freed_memory_and_a_client_alone_does_not():
    with_client = "from candelabra_client import *; Client('127.0.0.1:1').close()"
    assert page_faults(with_client) > PAGES_USED / 2
    assert page_faults(f"{with_client}; keep_freed_memory()") < PAGES_USED / 100


@ON_GLIBC
def test_the_command_keeps_it():
    told = "import contextlib, io, sys; from candelabra_client import cli; sys.argv[1:] = ['--help']"
    run = "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()): cli.main()"
    assert page_faults(f"{told}\n{run}") < PAGES_USED / 100
