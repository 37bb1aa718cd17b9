"""A screen of all symbols through gRPC, beside polars and DuckDB that read a file in their own process."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from benchmarks.delivery.candle_files import arrow_file, parquet_file
from benchmarks.delivery.client import SCREEN, Client
from benchmarks.delivery.findings import OURS, Findings
from benchmarks.delivery.jobs import SCREENED, screen_request
from benchmarks.delivery.running_server import WORKERS, RunningServer
from benchmarks.delivery.sizes import DeliverySizes
from benchmarks.delivery.stores import candle_store, symbol_names
from benchmarks.market_arrays import market_arrays, open_field
from benchmarks.peer_environments import ask_peer
from benchmarks.peers.screens import FAST, SLOW, WAYS
from benchmarks.promises import at_least
from benchmarks.sizes import Shape

__all__ = ["measure_screening"]

UNIT = "symbols/s"
_FORMULA = ("polars, window functions", "polars, in groups")
"""What computes the formula as it is written."""
_REWRITTEN = "polars, last candles only"
_LONGEST_SECONDS = 180.0


def measure_screening(findings: Findings, sizes: DeliverySizes, *, runs: int) -> None:
    """The last value of every symbol; whoever finds other symbols than the files say is not timed."""
    shape = sizes.many
    work = f"{SCREENED}, {shape}"
    expected = _passing(shape)
    with RunningServer(candle_store(shape)) as server, Client() as client:
        request = screen_request().SerializeToString()

        def ours() -> Mapping[str, float]:
            return {UNIT: shape.symbols / client.stream(server.address, SCREEN, request).seconds}

        with findings.attempt(f"{work}: {OURS}"):
            _compare(client.screened(server.address, request), expected)
            findings.measure(work, {OURS: ours}, runs=runs)
    for way in WAYS:
        with findings.attempt(f"{work}: {way}"):
            _measure_peer(findings, work, way, shape, expected, runs)
    _promise(findings, work)
    findings.show("Screens: ours through gRPC, the others in process")


def _measure_peer(findings: Findings, work: str, way: str, shape: Shape, expected: Sequence[str], runs: int) -> None:
    print(f"  {work}: {way} …", flush=True)  # noqa: T201
    is_polars = way.startswith("polars")
    answer = ask_peer(
        "screens",
        {"way": way, "file": str(arrow_file(shape) if is_polars else parquet_file(shape)), "runs": runs},
        environment="" if is_polars else "duckdb",
        threads=WORKERS,
        timeout_seconds=_LONGEST_SECONDS,
    )
    _compare(answer["symbols"], expected)
    findings.add(work, way, shape.symbols / statistics.median(answer["seconds"]), UNIT, answer["versions"])


def _passing(shape: Shape) -> list[str]:
    close = open_field(market_arrays(shape), "close")
    is_above = close[:, -FAST:].mean(axis=1) > close[:, -SLOW:].mean(axis=1)
    return [name for name, passes in zip(symbol_names(shape), is_above, strict=True) if passes]


def _compare(found: Sequence[str], expected: Sequence[str]) -> None:
    if list(found) != list(expected):
        differing = sorted(set(found) ^ set(expected))
        raise ValueError(f"finds other symbols: {len(differing)} differ, such as {differing[:3]}")


def _promise(findings: Findings, work: str) -> None:
    """Held against the formula as it is written; told of the one that is rewritten by hand for the last candle."""
    ours = findings.value(work, OURS, UNIT)
    measured = [value for way in _FORMULA if (value := findings.value(work, way, UNIT)) is not None]
    fastest, rewritten = max(measured, default=None), findings.value(work, _REWRITTEN, UNIT)
    findings.promises += [
        at_least("screen: faster than polars", 1.0, ours=ours, peer=fastest, unit=UNIT),
        at_least(f"screen: faster than {_REWRITTEN}", 1.0, ours=ours, peer=rewritten, unit=UNIT, binding=False),
    ]
