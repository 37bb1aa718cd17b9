"""What a peer is asked for and what it answers; runs in the peer's environment, which has numpy and little else."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = [
    "PeerJob",
    "PeerReport",
    "PeerUnavailableError",
    "Timed",
    "Values",
    "differing_columns",
    "load",
    "main_of",
    "process_peak_bytes",
    "timed_runs",
    "versions",
]

Values = npt.NDArray[np.floating]

_STATUS = Path("/proc/self/status")


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerJob:
    """What a peer computes, how often, and our values to compare with.

    Attributes:
        folder: arrays that are timed; every field a `.npy` file, a row a symbol.
        family: `alpha158` or `alpha360`.
        columns: names of the columns of the family that are wanted.
        float32: whether to compute with 32 bits, where the peer can do either.
        runs: how many.
        limit_seconds: no further run begins once the runs took so long.
        checked_folder: small arrays on which values are compared first.
        checked_values: file with our values of those, (columns, symbols, rows).
    """

    folder: str
    family: str
    columns: list[str]
    float32: bool
    runs: int
    limit_seconds: float
    checked_folder: str
    checked_values: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerReport:
    """What a peer measured, or why it did not.

    Attributes:
        seconds: of every run.
        cpu_seconds: processor time of one of the runs, on average, of all processes.
        first_seconds: of a run before them, which was the first in its process.
        peak_bytes: most memory.
        versions: of what was measured.
        differing: columns whose values are not ours.
        unavailable: why there is nothing; empty when there is.
    """

    seconds: tuple[float, ...] = ()
    cpu_seconds: float = 0.0
    first_seconds: float = 0.0
    peak_bytes: int = 0
    versions: dict[str, str]
    differing: tuple[str, ...] = ()
    unavailable: str = ""


class Timed(NamedTuple):
    """What timing gave."""

    seconds: tuple[float, ...]
    cpu_seconds: float


class PeerUnavailableError(Exception):
    """The peer cannot run here, or computes something else; the message says why."""


def main_of(measure: Callable[[PeerJob], PeerReport]) -> None:
    """Reads a job from the command line, and prints the report as the last line."""
    job = PeerJob(**json.loads(sys.argv[1]))
    try:
        report = measure(job)
    except PeerUnavailableError as reason:
        report = PeerReport(versions={}, unavailable=str(reason))
    print(json.dumps(asdict(report)))  # noqa: T201


def differing_columns(job: PeerJob, values: Callable[[str], Values], *, tolerance: float) -> tuple[str, ...]:
    """Names of the columns whose later rows are not ours within a tolerance of their own size.

    Args:
        job: has the file of our values.
        values: the peer's values of a column, (symbols, rows).
        tolerance: of a difference, in units of the column's mean absolute value.

    Raises:
        PeerUnavailableError: too many differ, so that this is no peer.
    """
    ours = np.load(job.checked_values)
    later = ours.shape[2] // 2
    differing = []
    for name, our_column in zip(job.columns, ours, strict=True):
        expected, found = our_column[:, later:], np.asarray(values(name), dtype=np.float64)[:, later:]
        scale = np.nanmean(np.abs(expected))
        close = np.isclose(found, expected, rtol=0, atol=tolerance * scale, equal_nan=True)
        if close.mean() < 0.999:
            differing.append(name)
    if len(differing) > len(job.columns) // 4:
        agreeing = len(job.columns) - len(differing)
        raise PeerUnavailableError(f"computes something else: {agreeing} of {len(job.columns)} columns agree")
    return tuple(differing)


def timed_runs(job: PeerJob, run: Callable[[], object]) -> Timed:
    """Seconds of every run, and the processor time of one."""
    seconds: list[float] = []
    cpu_begin = _cpu_seconds()
    while len(seconds) < job.runs and (not seconds or sum(seconds) < job.limit_seconds):
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
    return Timed(tuple(seconds), (_cpu_seconds() - cpu_begin) / len(seconds))


def load(folder: str, *names: str) -> dict[str, Values]:
    """Arrays of some fields."""
    return {name: np.load(Path(folder) / f"{name}.npy") for name in names}


def process_peak_bytes(*, children: int = 0) -> int:
    """The most memory of this process, and of `children` as large as the largest that has ended.

    Pages that a child shares with this process are counted for both.
    """
    unit = 1 if sys.platform == "darwin" else 1024
    own, largest = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    # On Linux the first is not less than what the process that started this one had; the file has this one's alone.
    if _STATUS.exists():
        (own,) = (int(line.split()[1]) for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return unit * (own + children * largest)


def _cpu_seconds() -> float:
    """Of this process and of children that have ended."""
    return sum(time for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN) for time in resource.getrusage(who)[:2])


def versions(*packages: str) -> dict[str, str]:
    """Installed versions."""
    return {package: version(package) for package in packages}
