"""How a worker process died: what its exit code, the system and the server itself know of it."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ENDED_WITH_POOL", "OVERTIME", "WorkerDeath", "memory_kills"]

ENDED_WITH_POOL = -signal.SIGTERM
"""Exit code of workers that the standard pool ends when another one has died."""
OVERTIME = "overtime"
"""`WorkerDeath.cause` of a worker that the server ended, since a symbol had all its time and more."""
_OUT_OF_MEMORY = "out of memory"

_KILL_COUNTERS = (Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat"))
"""Where Linux counts processes that it killed for want of memory: of the container, else of the machine."""


@dataclass(frozen=True, slots=True)
class WorkerDeath:
    """One worker's end.

    Attributes:
        process: its id.
        exit_code: its status, or the signal's number, negative.
        cause: what is known beside that; empty when nothing is.
    """

    process: int
    exit_code: int
    cause: str = ""

    @property
    def signal_name(self) -> str:
        """Such as SIGKILL; empty when it was no signal."""
        if self.exit_code >= 0:
            return ""
        try:
            return signal.Signals(-self.exit_code).name
        except ValueError:
            return f"signal {-self.exit_code}"

    def __str__(self) -> str:
        """Such as "killed by SIGKILL (out of memory)"."""
        how = f"killed by {self.signal_name}" if self.exit_code < 0 else f"ended with exit code {self.exit_code}"
        return f"{how} ({self.cause})" if self.cause else how

    def metadata(self) -> Mapping[str, str]:
        """The same for programs."""
        known = {"exit_code": str(self.exit_code), "signal": self.signal_name, "cause": self.cause}
        return {name: value for name, value in known.items() if value}

    @classmethod
    def of(cls, process: int, exit_code: int, *, overtime: bool, memory_kills_before: int) -> WorkerDeath:
        """What is known of a worker that has ended.

        Args:
            process: its id.
            exit_code: as `WorkerDeath.exit_code`.
            overtime: whether the server has ended it.
            memory_kills_before: what `memory_kills` said when it was started.
        """
        if overtime:
            return cls(process, exit_code, OVERTIME)
        is_killed = exit_code == -getattr(signal, "SIGKILL", 9)
        return cls(process, exit_code, _OUT_OF_MEMORY if is_killed and memory_kills() > memory_kills_before else "")


def memory_kills() -> int:
    """How many processes the system has killed for want of memory so far; 0 where it does not tell."""
    for counter in _KILL_COUNTERS:
        try:
            counts = dict(line.split() for line in counter.read_text().splitlines())
            return int(counts["oom_kill"])
        except (OSError, ValueError, KeyError):
            continue
    return 0
