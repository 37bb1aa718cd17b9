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
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import aclosing
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from candelabra.v1 import ProcessingJob, ProcessingResult, ScreenRequest
from candelabra_server.candles.repository import ICandleRepository
from candelabra_server.config import JobLimits, LoadLimits, TimeLimits
from candelabra_server.errors import ConfigurationError, EngineShutDownError, UnavailableError
from candelabra_server.formulas.service import FormulaService
from candelabra_server.processing.admission import Admission, Backlog
from candelabra_server.processing.dispatcher import Collector, Dispatcher
from candelabra_server.processing.job_plan import JobPlan, JobTiming, plan_job, prepare_symbol_args
from candelabra_server.processing.result_streams import GatheredResults, JobMessages, ScreenMessages
from candelabra_server.processing.result_transport import TransportSettings
from candelabra_server.processing.screen_plan import ScreenPlan, plan_screen
from candelabra_server.processing.worker_configs import worker_configs
from candelabra_server.processing.worker_functions import WorkerReport
from candelabra_server.processing.worker_pool import WorkerPool

__all__ = ["IProcessingEngine", "ProcessingEngine"]

logger = logging.getLogger(__name__)

_FALLBACK_WORKERS = 4

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
        time_limits: how long a job and its symbols may take.
        load_limits: what all jobs together may have.
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
        time_limits: TimeLimits | None = None,
        load_limits: LoadLimits | None = None,
        transport: TransportSettings | None = None,
    ) -> None:
        if max_workers is not None and max_workers < 1:
            raise ValueError(f"max_workers must be 1 or more, not {max_workers}")
        if not 0 <= shutdown_limit_seconds <= threading.TIMEOUT_MAX:
            raise ValueError(f"shutdown_limit_seconds must be 0 or more and finite, not {shutdown_limit_seconds}")
        self._candle_repo = candle_repo
        self._formula_service = formula_service
        self._max_workers = max_workers or (os.cpu_count() or _FALLBACK_WORKERS)
        self._limits = limits or JobLimits()
        self._time_limits = time_limits or TimeLimits()
        self._transport = transport or TransportSettings()
        self._shutdown_limit_seconds = shutdown_limit_seconds
        self._pool, self._quarantine = (
            WorkerPool(
                max_workers=workers,
                configs=partial(worker_configs, candle_repo, formula_service),
                transport=self._transport,
                shutdown_limit_seconds=shutdown_limit_seconds,
                grace_seconds=self._time_limits.grace_seconds,
            )
            for workers in (self._max_workers, 1)
        )
        self._current_dispatcher: Dispatcher | None = None
        self._dispatcher_lock = threading.Lock()
        self._admission = Admission(load_limits or LoadLimits(), self._backlog)
        logger.info("ProcessingEngine initialized: max_workers=%d", self._max_workers)

    @property
    def max_workers(self) -> int:
        """Worker processes that the pool has at most."""
        return self._max_workers

    @property
    def _executor(self) -> ProcessPoolExecutor | None:
        """The pool that runs jobs now; None before the first and after a shutdown."""
        return self._pool.executor

    @_executor.setter
    def _executor(self, executor: ProcessPoolExecutor | None) -> None:
        self._pool.executor = executor

    def __enter__(self) -> Self:
        """Makes the pool, unless there is one. Takes milliseconds: workers start with the first work."""
        with self._pool.lock:
            if self._pool.executor is None:
                self._pool.ensure()
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
        with self._pool.lock:
            is_first = self._pool.executor is None
            executor = self._pool.ensure()
            if is_first:
                logger.warning(
                    "ProcessPoolExecutor created outside context manager. "
                    "Consider using 'with ProcessingEngine(...) as engine:'"
                )
            return executor

    def shutdown(self, wait: bool = True, *, within_seconds: float | None = None) -> None:  # noqa: FBT001, FBT002 - the specification's signature
        """Ends the pool; does nothing when there is none.

        Args:
            wait: return only when pending tasks are finished and the workers have ended. Past 5 seconds
                a warning names the busy workers; past the limit they are killed.
            within_seconds: the limit; None is `shutdown_limit_seconds`.
        """
        limit_seconds = self._shutdown_limit_seconds if within_seconds is None else within_seconds
        until = time.monotonic() + limit_seconds
        self._pool.shutdown(wait, within_seconds=limit_seconds)
        self._quarantine.shutdown(wait, within_seconds=max(0.0, until - time.monotonic()))

    def _prepare_symbol_args(self, symbol: str, job: ProcessingJob) -> dict[str, Any]:
        """Flattens a job to picklable primitives for one symbol: the fields of SymbolTask, by name."""
        return prepare_symbol_args(symbol, job)

    async def process_batch(self, job: ProcessingJob) -> list[ProcessingResult]:
        """Every symbol's whole result as one message each, in the job's order of symbols.

        Raises as `stream` does.
        """
        results = GatheredResults()
        order: list[str] = []
        async with aclosing(self._run(job, symbol_order=order)) as batches:
            async for messages in batches:
                for message in messages:
                    results.add(message)
        return [results.by_symbol[symbol] for symbol in order]

    async def stream(self, job: ProcessingJob, *, timeout_seconds: float | None = None) -> AsyncGenerator[bytes, None]:
        """Finished ProcessingResult bytes, symbols as they are done, a symbol's parts in order.

        Nothing is computed far ahead of the consumer. Closing the iterator drops what is not done.

        Args:
            job: what to do.
            timeout_seconds: what the caller gives it; None, or more, is what the engine's limits give.

        Raises:
            InvalidRequestError: before the first message: the job cannot run.
            OverloadedError: before the first message: there is too much to do.
            JobTimeLimitError: the time is over.
            UnavailableError: the pool was shut down, or worker processes cannot be started or die again and again.
        """
        async with aclosing(self._run(job, timeout_seconds=timeout_seconds)) as batches:
            async for messages in batches:
                for message in messages:
                    yield message

    async def warm_up(self) -> list[WorkerReport]:
        """Starts all workers and lets them build what they need; one report each.

        Raises:
            ConfigurationError: workers cannot work with their configuration; says why.
            UnavailableError: worker processes die at their start, or do not start in time.
        """
        reports = await self._pool.warm_up()
        for report in reports:
            if report.error:
                raise ConfigurationError(report.error)
        return reports

    async def screen(
        self, request: ScreenRequest, *, timeout_seconds: float | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Encoded ScreenResponse messages: rows that pass as symbols are done, or sorted at the end, and progress.

        The arguments and what is raised are those of `stream`.
        """
        shutdowns, timing = self._pool.shutdowns, JobTiming.of(self._time_limits, timeout_seconds)
        with self._admission.job():
            plan = await self._planned(
                lambda: plan_screen(
                    request,
                    candle_repo=self._candle_repo,
                    formula_service=self._formula_service,
                    configs=worker_configs(self._candle_repo, self._formula_service),
                    limits=self._limits,
                    timing=timing,
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
        self, job: ProcessingJob, *, timeout_seconds: float | None = None, symbol_order: list[str] | None = None
    ) -> AsyncGenerator[Iterable[bytes], None]:
        """Plans the job and yields its messages; with `symbol_order`, symbols whole, and their order in it."""
        shutdowns, timing = self._pool.shutdowns, JobTiming.of(self._time_limits, timeout_seconds)
        with self._admission.job():
            plan = await self._planned(
                lambda: plan_job(
                    job,
                    candle_repo=self._candle_repo,
                    formula_service=self._formula_service,
                    configs=worker_configs(self._candle_repo, self._formula_service),
                    limits=self._limits,
                    timing=timing,
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
        self._admission.check(len(plan.symbols))
        if not self._pool.is_running(shutdowns):
            await asyncio.to_thread(self._launch, shutdowns)
        async with aclosing(self._dispatcher().deliver(plan, collector)) as batches:
            async for messages in batches:
                yield messages

    def _launch(self, shutdowns: int) -> None:
        try:
            with self._pool.lock:
                if self._pool.shutdowns != shutdowns:
                    raise EngineShutDownError
                self._ensure_executor()
            self._pool.launch(shutdowns)
        except (UnavailableError, ConfigurationError):
            raise
        except Exception as error:  # the system may refuse a process, a descriptor or memory
            logger.exception("workers cannot be started")
            raise UnavailableError("worker processes cannot be started; the server's log has the cause") from error

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

    def _dispatcher(self) -> Dispatcher:
        with self._dispatcher_lock:
            current = self._current_dispatcher
            if current is None or current.loop is not asyncio.get_running_loop():
                # Two loops would each believe that a suspect runs alone, and convict each other's symbols.
                if current is not None and current.is_in_use:
                    raise RuntimeError("the engine has jobs on another event loop; wait for them, or use two engines")
                # A proxy: an engine that is forgotten is found by counting references, not by a later collection.
                current = self._current_dispatcher = Dispatcher(
                    weakref.proxy(self._pool),
                    weakref.proxy(self._quarantine),
                    workers=self._max_workers,
                    time_limits=self._time_limits,
                    transport=self._transport,
                )
            return current

    def _backlog(self) -> Backlog:
        return self._current_dispatcher.backlog if self._current_dispatcher is not None else Backlog()
