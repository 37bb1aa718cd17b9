"""Asks a server for ten times what it takes: `python -m soak.overload --seconds 60`.

A server that takes eight jobs at once has eighty clients that send one job after the other, and are back 50 ms after
each refusal, whatever it says. What is accepted must be finished whole, what is refused refused at once, health
answered, and memory flat.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from candelabra.v1.processing_pb2_grpc import ProcessingServiceStub
from support.jobs import job
from support.server_process import server_process
from support.waiting_server import MANY

JOBS = 8
CLIENTS = 10 * JOBS
_CHANNELS = 8
_PAUSE_SECONDS = 0.05
_HEALTH_SECONDS = 0.1
_CALL_SECONDS = 60.0
_FORMULA = "up = sma(close, 20) > sma(close, 50); r = rsi(close, 14)"


@dataclass
class Finding:
    """What a run showed.

    Attributes:
        finished: accepted jobs that gave every symbol once, and no error.
        unfinished: why others did not.
        refused_seconds: how long each refusal took, as its client saw it.
        health_seconds: how long each answer of health took.
        resident: bytes of the server and its workers: after the first tenth, and at the end.
    """

    finished: int = 0
    unfinished: Counter[str] = field(default_factory=Counter)
    refused_seconds: list[float] = field(default_factory=list)
    health_seconds: list[float] = field(default_factory=list)
    resident: list[int] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        """Whether nothing that was accepted was lost, and there was something to refuse."""
        return not self.unfinished and bool(self.finished and self.refused_seconds and self.health_seconds)


def overload(seconds: float, marker: Path) -> Finding:
    """Overloads a server of its own for so long."""
    finding = Finding()
    with server_process(marker, load_limits={"max_jobs": JOBS}) as (process, channel):
        address = channel._channel.target().decode()
        asyncio.run(_load(address, psutil.Process(process.pid), seconds, finding))
    return finding


async def _load(address: str, server: psutil.Process, seconds: float, finding: Finding) -> None:
    until = time.monotonic() + seconds
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(_CHANNELS)]
    try:
        clients = [_client(channels[number % _CHANNELS], until, finding) for number in range(CLIENTS)]
        await asyncio.gather(*clients, _ask_health(address, until, finding), _weigh(server, seconds, finding))
    finally:
        for channel in channels:
            await channel.close()


async def _client(channel: grpc.aio.Channel, until: float, finding: Finding) -> None:
    stub = ProcessingServiceStub(channel)
    while time.monotonic() < until:
        begun = time.perf_counter()
        try:
            call = stub.Process(job("S*", _FORMULA), timeout=_CALL_SECONDS)
            results = [result async for result in call]
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                finding.unfinished[error.code().name] += 1
                continue
            finding.refused_seconds.append(time.perf_counter() - begun)
            await asyncio.sleep(_PAUSE_SECONDS)
            continue
        whole = len({result.symbol for result in results if not result.HasField("error")})
        if whole == len(results) == MANY:
            finding.finished += 1
        else:
            finding.unfinished[f"{len(results)} results, {whole} of them whole"] += 1


async def _ask_health(address: str, until: float, finding: Finding) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while time.monotonic() < until:
            begun = time.perf_counter()
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_CALL_SECONDS)
            finding.health_seconds.append(time.perf_counter() - begun)
            if answer.status != health_pb2.HealthCheckResponse.SERVING:
                finding.unfinished["health said something else"] += 1
            await asyncio.sleep(_HEALTH_SECONDS)


async def _weigh(server: psutil.Process, seconds: float, finding: Finding) -> None:
    for pause in (seconds / 10, seconds * 9 / 10):
        await asyncio.sleep(pause)
        processes = [server, *server.children(recursive=True)]
        finding.resident.append(sum(process.memory_info().rss for process in processes))


def main() -> int:
    """Overloads a server and prints how it took it; 1 when something that was accepted was lost."""
    parser = argparse.ArgumentParser(prog="python -m soak.overload")
    parser.add_argument("--seconds", type=float, default=60.0)
    finding = overload(parser.parse_args().seconds, Path("unused"))
    _say(
        f"accepted and finished: {finding.finished:,} jobs of {MANY} symbols; not finished: {dict(finding.unfinished)}"
    )
    _say(f"refused:               {len(finding.refused_seconds):,}, {_quantiles(finding.refused_seconds)}")
    _say(f"health:                {len(finding.health_seconds):,} answers, {_quantiles(finding.health_seconds)}")
    first, last = (size / 2**20 for size in finding.resident)
    _say(f"memory:                {first:.1f} MiB after the first tenth, {last:.1f} MiB at the end")
    return int(not finding.is_well)


def _quantiles(seconds: list[float]) -> str:
    if len(seconds) < 2:
        return "too few for quantiles"
    steps = statistics.quantiles(seconds, n=100)
    return f"p50 {1_000 * steps[49]:.1f} ms, p99 {1_000 * steps[98]:.1f} ms"


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
