"""Figures of a benchmark: as a table for people, as JSON for programs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

FOLDER = Path(".bench")


@dataclass(frozen=True)
class Figure:
    """One measured value; `ratio` is the value divided by our own on the same work."""

    work: str
    subject: str
    value: float
    unit: str
    ratio: float
    versions: dict[str, str]


def versions_of(*packages: str) -> dict[str, str]:
    """What was measured, and on what."""
    machine = {"python": platform.python_version(), "cpus": str(os.cpu_count())}
    return machine | {package: version(package) for package in packages}


def publish(suite: str, figures: Sequence[Figure], *, title: str) -> Path:
    """Prints a table, a row a kind of work and a column a subject, and writes `.bench/SUITE.json`."""
    table = Table("work", *_in_order(figure.subject for figure in figures), title=title)
    for work in _in_order(figure.work for figure in figures):
        row = [figure for figure in figures if figure.work == work]
        table.add_row(work, *(f"{figure.value:,.2f} {figure.unit} ({figure.ratio:.2f}×)" for figure in row))
    Console().print(table)
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{suite}.json"
    path.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")
    print(f"figures written to {path}")  # noqa: T201
    return path


def _in_order(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
