"""A real server on a port that the system chooses, in this process's event loop."""

from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from candelabra_server.config import LoadLimits, ServerConfig, TimeLimits
from candelabra_server.formulas.builtins import BUILTIN_FORMULAS
from candelabra_server.formulas.service import FormulaService
from candelabra_server.formulas.store import FormulaStore
from candelabra_server.processing.processing_engine import ProcessingEngine
from candelabra_server.rpc.server import RpcServer
from support.memory_repository import MemoryRepository


@asynccontextmanager
async def serving(
    *symbols,
    repository=None,
    formulas=Path("unused"),
    listen="127.0.0.1:0",
    drain_seconds=10.0,
    time_limits=TimeLimits(),  # noqa: B008 - it is immutable
    load_limits=LoadLimits(),  # noqa: B008 - likewise
    **settings,
):
    """Gives the server, a channel to it, and its engine. `formulas` is the folder of saved formulas."""
    repository = repository or MemoryRepository(symbols, **settings)
    config = ServerConfig(
        listen=listen, store=Path("unused"), workers=2, drain_seconds=drain_seconds, time_limits=time_limits
    )
    store = FormulaStore(formulas, built_ins=BUILTIN_FORMULAS.values())
    service = FormulaService(store=store)
    async with ProcessingEngine(
        repository, service, max_workers=2, time_limits=time_limits, load_limits=load_limits
    ) as engine:
        async with RpcServer(
            config, engine=engine, candle_repo=repository, formula_service=service, formula_store=store
        ) as server:
            async with grpc.aio.insecure_channel(server.address) as channel:
                yield server, channel, engine
