"""One subject's whole life in a fresh interpreter: prints the seconds of every stage as JSON.

The first cycle of a process starts the helper process (forkserver) too: that is "cold". The second
cycle finds it running: "warm". Then the only worker of a warm pool is killed within its work, some times, and it is
looked at how long that is before the next result: ours recovers by itself, of the others a new one is made.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from contextlib import aclosing, suppress
from pathlib import Path
from unittest.mock import MagicMock

WORKERS = 2


DEATHS = 5


def _candelabra() -> Callable[[], dict[str, float]]:
    from candelabra_server.processing.processing_engine import ProcessingEngine

    def cycle() -> dict[str, float]:
        begin = time.perf_counter()
        engine = ProcessingEngine(MagicMock(), MagicMock(), max_workers=WORKERS)
        constructed = time.perf_counter()
        engine.__enter__()
        entered = time.perf_counter()
        engine._ensure_executor().submit(os.getpid).result()
        answered = time.perf_counter()
        engine.shutdown()
        return _stages(begin, constructed, entered, answered)

    return cycle


def _bare_pool() -> Callable[[], dict[str, float]]:
    return lambda: _executor_cycle(
        lambda: ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("forkserver"))
    )


def _loky() -> Callable[[], dict[str, float]]:
    from loky import ProcessPoolExecutor as LokyExecutor

    return lambda: _executor_cycle(lambda: LokyExecutor(WORKERS))


def _executor_cycle(create: Callable[[], Executor]) -> dict[str, float]:
    begin = time.perf_counter()
    executor = create()
    constructed = time.perf_counter()
    executor.__enter__()
    entered = time.perf_counter()
    executor.submit(os.getpid).result()
    answered = time.perf_counter()
    executor.shutdown(wait=True)
    return _stages(begin, constructed, entered, answered)


def _stages(begin: float, constructed: float, entered: float, answered: float) -> dict[str, float]:
    return {
        "construction": constructed - begin,
        "__enter__": entered - constructed,
        "first result": answered - entered,
        "shutdown": time.perf_counter() - answered,
    }


def _candelabra_recovery() -> float:
    from candelabra.v1 import ProcessingResult
    from candelabra_server.formulas.service import FormulaService
    from candelabra_server.processing.processing_engine import ProcessingEngine
    from support.faulty_repository import FaultyRepository
    from support.jobs import job

    async def next_result(engine: ProcessingEngine, symbols: list[str]) -> float:
        async with aclosing(engine.stream(job(symbols, "close"))) as messages:
            async for message in messages:
                assert not ProcessingResult.FromString(message).HasField("error")
                return time.monotonic()
        raise AssertionError

    async def measure(folder: str) -> list[float]:
        bad = [f"B{number}" for number in range(DEATHS)]
        repository = FaultyRepository(["A", *bad], {symbol: ["SIGKILL"] for symbol in bad}, folder)
        found = []
        async with ProcessingEngine(repository, FormulaService(), max_workers=1) as engine:
            for symbol in bad:
                await engine.process_batch(job("A", "close"))
                done = await next_result(engine, [symbol, "A"])
                found.append(done - _killed_at(Path(folder, symbol)))
        return found

    with tempfile.TemporaryDirectory() as folder:
        return statistics.median(asyncio.run(measure(folder)))


def _executor_recovery(create: Callable[[], Executor]) -> float:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(DEATHS):
            killed = Path(folder, str(number))
            with create() as executor:
                executor.submit(os.getpid).result()
                with suppress(BrokenExecutor):
                    executor.submit(_be_killed, killed).result()
                with create() as other:
                    other.submit(os.getpid).result()
                    found.append(time.monotonic() - _killed_at(killed))
    return statistics.median(found)


def _be_killed(path: Path) -> None:
    path.touch()
    os.kill(os.getpid(), signal.SIGKILL)


def _killed_at(path: Path) -> float:
    """By the monotonic clock: the file was written last just before."""
    return time.monotonic() - (time.time() - path.stat().st_mtime)


def _recovery(subject: str) -> float:
    from loky import ProcessPoolExecutor as LokyExecutor

    context = multiprocessing.get_context("forkserver")
    return {
        "candelabra": _candelabra_recovery,
        "ProcessPoolExecutor": lambda: _executor_recovery(lambda: ProcessPoolExecutor(1, mp_context=context)),
        "loky": lambda: _executor_recovery(lambda: LokyExecutor(1)),
    }[subject]()


SUBJECTS = {"candelabra": _candelabra, "ProcessPoolExecutor": _bare_pool, "loky": _loky}

if __name__ == "__main__":
    run_cycle = SUBJECTS[sys.argv[1]]()
    cold, warm = run_cycle(), run_cycle()
    warm["worker killed to next result"] = _recovery(sys.argv[1])
    print(json.dumps({"cold": cold, "warm": warm}))  # noqa: T201
