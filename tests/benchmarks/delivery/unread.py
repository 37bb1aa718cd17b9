"""Memory of the server while a client does not read what it has asked for, beside a bare grpc.aio stream."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from functools import partial

import psutil

from benchmarks.delivery.bare_server import STREAM
from benchmarks.delivery.client import PROCESS, Client
from benchmarks.delivery.findings import OURS, Findings
from benchmarks.delivery.helper_process import HelperProcess
from benchmarks.delivery.jobs import alpha158_job
from benchmarks.delivery.running_server import RunningServer
from benchmarks.delivery.sizes import DeliverySizes
from benchmarks.delivery.stores import candle_store, symbol_names
from benchmarks.promises import within

__all__ = ["measure_unread"]

BARE = "bare grpc.aio stream"
UNIT = "MB more"
_LIMIT_MEGABYTES = 128.0
_SAMPLE_SECONDS = 0.05
_START_SECONDS = 60.0
_WARM_SYMBOLS = 8


def measure_unread(findings: Findings, sizes: DeliverySizes, *, runs: int) -> None:
    """How much more the server's process has than before, at most, while nothing is read of gigabytes."""
    shape = sizes.long
    work = f"server with a client that reads nothing of {shape}, Alpha158"
    request = alpha158_job().SerializeToString()
    with (
        RunningServer(candle_store(shape)) as server,
        HelperProcess("benchmarks.delivery.bare_server") as bare,
        Client() as client,
    ):
        bare_address = bare.answer(seconds=_START_SECONDS)["address"]
        few = alpha158_job(symbols=symbol_names(shape)[:_WARM_SYMBOLS]).SerializeToString()
        warm = client.stream(server.address, PROCESS, few, with_sizes=True)
        sizes_of_all = [*warm.sizes] * (shape.symbols // _WARM_SYMBOLS)
        bare_request = json.dumps({"sizes": sizes_of_all}).encode()
        watch = partial(_growth, client, seconds=sizes.stalled_seconds)
        subjects = {
            OURS: partial(watch, server.process, server.address, PROCESS, request),
            BARE: partial(watch, bare.process, bare_address, STREAM, bare_request),
        }
        findings.measure(work, subjects, runs=runs)
    findings.promises.append(
        within(f"{work}: bounded memory", _LIMIT_MEGABYTES, found=findings.value(work, OURS, UNIT), unit=UNIT)
    )
    findings.show("Memory of a server whose client does not read")


def _growth(
    client: Client, process: psutil.Process, address: str, method: str, request: bytes, *, seconds: float
) -> Mapping[str, float]:
    before = peak = process.memory_info().rss
    client.open_unread(address, method, request)
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            peak = max(peak, process.memory_info().rss)
            time.sleep(_SAMPLE_SECONDS)
    finally:
        client.close_unread()
    return {UNIT: (peak - before) / 1e6}
