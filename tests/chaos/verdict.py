"""Judges a run when all is known: which errors were deserved, how long recoveries and cancellations took."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from candelabra_server.processing.scheduling import MAX_ATTEMPTS
from chaos.candles import is_poison
from chaos.harm import DEADLY, ENDLESS
from chaos.loads import Load
from chaos.model import Arrival, Claim, Ending, Problem
from chaos.orders import Record

__all__ = ["Recoveries", "cancellation_seconds", "judge", "recoveries"]

_DELAYS = (*ENDLESS, "pause")
_MOST_LOADS = 3_000
"""Looked at after a death: those of some seconds."""


def judge(claims: Iterable[Claim], records: Sequence[Record]) -> list[Problem]:
    """Errors of symbols that no fault explains.

    What came from outside of a worker, or when it was being started, may have met it on its way from one symbol to the
    next: it counts for whatever was asked for at that time.
    """
    problems = []
    placed: dict[tuple[int, str], Counter[str]] = {}
    for record in records:
        placed.setdefault((record.job, record.symbol), Counter())[record.kind] += 1
    unplaced = [record for record in records if not record.symbol]
    for claim in claims:
        met = placed.get((claim.job, claim.symbol), Counter())
        around = Counter(record.kind for record in unplaced if claim.began < record.nanoseconds < claim.nanoseconds)
        if not _is_deserved(claim, met, around):
            text = f"{claim.symbol} has {claim.reason} after {_told(met)} at it, {_told(around)} near it: {claim.text}"
            problems.append(Problem("wrong", claim.job, text))
    return problems


def _is_deserved(claim: Claim, met: Counter[str], around: Counter[str]) -> bool:
    delays = sum((met + around)[kind] for kind in _DELAYS)
    deaths = sum((met + around)[kind] for kind in DEADLY)
    return {
        "INTERNAL": met["system exit"] > 0,
        "OUT_OF_MEMORY": met["memory"] > 0,
        "WORKER_DIED": is_poison(claim.symbol) or deaths + delays >= MAX_ATTEMPTS,
        "SYMBOL_TIME_LIMIT": delays > 0,
    }.get(claim.reason, False)


def _told(kinds: Counter[str]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "nothing"


@dataclass(frozen=True)
class Recoveries:
    """How long, in seconds, after each of some faults.

    Attributes:
        next_result: until any client had any symbol whole, be it one that was done before.
        new_work: until a worker that was not there then began with a symbol.
        new_result: until any client had a symbol whole that such a worker had done.
    """

    next_result: list[float] = field(default_factory=list)
    new_work: list[float] = field(default_factory=list)
    new_result: list[float] = field(default_factory=list)


def recoveries(
    records: Iterable[Record],
    loads: Sequence[Load],
    arrivals: Iterable[Arrival],
    *,
    kinds: Collection[str] = DEADLY,
    quiets: Sequence[tuple[int, int]] = (),
) -> Recoveries:
    """Of these kinds of faults, but where a time without jobs, from and to, came between: nobody waited then."""
    began: dict[int, int] = {}
    for load in loads:
        began.setdefault(load.process, load.nanoseconds)
    load_times = [load.nanoseconds for load in loads]
    came = {(arrival.job, arrival.symbol): arrival.nanoseconds for arrival in arrivals}
    times = sorted(came.values())
    found = Recoveries()
    for record in records:
        if record.kind not in kinds or record.stage in {"idle", "tracker"}:  # after which nobody waits
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
            if ends and not any(begin < min(ends) and end > death for begin, end in quiets):
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
