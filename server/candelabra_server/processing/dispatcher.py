"""Drives chunks through a worker pool: what the scheduler decides, this file carries out.

    deliver(plan) ──▶ Scheduler ──take──▶ pool.submit ──▶ worker
         ▲                                                  │ future done (pool's thread)
         └── job's inbox ◀── _chunk_done (event loop) ◀─────┘

One dispatcher belongs to one event loop and is called from it only. A job gets no more chunks while too much of what
is done waits for its consumer, so what is buffered is bounded (see scheduling.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import NamedTuple, Protocol

from candelabra_server.errors import CandelabraError, Reason, SymbolFailure, UnavailableError
from candelabra_server.processing.job_plan import JobPlan
from candelabra_server.processing.result_order import Done, ResultOrder
from candelabra_server.processing.result_transport import ChunkReply, PacketReader, Slot
from candelabra_server.processing.scheduling import MAX_ATTEMPTS, MAX_UNFETCHED_BYTES, Chunk, JobQueue, Scheduler
from candelabra_server.processing.worker_logging import replay

__all__ = ["Collector", "Dispatcher", "Submitted", "WorkerPool"]

logger = logging.getLogger(__name__)

_WATCH_SECONDS = 1.0
"""A dead worker that the pool has not reported for this long will never be reported."""
_SLOT_SECONDS = 0.02
"""How often it is tried to get a slot while chunks of another event loop have them all."""
_MESSAGE_COST = 64
"""Bytes of memory that a message takes beside its own."""


class Submitted(NamedTuple):
    """A chunk that the pool has."""

    future: Future[ChunkReply]
    slot: Slot | None
    """Where its results will be; None when all of them come with the reply."""


class WorkerPool(Protocol):
    """What the dispatcher needs of the engine's pool."""

    def submit(self, task: bytes) -> Submitted | None:
        """Gives one encoded ChunkTask to the pool; None while there is no slot for its results.

        Raises:
            BrokenProcessPool, UnavailableError: there is no pool to give it to.
        """

    def has_silently_died(self) -> bool:
        """Whether a worker is dead and the pool does not say so (yet)."""

    async def break_up(self) -> None:
        """Ends every process of the pool; whatever it had in flight fails."""

    async def recover(self) -> None:
        """Replaces a broken pool by one that has answered; raises UnavailableError when there is none."""


class Collector(Protocol):
    """Makes the messages for a job's consumer."""

    def collect(self, done: Iterable[Done], seconds: float) -> Iterator[bytes]:
        """Makes, when they are asked for, the messages to send for what took so much processor time.

        Results come in the order in which they are to be sent.
        """


class _Batch:
    """What a chunk gave that may be sent; it keeps the chunk's slot until its messages are made."""

    def __init__(self, done: Sequence[Done], seconds: float, slot: Slot | None) -> None:
        self.done = done
        self.seconds = seconds
        self.bytes = sum(sum(map(len, item.messages)) + _MESSAGE_COST * len(item.messages) for item in done)
        self._slot = slot

    def let_go(self) -> None:
        """Gives the slot back; nothing refers to it any more."""
        slot, self._slot = self._slot, None
        if slot is not None:
            slot.release()

    def move_out(self) -> bool:
        """Copies what is in a slot out of it; whether there was any."""
        if self._slot is None:
            return False
        for item in self.done:
            item.messages[:] = [bytes(message) for message in item.messages]
        self.let_go()
        return True


class _Active(NamedTuple):
    plan: JobPlan
    order: ResultOrder
    inbox: asyncio.Queue[_Batch | CandelabraError]
    waiting: deque[_Batch]
    """What is in the inbox, and what its consumer is at."""
    submitted: dict[Chunk, Submitted]


class Dispatcher:
    """Runs the plans of one event loop on a pool, fairly."""

    def __init__(self, pool: WorkerPool, *, workers: int, max_waiting_bytes: int = MAX_UNFETCHED_BYTES) -> None:
        self._pool = pool
        self._scheduler = Scheduler(workers=workers, max_unfetched_bytes=max_waiting_bytes)
        self._jobs: dict[JobQueue, _Active] = {}
        self._loop = asyncio.get_running_loop()
        self._is_broken = False
        self._recovery: asyncio.Task[None] | None = None
        self._watchdog: asyncio.Task[None] | None = None
        self._later: asyncio.TimerHandle | None = None

    @property
    def is_in_use(self) -> bool:
        """Whether it has jobs, and a loop that can run them."""
        return bool(self._jobs) and not self._loop.is_closed()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that it belongs to."""
        return self._loop

    async def deliver(self, plan: JobPlan, collector: Collector) -> AsyncGenerator[Iterator[bytes], None]:
        """Yields the messages that the collector makes of every symbol of the plan, as they are done.

        What was yielded is used up before the next is asked for. Closing the iterator, or cancelling the task that
        waits for it, drops what is queued and tells the workers to stop.

        Raises:
            UnavailableError: the pool is gone; symbols that were not yielded have no result.
        """
        job = self._scheduler.add(plan.symbols, weight=plan.weight)
        active = self._jobs[job] = _Active(plan, ResultOrder(), asyncio.Queue(), deque(), {})
        try:
            self._watch()
            self._pump()
            while active.order.completed < len(plan.symbols) or not active.inbox.empty():
                batch = await active.inbox.get()
                if isinstance(batch, CandelabraError):
                    raise batch
                yield collector.collect(batch.done, batch.seconds)
                active.waiting.popleft().let_go()
                self._scheduler.fetched(job, batch.bytes)
                self._pump()
        finally:
            del self._jobs[job]
            self._scheduler.remove(job)
            for batch in active.waiting:
                batch.let_go()
            for submitted in active.submitted.values():
                if submitted.slot is not None:
                    submitted.slot.tell_to_stop()
            self._pump()
            if not self._jobs and self._watchdog is not None:
                self._watchdog.cancel()
                self._watchdog = None

    def _pump(self) -> None:
        """Fills the window, unless the pool is being replaced."""
        while not self._is_broken and (chunk := self._scheduler.take()) is not None:
            active = self._jobs[chunk.job]
            task = active.plan.chunk_bytes(chunk.symbols, chunk.first_row)
            try:
                submitted = self._pool.submit(task)
                while submitted is None and self._make_room():
                    submitted = self._pool.submit(task)
            except BrokenProcessPool:
                self._scheduler.returned(chunk)
                self._begin_recovery()
            except Exception as error:  # noqa: BLE001 - the system may refuse a process, a descriptor or memory for a worker
                self._scheduler.returned(chunk)
                self._fail_all(_unavailable(error))
                return
            else:
                if submitted is None:
                    self._scheduler.returned(chunk)
                    self._pump_later()
                    return
                active.submitted[chunk] = submitted
                submitted.future.add_done_callback(partial(self._report, chunk, submitted.slot))

    def _pump_later(self) -> None:
        """For chunks of earlier event loops that still run, and have slots: nobody tells when they are done."""
        if self._later is not None:
            self._later.cancel()
        self._later = self._loop.call_later(_SLOT_SECONDS, self._pump)

    def _make_room(self) -> bool:
        """Frees the slot of what has waited longest for a client; whether there was one."""
        return any(batch.move_out() for active in self._jobs.values() for batch in active.waiting)

    def _report(self, chunk: Chunk, slot: Slot | None, future: Future[ChunkReply]) -> None:
        # Runs in a thread of the pool. A loop that was closed meanwhile has no job left to tell.
        try:
            self._loop.call_soon_threadsafe(self._chunk_done, chunk, slot, future)
        except RuntimeError:
            if slot is not None:
                slot.release()

    def _chunk_done(self, chunk: Chunk, slot: Slot | None, future: Future[ChunkReply]) -> None:
        active = self._jobs.get(chunk.job)
        if active is not None:
            active.submitted.pop(chunk, None)
        batch = _Batch((), 0.0, slot)
        try:
            batch = self._account(chunk, slot, future, active) or batch
        except BaseException:
            batch.let_go()
            raise
        if active is not None and batch.done:
            self._scheduler.handed_over(chunk.job, batch.bytes)
            active.waiting.append(batch)
            active.inbox.put_nowait(batch)
        else:
            batch.let_go()
        if self._is_broken:
            self._begin_recovery()
        self._pump()

    def _account(
        self, chunk: Chunk, slot: Slot | None, future: Future[ChunkReply], active: _Active | None
    ) -> _Batch | None:
        """Tells the scheduler what became of a chunk; gives what may be sent of it."""
        if future.cancelled():
            self._scheduler.returned(chunk)
            self._begin_recovery()
            return None
        error: BaseException | None = future.exception()
        if error is None:
            reply = future.result()
            try:
                packet = PacketReader(reply, slot)
            except Exception as unreadable:  # noqa: BLE001 - whatever it is, no job may wait for ever
                error = unreadable
            else:
                self._scheduler.finished(chunk, reply.seconds, done=packet.symbols, result_bytes=reply.result_bytes)
                replay(packet.logs)
                return None if active is None else self._batch(chunk, active, _done(chunk, packet), reply.seconds, slot)
        if isinstance(error, BrokenProcessPool):
            failed = [_failed(symbol, _worker_died(symbol)) for symbol in self._scheduler.lost(chunk)]
            self._begin_recovery()
        else:
            logger.error("a chunk of %d symbols failed outside of its worker", len(chunk.symbols), exc_info=error)
            self._scheduler.finished(chunk, 0.0)
            failed = [_failed(symbol, _internal()) for symbol in chunk.symbols]
        return None if active is None else self._batch(chunk, active, failed, 0.0, slot)

    def _batch(self, chunk: Chunk, active: _Active, done: Sequence[Done], seconds: float, slot: Slot | None) -> _Batch:
        """What may be sent now, in the job's order."""
        ready = active.order.add(done)
        self._scheduler.set_range(chunk.job, active.order.open_piece)
        return _Batch(ready, seconds, slot)

    def _begin_recovery(self) -> None:
        """Marks the pool as broken; once all it had in flight is accounted for, replaces it."""
        self._is_broken = True
        if self._scheduler.in_flight == 0 and self._recovery is None:
            self._recovery = self._loop.create_task(self._recover())

    async def _recover(self) -> None:
        try:
            await self._pool.recover()
        except asyncio.CancelledError as error:
            self._fail_all(_unavailable(error))
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
        except Exception as error:  # noqa: BLE001 - whatever it is, no job may wait for ever
            self._fail_all(_unavailable(error))
        finally:
            self._is_broken = False
            self._recovery = None
        self._pump()

    def _fail_all(self, error: UnavailableError) -> None:
        for job, active in self._jobs.items():
            if active.order.completed < len(active.plan.symbols):
                self._scheduler.remove(job)
                active.inbox.put_nowait(error)

    def _watch(self) -> None:
        if self._watchdog is None:
            self._watchdog = self._loop.create_task(self._watch_for_silent_death())

    async def _watch_for_silent_death(self) -> None:
        """Covers the deaths that the standard pool never reports, such as one while a result is being sent."""
        suspected = False
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            dead = self._pool.has_silently_died()
            if dead and suspected:
                logger.error("a worker died and its pool did not notice: ending the pool")
                self._is_broken = True
                try:
                    await self._pool.break_up()
                finally:  # also when the last job ends meanwhile and this watch with it
                    self._begin_recovery()
            suspected = dead and not suspected


def _done(chunk: Chunk, packet: PacketReader) -> list[Done]:
    """What a worker answered, by symbol."""
    done = []
    position, attempts = 0, chunk.job.attempts
    for symbols, messages, rows in packet:
        symbol = chunk.symbols[position]
        done.append(Done(symbol, symbols, messages, attempts.get(symbol, 0) + 1, rows))
        position += symbols
    return done


def _failed(symbol: str, failure: CandelabraError) -> Done:
    attempts = MAX_ATTEMPTS if failure.reason == Reason.WORKER_DIED else 1
    return Done(symbol, 1, [], attempts, failure=failure)


def _unavailable(error: BaseException) -> UnavailableError:
    if isinstance(error, UnavailableError):
        return error
    logger.error("no worker can be given work", exc_info=error)
    return UnavailableError("worker processes cannot be started; the server's log has the cause")


def _worker_died(symbol: str) -> SymbolFailure:
    return SymbolFailure(
        f"the worker process died {MAX_ATTEMPTS} times while it had this symbol",
        reason=Reason.WORKER_DIED,
        metadata={"symbol": symbol, "attempts": str(MAX_ATTEMPTS)},
    )


def _internal() -> SymbolFailure:
    return SymbolFailure("an unexpected error; the server's log has the cause", reason=Reason.INTERNAL)
