"""The examples of server/docs/store.md work as they stand."""

import gzip
import os
import re
import subprocess
import zipfile
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from candelabra_server.candles.arrow_store import ArrowCandleRepository
from candelabra_server.candles.factory import create_candle_repository
from support.command import BIN

PAGE = Path(__file__).parents[3] / "server" / "docs" / "store.md"
CSV = "Date,Open,High,Low,Close,Volume\n2024-01-02,1,1,1,1,1\n"
KLINE = "{},1,1,1,1,1,0,0,0,0,0,0\n"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_commands_to_import_work(tmp_path):
    (tmp_path / "AAPL.csv").write_text(CSV)
    (tmp_path / "MSFT.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    prices = {name: [1.0] for name in ("open", "high", "low", "close", "volume")}
    parquet.write_table(pa.table({"date": ["2024-01-02"], "symbol": ["IBM"], **prices}), tmp_path / "prices.parquet")
    with zipfile.ZipFile(tmp_path / "BTCUSDT-1m-2024-01.zip", "w") as archive:
        archive.writestr("BTCUSDT-1m-2024-01.csv", KLINE.format(1704205800000))
    (tmp_path / "klines").mkdir()
    (tmp_path / "klines" / "BTCUSDT-1m-2024-02.csv").write_text(KLINE.format(1706884200000))
    (tmp_path / "EURUSD.txt").write_text("20240102 093000;1;1;1;1;1\n")
    (tmp_path / "funds.csv").write_text("date,symbol,nav\n2024-01-02,FUND,7\n")
    (commands,) = blocks("sh")
    finished = subprocess.run(
        ["/bin/sh", "-e"], input=commands, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        env=os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    repository = ArrowCandleRepository(tmp_path / "candelabra-data")
    assert [(entry.symbol, entry.candle_count) for entry in repository.list_symbols("1m")] == [
        ("BTCUSDT", 2),
        ("EURUSD", 1),
    ]
    assert {"AAPL", "FUND", "IBM", "MSFT"} <= {entry.symbol for entry in repository.list_symbols("1d")}


def test_the_example_of_a_plugged_in_repository_works(tmp_path, monkeypatch):
    module, use = blocks("python")
    (tmp_path / "sine_candles.py").write_text(module, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    names: dict[str, object] = {}
    exec(compile(use, str(PAGE), "exec"), names)
    repository = create_candle_repository({"type": "sine_candles:create", "symbols": ["WAVE", "SINE"]})
    assert [entry.symbol for entry in repository.list_symbols("1d")] == ["SINE", "WAVE"]
