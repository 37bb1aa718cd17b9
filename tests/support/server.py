"""A real server on a port that the system chooses, in this process's event loop."""

from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from candelabra_server.config import ServerConfig
from candelabra_server.formulas.service import FormulaService
from candelabra_server.processing.processing_engine import ProcessingEngine
from candelabra_server.rpc.server import RpcServer
from support.memory_repository import MemoryRepository


@asynccontextmanager
async def serving(*symbols, repository=None, listen="127.0.0.1:0", drain_seconds=10.0, **settings):
    """Gives the server, a channel to it, and its engine."""
    repository = repository or MemoryRepository(symbols, **settings)
    config = ServerConfig(listen=listen, store=Path("unused"), workers=2, drain_seconds=drain_seconds)
    formula_service = FormulaService()
    async with ProcessingEngine(repository, formula_service, max_workers=2) as engine:
        async with RpcServer(config, engine=engine, candle_repo=repository, formula_service=formula_service) as server:
            async with grpc.aio.insecure_channel(server.address) as channel:
                yield server, channel, engine
