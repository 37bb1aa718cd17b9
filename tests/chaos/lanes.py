"""Clients: each lane runs one job or screen after the other, of a random kind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from random import Random
from typing import Any

from chaos import jobs, screens
from chaos.candles import LARGE, POISON, SMALL
from chaos.lab import Lab
from chaos.model import Expected, ExpectedJob, ExpectedScreen
from chaos.requests import FORMULAS, SCREENS, Request

__all__ = ["carry_out", "run_lane"]

_JobClient = Callable[[Lab, ExpectedJob, Random], Coroutine[Any, Any, str]]

_JOBS: Mapping[str, tuple[int, _JobClient]] = {
    "async": (4, jobs.read_async),
    "thread": (3, jobs.read_in_thread),
    "raw": (5, jobs.read_raw),
    "slow": (2, jobs.read_slowly),
    "cancels": (4, jobs.cancel),
    "deadline": (3, jobs.miss_deadline),
    "never reads": (1, jobs.never_read),
    "cut": (3, jobs.read_through_cuts),
}
"""How often, relative to each other, and by whom. Where results are not lost, they are waited for."""
_SCREENS = {"screen": 3, "sorted screen": 2}
_LARGE_SHARE = 0.3
_POISON_SHARE = 0.02


async def run_lane(lab: Lab, random: Random) -> None:
    """Runs jobs until the run is over."""
    while not lab.is_over:
        await lab.open.wait()
        await _run_one(lab, random)


async def _run_one(lab: Lab, random: Random) -> None:
    weights = {name: weight for name, (weight, _) in _JOBS.items()} | _SCREENS
    (kind,) = random.choices(list(weights), list(weights.values()))
    if kind in _SCREENS:
        screen = _screen(lab, kind, random)
        await carry_out(lab, screen, screens.read_screen(lab, screen, random))
    else:
        job = ExpectedJob(lab.ledger, _request(lab.next_number(), random), kind)
        await carry_out(lab, job, _JOBS[kind][1](lab, job, random))


async def carry_out(lab: Lab, expected: Expected, work: Coroutine[Any, Any, str]) -> None:
    """Runs one client, watched, and notes how its job ended."""
    task = asyncio.create_task(_noted(lab, expected, work))
    lab.active[expected] = task
    try:
        await asyncio.wait([task])
    finally:
        lab.active.pop(expected, None)


async def _noted(lab: Lab, expected: Expected, work: Coroutine[Any, Any, str]) -> None:
    try:
        outcome = await work
    except asyncio.CancelledError:  # it hangs; that was noted by whoever cancels
        outcome = "hung"
    except Exception as error:  # noqa: BLE001 - whatever it is, a client should not have seen it
        expected.problem("wrong", f"{type(error).__name__}: {error}")
        outcome = "failed"
    lab.ledger.outcomes[expected.kind, outcome] += 1


def _request(number: int, random: Random) -> Request:
    symbols = random.sample(SMALL, random.randint(5, 150))
    if random.random() < _LARGE_SHARE:
        symbols = random.sample(SMALL, random.randint(0, 10)) + random.sample(LARGE, random.randint(1, 2))
    if random.random() < _POISON_SHARE:
        symbols.append(random.choice(POISON))
    random.shuffle(symbols)
    return Request(
        number,
        tuple(symbols),
        random.choice(FORMULAS),
        last_n=random.choice([0, 0, 0, 1, 20]),
        float32=random.random() < 0.2,
    )


def _screen(lab: Lab, kind: str, random: Random) -> ExpectedScreen:
    symbols = random.sample(SMALL, random.randint(100, 400))
    if random.random() < _POISON_SHARE:
        symbols.append("P0")
    is_sorted = kind == "sorted screen"
    formula = SCREENS[1] if is_sorted else random.choice(SCREENS)
    limit = random.randint(5, 50) if is_sorted else 0
    return ExpectedScreen(lab.ledger, lab.next_number(), kind, symbols=symbols, formula=formula, limit=limit)
