"""Screens in polars and DuckDB: which symbols' mean of the last 20 closes is above that of the last 50.

Polars maps an Arrow file, DuckDB reads a Parquet file; both have the rows sorted by symbol and time. Three ways to ask:
moving averages as window functions over the whole history, which is what the formula says; moving averages in groups,
of which the last is kept; and only the last candles of each group, which is the formula rewritten by hand.

The request has `way`, `file` and `runs`; the answer has the `seconds` of every run, the `symbols` that pass, sorted,
and `versions`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

FAST = 20
SLOW = 50


def _polars_windows(file: str) -> list[str]:
    import polars as pl

    close = pl.col("close")
    averages = {"fast": close.rolling_mean(FAST).over("symbol"), "slow": close.rolling_mean(SLOW).over("symbol")}
    lines = pl.scan_ipc(file).select("symbol", **averages).group_by("symbol").last()
    return _passing(lines.filter(pl.col("fast") > pl.col("slow")))


def _polars_groups(file: str) -> list[str]:
    import polars as pl

    close = pl.col("close")
    passes = close.rolling_mean(FAST).last() > close.rolling_mean(SLOW).last()
    return _passing(pl.scan_ipc(file).group_by("symbol").agg(passes.alias("passes")).filter("passes"))


def _polars_last(file: str) -> list[str]:
    import polars as pl

    close = pl.col("close")
    passes = close.tail(FAST).mean() > close.tail(SLOW).mean()
    return _passing(pl.scan_ipc(file).group_by("symbol").agg(passes.alias("passes")).filter("passes"))


def _passing(frame) -> list[str]:
    return frame.select("symbol").collect()["symbol"].to_list()


def _duckdb_windows(file: str) -> list[str]:
    return _query(f"""
        select symbol
        from (
            select symbol, avg(close) over fast as fast, avg(close) over slow as slow,
                   row_number() over (partition by symbol order by time desc) as age
            from '{file}'
            window fast as (partition by symbol order by time rows {FAST - 1} preceding),
                   slow as (partition by symbol order by time rows {SLOW - 1} preceding)
        )
        where age = 1 and fast > slow
    """)


def _duckdb_last(file: str) -> list[str]:
    return _query(f"""
        select symbol
        from (select symbol, max_by(close, time, {SLOW}) as latest from '{file}' group by symbol)
        where list_avg(latest[:{FAST}]) > list_avg(latest)
    """)


def _query(text: str) -> list[str]:
    import duckdb  # type: ignore[import-not-found]

    return [symbol for (symbol,) in duckdb.sql(text).fetchall()]


WAYS: dict[str, tuple[Callable[[str], list[str]], str]] = {
    "polars, window functions": (_polars_windows, "polars"),
    "polars, in groups": (_polars_groups, "polars"),
    "polars, last candles only": (_polars_last, "polars"),
    "DuckDB, window functions": (_duckdb_windows, "duckdb"),
    "DuckDB, last candles only": (_duckdb_last, "duckdb"),
}


def _main() -> None:
    asked = json.loads(sys.argv[1])
    screen, package = WAYS[asked["way"]]
    symbols = screen(asked["file"])  # once for nothing: imports, threads, and the file in memory
    seconds = []
    for _ in range(asked["runs"]):
        begin = time.perf_counter()
        screen(asked["file"])
        seconds.append(time.perf_counter() - begin)
    answer = {"seconds": seconds, "symbols": sorted(symbols), "versions": {package: version(package)}}
    print(json.dumps(answer))  # noqa: T201


if __name__ == "__main__":
    _main()
