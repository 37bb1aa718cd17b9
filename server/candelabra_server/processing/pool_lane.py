"""A lane: what one pool has in flight, and the watch over it.

    submit ──▶ in flight ──future──▶ dispatcher
                  │ the pool breaks
                  ▼
                lost ──▶ judged, once nothing is in flight and it is known who died ──▶ a new generation

What the watch sees, it sees by the marks that workers leave (see marks.py):

- a worker that is dead, which the standard pool never reports when it died while it sent a result;
- a symbol that has had all its time, or a chunk that is not wanted any more, whose worker does not look up: after
  the grace that worker is ended;
- a worker that a signal has stopped, which is ended after twice the grace, whatever it is at;
- a pool in which nothing moves, since such a process holds a lock, or for whatever reason: it is ended whole.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from candelabra_server.processing.executors.worker_deaths import WorkerDeath
from candelabra_server.processing.marks import Mark, monotonic_micros
from candelabra_server.processing.result_transport import ChunkReply, Slot
from candelabra_server.processing.scheduling import Chunk

__all__ = ["InFlight", "Lane", "Lost", "Submitted", "WorkerPool"]


class Submitted(NamedTuple):
    """A chunk that the pool has."""

    future: Future[ChunkReply]
    slot: Slot | None
    """Where its results will be; None when all of them come with the reply."""
    generation: object
    """Which of the pool's processes have it, for `end_broken`."""


class WorkerPool(Protocol):
    """What the dispatcher needs of a pool."""

    @property
    def is_open(self) -> bool:
        """Whether it was started and not shut down since."""

    def submit(self, task: bytes) -> Submitted | None:
        """Gives one encoded ChunkTask to the pool; None while there is no slot for its results.

        Raises:
            BrokenProcessPool, UnavailableError: there is no pool to give it to.
        """

    def has_silently_died(self) -> bool:
        """Whether a worker is dead and the pool does not say so (yet)."""

    def stopped_workers(self) -> Iterable[int]:
        """Ids of worker processes that a signal has stopped."""

    def end_worker(self, process_id: int) -> None:
        """Ends a worker that has had all its time; the pool breaks."""

    def end_broken(self, generation: object = None) -> Mapping[int, WorkerDeath]:
        """Ends every process of a generation, None for the present one; tells how those died that were not ended so.

        Blocks.
        """

    async def recover(self) -> None:
        """Replaces a broken pool by one that has answered; raises UnavailableError when there is none."""

    async def start(self) -> None:
        """The same, also for a pool that was not started yet."""

    def shutdown(self) -> None:
        """Ends an idle pool. Blocks."""


@dataclass(slots=True)
class InFlight:
    """A chunk that a pool has, and how long its worker may take."""

    number: int
    """Counts what was submitted."""
    generation: object
    slot: Callable[[], Slot | None]
    """Not kept from here: who waits for the chunk has it, and when an event loop is closed before, nobody has."""
    symbol_micros: int
    """For each of its symbols."""
    until_micros: int
    """For all of them, by the monotonic clock; from then on nobody wants them."""

    def tell_to_stop(self) -> None:
        """Nobody wants the chunk any more."""
        self.until_micros = min(self.until_micros, monotonic_micros())
        slot = self.slot()
        if slot is not None:
            slot.tell_to_stop()

    def mark(self) -> Mark:
        """Where its worker is."""
        slot = self.slot()
        return slot.mark() if slot is not None else Mark(0, 0, 0)


class Lost(NamedTuple):
    """A chunk that a pool had when it broke."""

    number: int
    generation: object
    chunk: Chunk
    mark: Mark


class Lane:
    """One pool of a dispatcher. Used from its event loop."""

    def __init__(self, pool: WorkerPool, *, grace_seconds: float, is_ready: bool) -> None:
        self.pool = pool
        self.is_ready = is_ready
        """Whether the pool takes chunks, as far as is known."""
        self.in_flight: dict[Chunk, InFlight] = {}
        self.lost: list[Lost] = []
        self._grace_micros = int(grace_seconds * 1_000_000)
        self._submitted = 0
        self._moved_micros = 0
        self._stopped: dict[int, int] = {}
        """When a worker was first seen to be stopped, by its id."""
        self._late: set[Chunk] = set()
        """Whose workers did not look up at the last look: after a halt of the whole machine, they all seem late."""
        self._suspicion = ""

    @property
    def is_over(self) -> bool:
        """Whether the pool is broken and all it had is accounted for."""
        return not self.is_ready and not self.in_flight

    def began(self, chunk: Chunk, submitted: Submitted, *, symbol_seconds: float, until_micros: int) -> None:
        """The pool has the chunk now."""
        if not self.in_flight:
            self._moved_micros = monotonic_micros()
        self._submitted += 1
        self.in_flight[chunk] = InFlight(
            self._submitted,
            submitted.generation,
            weakref.ref(submitted.slot) if submitted.slot is not None else _no_slot,
            int(symbol_seconds * 1_000_000),
            until_micros,
        )

    def ended(self, chunk: Chunk) -> InFlight | None:
        """The pool has the chunk no more; None when it was given up before."""
        self._moved_micros = monotonic_micros()
        return self.in_flight.pop(chunk, None)

    def give_up(self) -> None:
        """Loses all that the pool still has: it was ended, and does not tell."""
        for chunk, known in list(self.in_flight.items()):
            del self.in_flight[chunk]
            self.lose(chunk, known)

    @property
    def generations(self) -> set[object]:
        """Those that have something; the present one, as None, where none has."""
        return {known.generation for known in self.in_flight.values()} or {None}

    def lose(self, chunk: Chunk, known: InFlight) -> None:
        """The pool broke while it had the chunk."""
        self.is_ready = False
        self.lost.append(Lost(known.number, known.generation, chunk, known.mark()))

    def take_lost(self) -> list[Lost]:
        """What was lost since the last time, the last submitted first: the order in which queues are to get it back."""
        lost, self.lost = sorted(self.lost, reverse=True, key=lambda one: one.number), []
        return lost

    def watch(self) -> tuple[list[int], str]:
        """Looks at what is in flight: workers to be ended, and why the whole pool is to be, said the second time."""
        now = monotonic_micros()
        self._stopped = {process: self._stopped.get(process, now) for process in self.pool.stopped_workers()}
        marks = {chunk: known.mark() for chunk, known in self.in_flight.items()}
        late_before = self._late
        self._late = {
            chunk
            for chunk, known in self.in_flight.items()
            if self._is_late(marks[chunk], known, len(chunk.symbols), now)
        }
        late = [marks[chunk].process for chunk in self._late & late_before]
        late += [process for process, since in self._stopped.items() if now > since + 2 * self._grace_micros]
        suspicion = ""
        if not self.is_ready and marks and now > self._moved_micros + 2 * self._grace_micros:
            suspicion = "a pool that broke does not give back what it had"
        elif self.pool.has_silently_died():
            suspicion = "a worker died and its pool did not notice"
        elif self._is_stuck(marks, now):
            suspicion = "no worker takes work or gives it back"
        is_certain = bool(suspicion) and suspicion == self._suspicion
        self._suspicion = "" if is_certain else suspicion
        return late, suspicion if is_certain else ""

    def _is_late(self, mark: Mark, known: InFlight, symbols: int, now: int) -> bool:
        if not mark.is_begun or mark.position >= symbols:
            return False
        return now > min(mark.since_micros + known.symbol_micros, known.until_micros) + self._grace_micros

    def _is_stuck(self, marks: Mapping[Chunk, Mark], now: int) -> bool:
        """Whether for twice the grace all work waits to be begun, or some to be given back."""
        patience = 2 * self._grace_micros
        if not marks or not self.is_ready:
            return False
        if any(
            mark.is_begun and mark.position >= len(chunk.symbols) and now > mark.since_micros + patience
            for chunk, mark in marks.items()
        ):
            return True
        return not any(mark.is_begun for mark in marks.values()) and now > self._moved_micros + patience


def _no_slot() -> None:
    """Of a chunk that has none."""
