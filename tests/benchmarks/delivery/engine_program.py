"""The engine's own process: streams a trivial formula's last value of all symbols, without a server in between.

The request has `store`, `job` (as hexadecimal digits), `workers` and `runs`; the answer has the `seconds` of every run
and how many `messages` there were.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from candelabra.v1 import ProcessingJob
from candelabra_server.candles.factory import create_candle_repository
from candelabra_server.formulas.service import FormulaService
from candelabra_server.processing.processing_engine import ProcessingEngine


async def _measure(*, store: str, job: str, workers: int, runs: int) -> dict[str, object]:
    repository = create_candle_repository({"type": "arrow", "path": store})
    asked = ProcessingJob.FromString(bytes.fromhex(job))
    seconds = []
    async with ProcessingEngine(repository, FormulaService(), workers) as engine:
        await engine.warm_up()
        messages = await _count(engine, asked)
        for _ in range(runs):
            begin = time.perf_counter()
            await _count(engine, asked)
            seconds.append(time.perf_counter() - begin)
    return {"seconds": seconds, "messages": messages}


async def _count(engine: ProcessingEngine, job: ProcessingJob) -> int:
    count = 0
    async for _ in engine.stream(job):
        count += 1
    return count


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_measure(**json.loads(sys.argv[1])))))  # noqa: T201
