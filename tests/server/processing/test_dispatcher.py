"""The dispatcher on a pool that only pretends: what no real pool can be made to do at a chosen moment."""

import asyncio
from concurrent.futures import Future
from contextlib import aclosing

from candelabra.worker.v1 import ChunkTask
from candelabra_server.processing import dispatcher
from candelabra_server.processing.dispatcher import Dispatcher
from candelabra_server.processing.job_plan import JobPlan
from candelabra_server.processing.worker_functions import ChunkReply


class PretendedPool:
    """Silently dead, and for ever at being broken up, until it has recovered; then it answers at once."""

    def __init__(self):
        self.is_dead = False
        self.is_breaking_up = asyncio.Event()

    def submit(self, task):
        future = Future()
        symbols = ChunkTask.FromString(task).symbols
        future.set_result(ChunkReply(tuple([symbol.encode()] for symbol in symbols), 0.0, ()))
        return future

    def has_silently_died(self):
        return self.is_dead

    async def break_up(self):
        self.is_breaking_up.set()
        await asyncio.Event().wait()

    async def recover(self):
        self.is_dead = False


def plan(*symbols):
    return JobPlan(job_id="job", symbols=symbols, weight=1.0, snapshot=None, shared_bytes=b"")


def test_a_job_that_ends_while_its_pool_is_broken_up_leaves_a_pool_for_the_next_job(monkeypatch):
    monkeypatch.setattr(dispatcher, "_WATCH_SECONDS", 0.001)

    async def body():
        pool = PretendedPool()
        jobs = Dispatcher(pool, workers=1)
        async with aclosing(jobs.deliver(plan("A", "B"))) as deliveries:
            await anext(deliveries)
            pool.is_dead = True
            await pool.is_breaking_up.wait()
        async with aclosing(jobs.deliver(plan("C"))) as deliveries:
            return [bytes(delivery.messages[0]) async for delivery in deliveries]

    assert asyncio.run(asyncio.wait_for(body(), 30)) == [b"C"]
