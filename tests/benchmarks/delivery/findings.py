"""Findings: what the suite measured, what it promises, and what could not be measured and why."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks.promises import Promise
from benchmarks.report import Figure, show, versions_of

__all__ = ["OURS", "Findings", "Subject"]

OURS = "candelabra"

Subject = Callable[[], Mapping[str, float]]
"""Does the work once; gives what was measured, by unit."""


@dataclass(slots=True)
class Findings:
    """Grows part by part.

    Attributes:
        figures: everything, in the order of measuring.
        promises: what is held against them.
        notes: what the figures do not tell, and what could not be measured and why; a sentence each.
    """

    figures: list[Figure] = field(default_factory=list)
    promises: list[Promise] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _shown: int = 0

    def measure(self, work: str, subjects: Mapping[str, Subject], *, runs: int) -> None:
        """Adds the medians of all subjects, which work in turns; one that fails is left out from then on."""
        print(f"  {work}: {', '.join(subjects)} …", flush=True)  # noqa: T201
        measured: dict[str, list[Mapping[str, float]]] = {subject: [] for subject in subjects}
        for _ in range(runs):
            for subject in list(measured):
                with self.attempt(f"{work}: {subject}"):
                    measured[subject].append(subjects[subject]())
                    continue
                del measured[subject]
        for subject, outcomes in measured.items():
            for unit in outcomes[0]:
                self.add(work, subject, statistics.median(outcome[unit] for outcome in outcomes), unit)

    def add(self, work: str, subject: str, value: float, unit: str, versions: Mapping[str, str] | None = None) -> None:
        """One figure; its ratio is to ours, which is added first. A peer with an environment tells its versions."""
        ours = self.value(work, OURS, unit)
        installed = versions_of(*(() if versions else ("candelabra", "grpcio", "protobuf", "pyarrow", "numpy")))
        ratio = value / (ours or value or 1.0)
        self.figures.append(Figure(work, subject, value, unit, ratio, {**installed, **(versions or {})}))

    def value(self, work: str, subject: str, unit: str) -> float | None:
        """A figure's value; None where it was not measured."""
        found = (f.value for f in self.figures if (f.work, f.subject, f.unit) == (work, subject, unit))
        return next(found, None)

    @contextmanager
    def attempt(self, what: str) -> Iterator[None]:
        """Whatever fails inside is noted as not measured, with the reason, and ends nothing else."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, the other subjects are measured
            reason = " ".join(str(error).split()) or type(error).__name__
            self.notes.append(f"{what}: not measured, {reason}")
            print(f"  {self.notes[-1]}", flush=True)  # noqa: T201

    def show(self, title: str) -> None:
        """Prints what was added since the last time, a table for every unit."""
        added, self._shown = self.figures[self._shown :], len(self.figures)
        for unit in dict.fromkeys(figure.unit for figure in added):
            show([figure for figure in added if figure.unit == unit], title=f"{title}: {unit}")
