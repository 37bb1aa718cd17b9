"""Kills workers in one engine and looks at what it keeps of them: `python -m soak.worker_deaths --count 1000`.

One job after the other, each with a symbol that is the death of its worker: once, twice (the second time in
quarantine), or always, until it is given up. All other symbols of every job are done at the first attempt.
"""
# mypy: allow-untyped-calls

import argparse
import asyncio
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.synchronize import SemLock
from pathlib import Path
from threading import Barrier
from typing import Any

import psutil

from candelabra_server.formulas.service import FormulaService
from candelabra_server.processing.processing_engine import ProcessingEngine
from candelabra_server.processing.result_transport import TransportSettings
from support.faulty_repository import FaultyRepository
from support.jobs import job
from support.waiting_server import say

WORKERS = 2
MEASURED_EVERY = 100
DEATHS = {"ONCE": 1, "TWICE": 2, "ALWAYS": 3}
"""In a job that has the symbol."""
OTHERS = [f"S{number:02}" for number in range(20)]
_WARM_ROUNDS = 2
_WAIT_SECONDS = 60.0
_THREADS = 4
_SHARED_MEMORY = Path("/dev/shm")


@dataclass
class Finding:
    """What a run showed.

    Attributes:
        deaths: of workers, those of the rounds before the first measurement excluded.
        generations: how many pools of workers there were.
        before: what the engine held after these rounds.
        after: what it held at the end.
        resident: deaths so far, and the bytes that this process had then.
    """

    deaths: int = 0
    generations: int = 0
    before: dict[str, object] = field(default_factory=dict)
    after: dict[str, object] = field(default_factory=dict)
    resident: list[tuple[int, int]] = field(default_factory=list)

    @property
    def bytes_per_death(self) -> float:
        """By how much this process grew for each death, over the second half, when buffers have their size."""
        (first, size_before), (last, size) = self.resident[len(self.resident) // 2 - 1], self.resident[-1]
        return (size - size_before) / (last - first)


def soak(folder: Path, count: int) -> Finding:
    """Lets workers die, at least so many, and waits until the engine holds what it held before.

    Args:
        folder: empty; for all that goes into files.
        count: deaths.
    """
    (folder / "loads").mkdir()
    (folder / "results").mkdir()
    rounds = _WARM_ROUNDS + 1 + count // sum(DEATHS.values())
    fates = {symbol: [*["SIGKILL"] * deaths, *["load"] * (deaths < 3)] for symbol, deaths in DEATHS.items()}
    faults = {symbol: in_turn * rounds for symbol, in_turn in fates.items()}
    repository = FaultyRepository([*DEATHS, *OTHERS], faults, folder / "loads")
    transport = TransportSettings(folder / "results")
    with (
        _names_of_semaphores() as semaphores,
        ProcessingEngine(repository, FormulaService(), max_workers=WORKERS, transport=transport) as engine,
    ):
        return asyncio.run(_kill(engine, _Held(folder / "results", semaphores), count))


async def _kill(engine: ProcessingEngine, held: "_Held", count: int) -> Finding:
    finding = Finding()
    asyncio.get_running_loop().set_default_executor(_started_threads())
    for _ in range(_WARM_ROUNDS):
        await _round(engine)
    finding.before = await _settled(engine, held, {})
    finding.resident.append((0, psutil.Process().memory_info().rss))
    while finding.deaths < count:
        finding.deaths += await _round(engine)
        if finding.deaths - finding.resident[-1][0] >= MEASURED_EVERY or finding.deaths >= count:
            finding.resident.append((finding.deaths, psutil.Process().memory_info().rss))
    finding.after = await _settled(engine, held, finding.before)
    finding.generations = engine._pool.generation
    return finding


async def _round(engine: ProcessingEngine) -> int:
    """A job of every kind, each done to its end; returns how many workers died."""
    for symbol, deaths in DEATHS.items():
        async with asyncio.timeout(_WAIT_SECONDS):
            found = await engine.process_batch(job([*OTHERS[:10], symbol, *OTHERS[10:]], "close"))
        outcomes = {result.symbol: (result.error.reason, result.attempts) for result in found}
        wanted = ("WORKER_DIED", 3) if deaths == 3 else ("", deaths + 1)
        assert outcomes == dict.fromkeys(OTHERS, ("", 1)) | {symbol: wanted}, outcomes
    return sum(DEATHS.values())


async def _settled(engine: ProcessingEngine, held: "_Held", wanted: dict[str, object]) -> dict[str, object]:
    """What is held when all workers are there and the quarantine is over; `wanted` as soon as it is."""
    await engine.warm_up()
    with suppress(TimeoutError):  # whoever asked will see
        async with asyncio.timeout(_WAIT_SECONDS):
            while engine._quarantine.is_open or (wanted and held.resources() != wanted):
                await asyncio.sleep(0.01)
    return held.resources()


@dataclass(frozen=True)
class _Held:
    """What this process and the one that starts workers hold of the system; of workers, how many there are."""

    results: Path
    semaphores: list[str]
    """The names of all that were ever made."""

    def resources(self) -> dict[str, object]:
        me = psutil.Process()
        server_and_helper = [me, psutil.Process(_helper())]
        return {
            "processes": len(me.children(recursive=True)),
            "threads": sum(process.num_threads() for process in server_and_helper),
            "descriptors": sum(process.num_fds() for process in server_and_helper),
            "mapped semaphores and shared memory": sum(_mapped(process.pid) for process in server_and_helper),
            "files of semaphores": sum((_SHARED_MEMORY / f"sem.{name}").exists() for name in self.semaphores),
            "other files in shared memory": sorted(filter(_is_ours, (path.name for path in _SHARED_MEMORY.iterdir()))),
            "files of results": len(list(self.results.iterdir())),
        }


@contextmanager
def _names_of_semaphores() -> Iterator[list[str]]:
    """Grows by the name of each that is made: many processes have semaphores in the same folder."""
    names: list[str] = []
    kind: Any = SemLock
    make_name = kind._make_name

    def made() -> str:
        names.append(make_name().lstrip("/"))
        return f"/{names[-1]}"

    kind._make_name = staticmethod(made)
    try:
        yield names
    finally:
        kind._make_name = staticmethod(make_name)


def _helper() -> int:
    starts_workers: Any = forkserver
    return int(starts_workers._forkserver._forkserver_pid)


def _mapped(pid: int) -> int:
    return Path(f"/proc/{pid}/maps").read_text().count("/dev/shm/")


def _is_ours(name: str) -> bool:
    """Files of results say whose they are."""
    return f"-{os.getpid()}-" in name


def _started_threads() -> ThreadPoolExecutor:
    """Threads that are all there from the start, since each would be one more than before."""
    threads, barrier = ThreadPoolExecutor(_THREADS), Barrier(_THREADS)
    for waiting in [threads.submit(barrier.wait, _WAIT_SECONDS) for _ in range(_THREADS)]:
        waiting.result()
    return threads


def main() -> int:
    """Soaks an engine and prints what it kept; 1 when it kept anything but memory."""
    parser = argparse.ArgumentParser(prog="python -m soak.worker_deaths")
    parser.add_argument("--count", type=int, default=1_000, help="workers that die")
    count = parser.parse_args().count
    logging.getLogger("candelabra_server").setLevel(logging.CRITICAL)  # which tells of every death
    with tempfile.TemporaryDirectory() as folder:
        finding = soak(Path(folder), count)
    say(f"{finding.deaths:,} deaths, {finding.generations:,} pools of workers")
    for deaths, size in finding.resident:
        say(f"  after {deaths:6,}: {size / 2**20:7.1f} MiB")
    say(f"  {finding.bytes_per_death:,.0f} bytes kept for each (over the second half)")
    is_well = finding.after == finding.before
    say("  all else as before" if is_well else f"  {finding.before} → {finding.after}")
    return int(not is_well)


if __name__ == "__main__":
    sys.exit(main())
