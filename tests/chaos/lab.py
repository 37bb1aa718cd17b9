"""What all parts of a run share: the server, what was seen, whether it is over."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chaos.model import Expected, Ledger, Problem
from chaos.orders import OrderBook
from chaos.processes import ServerProcess

__all__ = ["Lab", "Settings"]

_LOOK_SECONDS = 1.0
_MOST_HUNG = 3


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a run is.

    Attributes:
        faults: how many to inject into the server's processes.
        seed: of all choices.
        workers: of the server.
        lanes: clients at the same time.
        gap_seconds: mean time between faults.
        hang_seconds: a job of which nothing is heard for this long hangs.
        stops: whether workers are stopped for good, so that only a time limit finds them.
    """

    faults: int
    seed: int
    workers: int = 2
    lanes: int = 4
    gap_seconds: float = 0.25
    hang_seconds: float = 60.0
    stops: bool = True


@dataclass
class Lab:
    """A run.

    Attributes:
        settings: what it is.
        folder: where everything of it is.
        server: what is tested.
        orders: to workers.
        proxy_address: where connections to the server are cut.
        ledger: what clients saw.
        open: lanes begin no jobs while it is not set.
        quiets: when that was, from and to, by CLOCK_MONOTONIC in nanoseconds.
        is_over: no lane begins a job any more.
        active: jobs that run, with their tasks.
    """

    settings: Settings
    folder: Path
    server: ServerProcess
    orders: OrderBook
    proxy_address: str
    ledger: Ledger = field(default_factory=Ledger)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    quiets: list[tuple[int, int]] = field(default_factory=list)
    is_over: bool = False
    active: dict[Expected, asyncio.Task[None]] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _hung: int = 0

    def next_number(self) -> int:
        """A job's number."""
        return next(self._numbers)

    @property
    def faults(self) -> int:
        """How many were injected so far."""
        return self.orders.taken()

    def problem(self, text: str) -> None:
        """The server has done what no fault explains."""
        self.ledger.problems.append(Problem("server", 0, text))

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """While the body runs, jobs that hang are noted and cancelled; after a few the run is over."""
        watch = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watch.cancel()

    async def _dump(self) -> str:
        """What the processes are at, when it is looked at for the first time."""
        return "" if self._hung else await asyncio.to_thread(self.server.dump)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for expected, task in list(self.active.items()):
                silent = time.monotonic() - expected.moved
                if silent > self.settings.hang_seconds:
                    del self.active[expected]
                    expected.problem("hung", f"nothing was heard of it for {silent:.0f} s; {await self._dump()}")
                    self._hung += 1
                    task.cancel()
            if self._hung >= _MOST_HUNG or not self.server.is_alive:
                self.is_over = True
