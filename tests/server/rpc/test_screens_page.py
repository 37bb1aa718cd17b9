"""The examples of server/docs/screens.md work as they stand, and print what is shown."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.command import BIN, serving_command

PAGE = (Path(__file__).parents[3] / "server" / "docs" / "screens.md").read_text(encoding="utf-8")
ADDRESS = "127.0.0.1:50051"

pytestmark = pytest.mark.timeout(300)


def block(language):
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return text


@pytest.fixture(scope="module")
def address(demo_store):
    with serving_command("--store", str(demo_store)) as server:
        yield server.address


def run(*command):
    finished = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False,
        env=os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def test_the_grpcurl_line_gives_three_symbols_that_pass_sorted(address):
    output = run("/bin/sh", "-ec", block("sh").replace(ADDRESS, address))
    decoder, messages = json.JSONDecoder(), []
    while output.strip():
        message, end = decoder.raw_decode(output.strip())
        messages.append(message)
        output = output.strip()[end:]
    last = messages[-1]
    assert last["last"]
    assert len(last["symbols"]) == 3
    assert last["symbols_done"] == last["symbols_total"] == 8_005
    strength, pick = (column["values"] for column in last["columns"])
    assert strength == sorted(strength)
    assert strength[-1] < 40
    assert pick == [1, 1, 1]


def test_the_program_prints_what_is_shown(address, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(block("python").replace(ADDRESS, address))
    assert run(sys.executable, str(program)) == block("text")
