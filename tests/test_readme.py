"""What the README says has been run: every command and every program, as it stands there, with what it prints.

A block without a test here fails `test_every_block_has_its_test`.
"""

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
from candelabra_server.formulas.service import FormulaService
from support.command import BIN, serving_command
from support.prices import write_prices

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
RUN, SERVE, PLOT, JOB, MISTAKE, LOOK, COMMAND, LANGUAGE, OWN, DEVELOP = (
    text.strip() for language, text in BLOCKS if language == "sh"
)
CLIENT_PROGRAM, ENGINE_PROGRAM = (text for language, text in BLOCKS if language == "python")
_PICTURE, RUN_OUTPUT, CLIENT_OUTPUT, MISTAKE_OUTPUT, MISTAKES_OUTPUT, OWN_OUTPUT = (
    text for language, text in BLOCKS if language == "text"
)
MAKES_OWN = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
DOCUMENTED_ADDRESS = "127.0.0.1:50051"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, demo_store):
    """Where a reader stands: a folder with the demo candles in `candelabra-data`."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "candelabra-data").symlink_to(demo_store)
    return folder


@pytest.fixture(scope="module")
def address(demo_store):
    with serving_command("--store", str(demo_store)) as server:
        yield server.address


def run(command, folder, *, status=0, **variables):
    """Runs a command line in a folder, with the commands of this environment first on the path."""
    # What a make that runs these tests tells the makes below it is not for a reader's own.
    environment = {name: value for name, value in os.environ.items() if name not in MAKES_OWN}
    environment |= {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"} | variables
    finished = subprocess.run(
        ["/bin/bash", "-ec", command],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert finished.returncode == status, finished.stdout + finished.stderr
    return finished.stdout + finished.stderr


def lines(text):
    return [line.rstrip() for line in text.strip().splitlines()]


def without_seconds(text):
    return re.sub(r"in [\d.]+ s", "in S s", text)


def test_make_run_prints_what_the_readme_shows_and_ta_lib_computes_and_loads_only_once(tmp_path):
    assert RUN == "make run"
    first, second = (run(f"{RUN} STORE={tmp_path}/store", ROOT) for _ in range(2))
    assert "imported 4,012,154 candles of 8,005 symbols" in first
    assert "imported" not in second
    assert "already" in second
    candles = ArrowCandleRepository(tmp_path / "store")
    for output in (first, second):
        assert lines(without_seconds(RUN_OUTPUT)) == lines(without_seconds(output))[-len(lines(RUN_OUTPUT)) :]
        for symbol in ("AAPL", "FB", "GOOG", "IBM", "MSFT"):
            whole = candles.load(symbol, "1d", DateRange(), warm_up_candles=0, snapshot_id="")
            close = np.array(whole.fields["close"])
            expected = (talib.SMA(close, 20)[-1], talib.RSI(close, 14)[-1], talib.MACD(close)[1][-1])
            (line,) = [line for line in output.splitlines() if line.startswith(f"{symbol} ")]
            assert [float(value) for value in line.split()[2:]] == pytest.approx(expected, abs=1e-6)


def test_make_serve_serves_the_documented_address():
    assert SERVE == "make serve"
    assert "candelabra-server serve" in run(f"make --dry-run {SERVE.split()[1]}", ROOT)
    assert DOCUMENTED_ADDRESS in run("candelabra-server serve --help", ROOT, COLUMNS="200")


def test_the_client_program_prints_what_is_shown(folder, address, tmp_path):
    script = tmp_path / "program.py"
    script.write_text(CLIENT_PROGRAM.replace(DOCUMENTED_ADDRESS, address))
    output = run(f"{sys.executable} {script}", folder)
    assert lines(output) == lines(CLIENT_OUTPUT)


def test_the_engine_program_runs_as_it_stands(folder, tmp_path):
    script = tmp_path / "program.py"
    script.write_text(ENGINE_PROGRAM)
    output = run(f"{sys.executable} {script}", folder)
    assert [line.split()[0] for line in lines(output)] == ["AAPL", "IBM"]


def test_the_picture_is_made_by_the_line_above_it(folder, address):
    run(PLOT, folder, CANDELABRA_SERVER=address)
    assert (folder / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert "client/examples/plot.png" in README
    run(PLOT.replace("plot.png", "plot.html"), folder, CANDELABRA_SERVER=address)
    assert (folder / "plot.html").read_text().startswith("<!DOCTYPE html>")
    assert "AAPL" in run(PLOT.replace("plot.png", "term"), folder, CANDELABRA_SERVER=address)


def test_the_grpcurl_job_prints_two_symbols_numbers_and_one_error(folder, address):
    output = run(JOB.replace(DOCUMENTED_ADDRESS, address), folder)
    assert output.count('"last_part": true') == 3
    assert output.count('"reason": "UNKNOWN_SYMBOL"') == 1
    assert '"symbol": "AAPL"' in output
    assert '"symbol": "MSFT"' in output
    assert "NaN" not in output


def test_the_grpcurl_mistake_prints_what_is_shown(folder, address):
    output = run(MISTAKE.replace(DOCUMENTED_ADDRESS, address), folder)
    assert lines(output)[:3] == lines(MISTAKE_OUTPUT)


def test_the_other_grpcurl_lines_answer(folder, address):
    output = run(LOOK.replace(DOCUMENTED_ADDRESS, address), folder)
    assert "candelabra.v1.ProcessingService" in output
    assert '"status": "SERVING"' in output
    assert '"symbol": "MSFT"' in output


def test_the_candelabra_commands_answer(folder, address):
    output = run(COMMAND, folder, CANDELABRA_SERVER=address)
    assert "AAPL" in output
    assert "SYN7999" in output
    assert "serving" in output.lower()


def test_the_mistakes_in_a_formula_are_printed_as_shown(folder, address):
    command = "candelabra process 'smaa(close, 14) + clse' -s AAPL -t 1d"
    output = run(command, folder, status=1, CANDELABRA_SERVER=address)
    assert lines(output)[: len(lines(MISTAKES_OUTPUT))] == lines(MISTAKES_OUTPUT)


def test_the_formulas_give_the_columns_that_are_shown(demo_store):
    rows = re.findall(r"^\| `(.+)` \| (.+) \|$", README.split("## Formulas")[1].split("```")[0], re.MULTILINE)
    assert len(rows) == 11
    service = FormulaService()
    candles = {
        symbol: ArrowCandleRepository(demo_store).load(symbol, "1d", DateRange(), warm_up_candles=0, snapshot_id="")
        for symbol in ("AAPL", "IBM")
    }
    for text, shown in rows:
        parameters = {"fast": 10.0} if "fast)" in text else {}
        formula = service.compile(text, parameters=parameters)
        columns = [column.name for column in formula.columns]
        assert re.findall(r"`([\w.]+)`", shown)[: len(columns)] == columns, text
        values = formula.evaluate(candles["AAPL"], others={"IBM": candles["IBM"]})
        assert not any(np.isnan(column[-1]) for column in values), text


def test_the_commands_about_formulas_answer(folder, address):
    output = run(LANGUAGE, folder, CANDELABRA_SERVER=address)
    assert "✓ no value changes when later candles are added" in output
    assert "✓ no value depends on where the range starts" in output
    assert "symbols          100 of 1d candles" in output
    assert "cdlmorningstar(" in output
    assert 'bbands(series, period=20, up=2, down=2, matype="sma")' in output
    assert "dip@1" in output
    assert "AAPL  3 rows" in output
    assert "KMID" in output


def test_ones_own_candles_are_imported_served_processed_and_drawn_as_shown(tmp_path):
    write_prices(tmp_path)
    socket = f"unix:{tmp_path}/s"
    output = run(OWN, tmp_path, CANDELABRA_LISTEN=socket, CANDELABRA_SERVER=socket, CANDELABRA_WORKERS="2")
    shown = OWN_OUTPUT.replace(DOCUMENTED_ADDRESS, socket)
    assert sorted(lines(without_seconds(output))) == sorted(lines(without_seconds(shown)))
    assert (tmp_path / "nvda.png").read_bytes().startswith(b"\x89PNG")


def test_the_settings_are_those_of_the_command(folder):
    shown = re.findall(r"^\| `(--[\w-]+)[^|]*\| (?:`(\w+)`)? ?\| `?([^|`]*)", README, re.MULTILINE)
    assert len(shown) == 13
    described = run("candelabra-server serve --help", folder, COLUMNS="200")
    for option, variable, default in shown:
        assert option in described
        assert variable in described
        assert option == "--insecure" or default.split(",")[0].strip() in described


def test_the_lines_for_developers_are_targets():
    (contributing,) = re.findall(
        r"^```sh\n(.*?)^```$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE | re.DOTALL
    )
    for line in (*DEVELOP.splitlines(), *contributing.splitlines()):
        assert line.startswith("make ")
        assert run(f"make --dry-run {line.partition('#')[0].removeprefix('make ')}", ROOT)


def test_every_page_that_is_linked_is_there():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert len(links) > 8
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_block_has_its_test():
    assert {language for language, _ in BLOCKS} == {"sh", "python", "text"}
    assert len(BLOCKS) == 10 + 2 + 6
