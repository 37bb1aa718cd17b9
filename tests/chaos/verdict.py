"""Judges a run when all is known: which errors were deserved, how long recoveries and cancellations took."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from candelabra_server.processing.scheduling import MAX_ATTEMPTS
from chaos.candles import is_poison
from chaos.harm import DEADLY, ENDLESS, SURVIVED
from chaos.loads import Load
from chaos.model import Arrival, Claim, Ending, Problem
from chaos.orders import Record

__all__ = ["Recoveries", "cancellation_seconds", "judge", "recoveries"]

_MOST_LOADS = 3_000
"""Looked at after a death: those of some seconds."""
_Place = tuple[int, str]
"""A job's number and a symbol."""


class History:
    """Which worker was at what."""

    def __init__(self, loads: Iterable[Load]) -> None:
        self._times: dict[int, list[int]] = {}
        self._places: dict[int, list[_Place]] = {}
        for load in loads:
            self._times.setdefault(load.process, []).append(load.nanoseconds)
            self._places.setdefault(load.process, []).append((load.job, load.symbol))

    def at(self, process: int, nanoseconds: int) -> _Place | None:
        """What a worker was at, or had been at last; None when it had not begun anything."""
        times = self._times.get(process, [])
        index = bisect_right(times, nanoseconds)
        return self._places[process][index - 1] if index else None

    def of_all(self, nanoseconds: int) -> list[_Place]:
        """The same of every worker there was."""
        return [place for process in self._times if (place := self.at(process, nanoseconds)) is not None]


def judge(claims: Iterable[Claim], records: Sequence[Record], loads: Sequence[Load]) -> list[Problem]:
    """Errors of symbols that no fault explains."""
    history = History(loads)
    deaths: Counter[_Place] = Counter()
    delays: Counter[_Place] = Counter()
    failed: set[_Place] = set()
    for record in records:
        for place in _places(record, history):
            if record.kind in SURVIVED:
                failed.add(place)
            elif record.kind in DEADLY:
                deaths[place] += 1
            else:
                delays[place] += 1
    problems = []
    for claim in claims:
        place = claim.job, claim.symbol
        is_deserved = {
            "INTERNAL": place in failed,
            "WORKER_DIED": is_poison(claim.symbol) or deaths[place] + delays[place] >= MAX_ATTEMPTS,
            "SYMBOL_TIME_LIMIT": delays[place] > 0,
        }.get(claim.reason, False)
        if not is_deserved:
            text = (
                f"{claim.symbol} has {claim.reason} after {deaths[place]} deaths, {delays[place]} delays: {claim.text}"
            )
            problems.append(Problem("wrong", claim.job, text))
    return problems


@dataclass(frozen=True)
class Recoveries:
    """How long, in seconds, after each death of a worker.

    Attributes:
        next_result: until any client had any symbol whole, be it one that was done before.
        new_work: until a worker that was not there at the death began with a symbol.
        new_result: until any client had a symbol whole that such a worker had done.
    """

    next_result: list[float] = field(default_factory=list)
    new_work: list[float] = field(default_factory=list)
    new_result: list[float] = field(default_factory=list)


def recoveries(records: Iterable[Record], loads: Sequence[Load], arrivals: Iterable[Arrival]) -> Recoveries:
    """Of deaths while there were jobs; those that only a time limit finds are left out."""
    began: dict[int, int] = {}
    for load in loads:
        began.setdefault(load.process, load.nanoseconds)
    load_times = [load.nanoseconds for load in loads]
    came = {(arrival.job, arrival.symbol): arrival.nanoseconds for arrival in arrivals}
    times = sorted(came.values())
    found = Recoveries()
    for record in records:
        if record.kind not in DEADLY or record.stage == "idle":
            continue
        death = record.nanoseconds
        new = [load for load in loads[bisect_right(load_times, death) :][:_MOST_LOADS] if began[load.process] > death]
        results = [at for load in new if (at := came.get((load.job, load.symbol), 0)) > load.nanoseconds]
        starts = [load.nanoseconds for load in new]
        for span, ends in (
            (found.next_result, times[bisect_right(times, death) :][:1]),
            (found.new_work, starts),
            (found.new_result, results),
        ):
            if ends:
                span.append((min(ends) - death) / 1e9)
    return found


def cancellation_seconds(endings: Iterable[Ending], loads: Iterable[Load]) -> dict[str, list[float]]:
    """By how a client stopped caring: how long after it the last worker began anything of the job."""
    last = {load.job: load.nanoseconds for load in loads}
    found: dict[str, list[float]] = {}
    for ending in endings:
        seconds = max(0, last.get(ending.job, 0) - ending.nanoseconds) / 1e9
        found.setdefault(ending.how, []).append(seconds)
    return found


def _places(record: Record, history: History) -> list[_Place]:
    """What a fault may have hit."""
    if record.symbol:
        return [(record.job, record.symbol)]
    if record.stage == "forkserver":
        return history.of_all(record.nanoseconds)
    place = history.at(record.process, record.nanoseconds)
    return [] if place is None or record.kind not in {*DEADLY, *ENDLESS, "pause"} else [place]
