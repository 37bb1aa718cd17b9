"""Worker processes and the place for their results: one generation of both at a time, replaced when it breaks.

The engine has two: the workers themselves, and a single one in quarantine for symbols whose worker has died.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from candelabra.worker.v1 import ChunkTask
from candelabra_server.errors import EngineShutDownError, UnavailableError
from candelabra_server.processing.executors.local_pool import (
    bounded_shutdown,
    create_pool,
    hard_stop,
    has_silently_died,
    is_broken,
    kill_worker,
    launch_workers,
    worker_processes,
)
from candelabra_server.processing.executors.process_states import is_stopped
from candelabra_server.processing.executors.start_method import helper_process, kill_stopped_helper, worker_context
from candelabra_server.processing.executors.worker_deaths import ENDED_WITH_POOL, WorkerDeath, memory_kills
from candelabra_server.processing.pool_lane import Submitted
from candelabra_server.processing.result_transport import ResultSlots, TransportSettings
from candelabra_server.processing.worker_configs import WorkerConfigs
from candelabra_server.processing.worker_functions import WorkerReport, _worker_ping, _worker_process_chunk
from candelabra_server.processing.worker_logging import replay

__all__ = ["WorkerPool"]

_T = TypeVar("_T")

logger = logging.getLogger("candelabra_server.processing.processing_engine")
"""The engine's: it is its life that is told of."""

_SHUTDOWN_WARN_SECONDS = 5.0
_BREAK_UP_GRACE_SECONDS = 0.5
_LOCK_SECONDS = 1.0
_GENERATIONS_KNOWN = 8
"""Some of the last ones: what was lost with one is judged after the next is made."""
_PING_SECONDS = 60.0
_RECOVERY_ATTEMPTS = 3
_HELPER_DEATH_CODE = 255
"""What the standard library says of every worker when the process that starts workers has died."""
_HELPER_DEATH_SECONDS = 1.0
"""How long it may take until that process can be seen to be dead."""
_HELPER_LOOK_SECONDS = 0.01


@dataclass(eq=False, slots=True)
class _Generation:
    """What is known of a pool from its start on."""

    executor: ProcessPoolExecutor
    helper_process: int | None
    memory_kills: int
    overtime: set[int] = field(default_factory=set)
    """Workers that the server ended since a symbol had all its time."""
    is_launched: bool = False
    deaths: Mapping[int, WorkerDeath] | None = None
    """How its workers died, once it was ended."""


class WorkerPool:
    """A ProcessPoolExecutor that is made when it is needed and made anew when it is broken.

    `shutdown` and `ensure` may be called from any thread; what the dispatcher calls, from its event loop.

    Args:
        max_workers: worker processes.
        configs: gives what workers build their repository and formula service from.
        transport: where workers put results.
        shutdown_limit_seconds: how long a shutdown waits for pending tasks before it kills the workers.
        grace_seconds: a new worker that has not answered after twice that is given up, the next one after four
            times that, and so on.

    Attributes:
        executor: the present one; None before the first and after a shutdown.
        generation: how many there were, the present one included.
        shutdowns: how often it was shut down: work that was planned before belongs to nobody.
    """

    def __init__(
        self,
        *,
        max_workers: int,
        configs: Callable[[], WorkerConfigs],
        transport: TransportSettings,
        shutdown_limit_seconds: float,
        grace_seconds: float,
    ) -> None:
        self.executor: ProcessPoolExecutor | None = None
        self.generation = 0
        self.shutdowns = 0
        self.lock = threading.RLock()
        self._max_workers = max_workers
        self._configs = configs
        self._transport = transport
        self._shutdown_limit_seconds = shutdown_limit_seconds
        self._grace_seconds = grace_seconds
        self._slots: tuple[ProcessPoolExecutor, ResultSlots] | None = None
        self._slots_lock = threading.Lock()
        self._generations: deque[_Generation] = deque(maxlen=_GENERATIONS_KNOWN)
        self._end_lock = threading.Lock()
        self._finalizer: weakref.finalize[..., Any] | None = None

    def ensure(self) -> ProcessPoolExecutor:
        """The pool, made if there is none, replaced if it is broken. May block for some seconds then."""
        with self.lock:
            executor = self.executor
            if executor is None:
                return self._create()
            if is_broken(executor):
                logger.warning(
                    "ProcessPoolExecutor generation %d is broken, starting generation %d",
                    self.generation,
                    self.generation + 1,
                )
                self._end(self._of(executor))
                return self._create()
            return executor

    def shutdown(self, wait: bool = True, *, within_seconds: float | None = None) -> None:  # noqa: FBT001, FBT002 - Executor.shutdown's
        """Ends the pool; does nothing when there is none.

        Args:
            wait: return only when pending tasks are finished and the workers have ended. Past 5 seconds
                a warning names the busy workers; past the limit they are killed.
            within_seconds: the limit; None for the one that the pool was made with.
        """
        is_free = self.lock.acquire(timeout=_LOCK_SECONDS)  # a launch has it, which may be stuck
        try:
            self.shutdowns += 1
            executor, self.executor = self.executor, None
            if executor is None:
                return
            if self._finalizer is not None:
                self._finalizer.detach()
                self._finalizer = None
        finally:
            if is_free:
                self.lock.release()
        if not is_free:
            kill_stopped_helper()
        if wait:
            limit_seconds = self._shutdown_limit_seconds if within_seconds is None else within_seconds
            with bounded_shutdown(executor, warn_seconds=_SHUTDOWN_WARN_SECONDS, limit_seconds=limit_seconds):
                executor.shutdown(wait=True)
            self._close_slots()
            logger.debug("ProcessPoolExecutor shutdown complete")
        else:
            executor.shutdown(wait=False)
            self._close_slots()  # workers that have not mapped them yet do without
            logger.debug("ProcessPoolExecutor shutdown begun, not waiting for pending tasks")

    async def warm_up(self) -> list[WorkerReport]:
        """Starts all workers and lets them build what they need; one report each.

        Raises:
            UnavailableError: worker processes die at their start, or do not start in time.
        """
        configs, shutdowns = self._configs(), self.shutdowns
        reports: dict[int, WorkerReport] = {}
        try:
            async with asyncio.timeout(_PING_SECONDS):
                while len(reports) < self._max_workers:
                    # A quick worker may answer for one that still starts: ask until each has answered.
                    pings = await asyncio.to_thread(self._submit_pings, configs, self._max_workers, shutdowns)
                    for report in await asyncio.gather(*map(asyncio.wrap_future, pings)):
                        replay(report.logs)
                        reports[report.process] = report
        except (BrokenProcessPool, TimeoutError) as error:
            raise UnavailableError(
                "worker processes die at their start or do not answer; the server's log has more"
            ) from error
        return list(reports.values())

    def is_running(self, shutdowns: int) -> bool:
        """Whether there is a pool that takes work, has a worker and a place for results; told without waiting."""
        executor, slots = self.executor, self._slots
        return (
            self.shutdowns == shutdowns
            and executor is not None
            and slots is not None
            and slots[0] is executor
            and self._is_launched(executor)
            and not is_broken(executor)
        )

    def launch(self, shutdowns: int) -> None:
        """Starts the workers and makes the place for their results, where there are none. Blocks.

        Workers that die at their start are met by the first work.

        Raises:
            EngineShutDownError: the pool was shut down since `shutdowns` had this value.
            ConfigurationError: there is no room for results.
            OSError: the system refuses what a pool needs.
        """
        with suppress(BrokenProcessPool):
            self._launched_since(shutdowns)

    # What the dispatcher needs (processing.pool_lane.WorkerPool).

    @property
    def is_open(self) -> bool:
        """Whether it was started and not shut down since."""
        return self.executor is not None

    def submit(self, task: bytes) -> Submitted | None:
        """Gives one encoded ChunkTask to the pool; None while there is no slot for its results."""
        executor = self.executor  # read once and without the lock, which a replacement holds for long
        if executor is None:
            raise EngineShutDownError
        if is_broken(executor) or not self._is_launched(executor):
            raise BrokenProcessPool("this generation of the pool is broken or being made")
        slot = self.slots_of(executor).take()
        if slot is None:
            return None
        placed = task + ChunkTask(slot=slot.to_message()).SerializeToString()
        try:
            return Submitted(self._given(executor, _worker_process_chunk, placed), slot, executor)
        except (BrokenProcessPool, EngineShutDownError):
            slot.release()
            raise
        except BaseException:
            slot.give_up()  # the pool might have the chunk all the same
            raise

    def stopped_workers(self) -> list[int]:
        """Ids of worker processes that a signal has stopped, and of the process that starts them."""
        executor = self.executor
        if executor is None:
            return []
        processes = [helper_process(), *(process.pid for process in worker_processes(executor))]
        return [process for process in processes if process and is_stopped(process)]

    def has_silently_died(self) -> bool:
        """Whether a worker is dead and the pool does not say so (yet)."""
        executor = self.executor
        return executor is not None and has_silently_died(executor)

    def end_worker(self, process_id: int) -> None:
        """Ends a worker that has had all its time, or is stopped; the pool breaks."""
        executor = self.executor
        made = None if executor is None else self._of(executor)
        if made is not None and kill_worker(made.executor, process_id):
            made.overtime.add(process_id)
        elif process_id == helper_process():
            kill_stopped_helper()

    def end_broken(self, generation: object = None) -> Mapping[int, WorkerDeath]:
        """Ends every process of a generation; tells, by process id, how those died that were not ended with it. Blocks.

        Nothing is told where it cannot be known: when the process that starts workers has died, which takes their exit
        codes with it.

        Args:
            generation: what `Submitted` has; None for the present one, unless that is only being made.
        """
        executor = self.executor if generation is None else generation
        made = next((one for one in self._generations if one.executor is executor), None)
        return {} if made is None or not made.is_launched else self._end(made)

    def _end(self, made: _Generation | None) -> Mapping[int, WorkerDeath]:
        if made is None:
            return {}
        with self._end_lock:
            if made.deaths is None:
                processes = worker_processes(made.executor)
                grace_seconds = _BREAK_UP_GRACE_SECONDS if is_broken(made.executor) else 0.0
                killed = hard_stop(made.executor, grace_seconds=grace_seconds)
                is_known = not self._helper_has_died(made, processes)
                made.deaths = dict(_deaths(made, processes, killed)) if is_known else {}
            return made.deaths

    async def recover(self) -> None:
        """Replaces a broken pool by one whose worker has answered; raises UnavailableError when there is none."""
        if self.executor is None:
            raise EngineShutDownError
        await self.start()

    async def start(self) -> None:
        """Returns when a worker has answered; raises UnavailableError when none does."""
        configs, shutdowns = self._configs(), self.shutdowns
        for attempt in range(1, _RECOVERY_ATTEMPTS + 1):
            try:
                (ping,) = await asyncio.to_thread(self._submit_pings, configs, 1, shutdowns)
                async with asyncio.timeout(self._grace_seconds * 2**attempt):
                    replay((await asyncio.wrap_future(ping)).logs)
            except (BrokenProcessPool, TimeoutError):
                logger.warning("a new worker process did not answer", exc_info=True)
                await asyncio.to_thread(self.end_broken)
            else:
                return
        raise UnavailableError("worker processes cannot be started; the server's log has the cause")

    def slots_of(self, executor: ProcessPoolExecutor) -> ResultSlots:
        """Where this generation of the pool puts results; made with the first work, which may take a moment.

        Raises:
            ConfigurationError: there is no room for them.
            BrokenProcessPool, UnavailableError: the pool is not the present one any more.
        """
        with self._slots_lock:
            current = self._slots
            if current is None or current[0] is not executor:
                if self.executor is None:
                    raise EngineShutDownError
                if self.executor is not executor:
                    raise BrokenProcessPool("this generation of the pool was replaced")
                if current is not None:
                    current[1].close()
                # One for each chunk in flight (see scheduling.py), and as many for what is on its way to clients.
                current = self._slots = executor, ResultSlots(2 * (self._max_workers + 1), self._transport)
            return current[1]

    def _close_slots(self) -> None:
        with self._slots_lock:
            current, self._slots = self._slots, None
            if current is not None:
                current[1].close()

    def _of(self, executor: ProcessPoolExecutor) -> _Generation | None:
        return next((made for made in self._generations if made.executor is executor), None)

    def _is_launched(self, executor: ProcessPoolExecutor) -> bool:
        made = self._of(executor)
        return made is not None and made.is_launched

    def _ensure_since(self, shutdowns: int) -> ProcessPoolExecutor:
        """The pool, unless it was shut down since `shutdowns` had this value."""
        with self.lock:
            if self.shutdowns != shutdowns:
                raise EngineShutDownError
            return self.ensure()

    def _launched_since(self, shutdowns: int) -> ProcessPoolExecutor:
        """The same with all its workers started, and a place for their results."""
        with self.lock:
            executor = self._ensure_since(shutdowns)
            made = self._of(executor)
            if made is not None and not made.is_launched:
                kill_stopped_helper()
                with ThreadPoolExecutor(1) as beside:
                    slots = beside.submit(self.slots_of, executor)  # takes as long as to start the workers
                    try:
                        launch_workers(executor)
                    except (EOFError, OSError) as error:
                        self._end(made)
                        raise BrokenProcessPool("not all worker processes could be started") from error
                    slots.result()
                made.is_launched = True
            return executor

    def _submit_pings(self, configs: WorkerConfigs, count: int, shutdowns: int) -> list[Future[WorkerReport]]:
        executor = self._launched_since(shutdowns)
        return [self._given(executor, _worker_ping, configs.candle_repo, configs.formula_service) for _ in range(count)]

    def _given(self, executor: ProcessPoolExecutor, function: Callable[..., _T], *arguments: object) -> Future[_T]:
        """A task that the pool has; BrokenProcessPool or EngineShutDownError where another thread ends it just now."""
        try:
            return executor.submit(function, *arguments)
        except BrokenProcessPool:
            raise
        except RuntimeError as error:
            if self.executor is executor:
                raise BrokenProcessPool("this generation of the pool is being ended") from error
            raise EngineShutDownError from error

    @staticmethod
    def _helper_has_died(made: _Generation, processes: Iterable[BaseProcess]) -> bool:
        """Whether the process that starts workers is another one than it was, and their exit codes mean nothing."""
        codes = {process.exitcode for process in processes}
        until = time.monotonic() + (_HELPER_DEATH_SECONDS if codes == {_HELPER_DEATH_CODE} else 0.0)
        while True:
            worker_context()  # starts a new one when the old one is seen to be dead
            if helper_process() != made.helper_process or time.monotonic() >= until:
                return helper_process() != made.helper_process
            time.sleep(_HELPER_LOOK_SECONDS)

    def _create(self) -> ProcessPoolExecutor:
        executor = create_pool(self._max_workers)
        self._generations.append(_Generation(executor, helper_process(), memory_kills()))
        self.executor = executor
        self.generation += 1
        if self._finalizer is not None:
            self._finalizer.detach()
        self._finalizer = weakref.finalize(self, _end_forgotten, executor)
        logger.debug("ProcessPoolExecutor started with %d workers", self._max_workers)
        return executor


def _deaths(
    made: _Generation, processes: Iterable[BaseProcess], killed: Collection[int]
) -> Iterator[tuple[int, WorkerDeath]]:
    """Those of workers that were not ended with their pool."""
    for process in processes:
        process_id, exit_code = process.pid, process.exitcode
        is_overtime = process_id in made.overtime
        is_innocent = process_id in killed or exit_code in {ENDED_WITH_POOL, None}
        if process_id is None or exit_code is None or (is_innocent and not is_overtime):
            continue
        yield (
            process_id,
            WorkerDeath.of(process_id, exit_code, overtime=is_overtime, memory_kills_before=made.memory_kills),
        )


def _end_forgotten(executor: ProcessPoolExecutor) -> None:
    logger.warning("a ProcessingEngine was forgotten without a shutdown; ending its workers")
    executor.shutdown(wait=False)
