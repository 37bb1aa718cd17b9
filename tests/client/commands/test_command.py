"""The `candelabra` command as a shell sees it: output, errors, exit status."""

import csv
import io
import itertools
import json
import os
import pty
import re
import signal
import subprocess
import threading

import grpc
import pyarrow as pa
import pyarrow.parquet
import pytest

from candelabra import v1
from support.client_command import WAIT_SECONDS, read_until, run, started
from support.scripted_server import Script, failed, rich_status, rows, serving, stored

CARET = "line 1, column 1: unknown function `smaa`; did you mean `sma`?\n  smaa(close, 10)\n  ^^^^"


def process(address, *arguments, **options):
    return run(address, "process", "-s", "AAPL,MSFT", "-t", "1d", *arguments, **options)


@pytest.fixture
def script():
    return Script(stored=stored("AAPL", "MSFT", "NOTE"))


@pytest.fixture
def address(script):
    with serving(script) as address:
        yield address


def test_a_formula_prints_a_table_a_symbol(address, script):
    done = process(address, "sma(close, fast)", "--param", "fast=10", "--start", "2012-01-01", "--end", "2012-01-31")

    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split() for line in done.stdout.splitlines()[:5]] == [
        ["AAPL", "3", "rows"],
        ["time", "value"],
        ["2012-01-01", "1"],
        ["2012-01-02", "2"],
        ["2012-01-03", "1"],
    ]
    assert script.jobs == [
        v1.ProcessingJob(
            symbols=["AAPL", "MSFT"],
            timeframe="1d",
            date_range=v1.DateRange(start="2012-01-01", end="2012-01-31"),
            formula=v1.Formula(expression="sma(close, fast)"),
            parameters={"fast": 10.0},
            output=v1.OutputOptions(precision=v1.Precision.PRECISION_FLOAT64),
        )
    ]


def breaking_after_the_first(job, context):
    yield rows(job.symbols[0], [1.0], total=len(job.symbols))
    context.abort(grpc.StatusCode.UNAVAILABLE, "the server is shutting down")


def test_a_job_whose_stream_breaks_is_resumed(address, script):
    script.answers = [breaking_after_the_first, lambda job, context: iter([rows("MSFT", [2.0])])]
    done = process(address, "close", "-o", "csv")

    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split(",")[0] for line in done.stdout.splitlines()[1:]] == ["AAPL", "MSFT"]


def test_a_single_attempt_is_not_resumed(address, script):
    script.answers = [breaking_after_the_first]
    done = process(address, "close", "-o", "csv", "--attempts", "1")

    assert done.returncode == 1
    assert "the server is shutting down" in done.stderr
    assert len(script.jobs) == 1


def test_a_screen_of_a_single_attempt_is_not_resumed(address, script):
    def breaking(request, context):
        context.abort(grpc.StatusCode.UNAVAILABLE, "the server is shutting down")

    script.screen_answers = [breaking]
    done = run(address, "screen", "close", "-t", "1d", "--attempts", "1")

    assert done.returncode == 1
    assert len(script.screens) == 1


def test_symbols_that_fail_are_listed_and_the_status_is_3(address):
    done = run(address, "process", "rsi(close, 14)", "-s", "AAPL,NOPE,MSFT", "-t", "1d")

    assert done.returncode == 3
    assert done.stderr.splitlines() == ["error: 1 of 3 symbols failed", "  NOPE  NOPE is not stored UNKNOWN_SYMBOL"]
    assert "AAPL" in done.stdout
    assert "MSFT" in done.stdout


def test_many_failing_symbols_are_cut_short(address, script):
    symbols = [f"S{number}" for number in range(30)]
    script.answers = [lambda job, context: (failed(symbol, total=30) for symbol in symbols)]
    done = run(address, "process", "close", "-s", "*", "-t", "1d")

    assert done.returncode == 3
    lines = done.stderr.splitlines()
    assert (lines[0], len(lines), lines[-1]) == ("error: 30 of 30 symbols failed", 22, "  and 10 more")


def test_a_mistake_in_the_formula_is_shown_with_its_carets_and_the_status_is_1(address, script):
    def refuse(job, context):
        violations = [("formula.expression", CARET, "UNKNOWN_FUNCTION"), ("timeframe", "is missing", "")]
        context.abort_with_status(
            rich_status(grpc.StatusCode.INVALID_ARGUMENT, "bad", violations=violations, reason="INVALID_FORMULA")
        )
        yield

    script.answers = [refuse]
    done = process(address, "smaa(close, 10)")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "error: formula.expression: line 1, column 1: unknown function `smaa`; did you mean `sma`?",
        "  smaa(close, 10)",
        "  ^^^^",
        "error: timeframe: is missing",
        "reason INVALID_FORMULA",
    ]
    coloured = process(address, "smaa(close, 10)", FORCE_COLOR="1", TERM="xterm")
    assert "\x1b[1;31m  ^^^^\x1b[0m" in coloured.stderr


def test_no_server_is_one_line_and_the_status_is_1():
    done = run("127.0.0.1:1", "health")

    assert (done.returncode, done.stdout) == (1, "")
    # What follows is the operating system's word, and grpc's way of writing it.
    assert re.fullmatch(r"error: no server answers at 127\.0\.0\.1:1: .*onnection refused.*\n", done.stderr)


def test_an_overloaded_server_says_when_to_try_again(address, script):
    def refuse(job, context):
        context.abort_with_status(rich_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", retry_after=1.5))
        yield

    script.answers = [refuse]

    assert process(address, "--attempts", "1").stderr == "error: full\nTry again in 1.5 s.\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["process", "close"], "--symbol"),
        (["process", "close", "-s", "A"], "--timeframe"),
        (["process", "close", "-s", ",", "-t", "1d"], "expected a symbol"),
        (["process", "close", "-s", "A", "-t", "1d", "--param", "fast"], "NAME=NUMBER"),
        (["process", "close", "-s", "A", "-t", "1d", "--param", "fast=x"], "NAME=NUMBER"),
        (["process", "close", "-s", "A", "-t", "1d", "--last", "0"], "--last"),
        (["process", "close", "-s", "A", "-t", "1d", "--last", "99999999999"], "99999999999"),
        (["process", "close", "-s", "A", "-t", "1d", "--output", "xml"], "xml"),
        (["process", "close", "-s", "A", "-t", "1d", "--out", "x.xml"], "x.xml"),
        (["process", "close", "-s", "A", "-t", "1d", "--out", "/no/such/x.csv"], "/no/such"),
        (["process", "-s", "A", "-t", "1d", "--formula-file", "/no/such"], "/no/such"),
        (["process", "close", "-s", "A", "-t", "1d", "--formula-file", "/etc/hostname"], "not both"),
        (["nonsense"], "nonsense"),
    ],
)
def test_wrong_usage_has_the_status_2_and_says_what_is_wrong(arguments, complaint):
    done = run("127.0.0.1:1", *arguments, COLUMNS="200")

    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr


def test_the_formula_may_come_from_a_file_or_standard_input(address, script, tmp_path):
    file = tmp_path / "formula.txt"
    file.write_text("a = close\nb = a * 2\n", encoding="utf-8")

    assert process(address, "--formula-file", str(file)).returncode == 0
    assert process(address, "-", stdin="a = close\nb = a * 2\n").returncode == 0
    assert [job.formula.expression for job in script.jobs] == ["a = close\nb = a * 2\n"] * 2


def test_no_formula_asks_for_candles(address, script):
    assert process(address).returncode == 0
    assert not script.jobs[0].HasField("formula")


def test_csv_has_a_row_a_candle_with_values_that_read_back_the_same(address, script):
    values = [0.1 + 0.2, float("nan"), float("inf"), 1e-300]
    script.answers = [lambda job, context: iter([rows("AAPL", values, total=2), failed("MSFT", total=2)])]
    done = process(address, "close", "--output", "csv")

    records = list(csv.reader(io.StringIO(done.stdout)))
    assert done.returncode == 3
    assert records[0] == ["symbol", "time", "value"]
    assert [record[:2] for record in records[1:]] == [["AAPL", f"2012-01-0{day}T00:00:00Z"] for day in (1, 2, 3, 4)]
    assert [record[2] for record in records[1:]] == ["0.30000000000000004", "", "inf", "1e-300"]


def test_json_lines_have_an_object_a_row_with_null_for_no_value(address, script):
    script.answers = [lambda job, context: iter([rows("AAPL", [0.5, float("nan")])])]
    done = process(address, "close", "--output", "jsonl")

    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"symbol": "AAPL", "time": "2012-01-01T00:00:00Z", "value": 0.5},
        {"symbol": "AAPL", "time": "2012-01-02T00:00:00Z", "value": None},
    ]


def test_candles_of_symbols_with_different_fields_share_one_header(address, script):
    def answer(job, context):
        yield rows("AAPL", [1.0], name="close", total=2)
        second = rows("MSFT", [2.0], name="close", total=2)
        second.columns.add(name="vwap", kind=1, values=[3.0])
        yield second

    script.answers = [answer]

    assert process(address, "--output", "csv").stdout.splitlines() == [
        "symbol,time,close,vwap",
        "AAPL,2012-01-01T00:00:00Z,1.0,",
        "MSFT,2012-01-01T00:00:00Z,2.0,3.0",
    ]


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_a_file_has_the_format_of_its_name(address, tmp_path, suffix):
    file = tmp_path / f"x.{suffix}"
    done = process(address, "close", "--out", str(file))

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    table = pa.parquet.read_table(file) if suffix == "parquet" else pa.ipc.open_stream(file).read_all()
    assert table["symbol"].to_pylist() == ["AAPL"] * 3 + ["MSFT"] * 3
    assert table["value"].to_pylist() == [1.0, 2.0, 1.0, 1.0, 2.0, 2.0]


def test_arrow_goes_through_a_pipe(address):
    done = process(address, "close", "--output", "arrow", text=False)

    assert pa.ipc.open_stream(done.stdout).read_all().num_rows == 6


def test_a_job_that_fails_leaves_the_file_as_it_was(address, script, tmp_path):
    def answer(job, context):
        yield rows("AAPL", [1.0], total=2)
        context.abort(grpc.StatusCode.INTERNAL, "oops")

    script.answers = [answer]
    file = tmp_path / "x.csv"
    file.write_text("before")
    done = process(address, "close", "--out", str(file))

    assert done.returncode == 1
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("x.csv", "before")]


def test_a_file_that_cannot_be_written_is_the_status_1(address, tmp_path):
    (tmp_path / "x.csv").mkdir()
    done = process(address, "close", "--output", "csv", "--out", str(tmp_path / "x.csv"))

    assert done.returncode in {1, 2}
    assert "x.csv" in done.stderr
    assert "Traceback" not in done.stderr


def test_warnings_of_the_server_are_said_once(address, script):
    def answer(job, context):
        for symbol in ("AAPL", "MSFT"):
            result = rows(symbol, [1.0], total=2)
            result.info.warnings.append("EMA is Qlib's here")
            yield result

    script.answers = [answer]
    done = process(address, "EMA($close, 3)")

    assert (done.returncode, done.stderr) == (0, "warning: EMA is Qlib's here (2 symbols)\n")


def test_stored_symbols_are_listed_in_every_format(address, script):
    table = run(address, "candles", "list")
    assert [line.split()[:5] for line in table.stdout.splitlines()[:2]] == [
        ["symbol", "timeframe", "candles", "first", "last"],
        ["AAPL", "1d", "3", "2012-01-01", "2012-01-03"],
    ]
    lines = run(address, "candles", "list", "A*", "-t", "1d", "--output", "jsonl").stdout.splitlines()
    assert json.loads(lines[0])["fields"] == ["close", "high", "low", "open", "volume"]
    records = list(csv.reader(run(address, "candles", "list", "--output", "csv").stdout.splitlines()))
    assert records[1] == [
        "AAPL",
        "1d",
        "3",
        "2012-01-01T00:00:00Z",
        "2012-01-03T00:00:00Z",
        "close high low open volume",
    ]
    assert run(address, "candles", "list", "-t", "7m").returncode == 1


def test_health_tells_by_its_status_too(address):
    assert (run(address, "health").returncode, run(address, "health").stdout) == (0, "SERVING\n")
    service = run(address, "health", "--service", "candelabra.v1.ProcessingService")
    assert (service.returncode, service.stdout) == (1, "NOT_SERVING\n")


def test_info_describes_the_server(address):
    done = run("127.0.0.1:1", "info", "--server", address)

    assert done.returncode == 0
    described = {line[:17].strip(): line[17:].strip() for line in done.stdout.splitlines()}
    assert (described["address"], described["version"], described["workers"]) == (address, "0.1.0", "2")
    assert described["stored candles"] == "1d: 3 symbols"


def test_the_version_is_printed():
    assert run("", "--version").stdout.startswith("candelabra ")


def test_without_its_extra_libraries_the_command_says_what_to_install(tmp_path):
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError(\"No module named 'typer'\", name='typer')")
    done = run("", "health", PYTHONPATH=str(tmp_path))

    assert (done.returncode, done.stderr) == (
        2,
        "candelabra: typer is not installed: pip install 'candelabra[cli]'\n",
    )


def endless(job, context):
    for number in itertools.count():
        if not context.is_active():
            return
        yield rows(f"S{number:06d}", [0.0] * 10, total=10**6)


def test_control_c_cancels_the_job_and_the_status_is_130(address, script):
    script.answers = [endless]
    arguments = ["process", "close", "-s", "*", "-t", "1d", "-o", "csv"]
    with started(address, *arguments, stderr=subprocess.PIPE) as running:
        running.stdout.readline()  # the job runs
        draining = threading.Thread(target=running.stdout.read)
        draining.start()
        running.send_signal(signal.SIGINT)
        assert running.wait(WAIT_SECONDS) == 130
        draining.join(WAIT_SECONDS)
        assert running.stderr.read() == b"error: interrupted; the job was cancelled\n"
    assert script.ended.wait(WAIT_SECONDS)


def test_a_reader_that_goes_away_ends_the_command_silently(address, script):
    script.answers = [endless]
    arguments = ["process", "close", "-s", "*", "-t", "1d", "-o", "csv"]
    with started(address, *arguments, stderr=subprocess.PIPE) as running:
        running.stdout.readline()
        running.stdout.close()
        assert running.wait(WAIT_SECONDS) == 141
        assert running.stderr.read() == b""
    assert script.ended.wait(WAIT_SECONDS)


def test_a_terminal_shows_a_progress_bar_with_rate_and_remaining_time(address, script):
    gate = threading.Event()

    def answer(job, context):
        for number in range(4):
            if number == 3:
                gate.wait(WAIT_SECONDS)
            yield rows(f"S{number}", [1.0], total=4)

    script.answers = [answer]
    master, slave = pty.openpty()
    arguments = ["process", "close", "-s", "*", "-t", "1d"]
    with started(address, *arguments, stderr=slave) as running:
        os.close(slave)
        shown = read_until(master, b"3/4 symbols")
        gate.set()
        assert running.wait(WAIT_SECONDS) == 0
        table = running.stdout.read()
    os.close(master)
    assert b"Processing" in shown
    assert b"S3" in table
    assert b"Processing" not in table
