"""One subject's whole life in a fresh interpreter: prints the seconds of every stage as JSON.

The first cycle of a process starts the helper process (forkserver) too: that is "cold". The second
cycle finds it running: "warm".
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from unittest.mock import MagicMock

WORKERS = 2


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


SUBJECTS = {"candelabra": _candelabra, "ProcessPoolExecutor": _bare_pool, "loky": _loky}

if __name__ == "__main__":
    run_cycle = SUBJECTS[sys.argv[1]]()
    print(json.dumps({"cold": run_cycle(), "warm": run_cycle()}))  # noqa: T201
