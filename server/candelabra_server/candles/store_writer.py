"""StoreWriter: the one process that changes a store, from its lock to the removal of what nobody needs.

An import, in order; killed at any point, readers see the state before or the one after:

1. The lock: a second importer is refused at once.
2. The new segment is written and flushed to the disk (segment_writer.py).
3. When the timeframe would have more than eight segments, all are merged into one more new segment, unless one is
   damaged: what was merged would look sound.
4. The new manifest is written, then CURRENT is replaced: from here on the new state is the present one.
5. States that nobody holds are removed, then the segments that no remaining state names.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

import numpy as np

from candelabra_server.candles.candle_batch import SegmentContent
from candelabra_server.candles.file_lock import remove_unless_locked, try_lock_exclusive
from candelabra_server.candles.manifest import (
    Manifest,
    next_state,
    read_current_state,
    read_manifest,
    write_manifest,
)
from candelabra_server.candles.segment import MappedSegment
from candelabra_server.candles.segment_check import PERMIT, Finding, check_segment
from candelabra_server.candles.store_layout import TEMPORARY_SUFFIX, StoreLayout, writing
from candelabra_server.candles.timeframe_view import TimeframeView
from candelabra_server.domain.candles import FloatColumn
from candelabra_server.domain.timeframe import Timeframe
from candelabra_server.errors import StoreError

__all__ = ["MAX_SEGMENTS", "Committed", "StoreWriter"]

MAX_SEGMENTS = 8
"""Of a timeframe; every symbol is looked up in each."""

_SEE_CHECK = "candelabra-server check-store says whose candles that touches and what to do"

logger = logging.getLogger(__name__)


class Committed(NamedTuple):
    """What became of stored candles when others were added."""

    replaced_rows: int
    """How many of the new candles took the place of stored ones."""
    dropped: tuple[str, ...]
    """The damaged segments that were given up."""


@dataclass(frozen=True, slots=True)
class _Overlap:
    """What a new segment replaces.

    Attributes:
        rows: how many of its candles were stored before.
        kept: the stored segments of which anything remains visible, oldest first.
    """

    rows: int
    kept: Sequence[MappedSegment]


class StoreWriter:
    """Holds a store's import lock while it is entered; makes the store's folder when there is none.

    Not safe to share between threads.
    """

    def __init__(self, root: Path) -> None:
        self._layout = StoreLayout(root.absolute())
        self._lock: IO[Any] | None = None

    def __enter__(self) -> Self:
        """Locks the store.

        Raises:
            StoreError: another import is running, or the folder cannot be written.
        """
        layout = self._layout
        with writing(self._layout):
            for folder in (layout.root, layout.manifests, layout.segments):
                folder.mkdir(parents=True, exist_ok=True)
            lock = layout.import_lock.open("a+b")
            try:
                is_ours = try_lock_exclusive(lock)
            except BaseException:
                lock.close()
                raise
        if not is_ours:
            lock.close()
            raise StoreError("another import into this candle store is running; try again when it is done")
        self._lock = lock
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Removes what is not needed any more, also what a failed or killed import left, and unlocks."""
        try:
            self._collect_garbage()
        except (OSError, StoreError) as error:  # the import has succeeded or failed by now; the next one cleans up
            logger.warning("the candle store could not be cleaned up: %s", type(error).__name__)
        finally:
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    def commit(self, timeframe: str, content: SegmentContent, *, drop_damaged: bool = False) -> Committed:
        """Adds candles in a new state of the store.

        Args:
            timeframe: canonical.
            content: the candles.
            drop_damaged: give up the timeframe's segments that are damaged in any way, with all that they have.

        Raises:
            StoreError: the store is damaged or cannot be written; it is as it was.
        """
        with writing(self._layout):
            layout = self._layout
            present = read_current_state(layout)
            manifest = read_manifest(layout, present) if present else Manifest()
            known = manifest.segments.get(timeframe, ())
            dropped = [name for name in known if self._is_lost(timeframe, name)] if drop_damaged else []
            overlap = _compare(content, [self._open(name) for name in known if name not in dropped])
            state = next_state([present, *self._left_names()])
            names = [*(segment.name for segment in overlap.kept), self._write(f"{state}-{timeframe}", content)]
            if len(names) > MAX_SEGMENTS:
                names = [self._merge(timeframe, names, f"{state}-{timeframe}-merged")]
            segments = {**manifest.segments, timeframe: tuple(names)}
            ordered = {name.text: segments[name.text] for name in sorted(map(Timeframe.parse, segments))}
            self._publish(Manifest(state, ordered))
            return Committed(overlap.rows, tuple(dropped))

    def _open(self, name: str) -> MappedSegment:
        try:
            return MappedSegment.open(self._layout, name)
        except StoreError as error:
            raise StoreError(f"{error.message}; {_SEE_CHECK}") from error

    def _damage(self, timeframe: str, name: str) -> list[Finding]:
        return [finding for finding in check_segment(self._layout, timeframe, name) if finding.is_damage]

    def _is_lost(self, timeframe: str, name: str) -> bool:
        """Whether a segment is damaged; one that may not be read is not."""
        return any(finding.remedy != PERMIT for finding in self._damage(timeframe, name))

    def _merge(self, timeframe: str, names: Sequence[str], merged_name: str) -> str:
        for name in names:
            for finding in self._damage(timeframe, name):
                raise StoreError(f"{finding.file} {finding.problem}, and would be merged now; {_SEE_CHECK}")
        return self._write(merged_name, _merged(TimeframeView(timeframe, [self._open(name) for name in names])))

    def _publish(self, manifest: Manifest) -> None:
        try:
            write_manifest(self._layout, manifest)
        except OSError as error:
            if read_current_state(self._layout) != manifest.state:
                raise
            # Readers have it: only a crash of the machine, before the system gets to it by itself, would undo it.
            logger.warning("the new state of the candle store may not be on the disk yet: %s", error.strerror)

    def _write(self, name: str, content: SegmentContent) -> str:
        from candelabra_server.candles.segment_writer import write_segment  # noqa: PLC0415 - imports pyarrow

        write_segment(self._layout, name, content)
        return name

    def _left_names(self) -> Iterator[str]:
        """The names of all files, so that a new state never takes the count of one that was given up."""
        for folder in (self._layout.manifests, self._layout.segments):
            yield from (path.name for path in folder.iterdir())

    def _collect_garbage(self) -> None:
        """Removes states that nobody holds, segments that no remaining state names, and temporary files."""
        layout = self._layout
        present = read_current_state(layout)
        named: set[str] = set()
        for path in layout.manifests.glob("*.json"):
            if path.stem != present and remove_unless_locked(path):
                continue
            manifest = read_manifest(layout, path.stem)
            named.update(*manifest.segments.values())
        for path in layout.segments.iterdir():
            if path.suffix in {".arrow", ".json"} and path.stem not in named:
                _remove(path)
        for folder in (layout.root, layout.manifests, layout.segments):
            for path in folder.glob(f"*{TEMPORARY_SUFFIX}"):
                _remove(path)


def _compare(content: SegmentContent, stored: Sequence[MappedSegment]) -> _Overlap:
    replaced = np.zeros(len(content.open_times), dtype=np.bool_)
    kept = []
    for segment in stored:
        hidden = 0
        for number, symbol in enumerate(content.symbols):
            position = segment.positions.get(symbol)
            if position is None:
                continue
            old = segment.open_times[segment.starts[position] : segment.starts[position + 1]]
            rows = slice(int(content.starts[number]), int(content.starts[number + 1]))
            new = content.open_times[rows]
            is_stored = old[np.minimum(old.searchsorted(new), len(old) - 1)] == new
            replaced[rows] |= is_stored
            hidden += int(is_stored.sum())
        if hidden < segment.rows:
            kept.append(segment)
    return _Overlap(int(replaced.sum()), kept)


def _merged(view: TimeframeView) -> SegmentContent:
    """Everything that a view shows, as one content."""
    stored = view.stored_symbols
    starts = np.cumsum([0, *(entry.candle_count for entry in stored)], dtype=np.int64)
    open_times = np.empty(starts[-1], dtype=np.int64)
    columns: dict[str, FloatColumn] = {}
    for entry, start, end in zip(stored, starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        candles = view.load_all(entry.symbol)
        open_times[start:end] = candles.open_time_micros
        for name, values in candles.fields.items():
            if name not in columns:
                columns[name] = np.full(starts[-1], np.nan)
            columns[name][start:end] = values
    return SegmentContent(
        symbols=[entry.symbol for entry in stored],
        starts=starts,
        open_times=open_times,
        columns=columns,
        fields=[frozenset(entry.fields) for entry in stored],
    )


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # Windows: someone has it mapped; a later import removes it
        path.unlink(missing_ok=True)
