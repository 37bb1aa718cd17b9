"""The gRPC server: its services, its channel settings, its start and its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from types import TracebackType
from typing import Self

import grpc
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection

from candelabra_server.candles.repository import ICandleRepository
from candelabra_server.config import ServerConfig
from candelabra_server.errors import ConfigurationError
from candelabra_server.formulas.service import FormulaService
from candelabra_server.formulas.store import FormulaStore
from candelabra_server.processing.processing_engine import ProcessingEngine
from candelabra_server.rpc.candle_servicer import CandleServicer
from candelabra_server.rpc.formula_servicer import FormulaServicer
from candelabra_server.rpc.processing_servicer import ProcessingServicer
from candelabra_server.rpc.standard_services import HealthService, OpenEndedCalls, reflection_handlers

__all__ = ["RpcServer"]

logger = logging.getLogger(__name__)

_CHANNEL_OPTIONS = (
    ("grpc.so_reuseport", 0),  # a second server on the same port is an error, not a silent half of the traffic
    ("grpc.max_receive_message_length", 8 * 1024 * 1024),  # requests are small
    ("grpc.max_send_message_length", -1),  # the job chooses how large its results may be
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # quiet streams may be pinged by clients
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", 30_000),  # a peer that vanished must not hold workers for two hours
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.max_concurrent_streams", 128),
)
_STOP_GRACE_SECONDS = 1.0
"""For calls that are no jobs: one whose client waits would otherwise hold the stop for ever."""


class RpcServer:
    """Serves one engine. An async context manager: serving inside, stopped after."""

    def __init__(
        self,
        config: ServerConfig,
        *,
        engine: ProcessingEngine,
        candle_repo: ICandleRepository,
        formula_service: FormulaService,
        formula_store: FormulaStore,
    ) -> None:
        self._config = config
        self._processing = ProcessingServicer(
            engine=engine,
            candle_repo=candle_repo,
            formula_service=formula_service,
            limits=config.limits,
            time_limits=config.time_limits,
            load_limits=config.load_limits,
        )
        candles = CandleServicer(candle_repo=candle_repo, limits=config.limits)
        formulas = FormulaServicer(formula_service=formula_service, formula_store=formula_store)
        services = (ProcessingServicer.SERVICE, FormulaServicer.SERVICE, CandleServicer.SERVICE)
        self._open_ended = OpenEndedCalls()
        self._health = HealthService(services, self._open_ended)
        self._server = grpc.aio.server(options=_CHANNEL_OPTIONS)
        reflected = (*services, HealthService.SERVICE, reflection.SERVICE_NAME)
        handlers = {
            ProcessingServicer.SERVICE: self._processing.handlers(),
            FormulaServicer.SERVICE: formulas.handlers(),
            CandleServicer.SERVICE: candles.handlers(),
            HealthService.SERVICE: self._health.handlers(),
            reflection.SERVICE_NAME: reflection_handlers(reflected, self._open_ended),
        }
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(service, methods) for service, methods in handlers.items()]
        )
        self.address = ""
        """Where the server listens, with the port that the system chose; empty before it does."""

    async def __aenter__(self) -> Self:
        """Listens; health says NOT_SERVING until `set_serving`.

        Raises:
            ConfigurationError: the address is taken or is not this machine's.
        """
        await self._health.set(health_pb2.HealthCheckResponse.NOT_SERVING)
        listen = self._config.listen
        if listen.startswith("unix:") and _is_answered(listen.removeprefix("unix:")):
            raise ConfigurationError(f"cannot listen on {listen}: another server does; stop it or choose another path")
        try:
            port = self._server.add_insecure_port(listen)
        except RuntimeError as error:
            raise ConfigurationError(
                f"cannot listen on {listen}: the port is taken or the address is not this machine's; "
                "choose another with --listen (port 0 lets the system choose)"
            ) from error
        self.address = listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{port}"
        await self._server.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        self._open_ended.end()
        await self._server.stop(_STOP_GRACE_SECONDS)

    async def set_serving(self) -> None:
        """Tells load balancers that jobs are welcome."""
        await self._health.set(health_pb2.HealthCheckResponse.SERVING)

    async def drain(self) -> bool:
        """Says NOT_SERVING, refuses new jobs and waits for those that run, up to the configured time.

        Returns whether all of them ended.
        """
        await self._health.end_serving()
        self._processing.refuse_jobs()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._config.drain_seconds):
                await self._processing.idle()
        return self._processing.is_idle


def _is_answered(path: str) -> bool:
    """Whether a server listens on a unix socket; gRPC would take the path from it without a word."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
        return True
