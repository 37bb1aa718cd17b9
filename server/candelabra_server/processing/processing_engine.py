"""ProcessingEngine: owns the process pool from start to end and runs jobs on it.

    with ProcessingEngine(candle_repo, formula_service) as engine:
        results = await engine.process_batch(job)

Scripts that do this need the `if __name__ == "__main__":` guard: workers import the main module.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import aclosing, suppress
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from candelabra.v1 import ProcessingJob, ProcessingResult, ScreenRequest
from candelabra.worker.v1 import ChunkTask
from candelabra_server.candles.repository import ICandleRepository
from candelabra_server.config import JobLimits
from candelabra_server.errors import ConfigurationError, UnavailableError
from candelabra_server.formulas.service import FormulaService
from candelabra_server.processing.dispatcher import Collector, Dispatcher, Submitted
from candelabra_server.processing.executors.local_pool import (
    bounded_shutdown,
    create_pool,
    hard_stop,
    has_silently_died,
    is_broken,
    worker_processes,
)
from candelabra_server.processing.job_plan import JobPlan, plan_job, prepare_symbol_args
from candelabra_server.processing.result_streams import GatheredResults, JobMessages, ScreenMessages
from candelabra_server.processing.result_transport import ResultSlots, TransportSettings
from candelabra_server.processing.screen_plan import ScreenPlan, plan_screen
from candelabra_server.processing.worker_configs import WorkerConfigs, worker_configs
from candelabra_server.processing.worker_functions import WorkerReport, _worker_ping, _worker_process_chunk
from candelabra_server.processing.worker_logging import replay

__all__ = ["IProcessingEngine", "ProcessingEngine"]

logger = logging.getLogger(__name__)

_FALLBACK_WORKERS = 4
_SHUTDOWN_WARN_SECONDS = 5.0
_BREAK_UP_GRACE_SECONDS = 0.5
_PING_SECONDS = 60.0
_FIRST_WORKER_SECONDS = 5.0
_RECOVERY_ATTEMPTS = 3

_Plan = TypeVar("_Plan", JobPlan, ScreenPlan)


class IProcessingEngine(ABC):
    """Runs jobs. Implementations are context managers that own their workers."""

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> bool: ...

    @abstractmethod
    def shutdown(self, wait: bool = True) -> None:  # noqa: FBT001, FBT002 - the specification's signature
        """Ends the workers."""

    @abstractmethod
    async def process_batch(self, job: ProcessingJob) -> list[ProcessingResult]:
        """Every symbol's whole result as one message each, in the job's order of symbols."""

    @abstractmethod
    def stream(self, job: ProcessingJob) -> AsyncIterator[bytes]:
        """Finished ProcessingResult bytes, symbols as they are done, a symbol's parts in order."""


class ProcessingEngine(IProcessingEngine):
    """Runs jobs on a pool of local worker processes.

    The pool is made on entering the context (sync or async) and ended, after its pending tasks, on
    leaving it. Any number of jobs may run concurrently on one event loop; another loop may use the engine
    when they have ended. `shutdown` may be called from any thread.

    Args:
        candle_repo: where candles come from; workers build their own from its `worker_config()`.
        formula_service: likewise.
        max_workers: worker processes; None is the number of CPUs, or 4 where that is unknown.
        shutdown_limit_seconds: how long a shutdown waits for pending tasks before it kills the workers, 0
            or more.
        limits: what one job may ask for.
        transport: where workers put results for the server.

    Raises:
        ValueError: `max_workers` is below 1, or the limit is not a number of seconds.
    """

    def __init__(
        self,
        candle_repo: ICandleRepository,
        formula_service: FormulaService,
        max_workers: int | None = None,
        *,
        shutdown_limit_seconds: float = 60.0,
        limits: JobLimits | None = None,
        transport: TransportSettings | None = None,
    ) -> None:
        if max_workers is not None and max_workers < 1:
            raise ValueError(f"max_workers must be 1 or more, not {max_workers}")
        if not 0 <= shutdown_limit_seconds <= threading.TIMEOUT_MAX:
            raise ValueError(f"shutdown_limit_seconds must be 0 or more and finite, not {shutdown_limit_seconds}")
        self._candle_repo = candle_repo
        self._formula_service = formula_service
        self._max_workers = max_workers or (os.cpu_count() or _FALLBACK_WORKERS)
        self._shutdown_limit_seconds = shutdown_limit_seconds
        self._limits = limits or JobLimits()
        self._transport = transport or TransportSettings()
        self._executor: ProcessPoolExecutor | None = None
        self._slots: tuple[ProcessPoolExecutor, ResultSlots] | None = None
        self._slots_lock = threading.Lock()
        self._generation = 0
        self._lock = threading.RLock()
        self._finalizer: weakref.finalize[..., Any] | None = None
        self._shutdowns = 0
        self._current_dispatcher: Dispatcher | None = None
        self._dispatcher_lock = threading.Lock()
        logger.info("ProcessingEngine initialized: max_workers=%d", self._max_workers)

    @property
    def max_workers(self) -> int:
        """Worker processes that the pool has at most."""
        return self._max_workers

    def __enter__(self) -> Self:
        """Makes the pool, unless there is one. Takes milliseconds: workers start with the first work."""
        with self._lock:
            if self._executor is None:
                self._create_executor()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> Literal[False]:
        """Waits for pending tasks and ends the pool; exceptions of the body pass through."""
        self.shutdown(wait=True)
        return False

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.shutdown)

    def _ensure_executor(self) -> ProcessPoolExecutor:
        """The pool, made if there is none, replaced if it is broken. May block for some seconds then."""
        with self._lock:
            executor = self._executor
            if executor is None:
                executor = self._create_executor()
                logger.warning(
                    "ProcessPoolExecutor created outside context manager. "
                    "Consider using 'with ProcessingEngine(...) as engine:'"
                )
            elif is_broken(executor):
                logger.warning(
                    "ProcessPoolExecutor generation %d is broken, starting generation %d",
                    self._generation,
                    self._generation + 1,
                )
                hard_stop(executor, grace_seconds=_BREAK_UP_GRACE_SECONDS)
                executor = self._create_executor()
            return executor

    def shutdown(self, wait: bool = True) -> None:  # noqa: FBT001, FBT002 - the specification's signature
        """Ends the pool; does nothing when there is none.

        Args:
            wait: return only when pending tasks are finished and the workers have ended. Past 5 seconds
                a warning names the busy workers; past `shutdown_limit_seconds` they are killed.
        """
        with self._lock:
            self._shutdowns += 1
            executor, self._executor = self._executor, None
            if executor is None:
                return
            if self._finalizer is not None:
                self._finalizer.detach()
                self._finalizer = None
        if wait:
            with bounded_shutdown(
                executor, warn_seconds=_SHUTDOWN_WARN_SECONDS, limit_seconds=self._shutdown_limit_seconds
            ):
                executor.shutdown(wait=True)
            self._close_slots()
            logger.debug("ProcessPoolExecutor shutdown complete")
        else:
            executor.shutdown(wait=False)
            self._close_slots()  # workers that have not mapped them yet do without
            logger.debug("ProcessPoolExecutor shutdown begun, not waiting for pending tasks")

    def _prepare_symbol_args(self, symbol: str, job: ProcessingJob) -> dict[str, Any]:
        """Flattens a job to picklable primitives for one symbol: the fields of SymbolTask, by name."""
        return prepare_symbol_args(symbol, job)

    async def process_batch(self, job: ProcessingJob) -> list[ProcessingResult]:
        """Every symbol's whole result as one message each, in the job's order of symbols.

        Raises:
            InvalidRequestError: the job cannot run; has everything that is wrong with it.
            UnavailableError: the pool was shut down or cannot be started.
        """
        results = GatheredResults()
        order: list[str] = []
        async with aclosing(self._run(job, symbol_order=order)) as batches:
            async for messages in batches:
                for message in messages:
                    results.add(message)
        return [results.by_symbol[symbol] for symbol in order]

    async def stream(self, job: ProcessingJob) -> AsyncGenerator[bytes, None]:
        """Finished ProcessingResult bytes, symbols as they are done, a symbol's parts in order.

        Nothing is computed far ahead of the consumer. Closing the iterator drops what is not done.

        Raises:
            InvalidRequestError: before the first message: the job cannot run.
            UnavailableError: the pool was shut down or cannot be started.
        """
        async with aclosing(self._run(job)) as batches:
            async for messages in batches:
                for message in messages:
                    yield message

    async def warm_up(self) -> list[WorkerReport]:
        """Starts all workers and lets them build what they need; one report each.

        Raises:
            ConfigurationError: workers cannot work with their configuration; says why.
            UnavailableError: worker processes die at their start, or do not start in time.
        """
        configs = worker_configs(self._candle_repo, self._formula_service)
        reports: dict[int, WorkerReport] = {}
        try:
            async with asyncio.timeout(_PING_SECONDS):
                while len(reports) < self._max_workers:
                    # A quick worker may answer for one that still starts: ask until each has answered.
                    pings = await asyncio.to_thread(self._submit_pings, configs, self._max_workers, self._shutdowns)
                    for report in await asyncio.gather(*map(asyncio.wrap_future, pings)):
                        replay(report.logs)
                        reports[report.process] = report
        except (BrokenProcessPool, TimeoutError) as error:
            raise UnavailableError(
                "worker processes die at their start or do not answer; the server's log has more"
            ) from error
        for report in reports.values():
            if report.error:
                raise ConfigurationError(report.error)
        return list(reports.values())

    async def screen(self, request: ScreenRequest) -> AsyncGenerator[bytes, None]:
        """Encoded ScreenResponse messages: rows that pass as symbols are done, or sorted at the end, and progress.

        Raises:
            InvalidRequestError: before the first message: the screen cannot run.
            UnavailableError: the pool was shut down or cannot be started.
        """
        shutdowns = self._shutdowns
        plan = await self._planned(
            lambda: plan_screen(
                request,
                candle_repo=self._candle_repo,
                formula_service=self._formula_service,
                configs=worker_configs(self._candle_repo, self._formula_service),
                limits=self._limits,
            )
        )
        try:
            collected = ScreenMessages(plan)
            async with aclosing(self._deliver(plan.job, collected, shutdowns)) as batches:
                async for messages in batches:
                    for message in messages:
                        yield message
            for message in await asyncio.to_thread(collected.finish):  # sorting may take long
                yield message
        finally:
            plan.close()

    async def _run(
        self, job: ProcessingJob, *, symbol_order: list[str] | None = None
    ) -> AsyncGenerator[Iterable[bytes], None]:
        """Plans the job and yields its messages; with `symbol_order`, symbols whole, and their order in it."""
        shutdowns = self._shutdowns
        plan = await self._planned(
            lambda: plan_job(
                job,
                candle_repo=self._candle_repo,
                formula_service=self._formula_service,
                configs=worker_configs(self._candle_repo, self._formula_service),
                limits=self._limits,
                whole_symbols=symbol_order is not None,
            )
        )
        try:
            if symbol_order is not None:
                symbol_order.extend(plan.symbols)
            async with aclosing(self._deliver(plan, JobMessages(plan), shutdowns)) as batches:
                async for messages in batches:
                    yield messages
        finally:
            plan.close()

    async def _deliver(
        self, plan: JobPlan, collector: Collector, shutdowns: int
    ) -> AsyncGenerator[Iterable[bytes], None]:
        """What the collector makes of a plan's results, as they are done."""
        if not self._is_running(shutdowns):
            await asyncio.to_thread(self._start_first_worker, shutdowns)
        async with aclosing(self._dispatcher().deliver(plan, collector)) as batches:
            async for messages in batches:
                yield messages

    async def _planned(self, make: Callable[[], _Plan]) -> _Plan:
        """Plans in a thread; a caller that is cancelled meanwhile leaves no snapshot open."""
        made: list[_Plan] = []
        abandoned = threading.Event()

        def plan() -> _Plan:
            made.append(make())
            if abandoned.is_set():
                made[0].close()
            return made[0]

        try:
            return await asyncio.to_thread(plan)
        except asyncio.CancelledError:
            # The thread goes on. Whoever of the two comes second closes the plan; closing twice is allowed.
            abandoned.set()
            for unwanted in made:
                unwanted.close()
            raise

    # What the dispatcher needs (processing.dispatcher.WorkerPool).

    def submit(self, task: bytes) -> Submitted | None:
        """Gives one encoded ChunkTask to the pool, with a slot for its results; None while there is none."""
        executor = self._executor  # read once and without the lock, which a replacement holds for long
        if executor is None:
            raise UnavailableError("the engine was shut down")
        slot = self._slots_of(executor).take()
        if slot is None:
            return None
        try:
            placed = task + ChunkTask(slot=slot.to_message()).SerializeToString()
            return Submitted(executor.submit(_worker_process_chunk, placed), slot)
        except BaseException as error:
            slot.release()
            if isinstance(error, BrokenProcessPool) or not isinstance(error, RuntimeError):
                raise
            if self._executor is executor:
                raise BrokenProcessPool("this generation of the pool is being ended") from error
            raise UnavailableError("the engine was shut down") from error

    def has_silently_died(self) -> bool:
        """Whether a worker is dead and the pool does not say so (yet)."""
        executor = self._executor
        return executor is not None and has_silently_died(executor)

    async def break_up(self) -> None:
        """Ends every process of the pool; whatever it had in flight fails."""
        executor = self._executor
        if executor is not None:
            await asyncio.to_thread(hard_stop, executor, grace_seconds=0.0)

    async def recover(self) -> None:
        """Replaces a broken pool by one whose worker has answered."""
        configs, shutdowns = worker_configs(self._candle_repo, self._formula_service), self._shutdowns
        if self._executor is None:
            raise UnavailableError("the engine was shut down")
        for _ in range(_RECOVERY_ATTEMPTS):
            try:
                (ping,) = await asyncio.to_thread(self._submit_pings, configs, 1, shutdowns)
                replay((await asyncio.wait_for(asyncio.wrap_future(ping), _PING_SECONDS)).logs)
            except (BrokenProcessPool, TimeoutError):
                logger.warning("a new worker process did not answer", exc_info=True)
            else:
                return
        raise UnavailableError("worker processes cannot be started; the server's log has the cause")

    def _is_running(self, shutdowns: int) -> bool:
        """Whether there is a pool that takes work, has a worker and a place for results; told without waiting."""
        executor, slots = self._executor, self._slots
        return (
            self._shutdowns == shutdowns
            and executor is not None
            and slots is not None
            and slots[0] is executor
            and bool(worker_processes(executor))
            and not is_broken(executor)
        )

    def _start_first_worker(self, shutdowns: int) -> None:
        """Waits until a pool without workers has one: starting it from the event loop would block that."""
        executor = self._ensure_executor_since(shutdowns)
        with suppress(BrokenProcessPool, CancelledError, TimeoutError, OSError):  # which the job will meet itself
            self._slots_of(executor)
            if not worker_processes(executor):
                executor.submit(os.getpid).result(_FIRST_WORKER_SECONDS)

    def _ensure_executor_since(self, shutdowns: int) -> ProcessPoolExecutor:
        """The pool, unless the engine was shut down since its `_shutdowns` had this value."""
        with self._lock:
            if self._shutdowns != shutdowns:
                raise UnavailableError("the engine was shut down")
            return self._ensure_executor()

    def _submit_pings(self, configs: WorkerConfigs, count: int, shutdowns: int) -> list[Future[WorkerReport]]:
        # The pool starts a worker for each task that finds none idle.
        executor = self._ensure_executor_since(shutdowns)
        self._slots_of(executor)
        return [executor.submit(_worker_ping, configs.candle_repo, configs.formula_service) for _ in range(count)]

    def _slots_of(self, executor: ProcessPoolExecutor) -> ResultSlots:
        """Where this generation of the pool puts results; made with the first work, which may take a moment.

        Raises:
            ConfigurationError: there is no room for them.
            BrokenProcessPool, UnavailableError: the pool is not the engine's any more.
        """
        with self._slots_lock:
            current = self._slots
            if current is None or current[0] is not executor:
                if self._executor is None:
                    raise UnavailableError("the engine was shut down")
                if self._executor is not executor:
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

    def _create_executor(self) -> ProcessPoolExecutor:
        executor = create_pool(self._max_workers)
        self._executor = executor
        self._generation += 1
        if self._finalizer is not None:
            self._finalizer.detach()
        self._finalizer = weakref.finalize(self, _end_forgotten, executor)
        logger.debug("ProcessPoolExecutor started with %d workers", self._max_workers)
        return executor

    def _dispatcher(self) -> Dispatcher:
        with self._dispatcher_lock:
            current = self._current_dispatcher
            if current is None or current.loop is not asyncio.get_running_loop():
                # Two loops would each believe that a suspect runs alone, and convict each other's symbols.
                if current is not None and current.is_in_use:
                    raise RuntimeError("the engine has jobs on another event loop; wait for them, or use two engines")
                # A proxy: an engine that is forgotten is found by counting references, not by a later collection.
                current = self._current_dispatcher = Dispatcher(
                    weakref.proxy(self),
                    workers=self._max_workers,
                    max_waiting_bytes=self._transport.max_waiting_bytes,
                )
            return current


def _end_forgotten(executor: ProcessPoolExecutor) -> None:
    logger.warning("a ProcessingEngine was forgotten without a shutdown; ending its workers")
    executor.shutdown(wait=False)
