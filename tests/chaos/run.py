"""One run from the start of the server to its end."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import psutil

from candelabra_client import AsyncClient, CallError
from chaos.candles import LARGE, SMALL
from chaos.harm import ENDLESS
from chaos.injector import Injector
from chaos.jobs import read_raw
from chaos.lab import Lab, Settings
from chaos.lanes import carry_out, run_lane
from chaos.loads import read_loads
from chaos.model import ExpectedJob
from chaos.orders import OrderBook
from chaos.processes import ServerProcess
from chaos.report import Outcome, Resources
from chaos.requests import FORMULAS, Request
from chaos.verdict import cancellation_seconds, judge, recoveries
from support.proxy import Cut, proxying, random_cuts

__all__ = ["run"]

_CUT_BYTES = 2_000_000
_CUT_SHARE = 0.6
_STOP_SECONDS = 30.0
_REMAINS_SECONDS = 10.0
_IDLE_SECONDS = 15.0
_MOST_NEW_DESCRIPTORS = 24
_UNEXPECTED = re.compile(
    r"never retrieved|Exception in callback|exception calling callback|call failed unexpectedly|Exception ignored"
)
"""In the server's log: what no fault of a worker explains."""


async def run(settings: Settings, folder: Path) -> Outcome:
    """Injects faults until there were enough of them, then looks at what is left."""
    began = time.monotonic()
    random = Random(settings.seed)
    orders = OrderBook(folder)
    orders.create()
    server = await asyncio.to_thread(ServerProcess, folder, settings.workers)
    try:
        before = _resources(server)
        with proxying(server.address, _some_cuts(Random(random.random()))) as proxy:
            lab = Lab(settings, folder, server, orders, proxy.address)
            async with lab.watching():
                await _rage(lab, random)
                proxy.stop_cutting()
                await _last_job(lab)
        await _until_idle(lab)
        after = _resources(server)
        await asyncio.to_thread(_end, lab)
    finally:
        await asyncio.to_thread(server.end)
    return _outcome(lab, len(proxy.cuts), before, after, seconds=time.monotonic() - began)


def _some_cuts(random: Random) -> Callable[[], Cut | None]:
    cuts = random_cuts(random, most_bytes=_CUT_BYTES)
    return lambda: cuts() if random.random() < _CUT_SHARE else None


async def _rage(lab: Lab, random: Random) -> None:
    """Clients and faults, until there were enough faults and the clients have what they wanted."""
    lanes = [asyncio.create_task(run_lane(lab, Random(random.random()))) for _ in range(lab.settings.lanes)]
    lab.open.set()
    try:
        await Injector(lab, Random(random.random())).run()
    finally:
        lab.is_over = True
        lab.open.set()
    await asyncio.gather(*lanes)


async def _last_job(lab: Lab) -> None:
    """Nothing bad happens any more, so nothing may fail."""
    job = ExpectedJob(lab.ledger, Request(lab.next_number(), (*SMALL, LARGE[0]), FORMULAS[0]), "last job")
    await carry_out(lab, job, read_raw(lab, job, Random(0)))


async def _until_idle(lab: Lab) -> None:
    """Jobs that nobody wants any more have ended, too."""
    active = -1
    deadline = time.monotonic() + _IDLE_SECONDS
    async with AsyncClient(lab.server.address) as client:
        while active and time.monotonic() < deadline:
            try:
                active = (await client.server_info()).active_jobs
            except CallError as error:
                lab.problem(f"does not answer: {error}")
                return
            await asyncio.sleep(0.05)
    if active:
        lab.problem(f"{active} jobs are active although no client has any")


def _end(lab: Lab) -> None:
    """The server stops when it is asked to, and leaves nothing behind."""
    code = lab.server.stop(_STOP_SECONDS)
    if code != 0:
        lab.problem(f"has not stopped {_STOP_SECONDS:g} s after SIGTERM" if code is None else f"ended with {code}")
    for what in lab.server.remains(_REMAINS_SECONDS):
        lab.problem(f"left {what}")
    for line in lab.server.log.splitlines():
        if _UNEXPECTED.search(line):
            lab.problem(f"logged: {line}")


def _outcome(lab: Lab, cuts: int, before: Resources, after: Resources, *, seconds: float) -> Outcome:
    ledger = lab.ledger
    records = lab.orders.records()
    loads = read_loads(lab.folder / "loads")
    if after.descriptors > before.descriptors + _MOST_NEW_DESCRIPTORS:
        lab.problem(f"has {after.descriptors} descriptors, and had {before.descriptors}")
    return Outcome(
        seed=lab.settings.seed,
        seconds=seconds,
        records=records,
        clients=ledger.outcomes,
        delivered=sum(not arrival.is_error for arrival in ledger.arrivals),
        claims=Counter(claim.reason for claim in ledger.claims),
        unavailable=ledger.unavailable,
        cuts=cuts,
        recoveries=recoveries(records, loads, ledger.arrivals, quiets=lab.quiets),
        stops=recoveries(records, loads, ledger.arrivals, kinds=ENDLESS, quiets=lab.quiets),
        cancellations=cancellation_seconds(ledger.endings, loads),
        before=before,
        after=after,
        problems=[*ledger.problems, *judge(ledger.claims, records)],
    )


def _resources(server: ServerProcess) -> Resources:
    try:
        process = psutil.Process(server.pid)
        return Resources(process.memory_info().rss / 1e6, process.num_fds(), process.num_threads())
    except psutil.NoSuchProcess:
        return Resources(0.0, 0, 0)
