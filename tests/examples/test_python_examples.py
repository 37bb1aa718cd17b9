"""Every program in client/examples/python, run as its docstring says, prints what TA-Lib and pandas compute."""

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest
import talib

from candelabra_server.candles.arrow_store import ArrowCandleRepository
from candelabra_server.domain.date_range import DateRange
from support import scripted_server
from support.command import serving_command

EXAMPLES = Path(__file__).resolve().parents[2] / "client/examples"
PROGRAMS = EXAMPLES / "python"
LONGEST_SECONDS = 120


@pytest.fixture(scope="module")
def address(demo_store):
    with serving_command("--store", str(demo_store)) as server:
        yield server.address


@pytest.fixture(scope="module")
def close_of(demo_store):
    """A function that gives a symbol's closes as a Series over time."""
    candles = ArrowCandleRepository(demo_store)

    def load(symbol):
        whole = candles.load(symbol, "1d", DateRange(), warm_up_candles=0, snapshot_id="")
        times = pd.DatetimeIndex(whole.open_time_micros.view("datetime64[us]"), tz="UTC")
        return pd.Series(whole.fields["close"], index=times)

    return load


def run(program, address):
    return subprocess.run(
        command(program), env=os.environ | {"CANDELABRA_SERVER": address}, capture_output=True, text=True,
        timeout=LONGEST_SECONDS, check=False,
    )  # fmt: skip


def command(program):
    return [sys.executable, "-W", "error", str(PROGRAMS / program)]


def numbers(line):
    return [float(number) for number in re.findall(r"-?\d+\.\d+", line)]


def test_the_script_prints_the_last_values_and_reports_the_symbol_that_is_not_there(address, close_of):
    finished = run("script.py", address)
    assert finished.returncode == 3
    assert finished.stderr == "NOPE: symbol NOPE is not stored in timeframe 1d (UNKNOWN_SYMBOL)\n"
    printed = {line.split()[0]: line for line in finished.stdout.splitlines()}
    assert printed.keys() == {"AAPL", "IBM", "MSFT"}
    for symbol, line in printed.items():
        close = close_of(symbol)
        assert line.split()[1] == "2013-03-01"
        assert numbers(line) == pytest.approx([talib.SMA(close, 20).iloc[-1], talib.RSI(close, 14).iloc[-1]], abs=1e-6)


def test_the_script_and_the_consumer_say_in_one_line_that_nobody_answers():
    for program in ("script.py", "consumer.py"):
        finished = run(program, "127.0.0.1:1")
        assert finished.returncode == 1
        assert finished.stdout == ""
        assert "no server answers at 127.0.0.1:1" in finished.stderr
        assert "Traceback" not in finished.stderr


def test_the_script_prints_what_is_wrong_with_its_request(tmp_path, address):
    mistaken = tmp_path / "script.py"
    mistaken.write_text((PROGRAMS / "script.py").read_text().replace("sma(close", "smaa(close"))
    finished = run(mistaken, address)
    assert finished.returncode == 1
    assert "formula.expression: line 1, column 11" in finished.stderr
    assert "did you mean `sma`?" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_the_notebook_prints_what_pandas_and_ta_lib_compute(address, close_of):
    finished = run("notebook.py", address)
    assert finished.returncode == 0, finished.stderr
    lines = finished.stdout.splitlines()
    whole = pd.DataFrame({symbol: close_of(symbol) for symbol in ("AAPL", "IBM", "MSFT")})
    close = whole.loc["2012"]
    strength = whole.apply(talib.RSI).loc["2012"]

    assert lines[:3] == [f"{symbol:6}1d  {len(whole):8,} candles" for symbol in whole]
    for line in lines[5:8]:
        values = strength[line.split()[0]]
        assert numbers(line) == pytest.approx([len(values), values.min(), values.mean(), values.max()], abs=1e-3)
    quarters = (close / close.iloc[0]).resample("QE").last()
    printed = [line for line in lines if line.startswith("2012-")]
    assert [line.split()[0] for line in printed] == [f"{day:%Y-%m-%d}" for day in quarters.index]
    for line, expected in zip(printed, quarters.to_numpy(), strict=True):
        assert numbers(line) == pytest.approx(expected, abs=1e-3)
    correlation = (whole / whole.shift() - 1).loc["2012"].corr()
    for line, expected in zip(lines[-4:-1], correlation.to_numpy(), strict=True):
        assert numbers(line) == pytest.approx(expected, abs=1e-3)
    days = strength.index[(strength["IBM"] < 40) & (strength["AAPL"] > 60)]
    assert lines[-1] == f"{len(days)} days, the last on {days[-1]:%Y-%m-%d}"


def test_the_consumer_stops_each_screen_after_three_symbols_for_which_it_holds(address, close_of):
    finished = run("consumer.py", address)
    assert finished.returncode == 0, finished.stderr
    lines = finished.stdout.splitlines()
    hits = [line.split() for line in lines if "stopped" not in line]
    assert sorted(name for name, _, _ in hits) == ["breakout"] * 3 + ["oversold"] * 3
    assert {line for line in lines if "stopped" in line} == {
        "oversold  stopped after 3 hits",
        "breakout  stopped after 3 hits",
    }
    for name, symbol, value in hits:
        close = close_of(symbol)
        if name == "oversold":
            assert float(value) < 40
            assert float(value) == pytest.approx(talib.RSI(close, 14).iloc[-1], abs=1e-6)
        else:
            assert float(value) > 1
            assert float(value) == pytest.approx(close.iloc[-1] / close.iloc[-51:-1].max(), abs=1e-6)


def test_ctrl_c_ends_the_consumer_and_cancels_its_jobs_on_the_server():
    released = threading.Event()

    def answer_one_symbol_and_wait(job, context):
        result = scripted_server.rows("SYN0001", [33.0], total=2, job_id="endless", sequence=1)
        result.columns.add(name="hit", values=[1.0])
        yield result
        released.wait(LONGEST_SECONDS)

    script = scripted_server.Script(answers=[answer_one_symbol_and_wait])
    with scripted_server.serving(script) as address:
        environment = os.environ | {"CANDELABRA_SERVER": address}
        with subprocess.Popen(
            command("consumer.py"), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as consumer:
            assert "SYN0001" in consumer.stdout.readline()
            consumer.send_signal(signal.SIGINT)
            _, errors = consumer.communicate(timeout=LONGEST_SECONDS)
        try:
            assert consumer.returncode == 130, errors
            assert errors == ""
            assert script.ended.wait(LONGEST_SECONDS)
        finally:
            released.set()


@pytest.mark.parametrize("program", ["script.py", "notebook.py", "consumer.py"])
def test_a_program_fits_one_screen_and_says_how_to_run_it(program):
    text = (PROGRAMS / program).read_text()
    assert len(text.splitlines()) <= 60
    docstring = text.split('"""')[1]
    assert f"python {program}" in docstring
    assert f"CANDELABRA_SERVER=host:50051 python {program}" in docstring


def test_the_index_names_every_program_and_nothing_else():
    linked = re.findall(r"\]\((python/\w+\.py)\)", (EXAMPLES / "README.md").read_text())
    assert sorted(linked) == sorted(path.relative_to(EXAMPLES).as_posix() for path in PROGRAMS.glob("*.py"))
