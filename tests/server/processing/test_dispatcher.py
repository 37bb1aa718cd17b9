"""The dispatcher on a pool that only pretends: what no real pool can be made to do at a chosen moment."""

import asyncio
from concurrent.futures import Future
from contextlib import aclosing

from candelabra.worker.v1 import ChunkTask
from candelabra_server.processing import dispatcher
from candelabra_server.processing.dispatcher import Dispatcher, Submitted
from candelabra_server.processing.job_plan import JobPlan
from candelabra_server.processing.result_transport import ChunkReply, PacketWriter


class PretendedPool:
    """Silently dead, and for ever at being broken up, until it has recovered; then it answers at once."""

    def __init__(self):
        self.is_dead = False
        self.is_breaking_up = asyncio.Event()

    def submit(self, task):
        future = Future()
        symbols = ChunkTask.FromString(task).symbols
        packet = PacketWriter()
        for symbol in symbols:
            packet.add_message(symbol.encode())
        future.set_result(packet.finish(0.0, ()))
        return Submitted(future, None)

    def has_silently_died(self):
        return self.is_dead

    async def break_up(self):
        self.is_breaking_up.set()
        await asyncio.Event().wait()

    async def recover(self):
        self.is_dead = False


class Bodies:
    """Passes on what workers wrote."""

    def collect(self, done, seconds):
        return (bytes(message) for item in done for message in item.messages)


def plan(*symbols):
    return JobPlan(job_id="job", symbols=symbols, weight=1.0, snapshot=None, shared_bytes=b"")


def test_a_job_that_ends_while_its_pool_is_broken_up_leaves_a_pool_for_the_next_job(monkeypatch):
    monkeypatch.setattr(dispatcher, "_WATCH_SECONDS", 0.001)

    async def body():
        pool = PretendedPool()
        jobs = Dispatcher(pool, workers=1)
        async with aclosing(jobs.deliver(plan("A", "B"), Bodies())) as deliveries:
            await anext(deliveries)
            pool.is_dead = True
            await pool.is_breaking_up.wait()
        async with aclosing(jobs.deliver(plan("C"), Bodies())) as deliveries:
            return [message async for messages in deliveries for message in messages]

    assert asyncio.run(asyncio.wait_for(body(), 30)) == [b"C"]


class UnreadablePool(PretendedPool):
    """Its worker's answer is no packet."""

    def submit(self, task):
        future = Future()
        future.set_result(ChunkReply(0.0, 0, 3, b"???"))
        return Submitted(future, None)


def test_an_answer_that_cannot_be_read_is_the_failure_of_its_symbols_and_ends_the_job(caplog):
    class Failures:
        def collect(self, done, seconds):
            return (f"{item.symbol} {item.failure.reason}".encode() for item in done)

    async def body():
        async with aclosing(Dispatcher(UnreadablePool(), workers=1).deliver(plan("A", "B"), Failures())) as deliveries:
            return [message async for messages in deliveries for message in messages]

    assert asyncio.run(asyncio.wait_for(body(), 30)) == [b"A INTERNAL", b"B INTERNAL"]
    assert "failed outside of its worker" in caplog.text
