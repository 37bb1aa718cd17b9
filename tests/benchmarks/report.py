"""Figures of a benchmark: as a table for people, as JSON for programs."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.table import Table

FOLDER = Path(".bench")
_FILE_WIDTH = 180


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
    return machine | {package: _version_of(package) for package in packages}


def publish(suite: str, figures: Sequence[Figure], *, title: str) -> Path:
    """Prints a table and writes `.bench/SUITE.json`."""
    show(figures, title=title)
    return write(suite, figures)


def show(figures: Sequence[Figure], *, title: str) -> None:
    """Prints a table, a row a kind of work and a column a subject; a dash where a subject did not do that work."""
    subjects = _in_order(figure.subject for figure in figures)
    table = Table("work", *subjects, title=title)
    for work in _in_order(figure.work for figure in figures):
        row = {figure.subject: figure for figure in figures if figure.work == work}
        table.add_row(work, *(_cell(row[subject]) if subject in row else "–" for subject in subjects))
    console().print(table)


def console() -> Console:
    """Where tables are printed; wide enough for them where there is no terminal that says how wide it is."""
    return Console() if sys.stdout.isatty() else Console(width=_FILE_WIDTH)


def write(suite: str, figures: Sequence[Figure]) -> Path:
    """Writes `.bench/SUITE.json`."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{suite}.json"
    path.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")
    print(f"figures written to {path}")  # noqa: T201
    return path


def _cell(figure: Figure) -> str:
    return f"{_readable(figure.value)} {figure.unit} ({_readable(figure.ratio)}×)"


def _readable(value: float) -> str:
    return f"{value:,.2f}" if abs(value) >= 0.1 else f"{value:.2g}"


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _in_order(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
