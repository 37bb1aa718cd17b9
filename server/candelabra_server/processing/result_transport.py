"""Results on their way to the server: small ones through the pool's pipe, others in slots of a mapped file.

    server: ResultSlots.take ──slot──▶ ChunkTask ──▶ worker: PacketWriter fills the slot
       ▲                                                │ ChunkReply through the pipe, under 4 KiB
       └────────── PacketReader over the slot ◀─────────┘

A chunk has one slot while it is in flight and until its results are taken; where slots run short, results that wait
for a slow client are copied out of theirs. The file belongs to one generation of the pool: what workers of an earlier
one still write reaches nobody. Its space is reserved when it is made, since a full file system would end a worker that
writes to the mapping with SIGBUS. In front of the slots stands a record for each, by which a worker tells where it is
and is told that nobody wants its chunk any more (see marks.py).

A worker that is killed while it writes more than a pipe takes at once would leave the standard pool reading for ever:
a reply is short enough that the system writes all of it or nothing.
"""

from __future__ import annotations

import mmap
import os
import pickle
import secrets
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt

from candelabra.worker.v1 import ResultSlot
from candelabra_server.candles.file_lock import remove_unless_locked, try_lock_shared
from candelabra_server.errors import ConfigurationError
from candelabra_server.processing.marks import MARK_BYTES, Mark, Words
from candelabra_server.processing.scheduling import MAX_UNFETCHED_BYTES
from candelabra_server.processing.worker_logging import CarriedRecord

__all__ = [
    "DEFAULT_SLOT_BYTES",
    "ChunkReply",
    "Outcome",
    "PacketReader",
    "PacketWriter",
    "ResultSlots",
    "Rows",
    "Slot",
    "SlotMapping",
    "TransportSettings",
]

DEFAULT_SLOT_BYTES = 16 * 1024 * 1024
"""Of one chunk's results: a symbol with more is computed in ranges of rows."""
_LEAST_SLOT_BYTES = 1024 * 1024
_MOST_PIPED_BYTES = 3_000
"""Of results in a reply: with all around them the reply stays below the 4,096 bytes that a pipe takes at once."""
_END_BYTES = 128 * 1024
"""Of a slot: kept for what stands behind the results."""
_NAME = "candelabra-results-"
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux keeps files in memory
_OWN_BYTES = 4096
_MAPPED = 16
"""Generations that a worker process keeps mapped; it usually sees one."""


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """Where results are put on their way to the server.

    Attributes:
        folder: of the mapped file; None chooses shared memory, or the folder for temporary files where that has not
            enough room.
        slot_bytes: the most that one chunk's results take, 1 MiB or more.
        max_waiting_bytes: results of a job that may wait for its client before no more are computed; what is in flight
            then is added.

    Raises:
        ValueError: a size is too small.
    """

    folder: Path | None = None
    slot_bytes: int = DEFAULT_SLOT_BYTES
    max_waiting_bytes: int = MAX_UNFETCHED_BYTES

    def __post_init__(self) -> None:
        if self.slot_bytes < _LEAST_SLOT_BYTES or self.slot_bytes % mmap.PAGESIZE:
            raise ValueError(
                f"slot_bytes must be {_LEAST_SLOT_BYTES:,} or more and a multiple of {mmap.PAGESIZE:,}, "
                f"not {self.slot_bytes:,}"
            )
        if self.max_waiting_bytes < 1:
            raise ValueError(f"max_waiting_bytes must be 1 or more, not {self.max_waiting_bytes:,}")


class ChunkReply(NamedTuple):
    """What comes back for a chunk through the pool's pipe.

    Attributes:
        seconds: processor time spent on the chunk.
        result_bytes: of the results, which stand first in the packet.
        packet_bytes: of the packet.
        piped: the packet, or nothing when it is in the chunk's slot.
    """

    seconds: float
    result_bytes: int
    packet_bytes: int
    piped: bytes


class Rows(NamedTuple):
    """Which rows of a symbol the messages of an outcome have, where they are not all of them.

    Attributes:
        total: how many the symbol has.
        next_row: the first that is still to be done; `total` when there is none.
        info: the encoded ResultInfo of these rows, which no message holds.
    """

    total: int
    next_row: int
    info: bytes


class Outcome(NamedTuple):
    """What became of a symbol of a chunk, or of several at once.

    Attributes:
        sizes: bytes of each message, in order.
        symbols: how many of the chunk's symbols the messages are of.
        rows: which of the symbol's; None for all.
    """

    sizes: tuple[int, ...]
    symbols: int = 1
    rows: Rows | None = None


class ResultSlots:
    """The slots of one generation of the pool. Used from one thread at a time.

    Raises:
        ConfigurationError: there is no room for them, or the folder cannot be written.
    """

    def __init__(self, count: int, settings: TransportSettings) -> None:
        self._slot_bytes = settings.slot_bytes
        self._head_bytes = -(-count * MARK_BYTES // mmap.PAGESIZE) * mmap.PAGESIZE
        size = self._head_bytes + count * settings.slot_bytes
        file, self._path = _create(settings.folder, size)
        self._end = weakref.finalize(self, _remove, file, self._path)  # also when the engine is forgotten
        self._mapping = mmap.mmap(file.fileno(), size)
        self._free = list(range(count))

    @property
    def path(self) -> Path:
        """The mapped file."""
        return self._path

    def take(self) -> Slot | None:
        """A free slot; None when all are taken."""
        if not self._free:
            return None
        slot = Slot(self, self._free.pop())
        Mark.clear(slot.words)
        return slot

    def close(self) -> None:
        """Removes the file. Its memory is given back when nothing refers to it any more."""
        self._end()


class Slot:
    """One chunk's place in the file, from `take` until `release`."""

    def __init__(self, slots: ResultSlots, number: int) -> None:
        self._slots = slots
        self._number = number
        self._is_taken = True

    def __del__(self) -> None:
        self.release()  # of a chunk that nobody hears of any more, since its event loop was closed

    def to_message(self) -> ResultSlot:
        """What the worker needs to find it."""
        slots = self._slots
        return ResultSlot(
            path=str(slots.path),
            mark=self._number * MARK_BYTES,
            start=self._start,
            size=slots._slot_bytes,  # noqa: SLF001 - a slot is a part of them
        )

    @property
    def words(self) -> Words:
        """The slot's record."""
        start = self._number * MARK_BYTES
        return memoryview(self._slots._mapping)[start : start + MARK_BYTES].cast("q")  # noqa: SLF001

    def mark(self) -> Mark:
        """Where the worker is."""
        return Mark.read(self.words)

    def tell_to_stop(self) -> None:
        """The worker ends the chunk as soon as it looks."""
        Mark.tell_to_stop(self.words)

    def view(self, size: int) -> memoryview:
        """The first `size` bytes that the worker has written."""
        return memoryview(self._slots._mapping)[self._start : self._start + size]  # noqa: SLF001

    @property
    def _start(self) -> int:
        slots = self._slots
        return slots._head_bytes + self._number * slots._slot_bytes  # noqa: SLF001

    def give_up(self) -> None:
        """The slot is never taken again: nobody knows whether a worker writes to it."""
        self._is_taken = False

    def release(self) -> None:
        """The slot may be taken again; views of it must not be used any more. Again: nothing."""
        if self._is_taken:
            self._is_taken = False
            self._slots._free.append(self._number)  # noqa: SLF001


class PacketReader:
    """A chunk's results, as the server finds them.

    Attributes:
        symbols: how many of the chunk's symbols, from the first on, were done: fewer than it has where the worker
            stopped before its end.
        logs: what the worker logged.
    """

    def __init__(self, reply: ChunkReply, slot: Slot | None) -> None:
        packet = memoryview(reply.piped)
        if not reply.piped and reply.packet_bytes:
            if slot is None:
                raise ValueError("the packet is in a slot, and the chunk had none")
            packet = slot.view(reply.packet_bytes)
        self._results = packet[: reply.result_bytes]
        self._outcomes: Sequence[Outcome | int]
        self.symbols: int
        self.logs: tuple[CarriedRecord, ...]
        # From a worker of this server, which runs the same code: nothing of it came from a client as it is.
        self._outcomes, self.symbols, self.logs = pickle.loads(packet[reply.result_bytes :])  # noqa: S301

    def __iter__(self) -> Iterator[tuple[int, list[bytes | memoryview], Rows | None]]:
        """Of every outcome: for how many symbols it is, its messages, which are views of the packet, and its rows."""
        results = self._results
        at = 0
        for outcome in self._outcomes:
            if isinstance(outcome, int):
                yield 1, [results[at : at + outcome]], None
                at += outcome
                continue
            messages: list[bytes | memoryview] = []
            for size in outcome.sizes:
                messages.append(results[at : at + size])
                at += size
            yield outcome.symbols, messages, outcome.rows


class SlotMapping:
    """What a worker process sees of the files of slots: each is mapped once."""

    def __init__(self) -> None:
        self._mapped: dict[str, npt.NDArray[np.uint8]] = {}

    def memory(self, path: str) -> npt.NDArray[np.uint8]:
        """The whole file, writable."""
        memory = self._mapped.get(path)
        if memory is None:
            with Path(path).open("r+b") as file:
                memory = np.frombuffer(mmap.mmap(file.fileno(), 0), dtype=np.uint8)
            while len(self._mapped) >= _MAPPED:
                del self._mapped[next(iter(self._mapped))]
            self._mapped[path] = memory
        return memory

    def words(self, slot: ResultSlot) -> Words:
        """A slot's record."""
        return self.memory(slot.path)[slot.mark : slot.mark + MARK_BYTES].data.cast("B").cast("q")


class PacketWriter:
    """Takes a chunk's results in a worker: in its slot, or in memory of its own for a chunk without one."""

    def __init__(self, memory: npt.NDArray[np.uint8] | None = None, slot: ResultSlot | None = None) -> None:
        self._outcomes: list[Outcome | int] = []  # the size alone where a symbol has one message with all of its rows
        self._symbols = 0
        self._used = 0
        self._is_slot = memory is not None and slot is not None
        if memory is not None and slot is not None:
            self._room = memory[slot.start : slot.start + slot.size]
        else:
            self._room = np.empty(_OWN_BYTES, dtype=np.uint8)

    @property
    def symbols(self) -> int:
        """How many are done so far."""
        return self._symbols

    @property
    def most_bytes(self) -> int | None:
        """What one symbol's results may take in an empty packet; None where there is no bound."""
        return len(self._room) - _END_BYTES if self._is_slot else None

    def room(self, size: int) -> npt.NDArray[np.uint8] | None:
        """Memory for the next `size` bytes, or None when they do not fit behind those that are there."""
        end = self._used + size
        if self._is_slot:
            return self._room[self._used : end] if end <= len(self._room) - _END_BYTES else None
        if end > len(self._room):
            grown = np.empty(max(end, 2 * len(self._room)), dtype=np.uint8)
            grown[: self._used] = self._room[: self._used]
            self._room = grown
        return self._room[self._used : end]

    def add(self, outcome: Outcome) -> None:
        """The next symbol's messages stand in the memory that `room` gave last."""
        self._used += sum(outcome.sizes)
        self._symbols += outcome.symbols
        is_plain = outcome.symbols == 1 and outcome.rows is None and len(outcome.sizes) == 1
        self._outcomes.append(outcome.sizes[0] if is_plain else outcome)

    def add_message(self, message: bytes, *, symbols: int = 1) -> bool:
        """The only message of one or several symbols; False when it does not fit."""
        room = self.room(len(message))
        if room is None:
            return False
        room[:] = np.frombuffer(message, dtype=np.uint8)
        self.add(Outcome((len(message),), symbols))
        return True

    def finish(self, seconds: float, logs: tuple[CarriedRecord, ...]) -> ChunkReply:
        """The reply; the packet is complete."""
        results = self._room[: self._used]
        end = pickle.dumps((self._outcomes, self._symbols, logs))
        while self._is_slot and logs and len(end) > len(self._room) - self._used:
            logs = logs[: len(logs) // 2]
            end = pickle.dumps((self._outcomes, self._symbols, logs))
        size = self._used + len(end)
        if not self._is_slot or size <= _MOST_PIPED_BYTES:
            return ChunkReply(seconds, self._used, size, results.tobytes() + end)
        self._room[self._used : size] = np.frombuffer(end, dtype=np.uint8)
        return ChunkReply(seconds, self._used, size, b"")


def _create(folder: Path | None, size: int) -> tuple[IO[bytes], Path]:
    """A file of this size, its space reserved, in the first folder that has room for it."""
    folders = [folder] if folder is not None else _usual_folders()
    problems = []
    for place in folders:
        try:
            return _create_in(place, size)
        except OSError as error:
            problems.append(f"{place}: {error.strerror or error}")
    raise ConfigurationError(
        f"results need {size / 1e6:,.0f} MB of space in a folder, which cannot be had ({'; '.join(problems)}); "
        "choose another one with --results-folder, or less space with --workers or --result-slot"
    )


def _usual_folders() -> list[Path]:
    temporary = Path(tempfile.gettempdir())
    return [_SHARED_MEMORY, temporary] if _SHARED_MEMORY.is_dir() else [temporary]


def _create_in(folder: Path, size: int) -> tuple[IO[bytes], Path]:
    _remove_abandoned(folder)
    file, path = _create_locked(folder)
    try:
        _reserve(file, size)
    except BaseException:
        _remove(file, path)
        raise
    return file, path


def _create_locked(folder: Path) -> tuple[IO[bytes], Path]:
    """An empty file with a lock that lives as long as the process: by it the next one knows what was abandoned."""
    while True:
        path = folder / f"{_NAME}{os.getpid()}-{secrets.token_hex(4)}"
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "r+b")
        if try_lock_shared(file) and path.exists():
            return file, path
        _remove(file, path)  # another server that starts found it before it was locked


def _remove(file: IO[bytes], path: Path) -> None:
    path.unlink(missing_ok=True)
    file.close()


def _reserve(file: IO[bytes], size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    block = bytes(1024 * 1024)
    for start in range(0, size, len(block)):
        file.write(block[: size - start])
    file.flush()


def _remove_abandoned(folder: Path) -> None:
    """Files of servers that were killed; those of living ones are locked."""
    for path in folder.glob(f"{_NAME}*"):
        try:
            remove_unless_locked(path)
        except OSError:  # another user's
            continue
