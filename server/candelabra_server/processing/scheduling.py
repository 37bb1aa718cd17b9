"""What runs next: the policy of the dispatcher, without processes, tasks or clocks.

- Every job has a queue of symbols and a virtual time that grows by measured cost divided by weight; the
  job that is furthest behind goes next, so a job of one symbol does not wait behind one of 8,000. A new
  job starts level with the one that ran last, and so does one that goes on after a stall or a range of
  rows: what it could not use meanwhile is gone.
- At most workers + 1 chunks are in flight: what was given to the pool cannot be taken back. A chunk is
  charged when it is taken, so a job that has its part of them is not the one furthest behind while others wait.
- A chunk is one symbol at first, then grows towards TARGET_SECONDS of measured cost and 4 MiB of results, or
  CHUNK_BYTES of cheap ones, and shrinks at the end of the job so that its last symbols are shared out, down to a
  millisecond's worth.
- A job whose results are not fetched gets no more chunks once they are `max_unfetched_bytes`: its client
  slows nobody else.
- A symbol with more rows than a chunk's results may have is done in ranges of rows, one after the other;
  its job does nothing else meanwhile.
- A symbol whose worker died becomes a suspect. Suspects run one at a time in a pool of their own (quarantine), where
  nobody else is hurt by the next death; MAX_ATTEMPTS deaths convict. All other symbols that the broken pool had go
  back to where they were. A symbol that was in flight MAX_ATTEMPTS times when a pool broke for no known reason
  becomes a suspect, too, with nothing held against it.

Not safe for concurrent use: the dispatcher calls it from its event loop only.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["CHUNK_BYTES", "MAX_ATTEMPTS", "MAX_UNFETCHED_BYTES", "TARGET_SECONDS", "Chunk", "JobQueue", "Scheduler"]

TARGET_SECONDS = 0.010
"""Worker time that a chunk should take: long against the cost of dispatching, short against a wait."""
CHUNK_BYTES = 14 * 1024 * 1024
"""Results that a chunk should have at most."""
MAX_UNFETCHED_BYTES = 8 * 1024 * 1024
"""Results of a job that wait for its client before it gets no more chunks; what is in flight then is added."""
MAX_ATTEMPTS = 3
"""A symbol whose worker died this many times is given up."""

_MOST_SYMBOLS_IN_CHUNK = 1_024
_GROWTH = 4
"""A chunk has at most so many times the symbols of the one before."""
_NEW_COST_SHARE = 0.2
"""Of a chunk's cost in the smoothed one, at least: the first chunks count by their symbols."""
_PLENTY_BYTES = 4 * 1024 * 1024
_CHEAP_SECONDS = 0.003
"""More results than those only where they take no longer than this: dispatching a chunk, half a millisecond, is then
much beside it. For others it would be a longer wait for nothing."""
_TAIL_SECONDS = 0.001
"""Worker time that is not shared out further at the end of a job: dispatching half of it would take as long."""


class _Piece(NamedTuple):
    """A symbol, or its rows from one on."""

    symbol: str
    first_row: int = 0


@dataclass(eq=False, slots=True)
class JobQueue:
    """One job's symbols and its place among the other jobs."""

    symbols: deque[str]
    weight: float
    virtual_seconds: float = 0.0
    symbol_seconds: float | None = None
    """Smoothed cost of one symbol; None before the first was measured."""
    symbol_bytes: float = 0.0
    """Smoothed size of one symbol's results."""
    measured_symbols: int = 0
    """Of how many symbols these are."""
    last_chunk_symbols: int = 0
    in_flight: int = 0
    unfetched_bytes: int = 0
    """Results that are done and wait for the job's client."""
    is_stalled: bool = False
    """Whether it was passed over because of them since it last ran."""
    ranged: _Piece | None = None
    """What is next of a symbol that is done in ranges of rows; symbols wait until there is none."""
    is_range_in_flight: bool = False
    """Whether those rows are being done, or wait as a suspect."""
    suspects: deque[_Piece] = field(default_factory=deque)
    attempts: dict[str, int] = field(default_factory=dict)
    """Failed attempts so far, of the symbols that had any."""
    puzzles: dict[str, int] = field(default_factory=dict)
    """How often a symbol was there when a pool broke for no known reason."""


@dataclass(frozen=True, eq=False, slots=True)
class Chunk:
    """Some symbols of one job, given to one worker.

    Attributes:
        first_row: of the only symbol, where it is done in ranges of rows.
        charged_seconds: the estimate that the job's virtual time was charged with.
        is_suspect: a worker died with this symbol before: it runs in quarantine.
    """

    job: JobQueue
    symbols: tuple[str, ...]
    first_row: int
    charged_seconds: float
    is_suspect: bool


class Scheduler:
    """Decides which symbols of which job run next."""

    def __init__(
        self,
        *,
        workers: int,
        max_unfetched_bytes: int = MAX_UNFETCHED_BYTES,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self._workers = workers
        self._chunk_bytes = chunk_bytes
        self._max_unfetched_bytes = max_unfetched_bytes
        self._jobs: list[JobQueue] = []
        self._in_flight = 0
        self._is_suspect_running = False
        self._now = 0.0
        """Virtual time of the job that was taken last."""

    @property
    def in_flight(self) -> int:
        """Chunks that were taken and not reported back, the suspect among them."""
        return self._in_flight + self._is_suspect_running

    @property
    def window(self) -> int:
        """Most chunks in flight, beside a suspect."""
        return self._workers + 1

    @property
    def has_suspects(self) -> bool:
        """Whether the quarantine has, or will have, something to do."""
        return self._is_suspect_running or any(job.suspects for job in self._jobs)

    @property
    def waits_for_suspects(self) -> bool:
        """Whether a suspect could be taken now."""
        return not self._is_suspect_running and any(job.suspects and not self._stalls(job) for job in self._jobs)

    @property
    def queued_symbols(self) -> int:
        """Symbols of all jobs that no chunk in flight has."""
        return sum(len(job.symbols) + len(job.suspects) for job in self._jobs)

    @property
    def unfetched_bytes(self) -> int:
        """Results of all jobs that wait for their clients."""
        return sum(job.unfetched_bytes for job in self._jobs)

    @property
    def backlog_seconds(self) -> float:
        """How long the workers will take for what is queued, by what symbols cost so far."""
        cost = sum(len(job.symbols) * (job.symbol_seconds or TARGET_SECONDS) for job in self._jobs)
        return cost / self._workers

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
        if self._in_flight >= self.window:
            return None
        ready = [job for job in self._jobs if self._has_work(job) and not self._stalls(job)]
        if not ready:
            return None
        job = min(ready, key=lambda found: (found.virtual_seconds, found.in_flight))
        if job.ranged is not None:
            job.is_range_in_flight = True
            return self._started(job, (job.ranged.symbol,), job.ranged.first_row)
        count = self._chunk_size(job)
        return self._started(job, tuple(job.symbols.popleft() for _ in range(count)))

    def take_suspect(self) -> Chunk | None:
        """The suspect to run now in quarantine, or None while one runs or there is none."""
        if not self.waits_for_suspects:
            return None
        suspicious = [job for job in self._jobs if job.suspects and not self._stalls(job)]
        job = min(suspicious, key=lambda candidate: candidate.virtual_seconds)
        piece = job.suspects.popleft()
        job.is_range_in_flight |= bool(piece.first_row)
        return self._started(job, (piece.symbol,), piece.first_row, is_suspect=True)

    def finished(self, chunk: Chunk, seconds: float, *, done: int | None = None, result_bytes: int = 0) -> None:
        """The chunk came back after `seconds` of worker time.

        Args:
            chunk: what came back.
            seconds: processor time.
            done: how many of its symbols were done, None for all; the others go back to the front of the queue.
            result_bytes: of what was done.
        """
        job = chunk.job
        self._ended(chunk)
        job.virtual_seconds += (seconds - chunk.charged_seconds) / job.weight
        if chunk.first_row:
            job.virtual_seconds = max(job.virtual_seconds, self._now)
        count = len(chunk.symbols) if done is None else done
        if job in self._jobs:
            job.symbols.extendleft(reversed(chunk.symbols[count:]))
        if count:
            job.measured_symbols += count
            share = max(_NEW_COST_SHARE, count / job.measured_symbols)
            known = job.symbol_seconds or 0.0
            job.symbol_seconds = known + share * (seconds / count - known)
            job.symbol_bytes += share * (result_bytes / count - job.symbol_bytes)

    def set_range(self, job: JobQueue, piece: tuple[str, int] | None) -> None:
        """The symbol that the job does before anything else, and the row to go on from; None when there is none.

        Saying the same again, while those rows are being done, changes nothing.
        """
        job.ranged = None if piece is None else _Piece(*piece)

    def handed_over(self, job: JobQueue, result_bytes: int) -> None:
        """Results of this size wait for the job's client, until `fetched`."""
        job.unfetched_bytes += result_bytes

    def fetched(self, job: JobQueue, result_bytes: int) -> None:
        """The job's client has taken results of this size."""
        job.unfetched_bytes -= result_bytes
        if job.is_stalled and job.unfetched_bytes < self._max_unfetched_bytes:
            job.is_stalled = False
            job.virtual_seconds = max(job.virtual_seconds, self._now)

    def died(self, chunk: Chunk, position: int) -> bool:
        """A worker died of the chunk's symbol at this position: it becomes a suspect, the others go back.

        Returns whether it is given up instead.
        """
        job, symbol = chunk.job, chunk.symbols[position]
        self._ended(chunk)
        if job not in self._jobs:
            return False
        if not chunk.first_row:
            job.symbols.extendleft(reversed(chunk.symbols[:position] + chunk.symbols[position + 1 :]))
        job.attempts[symbol] = job.attempts.get(symbol, 0) + 1
        if job.attempts[symbol] >= MAX_ATTEMPTS:
            return True
        self._suspect(job, symbol, chunk.first_row)
        if chunk.is_suspect:
            job.suspects.rotate(1)  # it is next again: the sooner it is judged, the better
        return False

    def give_up(self, job: JobQueue) -> list[str]:
        """Takes everything that a job has queued away, and returns its symbols, each once."""
        symbols = dict.fromkeys([*job.symbols, *(piece.symbol for piece in job.suspects)])
        if job.ranged is not None and not job.is_range_in_flight:
            symbols[job.ranged.symbol] = None
        job.symbols.clear()
        job.suspects.clear()
        return list(symbols)

    def puzzled(self, chunk: Chunk) -> None:
        """The pool broke while it had the chunk, and nobody knows why."""
        job = chunk.job
        self.returned(chunk)
        if chunk.is_suspect or job not in self._jobs:
            return
        for symbol in chunk.symbols:
            job.puzzles[symbol] = job.puzzles.get(symbol, 0) + 1
            if job.puzzles[symbol] >= MAX_ATTEMPTS:
                if not chunk.first_row:
                    job.symbols.remove(symbol)
                self._suspect(job, symbol, chunk.first_row)

    def returned(self, chunk: Chunk) -> None:
        """Nothing became of the chunk, and it is not to blame: its symbols go back to the front, uncharged."""
        job = chunk.job
        self._ended(chunk)
        job.virtual_seconds -= chunk.charged_seconds / job.weight
        if job not in self._jobs:
            return
        if chunk.is_suspect:
            job.suspects.appendleft(_Piece(chunk.symbols[0], chunk.first_row))
            job.is_range_in_flight |= bool(chunk.first_row)
        elif not chunk.first_row:
            job.symbols.extendleft(reversed(chunk.symbols))

    @staticmethod
    def _has_work(job: JobQueue) -> bool:
        if job.ranged is not None:
            return not job.is_range_in_flight
        return bool(job.symbols)

    def _stalls(self, job: JobQueue) -> bool:
        """Whether too many of its results wait for its client."""
        if job.unfetched_bytes < self._max_unfetched_bytes:
            return False
        job.is_stalled = True
        return True

    @staticmethod
    def _suspect(job: JobQueue, symbol: str, first_row: int) -> None:
        job.suspects.append(_Piece(symbol, first_row))
        job.is_range_in_flight |= bool(first_row)  # as a suspect it runs, and only so

    def _started(
        self, job: JobQueue, symbols: tuple[str, ...], first_row: int = 0, *, is_suspect: bool = False
    ) -> Chunk:
        # Charged in advance, so that one job does not take the whole window before its first cost is known.
        charged = (job.symbol_seconds or TARGET_SECONDS) * len(symbols)
        self._now = max(self._now, job.virtual_seconds)
        job.virtual_seconds += charged / job.weight
        job.in_flight += 1
        if is_suspect:
            self._is_suspect_running = True
        else:
            job.last_chunk_symbols = len(symbols)
            self._in_flight += 1
        return Chunk(job, symbols, first_row, charged, is_suspect)

    def _ended(self, chunk: Chunk) -> None:
        chunk.job.in_flight -= 1
        if chunk.is_suspect:
            self._is_suspect_running = False
        else:
            self._in_flight -= 1
        if chunk.first_row:
            chunk.job.is_range_in_flight = False

    def _chunk_size(self, job: JobQueue) -> int:
        if job.symbol_seconds is None:
            return 1
        cost, rest = max(job.symbol_seconds, 1e-6), len(job.symbols)
        wanted = int(TARGET_SECONDS / cost)
        size = max(job.symbol_bytes, 1.0)
        fitting = min(int(self._chunk_bytes / size), max(int(_PLENTY_BYTES / size), int(_CHEAP_SECONDS / cost)))
        tail = min(rest, max(math.ceil(rest / (2 * self._workers)), int(_TAIL_SECONDS / cost)))
        return max(1, min(wanted, fitting, _GROWTH * job.last_chunk_symbols, tail, _MOST_SYMBOLS_IN_CHUNK))
