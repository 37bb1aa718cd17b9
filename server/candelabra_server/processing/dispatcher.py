"""Drives chunks through worker pools: what the scheduler decides, this file carries out.

    deliver(plan) ──▶ Scheduler ──take──▶ pool.submit ──▶ worker
         ▲                                                  │ future done (pool's thread)
         └── job's inbox ◀── _chunk_done (event loop) ◀─────┘

There are two pools, each in a lane of its own (pool_lane.py): the workers, and one in quarantine. When one breaks,
what it had is judged by the marks that workers left and by how they died:

1. A chunk that no worker had begun, or whose worker was only ended with its pool, goes back, nothing held against it.
2. The symbol at which a worker died becomes a suspect, which runs in quarantine; there, every end of the worker is its
   own. MAX_ATTEMPTS deaths convict it, and it fails.
3. What was there when nobody knows of a death becomes a suspect after as many times.
4. A break budget: too many breaks in a row without a symbol done between fail the jobs that run.

The judgement depends on nothing but those facts, taken in the order in which chunks were submitted.

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

from candelabra_server.config import TimeLimits
from candelabra_server.errors import (
    CandelabraError,
    EngineShutDownError,
    JobTimeLimitError,
    Reason,
    SymbolFailure,
    UnavailableError,
)
from candelabra_server.processing.admission import Backlog
from candelabra_server.processing.executors.worker_deaths import OVERTIME, WorkerDeath
from candelabra_server.processing.job_plan import JobPlan
from candelabra_server.processing.marks import PREPARING, monotonic_micros
from candelabra_server.processing.pool_lane import InFlight, Lane, Lost, WorkerPool
from candelabra_server.processing.result_order import Done, ResultOrder
from candelabra_server.processing.result_transport import ChunkReply, PacketReader, Slot, TransportSettings
from candelabra_server.processing.scheduling import CHUNK_BYTES, MAX_ATTEMPTS, Chunk, JobQueue, Scheduler
from candelabra_server.processing.worker_logging import replay

__all__ = ["Collector", "Dispatcher"]

logger = logging.getLogger(__name__)

_WATCH_SECONDS = 0.5
"""How often lanes are looked at; what does not move is believed the second time."""
_MOST_BREAKS = 5
"""Breaks in a row, without a symbol done between, that jobs live through."""
_SLOT_SECONDS = 0.02
"""How often it is tried to get a slot while chunks of another event loop have them all."""
_MESSAGE_COST = 64
"""Bytes of memory that a message takes beside its own."""


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


class Dispatcher:
    """Runs the plans of one event loop on its pools, fairly."""

    def __init__(
        self,
        pool: WorkerPool,
        quarantine: WorkerPool,
        *,
        workers: int,
        time_limits: TimeLimits,
        transport: TransportSettings | None = None,
    ) -> None:
        transport = transport or TransportSettings()
        self._scheduler = Scheduler(
            workers=workers,
            max_unfetched_bytes=transport.max_waiting_bytes,
            chunk_bytes=min(CHUNK_BYTES, transport.slot_bytes * 7 // 8),
        )
        self._workers = Lane(pool, grace_seconds=time_limits.grace_seconds, is_ready=True)
        self._quarantine = Lane(quarantine, grace_seconds=time_limits.grace_seconds, is_ready=False)
        self._changes: dict[Lane, asyncio.Task[None]] = {}
        """What replaces, starts or ends the pool of a lane."""
        self._breaks = 0
        """In a row, without a symbol done between."""
        self._jobs: dict[JobQueue, _Active] = {}
        self._loop = asyncio.get_running_loop()
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

    @property
    def backlog(self) -> Backlog:
        """What its jobs have the workers still to do, and their clients to fetch."""
        scheduler = self._scheduler
        return Backlog(scheduler.queued_symbols, scheduler.unfetched_bytes, scheduler.backlog_seconds)

    async def deliver(self, plan: JobPlan, collector: Collector) -> AsyncGenerator[Iterator[bytes], None]:
        """Yields the messages that the collector makes of every symbol of the plan, as they are done.

        What was yielded is used up before the next is asked for. Closing the iterator, or cancelling the task that
        waits for it, drops what is queued and tells the workers to stop.

        Raises:
            UnavailableError: the pool is gone; symbols that were not yielded have no result.
            JobTimeLimitError: the plan's time is over; likewise.
        """
        job = self._scheduler.add(plan.symbols, weight=plan.weight)
        active = self._jobs[job] = _Active(plan, ResultOrder(), asyncio.Queue(), deque())
        remaining_seconds = (plan.until_micros - monotonic_micros()) / 1_000_000
        expiry = self._loop.call_later(remaining_seconds, self._expire, job)
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
            expiry.cancel()
            del self._jobs[job]
            self._scheduler.remove(job)
            for batch in active.waiting:
                batch.let_go()
            for lane in (self._workers, self._quarantine):
                for chunk, known in lane.in_flight.items():
                    if chunk.job is job:
                        known.tell_to_stop()
            self._pump()

    def _pump(self) -> None:
        """Fills the window, and the quarantine."""
        while self._workers.is_ready and (chunk := self._scheduler.take()) is not None:
            if not self._submit(self._workers, chunk):
                break
        if not self._quarantine.is_ready:
            if self._scheduler.waits_for_suspects:
                self._change(self._quarantine)
        elif (suspect := self._scheduler.take_suspect()) is not None:
            self._submit(self._quarantine, suspect)
        elif not self._quarantine.in_flight and not self._scheduler.has_suspects:
            self._quarantine.is_ready = False
            self._change(self._quarantine)

    def _submit(self, lane: Lane, chunk: Chunk) -> bool:
        """Gives a chunk to the lane's pool; whether that takes more of them."""
        plan = self._jobs[chunk.job].plan
        task = plan.chunk_bytes(chunk.symbols, chunk.first_row)
        try:
            submitted = lane.pool.submit(task)
            while submitted is None and self._make_room():
                submitted = lane.pool.submit(task)
        except BrokenProcessPool:
            self._scheduler.returned(chunk)
            lane.is_ready = False
            self._change(lane)
            return False
        except Exception as error:  # noqa: BLE001 - the system may refuse a process, a descriptor or memory for a worker
            self._scheduler.returned(chunk)
            self._fail_all(_unavailable(error))
            return False
        if submitted is None:
            self._scheduler.returned(chunk)
            self._pump_later()
            return False
        lane.began(chunk, submitted, symbol_seconds=plan.symbol_seconds, until_micros=plan.until_micros)
        submitted.future.add_done_callback(partial(self._report, lane, chunk, submitted.slot))
        return True

    def _pump_later(self) -> None:
        """For chunks of earlier event loops that still run, and have slots: nobody tells when they are done."""
        if self._later is not None:
            self._later.cancel()
        self._later = self._loop.call_later(_SLOT_SECONDS, self._pump)

    def _make_room(self) -> bool:
        """Frees the slot of what has waited longest for a client; whether there was one."""
        return any(batch.move_out() for active in self._jobs.values() for batch in active.waiting)

    def _report(self, lane: Lane, chunk: Chunk, slot: Slot | None, future: Future[ChunkReply]) -> None:
        # Runs in a thread of the pool. A loop that was closed meanwhile has no job left to tell.
        try:
            self._loop.call_soon_threadsafe(self._chunk_done, lane, chunk, slot, future)
        except RuntimeError:
            if slot is not None:
                slot.release()

    def _chunk_done(self, lane: Lane, chunk: Chunk, slot: Slot | None, future: Future[ChunkReply]) -> None:
        known = lane.ended(chunk)
        batch = _Batch((), 0.0, slot)
        if known is None:
            return  # it was given up, and its slot with its generation
        try:
            batch = self._account(lane, chunk, known, slot, future) or batch
        finally:
            self._hand_over(chunk.job, batch)
        if lane.is_over:
            self._change(lane)
        self._pump()

    def _account(
        self, lane: Lane, chunk: Chunk, known: InFlight, slot: Slot | None, future: Future[ChunkReply]
    ) -> _Batch | None:
        """Tells the scheduler what became of a chunk; gives what may be sent of it."""
        error = None if future.cancelled() else future.exception()
        if future.cancelled() or isinstance(error, BrokenProcessPool):
            lane.lose(chunk, known)
            return None
        if error is None:
            reply = future.result()
            try:
                packet = PacketReader(reply, slot)
            except Exception as unreadable:  # noqa: BLE001 - whatever it is, no job may wait for ever
                error = unreadable
            else:
                if packet.symbols:
                    self._breaks = 0
                self._scheduler.finished(chunk, reply.seconds, done=packet.symbols, result_bytes=reply.result_bytes)
                replay(packet.logs)
                return self._batch(chunk.job, _done(chunk, packet), reply.seconds, slot)
        logger.error("a chunk of %d symbols failed outside of its worker", len(chunk.symbols), exc_info=error)
        self._scheduler.finished(chunk, 0.0)
        return self._batch(chunk.job, [_failed(chunk.job, symbol, _internal()) for symbol in chunk.symbols], 0.0)

    def _batch(self, job: JobQueue, done: Sequence[Done], seconds: float, slot: Slot | None = None) -> _Batch | None:
        """What may be sent now, in the job's order; None for a job that is gone."""
        active = self._jobs.get(job)
        if active is None:
            return None
        ready = active.order.add(done)
        self._scheduler.set_range(job, active.order.open_piece)
        return _Batch(ready, seconds, slot)

    def _hand_over(self, job: JobQueue, batch: _Batch) -> None:
        """Puts what may be sent where the job's consumer takes it."""
        active = self._jobs.get(job)
        if active is None or not batch.done:
            batch.let_go()
            return
        self._scheduler.handed_over(job, batch.bytes)
        active.waiting.append(batch)
        active.inbox.put_nowait(batch)

    def _change(self, lane: Lane) -> None:
        """Replaces, starts or ends the lane's pool, as is needed, once nothing is in flight there."""
        if lane not in self._changes and not lane.in_flight:
            self._changes[lane] = self._loop.create_task(self._changed(lane))

    async def _changed(self, lane: Lane) -> None:
        try:
            await self._judge(lane)
            if lane is self._workers:
                await lane.pool.recover()
                lane.is_ready = True
            else:
                await self._start_or_end_quarantine()
        except asyncio.CancelledError as error:
            if self._jobs:
                self._fail_all(_unavailable(error))
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
        except Exception as error:  # noqa: BLE001 - whatever it is, no job may wait for ever
            self._fail_all(_unavailable(error), only_suspects=lane is self._quarantine)
        finally:
            for lost in lane.take_lost():
                self._scheduler.returned(lost.chunk)
            lane.is_ready |= lane is self._workers  # a pool that is broken says so when it is given something
            del self._changes[lane]
        self._pump()

    async def _start_or_end_quarantine(self) -> None:
        pool = self._quarantine.pool
        if self._scheduler.waits_for_suspects and self._workers.pool.is_open:
            await pool.start()
            self._quarantine.is_ready = self._workers.pool.is_open
        if not self._quarantine.is_ready:
            await asyncio.to_thread(pool.shutdown)
            if self._scheduler.waits_for_suspects and not self._workers.pool.is_open:
                raise EngineShutDownError

    async def _judge(self, lane: Lane) -> None:
        """Finds out who died, and what that means for what the broken pool had."""
        lost = lane.take_lost()
        if not lost:
            return
        deaths: dict[int, WorkerDeath] = {}
        try:
            for generation in {one.generation for one in lost}:
                deaths |= await asyncio.to_thread(lane.pool.end_broken, generation)
        except BaseException:
            lane.lost.extend(lost)
            raise
        known = {one.mark.process for one in lost}
        strangers = [death for process, death in deaths.items() if process not in known]
        for one in lost:
            self._sentence(lane, one, deaths.get(one.mark.process), is_known=bool(deaths), strangers=bool(strangers))
        self._breaks += 1
        if self._breaks > _MOST_BREAKS:
            last = next(iter(deaths.values()), None)
            logger.error("%d breaks in a row without a symbol done between: ending the jobs", self._breaks)
            self._fail_all(_workers_die(self._breaks, last))
            self._breaks = 0

    def _sentence(self, lane: Lane, lost: Lost, death: WorkerDeath | None, *, is_known: bool, strangers: bool) -> None:
        chunk, mark = lost.chunk, lost.mark
        is_within = PREPARING <= mark.position < len(chunk.symbols)
        is_its_own = lane is self._quarantine and (mark.is_begun or is_known)
        if is_its_own or (mark.is_begun and death is not None and is_within):
            position = min(max(mark.position, 0), len(chunk.symbols) - 1)
            self._blame(chunk, position, mark.is_begun and mark.position == PREPARING, death)
        elif (mark.is_begun and (death is not None or not is_known)) or (not mark.is_begun and strangers):
            self._scheduler.puzzled(chunk)
        else:
            self._scheduler.returned(chunk)

    def _blame(self, chunk: Chunk, position: int, is_preparing: bool, death: WorkerDeath | None) -> None:  # noqa: FBT001
        """A worker died of a symbol, or of making ready for the job, which then fails as a whole."""
        job, symbol = chunk.job, chunk.symbols[position]
        given_up = [symbol] if self._scheduler.died(chunk, position) else []
        active = self._jobs.get(job)
        logger.error(
            "worker %s %s while it was %s %s of job %s, for the %d. time",
            death.process if death else "process",
            death or "ended, nobody knows how,",
            "making ready for" if is_preparing else "at",
            symbol,
            active.plan.job_id if active else "that is gone",
            job.attempts.get(symbol, 1),
        )
        if given_up and is_preparing:
            given_up += self._scheduler.give_up(job)
        if given_up:
            self._breaks = 0
            failures = [_failed(job, one, _worker_died(symbol, death)) for one in given_up]
            batch = self._batch(job, failures, 0.0)
            if batch is not None:
                self._hand_over(job, batch)

    def _fail_all(self, error: UnavailableError, *, only_suspects: bool = False) -> None:
        """Ends all jobs, or those that have symbols under suspicion."""
        for job in self._jobs:
            if job.suspects or not only_suspects:
                self._fail(job, error)

    def _fail(self, job: JobQueue, error: CandelabraError) -> None:
        active = self._jobs[job]
        if active.order.completed < len(active.plan.symbols):
            self._scheduler.remove(job)
            active.inbox.put_nowait(error)

    def _expire(self, job: JobQueue) -> None:
        self._fail(job, JobTimeLimitError(self._jobs[job].plan.seconds))

    def _watch(self) -> None:
        if self._watchdog is None or self._watchdog.done():
            self._watchdog = self._loop.create_task(self._watch_lanes())

    async def _watch_lanes(self) -> None:
        """While there is something to do, covers what the standard pool never reports (see pool_lane.py)."""
        lanes = (self._workers, self._quarantine)
        while self._jobs or any(lane.in_flight for lane in lanes):
            await asyncio.sleep(_WATCH_SECONDS)
            for lane in lanes:
                try:
                    await self._look_at(lane)
                except Exception:
                    logger.exception("a pool cannot be looked after; trying again")

    async def _look_at(self, lane: Lane) -> None:
        late, broken = lane.watch()
        for process in late:
            logger.error("process %d does not stop although its time is over, or is stopped: ending it", process)
            lane.pool.end_worker(process)
        if not broken:
            return
        logger.error("%s: ending the pool", broken)
        was_ready, lane.is_ready = lane.is_ready, False
        try:
            for generation in lane.generations:
                await asyncio.to_thread(lane.pool.end_broken, generation)
            if not was_ready:
                lane.give_up()
        finally:
            self._change(lane)
            self._pump()


def _done(chunk: Chunk, packet: PacketReader) -> list[Done]:
    """What a worker answered, by symbol."""
    done = []
    position, attempts = 0, chunk.job.attempts
    for symbols, messages, rows in packet:
        symbol = chunk.symbols[position]
        done.append(Done(symbol, symbols, messages, attempts.get(symbol, 0) + 1, rows))
        position += symbols
    return done


def _failed(job: JobQueue, symbol: str, failure: CandelabraError) -> Done:
    return Done(symbol, 1, [], max(1, job.attempts.get(symbol, 1)), failure=failure)


def _unavailable(error: BaseException) -> UnavailableError:
    if isinstance(error, UnavailableError):
        return error
    logger.error("no worker can be given work", exc_info=error)
    return UnavailableError("worker processes cannot be started; the server's log has the cause")


def _workers_die(breaks: int, death: WorkerDeath | None) -> UnavailableError:
    how = f", the last one {death}" if death else ""
    return UnavailableError(
        f"worker processes died {breaks} times in a row without a symbol done between{how}; the server's log has more",
        metadata={"breaks": str(breaks), **(death.metadata() if death else {})},
    )


def _worker_died(symbol: str, death: WorkerDeath | None) -> SymbolFailure:
    metadata = {"symbol": symbol, "attempts": str(MAX_ATTEMPTS), **(death.metadata() if death else {})}
    if death is not None and death.cause == OVERTIME:
        return SymbolFailure(
            f"its worker had to be ended {MAX_ATTEMPTS} times, long after the time limit for a symbol",
            reason=Reason.SYMBOL_TIME_LIMIT,
            metadata=metadata,
        )
    how = f", the last time {death}" if death else ""
    return SymbolFailure(
        f"the worker process died {MAX_ATTEMPTS} times while it had this symbol{how}",
        reason=Reason.WORKER_DIED,
        metadata=metadata,
    )


def _internal() -> SymbolFailure:
    return SymbolFailure("an unexpected error; the server's log has the cause", reason=Reason.INTERNAL)
