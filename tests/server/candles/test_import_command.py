"""The command `candelabra-server import`: what its options do and what it prints."""

import os
import subprocess

import pytest

from support.command import BIN

CSV = "Date,Open,High,Low,Close,Volume\n2024-01-02,1,1,1,1,1\n2024-01-03 12:30:01,1,2,1,2,1\n"
FIXED_POINT = "ts_event,symbol,open,high,low,close,volume\n1704205800000000000,X,2000000,2000000,2000000,2000000,1\n"


@pytest.fixture
def import_(tmp_path):
    def run_import(*arguments):
        return subprocess.run(
            [BIN / "candelabra-server", "import", *map(str, arguments)],
            cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
            env=os.environ | {"COLUMNS": "200", "CANDELABRA_STORE": "store"},
        )  # fmt: skip

    return run_import


def test_the_summary_shows_symbols_times_and_files(import_, tmp_path):
    (tmp_path / "prices").mkdir()
    for number in range(7):
        (tmp_path / "prices" / f"S{number}.csv").write_text(CSV)
    (tmp_path / "prices" / "notes.md").write_text("")
    (tmp_path / "prices" / "x.csv").write_text(FIXED_POINT)
    lines = import_("prices", "--timeframe", "1d").stdout.splitlines()
    assert lines[:3] == [
        "imported 15 candles of 8 symbols into store",
        "  symbols  S0, S1, S2, S3, S4 and 3 more",
        "  times    2024-01-02 to 2024-01-03 12:30:01 UTC",
    ]
    assert lines[3].startswith("  files    8, in ")
    assert lines[4:] == [
        "  skipped  prices/notes.md",
        "  prices   of prices/x.csv are fixed-point, multiplied by 1e-9",
    ]


def test_every_option_reaches_the_import(import_, tmp_path):
    (tmp_path / "x.txt").write_text("02/01/2024 09:30;100;300;100;200;150;7\n")
    finished = import_(
        "x.txt", "--timeframe", "1m", "--symbol", "AAPL", "--header", "time,open,high,low,last,adj,", "--column",
        "close=last", "--column", "volume=", "--time-zone", "America/New_York", "--time-format", "%d/%m/%Y %H:%M",
        "--price-scale", "0.01", "--adjust-by", "adj",
    )  # fmt: skip
    assert finished.stdout.splitlines()[1:4] == [
        "left out, not being numbers for formulas: (no name)",
        "  symbols  AAPL",
        "  times    2024-01-02 14:30:00 to 2024-01-02 14:30:00 UTC",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["AAPL.cvs"], "there is no file or folder AAPL.cvs; did you mean AAPL.csv?"),
        (["nowhere/AAPL.csv"], "there is no file or folder nowhere/AAPL.csv"),
        (["AAPL.csv", "--column", "close"], "'close' is not ROLE=COLUMN"),
        (["AAPL.csv", "--column", "close=a", "--column", "close=b"], "'close=b' is not ROLE=COLUMN with a role of its"),
    ],
)
def test_wrong_usage_is_told_apart_from_wrong_files(import_, tmp_path, arguments, message):
    (tmp_path / "AAPL.csv").write_text(CSV)
    finished = import_(*arguments, "--timeframe", "1d")
    assert finished.returncode == 2
    assert message in finished.stderr


def test_a_file_of_another_timeframe_exits_with_one_and_names_the_option(import_, tmp_path):
    (tmp_path / "AAPL.csv").write_text(CSV)
    finished = import_("AAPL.csv", "--timeframe", "1M")
    assert finished.returncode == 1
    assert "looks like candles of" in finished.stderr
    assert "--timeframe" in finished.stderr
