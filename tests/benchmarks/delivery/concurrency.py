"""More and more clients at once: symbols a second of all of them together, beside a bare stream of equal messages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial

from benchmarks.delivery.bare_server import STREAM
from benchmarks.delivery.client import PROCESS, Client
from benchmarks.delivery.findings import OURS, Findings
from benchmarks.delivery.helper_process import HelperProcess
from benchmarks.delivery.jobs import CLOSE, formula_job
from benchmarks.delivery.running_server import RunningServer
from benchmarks.delivery.sizes import DeliverySizes
from benchmarks.delivery.stores import candle_store, symbol_names
from benchmarks.promises import at_least

__all__ = ["measure_concurrency"]

BARE = "bare grpc.aio stream"
_START_SECONDS = 60.0
_KEPT = 0.8


def measure_concurrency(findings: Findings, sizes: DeliverySizes, *, runs: int) -> None:
    """Each client sends one job after the other on a connection of its own; all clients are in one process."""
    shape = sizes.many
    names = symbol_names(shape)
    with (
        RunningServer(candle_store(shape)) as server,
        HelperProcess("benchmarks.delivery.bare_server") as bare,
        Client() as client,
    ):
        bare_address = bare.answer(seconds=_START_SECONDS)["address"]
        for title, unit, symbols in (
            ("jobs of 1 symbol", "jobs/s", 1),
            (f"jobs of {sizes.client_symbols:,} symbols", "symbols/s", sizes.client_symbols),
        ):
            request = formula_job(CLOSE, symbols=names[:symbols], last_n=1).SerializeToString()
            warm = client.stream(server.address, PROCESS, request, with_sizes=True)
            bare_request = json.dumps({"sizes": warm.sizes}).encode()
            for clients in sizes.clients:
                crowd = partial(_rate, client, unit=unit, clients=clients, seconds=sizes.window_seconds)
                findings.measure(
                    f"{title}, clients: {clients}",
                    {
                        OURS: partial(crowd, server.address, PROCESS, request),
                        BARE: partial(crowd, bare_address, STREAM, bare_request),
                    },
                    runs=runs,
                )
            fewest, most = (f"{title}, clients: {clients}" for clients in (sizes.clients[0], sizes.clients[-1]))
            findings.promises.append(
                at_least(
                    f"{most}: at least {_KEPT} of the total of {sizes.clients[0]}",
                    _KEPT,
                    ours=findings.value(most, OURS, unit),
                    peer=findings.value(fewest, OURS, unit),
                    unit=unit,
                    binding=False,
                )
            )
    findings.show("Concurrent clients, all together")


def _rate(
    client: Client, address: str, method: str, request: bytes, *, unit: str, clients: int, seconds: float
) -> Mapping[str, float]:
    client.begin_crowd(address, method, request, clients=clients, seconds=seconds)
    return {unit: client.end_crowd()}
