"""What runs next: the policy of the dispatcher, without processes, tasks or clocks.

- Every job has a queue of symbols and a virtual time that grows by measured cost divided by weight; the
  job that is furthest behind goes next, so a job of one symbol does not wait behind one of 8,000. A new
  job starts level with the one that ran last, and so does one that goes on after a stall: what it could
  not use meanwhile is gone.
- At most workers + 1 chunks are in flight: what was given to the pool cannot be taken back.
- A chunk is one symbol at first, then grows towards TARGET_SECONDS of measured cost, and shrinks at the
  end of the job so that its last symbols are shared out.
- A job whose results are not fetched gets no more chunks: its client slows nobody else.
- When a worker dies, every symbol it may have had becomes a suspect. Suspects run one at a time with
  nothing beside them, so the next death is certainly theirs; MAX_ATTEMPTS deaths convict.

Not safe for concurrent use: the dispatcher calls it from its event loop only.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["MAX_ATTEMPTS", "TARGET_SECONDS", "Chunk", "JobQueue", "Scheduler"]

TARGET_SECONDS = 0.010
"""Worker time that a chunk should take: long against the cost of dispatching, short against a wait."""
MAX_ATTEMPTS = 3
"""A symbol whose worker died this many times is given up."""

_MOST_SYMBOLS_IN_CHUNK = 256
_NEW_COST_SHARE = 0.2


@dataclass(eq=False, slots=True)
class JobQueue:
    """One job's symbols and its place among the other jobs."""

    symbols: deque[str]
    weight: float
    virtual_seconds: float = 0.0
    symbol_seconds: float | None = None
    """Smoothed cost of one symbol; None before the first was measured."""
    last_chunk_symbols: int = 0
    in_flight: int = 0
    unfetched: int = 0
    """Chunks that are done and wait for the job's client."""
    suspects: deque[str] = field(default_factory=deque)
    attempts: dict[str, int] = field(default_factory=dict)
    """Failed attempts so far, of the symbols that had any."""


@dataclass(frozen=True, eq=False, slots=True)
class Chunk:
    """Some symbols of one job, given to one worker.

    Attributes:
        charged_seconds: the estimate that the job's virtual time was charged with.
        is_suspect: a worker died with this symbol before: nothing else may run beside it.
    """

    job: JobQueue
    symbols: tuple[str, ...]
    charged_seconds: float
    is_suspect: bool


class Scheduler:
    """Decides which symbols of which job run next."""

    def __init__(self, *, workers: int) -> None:
        self._workers = workers
        self._jobs: list[JobQueue] = []
        self._in_flight = 0
        self._is_suspect_running = False
        self._now = 0.0
        """Virtual time of the job that was taken last."""

    @property
    def in_flight(self) -> int:
        """Chunks that were taken and not reported back."""
        return self._in_flight

    @property
    def window(self) -> int:
        """Most chunks in flight."""
        return self._workers + 1

    def add(self, symbols: Sequence[str], *, weight: float) -> JobQueue:
        """Queues a job; it starts level with the job that ran last."""
        job = JobQueue(deque(symbols), weight, self._now)
        self._jobs.append(job)
        return job

    def remove(self, job: JobQueue) -> None:
        """Drops a job and what it has queued; its chunks in flight are still to be reported. Again: nothing."""
        if job in self._jobs:
            self._jobs.remove(job)
        job.symbols.clear()
        job.suspects.clear()

    def take(self) -> Chunk | None:
        """The chunk to run now, or None while the window is full or nothing can run."""
        if self._is_suspect_running:
            return None
        suspicious = [job for job in self._jobs if job.suspects and job.unfetched < self.window]
        if suspicious:
            return self._take_suspect(suspicious) if self._in_flight == 0 else None
        if self._in_flight >= self.window:
            return None
        ready = [job for job in self._jobs if job.symbols and job.in_flight + job.unfetched < self.window]
        if not ready:
            return None
        job = min(ready, key=lambda candidate: (candidate.virtual_seconds, candidate.in_flight))
        count = self._chunk_size(job)
        return self._started(job, tuple(job.symbols.popleft() for _ in range(count)))

    def finished(self, chunk: Chunk, seconds: float) -> None:
        """The chunk came back after `seconds` of worker time; its results wait for `fetched`."""
        job = chunk.job
        self._ended(chunk)
        job.unfetched += 1
        job.virtual_seconds += (seconds - chunk.charged_seconds) / job.weight
        measured = seconds / len(chunk.symbols)
        known = job.symbol_seconds
        job.symbol_seconds = measured if known is None else known + _NEW_COST_SHARE * (measured - known)

    def fetched(self, job: JobQueue) -> None:
        """The job's client has taken one chunk's results."""
        if job.in_flight + job.unfetched >= self.window:
            job.virtual_seconds = max(job.virtual_seconds, self._now)
        job.unfetched -= 1

    def lost(self, chunk: Chunk) -> list[str]:
        """The chunk's worker may have died of it: requeues its symbols as suspects.

        Returns the symbols that are given up; their failure then waits for `fetched` like a result.
        """
        job = chunk.job
        self._ended(chunk)
        if job not in self._jobs:
            return []
        convicted = []
        for symbol in chunk.symbols:
            job.attempts[symbol] = job.attempts.get(symbol, 0) + 1
            if job.attempts[symbol] >= MAX_ATTEMPTS:
                convicted.append(symbol)
            else:
                job.suspects.append(symbol)
        job.unfetched += bool(convicted)
        return convicted

    def returned(self, chunk: Chunk) -> None:
        """The chunk never reached a worker: its symbols go back to the front, uncharged."""
        job = chunk.job
        self._ended(chunk)
        job.virtual_seconds -= chunk.charged_seconds / job.weight
        if job in self._jobs:
            queue = job.suspects if chunk.is_suspect else job.symbols
            queue.extendleft(reversed(chunk.symbols))

    def _take_suspect(self, suspicious: Sequence[JobQueue]) -> Chunk:
        job = min(suspicious, key=lambda candidate: candidate.virtual_seconds)
        self._is_suspect_running = True
        return self._started(job, (job.suspects.popleft(),), is_suspect=True)

    def _started(self, job: JobQueue, symbols: tuple[str, ...], *, is_suspect: bool = False) -> Chunk:
        # Charged in advance, so that one job does not take the whole window before its first cost is known.
        charged = (job.symbol_seconds or TARGET_SECONDS) * len(symbols)
        self._now = max(self._now, job.virtual_seconds)
        job.virtual_seconds += charged / job.weight
        job.last_chunk_symbols = len(symbols)
        job.in_flight += 1
        self._in_flight += 1
        return Chunk(job, symbols, charged, is_suspect)

    def _ended(self, chunk: Chunk) -> None:
        chunk.job.in_flight -= 1
        self._in_flight -= 1
        if chunk.is_suspect:
            self._is_suspect_running = False

    def _chunk_size(self, job: JobQueue) -> int:
        if job.symbol_seconds is None:
            return 1
        wanted = int(TARGET_SECONDS / max(job.symbol_seconds, 1e-6))
        tail = math.ceil(len(job.symbols) / (2 * self._workers))
        return max(1, min(wanted, 2 * job.last_chunk_symbols, tail, _MOST_SYMBOLS_IN_CHUNK))
