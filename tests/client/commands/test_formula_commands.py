"""`candelabra check`, `explain`, `functions` and `formulas` as a shell sees them, on a real server."""

import json
import os
import subprocess
import sys

import pytest

WAIT_SECONDS = 60


@pytest.fixture
def candelabra(demo_address):
    def run(*arguments, stdin=None):
        return subprocess.run(
            [sys.executable, "-m", "candelabra_client.cli", *arguments],
            capture_output=True,
            input=stdin,
            text=True,
            check=False,
            timeout=WAIT_SECONDS,
            env={**os.environ, "CANDELABRA_SERVER": demo_address, "COLUMNS": "200"},
        )

    return run


def test_check_says_what_a_formula_is_and_tests_it_on_stored_candles(candelabra):
    done = candelabra("check", "rsi(close, n) < 30 and close > sma(close, 5)@1w", "-p", "n=7", "-s", "AAPL,IBM")
    assert (done.returncode, done.stderr) == (0, "")
    assert "value   signal  " in done.stdout
    assert "parameter n     7" in done.stdout
    assert "reads           close, close@1w" in done.stdout
    assert "✓ no value changes when later candles are added" in done.stdout
    assert "✓ no value depends on where the range starts" in done.stdout
    assert "values of AAPL, IBM" in done.stdout


def test_check_shows_every_mistake_with_its_place(candelabra):
    done = candelabra("check", "smaa(close, 3) + clse")
    assert (done.returncode, done.stdout) == (1, "")
    assert "unknown function `smaa`; did you mean `sma`?\n  smaa(close, 3) + clse\n  ^^^^" in done.stderr
    assert "did you mean `close`?" in done.stderr


def test_check_finds_a_look_ahead_that_a_job_would_allow(candelabra):
    done = candelabra("check", "Ref($close, -1) / $close", "--allow-lookahead", "-s", "AAPL")
    assert done.returncode == 1
    assert "looks ahead  1 candle" in done.stdout
    assert "✗ values change when later candles are added" in done.stdout
    assert "nan instead of" in done.stdout
    assert "✓ no value depends on where the range starts" in done.stdout


def test_check_finds_qlibs_dependence_on_the_start(candelabra):
    done = candelabra("check", "EMA($close, 20)", "--compat", "qlib", "-s", "AAPL")
    assert done.returncode == 1
    assert "✗ values depend on where the range starts" in done.stdout
    assert candelabra("check", "EMA($close, 20)", "-s", "AAPL").returncode == 0


def test_check_needs_a_formula_and_takes_an_id_or_standard_input(candelabra):
    assert candelabra("check", "-s", "AAPL").returncode == 2
    assert candelabra("check", "close", "--id", "qlib/alpha158").returncode == 2
    by_id = candelabra("check", "--id", "qlib/alpha158", "--no-candles")
    assert (by_id.returncode, "and 118 more columns" in by_id.stdout) == (0, True)
    assert candelabra("check", "-", "--no-candles", stdin="a = close\nb = a + 1").returncode == 0


def test_explain_shows_plan_and_cost(candelabra):
    done = candelabra("explain", "a = sma(close, 20); b = a - sma(close, 20)[1]", "-s", "SYN00*,NOPE", "-t", "1d")
    assert (done.returncode, done.stderr) == (0, "")
    assert "simple_mean(20)  → a" in done.stdout
    assert "symbols          101 of 1d candles" in done.stdout
    assert "not stored       NOPE" in done.stdout
    assert "about 50,000 rows" in done.stdout
    short = candelabra("explain", "sma(close, 20)", "-s", "AAPL", "-t", "1d", "--no-graph")
    assert "simple_mean" not in short.stdout


def test_explain_shows_everything_that_is_wrong(candelabra):
    done = candelabra("explain", "sma(clse, 20)", "-s", "AAPL", "-t", "1d", "--start", "2012-02-30")
    assert (done.returncode, done.stdout) == (1, "")
    assert "date_range.start: " in done.stderr
    assert "unknown name `clse`" in done.stderr


def test_functions_are_listed_and_described(candelabra):
    listed = candelabra("functions", "cdl*star")
    assert listed.returncode == 0
    assert "cdlmorningstar(" in listed.stdout
    described = candelabra("functions", "bbands")
    assert described.stdout.startswith('bbands(series, period=20, up=2, down=2, matype="sma")\n')
    assert ".upper, .middle, .lower" in described.stdout
    assert "at least 2; default 20" in described.stdout
    (line,) = candelabra("functions", "Corr", "--json").stdout.splitlines()
    assert json.loads(line)["family"] == "Qlib"
    nothing = candelabra("functions", "nothingthere")
    assert (nothing.returncode, "no function matches" in nothing.stderr) == (1, True)


def test_formulas_are_kept_under_a_name(candelabra):
    create = (
        "formulas",
        "create",
        "shell/dip",
        "rsi(close, n) < level",
        "-p",
        "n=14:2:200",
        "-p",
        "level",
        "--description",
        "x",
    )
    created = candelabra(*create)
    assert (created.returncode, created.stderr) == (0, "")
    assert "shell/dip@1" in created.stdout
    assert "n=14 (2..200), level" in created.stdout
    again = candelabra(*create)
    assert (again.returncode, "shell/dip" in again.stderr) == (1, True)
    done = candelabra("process", "--id", "shell/dip", "-p", "level=30", "-s", "AAPL", "-t", "1d", "--last", "1")
    assert (done.returncode, done.stderr) == (0, "")
    missing = candelabra("process", "--id", "shell/dip", "-s", "AAPL", "-t", "1d")
    assert "parameters[level]: is required by formula `shell/dip`" in missing.stderr
    updated = candelabra("formulas", "update", "shell/dip", "-", stdin="close\n")
    assert "shell/dip@2" in updated.stdout
    stale = candelabra("formulas", "update", "shell/dip", "open", "--etag", "stale")
    assert (stale.returncode, "FORMULA_CHANGED" in stale.stderr) == (1, True)
    assert candelabra("formulas", "show", "shell/dip@1", "--text").stdout == "rsi(close, n) < level\n"
    listed = candelabra("formulas", "list", "shell/*").stdout
    assert "shell/dip" in listed
    assert "1 formula" in listed
    assert "built in" in candelabra("formulas", "list", "qlib/*").stdout
    assert candelabra("formulas", "delete", "shell/dip").stdout == "shell/dip is deleted\n"
    gone = candelabra("formulas", "show", "shell/dip")
    assert (gone.returncode, "FORMULA_NOT_FOUND" in gone.stderr) == (1, True)


@pytest.mark.parametrize("declared", ["=5", "n=a", "n=1:2:3:4"])
def test_a_parameter_that_cannot_be_declared_is_wrong_usage(candelabra, declared):
    done = candelabra("formulas", "create", "shell/bad", "close", "-p", declared)
    assert (done.returncode, "NAME[=DEFAULT[:MIN[:MAX]]]" in done.stderr) == (2, True)


def test_a_formula_without_a_text_is_wrong_usage(candelabra):
    assert candelabra("formulas", "create", "shell/bad").returncode == 2
