"""What the README says has been run: every command and every program, as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import talib

from candelabra_server.candles.arrow_store import ArrowCandleRepository
from candelabra_server.domain.date_range import DateRange
from support.command import BIN, serving_command

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = [text.strip() for language, text in BLOCKS if language == "sh"]
PROGRAMS = [text for language, text in BLOCKS if language == "python"]

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which a server serves the demo candles from `candelabra-data`."""
    folder = tmp_path_factory.mktemp("readme")
    run(["candelabra-server", "demo"], folder)
    return folder


@pytest.fixture(scope="module")
def address(folder):
    with serving_command("--store", str(folder / "candelabra-data")) as server:
        yield server.address


def run(command, folder, *, shell=False):
    """Runs a command in a folder, with the commands of this environment first on the path."""
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    finished = subprocess.run(
        command, cwd=folder, env=environment, shell=shell, executable="/bin/bash" if shell else None,
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout + finished.stderr


def test_the_blocks_are_found():
    assert len(COMMANDS) == 7
    assert len(PROGRAMS) == 2


def block_with(text):
    (found,) = [command for command in COMMANDS if text in command]
    return found


def test_make_run_prints_what_ta_lib_computes_and_a_summary_and_loads_only_once(tmp_path):
    assert block_with("make run") == "make run"
    first, second = (run(f"make run STORE={tmp_path}/store", ROOT, shell=True) for _ in range(2))
    assert "imported 4,012,154 candles of 8,005 symbols" in first
    assert "imported" not in second
    assert "already" in second
    candles = ArrowCandleRepository(tmp_path / "store")
    for output in (first, second):
        assert re.search(r"8,000 synthetic symbols in [\d.]+ s: [\d,]+ are up, 0 failed", output)
        for symbol in ("AAPL", "FB", "GOOG", "IBM", "MSFT"):
            whole = candles.load(symbol, "1d", DateRange(), warm_up_candles=0, snapshot_id="")
            close = np.array(whole.fields["close"])
            expected = (talib.SMA(close, 20)[-1], talib.RSI(close, 14)[-1], talib.MACD(close)[1][-1])
            (line,) = [line for line in output.splitlines() if line.startswith(f"{symbol} ")]
            assert [float(value) for value in line.split()[2:]] == pytest.approx(expected, abs=1e-6)


def test_the_grpcurl_job_prints_two_symbols_numbers_and_one_error(folder, address):
    output = run(block_with('"NOPE"').replace("127.0.0.1:50051", address), folder, shell=True)
    assert output.count('"last_part": true') == 3
    assert output.count('"reason": "UNKNOWN_SYMBOL"') == 1
    assert '"symbol": "AAPL"' in output
    assert '"symbol": "MSFT"' in output
    assert "NaN" not in output


def test_the_grpcurl_mistake_prints_line_column_and_suggestion(folder, address):
    output = run(block_with("smaa").replace("127.0.0.1:50051", address), folder, shell=True)
    assert "Code: InvalidArgument" in output
    assert "line 1, column 1" in output
    assert "did you mean `sma`?" in output


def test_the_other_grpcurl_lines_and_the_candelabra_commands_work(folder, address):
    output = run(
        block_with("grpcurl -plaintext 127.0.0.1:50051 list").replace("127.0.0.1:50051", address), folder, shell=True
    )
    assert "candelabra.v1.ProcessingService" in output
    assert '"status": "SERVING"' in output
    assert '"symbol": "MSFT"' in output
    commands = block_with("candelabra process").splitlines()
    for command in commands:
        assert run(f"CANDELABRA_SERVER={address} {command}", folder, shell=True)


def test_make_serve_is_a_target():
    assert block_with("make serve") == "make serve"
    assert "candelabra-server serve" in run("make --dry-run serve", ROOT, shell=True)


def test_the_import_line_imports(folder):
    (folder / "prices").mkdir()
    (folder / "prices/NVDA.csv").write_text(
        "Date,Open,High,Low,Close,Volume\n2024-01-02,49.2,49.3,47.6,48.2,411254215\n2024-01-03,47.5,48.2,47.3,47.6,320896186\n"
    )
    own_store = {"CANDELABRA_STORE": str(folder / "own")}
    output = run(f"CANDELABRA_STORE={own_store['CANDELABRA_STORE']} {block_with('NVDA')}", folder, shell=True)
    assert "2 candles of 1 symbol" in output


@pytest.mark.parametrize("program", PROGRAMS, ids=["client", "engine"])
def test_the_programs_run_as_they_stand(program, folder, address, tmp_path):
    script = tmp_path / "program.py"
    script.write_text(program.replace("127.0.0.1:50051", address))
    output = run([sys.executable, str(script)], folder)
    assert {line.split()[0] for line in output.splitlines()} == {"AAPL", "IBM"}
