"""Asks a server for ten times what it takes: `python -m soak.overload --seconds 60`.

A server that takes eight jobs at once has eighty clients that send one job after the other, and are back 200 ms after
each refusal, whatever it says. They are in a process of their own; this one has a job refused and asks for health now
and then, so what it measures is the server's time and not the clients'. What is accepted must be finished whole, what
is refused refused at once, health answered, and what the server holds of the system flat.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from candelabra.v1.processing_pb2_grpc import ProcessingServiceStub
from support.jobs import job
from support.server_process import TESTS, server_process
from support.waiting_server import MANY, say

JOBS = 8
CLIENTS = 10 * JOBS
_CHANNELS = 8
_PAUSE_SECONDS = 0.2
_PROBE_SECONDS = 0.05
_CALL_SECONDS = 60.0
_FORMULA = "up = sma(close, 20) > sma(close, 50); r = rsi(close, 14)"


@dataclass
class Finding:
    """What a run showed.

    Attributes:
        finished: accepted jobs that gave every symbol once, and no error.
        refused: jobs of the clients that were not accepted.
        unfinished: why others did not.
        refused_seconds: how long each refusal of this process's own jobs took.
        health_seconds: how long each answer of health took.
        held: what the server and its workers had, after the first tenth and at the end.
    """

    finished: int = 0
    refused: int = 0
    unfinished: Counter[str] = field(default_factory=Counter)
    refused_seconds: list[float] = field(default_factory=list)
    health_seconds: list[float] = field(default_factory=list)
    held: list[dict[str, int]] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        """Whether nothing that was accepted was lost, and there was something to refuse."""
        return not self.unfinished and bool(self.finished and self.refused and self.health_seconds)


def overload(seconds: float, marker: Path) -> Finding:
    """Overloads a server of its own for so long."""
    with server_process(marker, load_limits={"max_jobs": JOBS}) as (process, channel):
        address = channel._channel.target().decode()
        return asyncio.run(_measured(address, psutil.Process(process.pid), seconds))


async def _measured(address: str, server: psutil.Process, seconds: float) -> Finding:
    clients = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "soak.overload", "--clients-of", address, "--seconds", str(seconds),
        env=os.environ | {"PYTHONPATH": str(TESTS)}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    finding = Finding()
    until = time.monotonic() + seconds
    async with grpc.aio.insecure_channel(address) as channel:
        await asyncio.gather(
            _be_refused(channel, until, finding), _ask_health(channel, until, finding), _weigh(server, seconds, finding)
        )
    output, _ = await asyncio.wait_for(clients.communicate(), _CALL_SECONDS)
    counted = json.loads(output)
    finding.finished, finding.refused = counted.pop("finished", 0), counted.pop("refused", 0)
    finding.unfinished.update(counted)
    return finding


async def _load(address: str, seconds: float) -> Counter[str]:
    """What became of the clients' jobs."""
    until = time.monotonic() + seconds
    found: Counter[str] = Counter()
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(_CHANNELS)]
    try:
        await asyncio.gather(*(_client(channels[number % _CHANNELS], until, found) for number in range(CLIENTS)))
    finally:
        for channel in channels:
            await channel.close()
    return found


async def _client(channel: grpc.aio.Channel, until: float, found: Counter[str]) -> None:
    stub = ProcessingServiceStub(channel)
    while time.monotonic() < until:
        outcome = await _outcome(stub)
        found[outcome] += 1
        if outcome == "refused":
            await asyncio.sleep(_PAUSE_SECONDS)


async def _outcome(stub: Any) -> str:
    """How one job ended."""
    try:
        results = [result async for result in stub.Process(job("S*", _FORMULA), timeout=_CALL_SECONDS)]
    except grpc.aio.AioRpcError as error:
        return "refused" if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED else error.code().name
    whole = len({result.symbol for result in results if not result.HasField("error")})
    return "finished" if whole == len(results) == MANY else f"{len(results)} results, {whole} of them whole"


async def _be_refused(channel: grpc.aio.Channel, until: float, finding: Finding) -> None:
    stub = ProcessingServiceStub(channel)
    while time.monotonic() < until:
        begun = time.perf_counter()
        outcome = await _outcome(stub)
        if outcome == "refused":
            finding.refused_seconds.append(time.perf_counter() - begun)
        elif outcome != "finished":
            finding.unfinished[outcome] += 1
        await asyncio.sleep(_PROBE_SECONDS)


async def _ask_health(channel: grpc.aio.Channel, until: float, finding: Finding) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    while time.monotonic() < until:
        begun = time.perf_counter()
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_CALL_SECONDS)
        finding.health_seconds.append(time.perf_counter() - begun)
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            finding.unfinished["health said something else"] += 1
        await asyncio.sleep(_PROBE_SECONDS)


async def _weigh(server: psutil.Process, seconds: float, finding: Finding) -> None:
    for pause in (seconds / 10, seconds * 9 / 10):
        await asyncio.sleep(pause)
        processes = [server, *server.children(recursive=True)]
        finding.held.append(
            {
                "MiB": sum(process.memory_info().rss for process in processes) // 2**20,
                "processes": len(processes),
                "threads": sum(process.num_threads() for process in processes),
                "descriptors": sum(process.num_fds() for process in processes),
            }
        )


def main() -> int:
    """Overloads a server and prints how it took it; 1 when something that was accepted was lost."""
    parser = argparse.ArgumentParser(prog="python -m soak.overload")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients-of", metavar="ADDRESS", help="only be the clients of a server that is there")
    arguments = parser.parse_args()
    if arguments.clients_of:
        say(json.dumps(asyncio.run(_load(arguments.clients_of, arguments.seconds))))
        return 0
    finding = overload(arguments.seconds, Path("unused"))
    say(f"accepted and finished  {finding.finished:,} jobs of {MANY} symbols; others: {dict(finding.unfinished)}")
    say(f"refused                {finding.refused:,} jobs; ours within {_quantiles(finding.refused_seconds)}")
    say(f"health                 {len(finding.health_seconds):,} answers within {_quantiles(finding.health_seconds)}")
    for when, held in zip(("after the first tenth", "at the end"), finding.held, strict=True):
        say(f"{when:<22} {', '.join(f'{count:,} {name}' for name, count in held.items())}")
    return int(not finding.is_well)


def _quantiles(seconds: list[float]) -> str:
    if len(seconds) < 2:
        return "too few for quantiles"
    steps = statistics.quantiles(seconds, n=100)
    return f"{1_000 * steps[49]:.1f} ms (p50), {1_000 * steps[98]:.1f} ms (p99)"


if __name__ == "__main__":
    sys.exit(main())
