"""What a running server and its workers have used: processor time, and the most memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["Usage", "usage_of"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one process, or of several together.

    Memory is what is resident, so that pages which processes share, such as those of the store's mapped files, are
    counted for each.

    Attributes:
        cpu_seconds: since the start.
        peak_bytes: most memory since the start.
    """

    cpu_seconds: float
    peak_bytes: int


def usage_of(process: psutil.Process, *, with_children: bool = False) -> Usage:
    """What it has used until now; with its children it is they that are meant, and not itself."""
    each = process.children(recursive=True) if with_children else [process]
    return Usage(sum(map(_cpu_seconds, each)), sum(_peaks(each)))


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _peaks(processes: Iterable[psutil.Process]) -> Iterable[int]:
    for process in processes:
        status = Path(f"/proc/{process.pid}/status")
        if status.exists():
            (peak,) = (int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
            yield 1_024 * peak
        else:  # there is no peak to be had; what it has now is the least that it can be
            yield int(process.memory_info().rss)
