"""Admission: whether one more job is taken. What is taken is finished; what is not is told when to come again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from candelabra_server.config import LoadLimits
from candelabra_server.errors import OverloadedError, Reason

__all__ = ["Admission", "Backlog"]

_SHORTEST_WAIT_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 30.0
_MEBIBYTE = 1024 * 1024


class Backlog(NamedTuple):
    """What an engine has before it.

    Attributes:
        queued_symbols: how many wait to be computed.
        waiting_bytes: results that wait for their clients.
        seconds: how long the workers will take for what is queued, by what it cost so far.
    """

    queued_symbols: int = 0
    waiting_bytes: int = 0
    seconds: float = 0.0


class Admission:
    """Counts the jobs of one engine. Used from its event loop.

    Args:
        limits: of all jobs together.
        backlog: tells what there is to do now.
    """

    def __init__(self, limits: LoadLimits, backlog: Callable[[], Backlog]) -> None:
        self._limits = limits
        self._backlog = backlog
        self.active_jobs = 0
        """Jobs and screens that were taken and have not ended."""

    @contextmanager
    def job(self) -> Iterator[None]:
        """The life of one job, from before it is planned.

        Raises:
            OverloadedError: there are too many, or there is too much to do already.
        """
        most = self._limits.max_jobs
        if self.active_jobs >= most:
            raise self._refusal(Reason.TOO_MANY_JOBS, f"it has {most:,} jobs, as many as it takes", self._backlog())
        self.active_jobs += 1
        try:
            self.check(1)  # which saves the planning of what would be refused after it
            yield
        finally:
            self.active_jobs -= 1

    def check(self, symbols: int) -> None:
        """Returns when a job of so many symbols, which is counted already, may begin.

        Raises:
            OverloadedError: there is too much else to do.
        """
        if self.active_jobs <= 1:
            return
        backlog, limits = self._backlog(), self._limits
        if backlog.queued_symbols + symbols > limits.max_queued_symbols:
            told = f"{backlog.queued_symbols:,} symbols are queued, and it takes {limits.max_queued_symbols:,}"
            raise self._refusal(Reason.TOO_MANY_SYMBOLS_QUEUED, told, backlog)
        if backlog.waiting_bytes > limits.max_waiting_mebibytes * _MEBIBYTE:
            told = f"{backlog.waiting_bytes / 1e6:,.0f} MB of results wait for clients that read slowly"
            raise self._refusal(Reason.TOO_MANY_BYTES_WAITING, told, backlog)

    @staticmethod
    def _refusal(reason: Reason, told: str, backlog: Backlog) -> OverloadedError:
        wait = min(max(backlog.seconds, _SHORTEST_WAIT_SECONDS), _LONGEST_WAIT_SECONDS)
        return OverloadedError(
            f"the server has too much to do: {told}; send the job again in {wait:.1f} s or later",
            reason=reason,
            retry_seconds=wait,
            metadata={"queued_symbols": str(backlog.queued_symbols), "waiting_bytes": str(backlog.waiting_bytes)},
        )
