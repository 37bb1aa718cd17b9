"""`candelabra process --plot` as a shell sees it."""

import csv
import os
import subprocess
import sys

import grpc
import pytest

from candelabra import v1
from support.charts import candles
from support.scripted_server import Script, failed, rich_status, rows, serving

COMMAND = [sys.executable, "-m", "candelabra_client.cli", "process"]
WAIT_SECONDS = 60
ROWS = 40


def run(address, *arguments, **environment):
    return subprocess.run(
        [*COMMAND, "-t", "1d", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_SECONDS,
        env={**os.environ, "CANDELABRA_SERVER": address, "COLUMNS": "100", "LINES": "30", **environment},
    )


def answer(job, context):
    """Candles for a job without a formula, else one column; no symbol is called NOPE."""
    for symbol in job.symbols:
        if symbol == "NOPE":
            yield failed(symbol, total=len(job.symbols))
            continue
        source = candles(ROWS)
        names = ["close"] if job.HasField("formula") else list(source.columns)
        message = rows(symbol, source[names[0]], name="value" if len(names) == 1 else names[0], total=len(job.symbols))
        for name in names[1:]:
            message.columns.add(name=name, kind=v1.ColumnKind.COLUMN_KIND_NUMBER, values=source[name])
        yield message


@pytest.fixture
def script():
    return Script(answers=[answer])


@pytest.fixture
def address(script):
    with serving(script) as address:
        yield address


@pytest.mark.parametrize(("name", "start"), [("a.png", b"\x89PNG"), ("a.html", b"<!DOCTYPE html>")])
def test_a_file_is_drawn_and_named_on_standard_error(address, tmp_path, name, start):
    file = tmp_path / name
    done = run(address, "close", "-s", "AAPL", "--plot", str(file))

    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"wrote {file}\n")
    assert file.read_bytes().startswith(start)


def test_the_candles_are_a_second_job_over_the_same_rows(address, script):
    done = run(
        address,
        "n * close",
        "-s",
        "AAPL,NOPE,MSFT",
        "--last",
        "40",
        "--start",
        "2012-01-01",
        "-p",
        "n=1",
        "--plot",
        "term",
    )

    assert done.returncode == 3
    first, second = script.jobs
    assert (first.formula.expression, first.parameters, list(first.symbols)) == (
        "n * close",
        {"n": 1.0},
        ["AAPL", "NOPE", "MSFT"],
    )
    assert not second.HasField("formula")
    assert (list(second.symbols), dict(second.parameters)) == (["AAPL", "MSFT"], {})
    assert (second.timeframe, second.date_range, second.output.last_n) == ("1d", first.date_range, 40)


def test_without_a_formula_one_job_is_enough(address, script):
    done = run(address, "-s", "AAPL", "--plot", "term")

    assert (done.returncode, len(script.jobs)) == (0, 1)
    assert done.stdout.startswith("AAPL  1d, 2012-01-01 to 2012-02-09")


def test_symbols_that_fail_are_listed_and_the_others_drawn(address, tmp_path):
    file = tmp_path / "a.png"
    done = run(address, "rsi(close, 14)", "-s", "AAPL,NOPE,MSFT", "--plot", str(file))

    assert done.returncode == 3
    assert done.stderr.splitlines() == [
        f"wrote {file}",
        "error: 1 of 3 symbols failed",
        "  NOPE  NOPE is not stored UNKNOWN_SYMBOL",
    ]


def test_when_all_symbols_fail_nothing_is_drawn(address, script, tmp_path):
    done = run(address, "close", "-s", "NOPE", "--plot", str(tmp_path / "a.png"))

    assert (done.returncode, len(script.jobs), list(tmp_path.iterdir())) == (3, 1, [])


def test_a_symbol_whose_candles_fail_is_drawn_without_and_listed(address, script):
    script.answers = [answer, lambda job, context: iter([failed("AAPL", reason="NO_CANDLES")])]
    done = run(address, "close", "-s", "AAPL", "--plot", "term")

    assert done.returncode == 3
    assert "NO_CANDLES" in done.stderr
    assert "─ close" in done.stdout


def test_the_terminal_plot_fits_the_terminal(address):
    done = run(address, "close", "-s", "AAPL", "--plot", "term", COLUMNS="90", LINES="24")

    assert [len(line) for line in done.stdout.splitlines()] == [90] * 23
    assert "┃" in done.stdout


def test_results_are_written_too_where_they_are_asked_for(address, tmp_path):
    file, table = tmp_path / "a.png", tmp_path / "a.csv"
    assert run(address, "close", "-s", "AAPL", "--plot", str(file), "--out", str(table)).returncode == 0
    assert len(list(csv.reader(table.read_text().splitlines()))) == ROWS + 1

    piped = run(address, "close", "-s", "AAPL", "--plot", str(file), "-o", "csv")
    assert piped.stdout == table.read_text()

    both = run(address, "close", "-s", "AAPL", "--plot", "term", "-o", "table", "--rows", "2")
    assert both.stdout.index("└2012") < both.stdout.index("… 38 more")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["-s", "A", "--plot", "a.pdf"], "FILE.png, FILE.html or term"),
        (["-s", "A", "--plot", "a"], "FILE.png, FILE.html or term"),
        (["-s", "A", "--plot", "/no/such/a.png"], "there is no folder /no/such"),
        (["-s", "A,B,C,D", "-s", "E,F,G", "--plot", "term"], "at most 6 symbols, and these are 7"),
        (["-s", "A", "--plot", "term", "-o", "csv"], "add --out FILE"),
    ],
)
def test_wrong_usage_has_the_status_2_and_says_what_is_wrong(arguments, complaint):
    done = run("127.0.0.1:1", "close", *arguments, COLUMNS="200")

    assert (done.returncode, done.stdout) == (2, "")
    assert "--plot" in done.stderr
    assert complaint in done.stderr


def test_a_pattern_that_matches_too_many_symbols_is_wrong_usage_and_ends_the_job(address, script):
    script.answers = [lambda job, context: (rows(f"S{number}", [1.0], total=8_000) for number in range(8_000))]
    done = run(address, "close", "-s", "*", "--plot", "term", COLUMNS="200")

    assert (done.returncode, done.stdout, len(script.jobs)) == (2, "", 1)
    assert "at most 6 symbols, and these are 8,000" in done.stderr
    assert script.ended.wait(WAIT_SECONDS)


def test_a_refused_job_draws_nothing(address, script, tmp_path):
    def refuse(job, context):
        context.abort_with_status(rich_status(grpc.StatusCode.INVALID_ARGUMENT, "bad formula"))
        yield

    script.answers = [refuse]
    done = run(address, "clsoe", "-s", "AAPL", "--plot", str(tmp_path / "a.png"))

    assert (done.returncode, done.stderr, list(tmp_path.iterdir())) == (1, "error: bad formula\n", [])


@pytest.mark.parametrize(("library", "file"), [("matplotlib", "a.png"), ("plotly", "a.html")])
def test_a_missing_library_is_said_before_anything_runs(address, script, tmp_path, library, file):
    (tmp_path / f"{library}.py").write_text(f"raise ModuleNotFoundError(name={library!r})")
    done = run(address, "close", "-s", "AAPL", "--plot", str(tmp_path / file), PYTHONPATH=str(tmp_path))

    assert (done.returncode, script.jobs) == (1, [])
    assert done.stderr == f"error: this needs {library}, which is not installed: pip install 'candelabra[plot]'\n"


def test_columns_without_room_are_named(address, script):
    def many(job, context):
        message = next(answer(job, context))
        for number in range(9 if job.HasField("formula") else 0):
            message.columns.add(name=f"c{number}", kind=v1.ColumnKind.COLUMN_KIND_NUMBER, values=[-1.0] * ROWS)
        yield message

    script.answers = [many]
    done = run(address, "x", "-s", "AAPL", "--plot", "term", LINES="24")

    assert done.returncode == 0
    assert done.stderr == "6 columns without room: c3, c4, c5, c6, c7, c8\n"
