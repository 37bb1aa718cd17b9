"""The one place that wires things together: configuration to repository, engine and server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable
from enum import IntEnum

from candelabra_server.candles.factory import create_candle_repository
from candelabra_server.candles.repository import ICandleRepository
from candelabra_server.config import ServerConfig
from candelabra_server.errors import UnavailableError
from candelabra_server.formulas.builtins import BUILTIN_FORMULAS
from candelabra_server.formulas.limits import FormulaLimits
from candelabra_server.formulas.service import FormulaService
from candelabra_server.formulas.store import FormulaStore
from candelabra_server.processing.processing_engine import ProcessingEngine
from candelabra_server.processing.result_transport import TransportSettings
from candelabra_server.server_process import keep_freed_memory, new_event_loop

__all__ = ["Ending", "run", "serve"]

logger = logging.getLogger(__name__)

_MEBIBYTE = 1024 * 1024
_SHUTDOWN_LIMIT_SECONDS = 5.0
"""Jobs had their time to finish before: what a worker still does then is not wanted any more."""


class Ending(IntEnum):
    """How a server stopped: the exit status of the command."""

    FINISHED = 0
    """All jobs had ended."""
    CUT = 3
    """Some had not when the time to drain was over, and ended with UNAVAILABLE."""
    HURRIED = 4
    """The same at a second signal."""


def run(config: ServerConfig, *, on_ready: Callable[[str, ICandleRepository], None]) -> Ending:
    """The life of a server's process: `serve` on an event loop of its own."""
    keep_freed_memory()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(serve(config, on_ready=on_ready))


async def serve(config: ServerConfig, *, on_ready: Callable[[str, ICandleRepository], None]) -> Ending:
    """Serves until SIGTERM or SIGINT, then drains and returns; a second signal does not wait for jobs.

    Args:
        config: what to serve and where.
        on_ready: called once with the address and the repository when the workers are warm.

    Raises:
        ConfigurationError: the address cannot be listened on, or workers cannot work as configured.
        UnavailableError: worker processes die at their start.
    """
    folder = config.store.resolve()
    candle_repo = create_candle_repository({"type": "arrow", "path": str(folder)})
    formula_store = FormulaStore(folder, built_ins=BUILTIN_FORMULAS.values())
    formula_service = FormulaService(
        limits=FormulaLimits(max_expression_length=config.limits.max_expression_length), store=formula_store
    )
    stop = _stop_signals()
    with ProcessingEngine(
        candle_repo,
        formula_service,
        config.workers,
        shutdown_limit_seconds=_SHUTDOWN_LIMIT_SECONDS,
        limits=config.limits,
        time_limits=config.time_limits,
        load_limits=config.load_limits,
        transport=TransportSettings(
            folder=config.results_folder,
            slot_bytes=config.result_slot_mebibytes * _MEBIBYTE,
            max_waiting_bytes=config.job_buffer_mebibytes * _MEBIBYTE,
        ),
    ) as engine:
        # The pool's helper process runs by now; grpc is imported after it, never before.
        from candelabra_server.rpc.server import RpcServer  # noqa: PLC0415

        async with RpcServer(
            config,
            engine=engine,
            candle_repo=candle_repo,
            formula_service=formula_service,
            formula_store=formula_store,
        ) as server:
            warming = asyncio.create_task(engine.warm_up())
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait([warming, stopping], return_when=asyncio.FIRST_COMPLETED)
            if warming.done():
                reports = await warming
                if hasattr(os, "fork") and not all(report.preloaded for report in reports):
                    logger.warning("workers were started without preloaded modules; each start takes longer")
                await server.set_serving()
                on_ready(server.address, candle_repo)
                await stopping
            logger.info("stopping: no new jobs, waiting up to %g s for running ones", config.drain_seconds)
            stop.clear()
            draining, second = asyncio.create_task(server.drain()), asyncio.create_task(stop.wait())
            await asyncio.wait([draining, second], return_when=asyncio.FIRST_COMPLETED)
            ending = Ending.HURRIED
            if draining.done():
                ending = Ending.FINISHED if draining.result() else Ending.CUT
            if ending is not Ending.FINISHED:
                logger.warning("jobs were still running; they end with UNAVAILABLE")
                seconds = 0.0 if ending is Ending.HURRIED else _SHUTDOWN_LIMIT_SECONDS
                await asyncio.to_thread(engine.shutdown, within_seconds=seconds)
            for task in (warming, stopping, draining, second):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, UnavailableError):
                    await task
    return ending


def _stop_signals() -> asyncio.Event:
    """An event that is set by every SIGTERM and SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(name, stop.set)
        except NotImplementedError:  # Windows has no signal handlers on its loop
            signal.signal(name, lambda *_: loop.call_soon_threadsafe(stop.set))
    return stop
