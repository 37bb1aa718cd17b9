"""Gives orders to workers, and sends signals to them and to the process that forks them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from random import Random

import psutil

from chaos.harm import ENDLESS, SURVIVED
from chaos.lab import Lab
from chaos.orders import Record

__all__ = ["Injector"]

_SIGNALS = {
    "kill": signal.SIGKILL,
    "terminate": signal.SIGTERM,
    "segfault": signal.SIGSEGV,
    "stop": signal.SIGSTOP,
}
_KINDS = {
    "kill": 5,
    "exit": 2,
    "segfault": 2,
    "abort": 1,
    "terminate": 1,
    "memory": 2,
    "system exit": 1,
    "stop": 1,
    "spin": 1,
}
"""Of ordered harm, by weight."""
_STAGES = {"start": 2, "load": 4, "compute": 3, "encode": 3, "write": 3}
_MOST_WAITING = 3
_WAIT_SECONDS = 3.0
_PAUSE_SECONDS = 0.5
_QUIET_SECONDS = 60.0


class Injector:
    """Injects faults until the run has had enough of them."""

    def __init__(self, lab: Lab, random: Random) -> None:
        self._lab = lab
        self._random = random
        self._number = 0
        self._pauses: set[asyncio.Task[None]] = set()
        self._actions: Mapping[Callable[[], Awaitable[None]], int] = {
            self._order: 20,
            self._burst: 1,
            self._signal_worker: 5,
            self._pause_worker: 2,
            self._strike_idle: 1,
            self._strike_helper: 1,
        }

    async def run(self) -> None:
        """Returns when the number of faults is reached or the run is over."""
        lab = self._lab
        while lab.faults < lab.settings.faults and not lab.is_over:
            (action,) = self._random.choices(list(self._actions), list(self._actions.values()))
            await action()
            await asyncio.sleep(self._random.expovariate(1 / lab.settings.gap_seconds))
        lab.orders.withdraw()
        await asyncio.gather(*self._pauses)

    async def _order(self) -> None:
        """One worker will harm itself at some stage."""
        lab = self._lab
        deadline = time.monotonic() + _WAIT_SECONDS
        while lab.orders.waiting() >= _MOST_WAITING:
            if time.monotonic() > deadline:  # nobody writes a large result just now
                lab.orders.withdraw()
            await asyncio.sleep(0.01)
        self._give()

    async def _burst(self) -> None:
        """Several at once."""
        for _ in range(self._random.randint(2, 4)):
            self._give()

    def _give(self) -> None:
        self._number += 1
        stage = self._choose(_STAGES)
        unfit: set[str] = set()
        if stage == "start":
            unfit |= SURVIVED.keys()  # a worker without a repository fails all that it is given, as it should
        if not self._lab.settings.stops:
            unfit |= ENDLESS.keys()
        kinds = {kind: weight for kind, weight in _KINDS.items() if kind not in unfit}
        self._lab.orders.give(self._number, self._choose(kinds), stage)

    async def _signal_worker(self) -> None:
        """A worker is ended at any moment, from outside."""
        kinds = {"kill": 4, "terminate": 2, "segfault": 1} | ({"stop": 1} if self._lab.settings.stops else {})
        self._strike(self._a_worker(), self._choose(kinds), "any")

    async def _pause_worker(self) -> None:
        """A worker is stopped and goes on soon."""
        self._pause(self._a_worker(), "any")

    async def _strike_idle(self) -> None:
        """A worker is ended while there is no job."""
        lab = self._lab
        lab.open.clear()
        began = time.monotonic_ns()
        try:
            deadline = time.monotonic() + _QUIET_SECONDS
            while lab.active and time.monotonic() < deadline:
                await asyncio.sleep(0.01)
            for _ in range(self._random.choice([1, 1, 2])):
                kinds = {"kill": 3, "terminate": 1, "segfault": 1} | ({"stop": 1} if lab.settings.stops else {})
                self._strike(self._a_worker(), self._choose(kinds), "idle")
            await asyncio.sleep(self._random.choice([0.0, self._random.uniform(0, 0.5)]))
        finally:
            lab.quiets.append((began, time.monotonic_ns()))
            lab.open.set()

    async def _strike_helper(self) -> None:
        """The process that forks workers is ended, or stops for a moment; or multiprocessing's other one is ended."""
        server, chance = self._lab.server, self._random.random()
        if chance < 0.4:
            self._strike(server.helper("forkserver"), "kill", "forkserver")
        elif chance < 0.8:
            self._pause(server.helper("forkserver"), "forkserver")
        else:
            self._strike(server.helper("resource_tracker"), "kill", "tracker")

    def _a_worker(self) -> psutil.Process | None:
        workers = sorted(self._lab.server.workers(), key=lambda process: process.pid)
        return self._random.choice(workers) if workers else None

    def _strike(self, process: psutil.Process | None, kind: str, stage: str) -> None:
        if process is not None:
            now = time.monotonic_ns()
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(_SIGNALS[kind])
                self._lab.orders.note(Record(0, kind, stage, process.pid, now))

    def _pause(self, process: psutil.Process | None, stage: str) -> None:
        if process is None:
            return
        now = time.monotonic_ns()
        with contextlib.suppress(psutil.NoSuchProcess):
            process.suspend()
            self._lab.orders.note(Record(0, "pause", stage, process.pid, now))
            task = asyncio.create_task(_resume(process, self._random.uniform(0.02, _PAUSE_SECONDS)))
            self._pauses.add(task)
            task.add_done_callback(self._pauses.discard)

    def _choose(self, weights: Mapping[str, int]) -> str:
        return self._random.choices(list(weights), list(weights.values()))[0]


async def _resume(process: psutil.Process, seconds: float) -> None:
    try:
        await asyncio.sleep(seconds)
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()
