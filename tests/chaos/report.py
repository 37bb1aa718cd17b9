"""What a run prints and writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rich.table import Table

from benchmarks.report import Figure, console, versions_of, write
from chaos.model import Problem
from chaos.orders import Record
from chaos.verdict import Recoveries

__all__ = ["Outcome", "Resources", "publish"]

_PROBLEMS = ("lost", "doubled", "wrong", "hung", "server")
_SHOWN = 40


@dataclass(frozen=True)
class Resources:
    """What the server's process has."""

    megabytes: float
    descriptors: int
    threads: int


@dataclass(kw_only=True)
class Outcome:
    """All that a run has found."""

    seed: int
    seconds: float
    records: Sequence[Record]
    clients: Mapping[tuple[str, str], int]
    delivered: int
    claims: Mapping[str, int]
    unavailable: int
    cuts: int
    recoveries: Recoveries
    stops: Recoveries
    cancellations: Mapping[str, Sequence[float]]
    before: Resources
    after: Resources
    problems: list[Problem] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether every promise was kept."""
        return not self.problems


def publish(outcome: Outcome) -> None:
    """Prints tables and writes `.bench/chaos.json`."""
    screen = console()
    screen.print(_faults(outcome.records))
    screen.print(_clients(outcome.clients))
    figures = _figures(outcome)
    table = Table("figure", "value", "unit", title=f"chaos, seed {outcome.seed}, {outcome.seconds:.0f} s")
    for figure in figures:
        if not figure.work.startswith("faults: "):
            table.add_row(f"{figure.work}, {figure.subject}", f"{figure.value:,.6g}", figure.unit)
    screen.print(table)
    for problem in outcome.problems[:_SHOWN]:
        screen.print(str(problem), markup=False, highlight=False)
    if len(outcome.problems) > _SHOWN:
        screen.print(f"and {len(outcome.problems) - _SHOWN} more")
    write("chaos", figures)


def _faults(records: Iterable[Record]) -> Table:
    counts = Counter((record.kind, record.stage) for record in records)
    kinds, stages = (sorted(set(names)) for names in zip(*counts, strict=True)) if counts else ([], [])
    table = Table("fault", *stages, "all", title="faults injected, by kind and stage")
    for kind in kinds:
        of_kind = [counts[kind, stage] for stage in stages]
        table.add_row(kind, *(str(count or "–") for count in of_kind), str(sum(of_kind)))
    of_stage = [sum(counts[kind, stage] for kind in kinds) for stage in stages]
    table.add_row("all", *map(str, of_stage), str(counts.total()))
    return table


def _clients(clients: Mapping[tuple[str, str], int]) -> Table:
    outcomes = sorted({outcome for _, outcome in clients})
    table = Table("client", *outcomes, title="jobs and screens, by client and how they ended")
    for kind in sorted({kind for kind, _ in clients}):
        table.add_row(kind, *(str(clients.get((kind, outcome), 0) or "–") for outcome in outcomes))
    return table


def _figures(outcome: Outcome) -> list[Figure]:
    versions = versions_of("candelabra", "grpcio")
    found: list[Figure] = []

    def add(work: str, subject: str, value: float, unit: str) -> None:
        found.append(Figure(work, subject, value, unit, 1.0, versions))

    kinds = Counter(record.kind for record in outcome.records)
    add("faults", "injected", sum(kinds.values()), "faults")
    for kind, count in sorted(kinds.items()):
        add("faults: " + kind, "injected", count, "faults")
    add("clients", "jobs and screens", sum(outcome.clients.values()), "jobs")
    add("clients", "connections cut", outcome.cuts, "cuts")
    add("clients", "sent again after UNAVAILABLE", outcome.unavailable, "jobs")
    add("symbols", "delivered", outcome.delivered, "symbols")
    for reason, count in sorted(outcome.claims.items()):
        add("symbols", f"failed, {reason}", count, "symbols")
    problems = Counter(problem.what for problem in outcome.problems)
    for what in _PROBLEMS:
        add("problems", what, problems[what], "problems")
    spans = {
        "death to next result": outcome.recoveries.next_result,
        "death to a new worker's first work": outcome.recoveries.new_work,
        "death to a new worker's first result": outcome.recoveries.new_result,
        "stop to a new worker's first work": outcome.stops.new_work,
        **{f"{how} to the last work on it": seconds for how, seconds in sorted(outcome.cancellations.items())},
    }
    for work, seconds in spans.items():
        for subject, share in (("p50", 0.5), ("p99", 0.99), ("most", 1.0)):
            if seconds:
                add(work, subject, 1_000 * _percentile(seconds, share), "ms")
    for work, resources in (("server at the start", outcome.before), ("server at the end", outcome.after)):
        add(work, "memory", resources.megabytes, "MB")
        add(work, "descriptors", resources.descriptors, "descriptors")
        add(work, "threads", resources.threads, "threads")
    return found


def _percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]
