"""`candelabra screen` as a shell sees it: output, the line about what passed, exit status."""

import csv
import json
import os
import pty
import re
import signal
import subprocess
import threading

import grpc
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from candelabra import v1
from support.client_command import WAIT_SECONDS, read_until, run, started
from support.scripted_server import Script, passed, rich_status, serving


@pytest.fixture
def script():
    return Script()


@pytest.fixture
def address(script):
    with serving(script) as address:
        yield address


def screen(address, *arguments, **options):
    return run(address, "screen", "rsi(close, 14) < 30", "-t", "1d", *arguments, **options)


def answer_with(script, *messages):
    script.screen_answers = [lambda request, context: iter(messages)]


def test_a_screen_prints_one_table_and_how_many_passed(address, script):
    last = passed("B", rsi=[20.5], low=[1.0], signal="low", total=8_005, done=8_005, last=True)
    last.symbols_passed = 2
    answer_with(script, passed("A", rsi=[np.nan], low=[np.nan], signal="low", total=8_005), last)
    done = screen(address)

    assert (done.returncode, done.stderr) == (0, "2 of 8,005 symbols passed\n")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["symbol", "time", "rsi", "low"],
        ["A", "2012-01-01", "-", "-"],
        ["B", "2012-01-01", "20.5000", "true"],
    ]
    assert script.screens == [
        v1.ScreenRequest(symbols=["*"], timeframe="1d", formula=v1.Formula(expression="rsi(close, 14) < 30"))
    ]


def test_every_option_arrives(address, script):
    arguments = ["-s", "AA*,MSFT", "--filter", "low", "--order-by", "rsi desc", "--limit", "50"]
    arguments += ["--as-of", "2012-06-01", "--param", "n=14", "--weight", "2", "--symbol-time-limit", "1.5"]
    arguments += ["--compat", "qlib", "--float32-fields", "--screen-id", "mine"]
    assert run(address, "screen", "--id", "trend@3", "-t", "1h", *arguments).returncode == 0

    assert script.screens == [
        v1.ScreenRequest(
            screen_id="mine",
            symbols=["AA*", "MSFT"],
            timeframe="1h",
            as_of="2012-06-01",
            formula=v1.Formula(id="trend@3", compatibility=v1.Compatibility.COMPATIBILITY_QLIB, float32_fields=True),
            parameters={"n": 14.0},
            filter="low",
            order_by="rsi desc",
            limit=50,
            options=v1.JobOptions(weight=2, symbol_time_limit_millis=1_500),
        )
    ]


def test_symbols_that_fail_are_listed_with_their_reasons_and_the_status_is_3(address, script):
    failures = {"X": "NO_CANDLES", "LONGER": "NO_CANDLES", "Z": "WORKER_DIED"}
    last = passed("A", value=[1.0], failures=failures, last=True)
    last.symbols_failed = 5
    last.info.warnings.append("EMA is Qlib's here")
    answer_with(script, last)
    done = screen(address)

    assert done.returncode == 3
    assert done.stderr.splitlines() == [
        "warning: EMA is Qlib's here",
        "  X       X is not there NO_CANDLES",
        "  LONGER  LONGER is not there NO_CANDLES",
        "  Z       Z is not there WORKER_DIED",
        "1 of 4 symbols passed, 5 failed (2 NO_CANDLES, 1 WORKER_DIED, 2 unlisted)",
    ]
    assert "A" in done.stdout


def test_a_limit_is_told_apart_from_what_passed_and_its_rows_are_all_shown(address, script):
    symbols = [f"S{number:02}" for number in range(30)]
    last = passed(*symbols, value=list(range(30)), total=100, done=100, last=True)
    last.symbols_passed = 42
    answer_with(script, last)

    done = screen(address, "--limit", "30")
    assert done.stderr == "42 of 100 symbols passed, the first 30 are given\n"
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == symbols
    short = screen(address, "--limit", "30", "--rows", "2").stdout.splitlines()
    assert [line.split()[0] for line in short[1:]] == ["S00", "…", "S29"]


def test_csv_and_json_lines_have_a_row_a_symbol(address, script):
    answer_with(
        script,
        passed("A", "B", rsi=[0.1 + 0.2, np.nan], total=3),
        passed("C", rsi=[np.inf], total=3, done=3, last=True),
    )

    assert list(csv.reader(screen(address, "-o", "csv").stdout.splitlines())) == [
        ["symbol", "time", "rsi"],
        ["A", "2012-01-01T00:00:00Z", "0.30000000000000004"],
        ["B", "2012-01-01T00:00:00Z", ""],
        ["C", "2012-01-01T00:00:00Z", "inf"],
    ]
    assert [json.loads(line) for line in screen(address, "-o", "jsonl").stdout.splitlines()] == [
        {"symbol": "A", "time": "2012-01-01T00:00:00Z", "rsi": 0.1 + 0.2},
        {"symbol": "B", "time": "2012-01-01T00:00:00Z", "rsi": None},
        {"symbol": "C", "time": "2012-01-01T00:00:00Z", "rsi": None},
    ]


def test_rows_are_written_while_the_screen_runs(address, script):
    gate = threading.Event()

    def answer(request, context):
        yield passed("A", value=[1.0], total=2)
        gate.wait(WAIT_SECONDS)
        yield passed("B", value=[2.0], total=2, done=2, last=True)

    script.screen_answers = [answer]
    with started(address, "screen", "close", "-t", "1d", "-o", "csv", stderr=subprocess.DEVNULL) as running:
        lines = [running.stdout.readline() for _ in range(2)]
        gate.set()
        assert running.wait(WAIT_SECONDS) == 0
    assert lines == [b"symbol,time,value\n", b"A,2012-01-01T00:00:00Z,1.0\n"]


def test_a_screen_that_nobody_passes_has_a_header_but_no_rows(address, script, tmp_path):
    answer_with(script, passed(total=9, done=9, rsi=[], last=True))
    file = tmp_path / "x.parquet"

    assert screen(address, "-o", "csv").stdout == "symbol,time,rsi\n"
    assert screen(address, "-o", "jsonl").stdout == ""
    table = screen(address)
    assert (table.returncode, table.stdout, table.stderr) == (0, "", "0 of 9 symbols passed\n")
    assert screen(address, "--out", str(file)).returncode == 0
    assert pa.parquet.read_table(file).column_names == ["symbol", "time", "rsi"]


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "csv"])
def test_a_file_has_the_format_of_its_name(address, tmp_path, suffix):
    file = tmp_path / f"x.{suffix}"
    done = screen(address, "-s", "A,B,C", "--out", str(file))

    assert (done.returncode, done.stdout) == (0, "")
    if suffix == "csv":
        assert len(file.read_text().splitlines()) == 4
        return
    table = pa.parquet.read_table(file) if suffix == "parquet" else pa.ipc.open_stream(file).read_all()
    assert table["symbol"].to_pylist() == ["A", "B", "C"]
    assert table["value"].to_pylist() == [0.0, 1.0, 2.0]


def test_a_screen_that_fails_leaves_the_file_as_it_was(address, script, tmp_path):
    def answer(request, context):
        yield passed("A", value=[1.0], total=2)
        context.abort(grpc.StatusCode.INTERNAL, "oops")

    script.screen_answers = [answer]
    file = tmp_path / "x.csv"
    file.write_text("before")

    assert screen(address, "--out", str(file)).returncode == 1
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("x.csv", "before")]


def test_what_is_wrong_with_the_request_is_shown_and_the_status_is_1(address, script):
    def refuse(request, context):
        violations = [("filter", "there is no output `lo`; did you mean `low`?", "UNKNOWN_OUTPUT")]
        context.abort_with_status(rich_status(grpc.StatusCode.INVALID_ARGUMENT, "bad", violations=violations))
        yield

    script.screen_answers = [refuse]
    done = screen(address, "--filter", "lo")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: filter: there is no output `lo`; did you mean `low`?\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["close"], "--timeframe"),
        (["close", "-t", "1d", "-s", ","], "expected a symbol"),
        (["close", "-t", "1d", "--limit", "0"], "--limit"),
        (["close", "-t", "1d", "--limit", "99999999999"], "99999999999"),
        (["close", "-t", "1d", "--param", "fast"], "NAME=NUMBER"),
        (["close", "-t", "1d", "--id", "trend"], "not both"),
        (["close", "-t", "1d", "--out", "x.xml"], "x.xml"),
    ],
)
def test_wrong_usage_has_the_status_2_and_says_what_is_wrong(arguments, complaint):
    done = run("127.0.0.1:1", "screen", *arguments, COLUMNS="200")

    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr


def test_control_c_cancels_the_screen_and_the_status_is_130(address, script):
    def answer(request, context):
        yield passed("A", value=[1.0], total=2)
        script.ended.wait(WAIT_SECONDS)

    script.screen_answers = [answer]
    arguments = ["screen", "close", "-t", "1d", "-o", "csv"]
    with started(address, *arguments, stderr=subprocess.PIPE) as running:
        running.stdout.readline()  # the screen runs
        running.send_signal(signal.SIGINT)
        assert running.wait(WAIT_SECONDS) == 130
        assert running.stderr.read() == b"error: interrupted; the screen was cancelled\n"
    assert script.ended.wait(WAIT_SECONDS)


def test_a_terminal_shows_a_table_that_grows_over_a_progress_bar(address, script):
    gate = threading.Event()

    def answer(request, context):
        yield passed("FIRST", value=[1.0], total=4)
        yield passed(total=4, done=3)
        gate.wait(WAIT_SECONDS)
        last = passed("LAST", value=[2.0], total=4, done=4, last=True)
        last.symbols_passed = 2
        yield last

    script.screen_answers = [answer]
    master, slave = pty.openpty()
    with started(address, "screen", "close", "-t", "1d", stdout=slave, stderr=subprocess.PIPE) as running:
        os.close(slave)
        growing = read_until(master, b"3/4 symbols")
        gate.set()
        shown = read_until(master, b"LAST    2012-01-01      2")
        assert running.wait(WAIT_SECONDS) == 0
        assert running.stderr.read() == b"2 of 4 symbols passed\n"
    os.close(master)
    assert re.search(rb"symbol +time +value\s+FIRST +2012-01-01 +1\s+Screening .*3/4 symbols", growing)
    assert b"FIRST   2012-01-01      1" in shown


def test_no_progress_on_a_terminal_is_only_the_table_at_the_end(address, script):
    master, slave = pty.openpty()
    arguments = ["screen", "close", "-t", "1d", "-s", "A,B,C", "--no-progress"]
    with started(address, *arguments, stdout=slave, stderr=slave) as running:
        os.close(slave)
        shown = read_until(master, b"3 of 3 symbols passed")
        assert running.wait(WAIT_SECONDS) == 0
    os.close(master)
    assert b"Screening" not in shown
    assert shown.count(b"2012-01-01") == 3
