"""ProcessingService: jobs in, results out, and what the server is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc

from candelabra.v1 import (
    ExplainJobRequest,
    ExplainJobResponse,
    GetServerInfoRequest,
    GetServerInfoResponse,
    ProcessingJob,
    ScreenRequest,
    StoredTimeframe,
)
from candelabra_server import __version__
from candelabra_server.candles.repository import ICandleRepository
from candelabra_server.config import JobLimits, LoadLimits, TimeLimits
from candelabra_server.errors import UnavailableError
from candelabra_server.formulas.service import FormulaService
from candelabra_server.processing.job_explanation import explain_job
from candelabra_server.processing.processing_engine import ProcessingEngine
from candelabra_server.rpc.handlers import stream_bytes, unary

__all__ = ["ProcessingServicer"]


class ProcessingServicer:
    """Handles candelabra.v1.ProcessingService on one event loop."""

    SERVICE = "candelabra.v1.ProcessingService"

    def __init__(
        self,
        *,
        engine: ProcessingEngine,
        candle_repo: ICandleRepository,
        formula_service: FormulaService,
        limits: JobLimits,
        time_limits: TimeLimits,
        load_limits: LoadLimits,
    ) -> None:
        self._engine = engine
        self._candle_repo = candle_repo
        self._formula_service = formula_service
        self._limits = limits
        self._time_limits = time_limits
        self._load_limits = load_limits
        self._start_time_micros = time.time_ns() // 1_000
        self._active_jobs = 0
        self._is_draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    def handlers(self) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        """The service's methods by name."""
        return {
            "Process": stream_bytes(ProcessingJob, self.process, limit_seconds=self._time_limits.job_seconds),
            "Screen": stream_bytes(ScreenRequest, self.screen, limit_seconds=self._time_limits.job_seconds),
            "ExplainJob": unary(ExplainJobRequest, self.explain_job),
            "GetServerInfo": unary(GetServerInfoRequest, self.get_server_info),
        }

    def refuse_jobs(self) -> None:
        """From now on, no job is taken."""
        self._is_draining = True

    @property
    def is_idle(self) -> bool:
        """Whether no job runs."""
        return self._idle.is_set()

    async def idle(self) -> None:
        """Returns when no job runs."""
        await self._idle.wait()

    def process(self, job: ProcessingJob, seconds: float) -> AsyncGenerator[bytes, None]:
        """Streams a job's results as encoded messages."""
        return self._counted(self._engine.stream(job, timeout_seconds=seconds))

    def screen(self, request: ScreenRequest, seconds: float) -> AsyncGenerator[bytes, None]:
        """Streams a screen's answers as encoded messages; to drain and to count, a screen is a job."""
        return self._counted(self._engine.screen(request, timeout_seconds=seconds))

    async def _counted(self, run: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        """What the engine streams for a request, unless the server is shutting down, which waits for it."""
        if self._is_draining:
            raise UnavailableError("the server is shutting down; send the job to another one, or again later")
        self._active_jobs += 1
        self._idle.clear()
        try:
            async with aclosing(run) as messages:
                async for message in messages:
                    yield message
        finally:
            self._active_jobs -= 1
            if self._active_jobs == 0:
                self._idle.set()

    async def explain_job(self, request: ExplainJobRequest) -> ExplainJobResponse:
        """Tells what a job would do; also while the server is shutting down, since no worker is needed."""
        return await asyncio.to_thread(
            explain_job,
            request,
            candle_repo=self._candle_repo,
            formula_service=self._formula_service,
            limits=self._limits,
        )

    async def get_server_info(self, _request: GetServerInfoRequest) -> GetServerInfoResponse:
        """Describes the server."""
        timeframes = await asyncio.to_thread(self._candle_repo.timeframes)
        return GetServerInfoResponse(
            version=__version__,
            workers=self._engine.max_workers,
            timeframes=[StoredTimeframe(timeframe=name, symbol_count=count) for name, count in timeframes.items()],
            max_symbols_per_job=self._limits.max_symbols,
            max_expression_length=self._limits.max_expression_length,
            active_jobs=self._active_jobs,
            start_time_micros=self._start_time_micros,
            max_jobs=self._load_limits.max_jobs,
            symbol_time_limit_millis=int(1_000 * self._time_limits.symbol_seconds),
            job_time_limit_millis=int(1_000 * self._time_limits.job_seconds),
        )
