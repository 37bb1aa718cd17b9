"""check_segment: whether the two files of a segment are as an import wrote them, and whose candles are touched.

A file of candles is read once from start to end, a block at a time, and never mapped: what is wrong with it while it
is checked must not end the process. Each block has its checksum compared, and its values looked at, since a segment
may have been written before there were checksums, or merged from such ones. At last the file is read as other
programs do, and compared with its index.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from candelabra_server.candles.checksums import BLOCK_BYTES, has_seal
from candelabra_server.candles.segment import MAGIC, OPEN_TIME, VALUE_BYTES, SegmentIndex
from candelabra_server.candles.store_layout import StoreLayout
from candelabra_server.domain.candles import PRICE_FIELDS

__all__ = ["PERMIT", "Finding", "check_segment"]

PERMIT = "allow this user to read it"
"""What to do when there is no permission."""

_IMPORT_AGAIN = (
    "restore it from a backup, or import the files with these candles again with --drop-damaged, which gives up "
    "all others in it"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be in a store.

    Attributes:
        file: its path from the store's folder.
        problem: what is wrong and what that means.
        remedy: what to do.
        is_damage: whether candles are lost or in doubt; otherwise all is well, and this is for tidiness.
        timeframe: of the candles that are touched; empty when none are, or those of all timeframes.
        symbols: whose candles are touched, sorted; None for those of all.
    """

    file: str
    problem: str
    remedy: str
    is_damage: bool = True
    timeframe: str = ""
    symbols: Sequence[str] | None = ()


def check_segment(
    layout: StoreLayout, timeframe: str, name: str, progress: Callable[[int], None] = lambda _bytes: None
) -> list[Finding]:
    """Everything that is wrong with a segment; `progress` is told how many bytes more were read."""
    path, index_path = layout.segment(name), layout.segment_index(name)

    def finding(file: Path, problem: str | OSError, symbols: Sequence[str] | None) -> Finding:
        remedy = PERMIT if isinstance(problem, PermissionError) else _IMPORT_AGAIN
        text = problem if isinstance(problem, str) else _cause(problem)
        return Finding(_relative(layout, file), text, remedy, timeframe=timeframe, symbols=symbols)

    try:
        content = index_path.read_bytes()
        index = SegmentIndex.from_json(content)
    except OSError as error:
        return [finding(index_path, error, None)]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, IndexError):
        return [finding(index_path, "is not as it was written, or of a later version", None)]
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != index.file_bytes:
                return [finding(path, f"has {size:,} bytes, not {index.file_bytes:,}", index.symbols)]
            scan = _Scan(index)
            scan.read(file, progress)
    except OSError as error:
        return [finding(path, error, index.symbols)]
    found = [finding(path, problem, symbols) for problem, symbols in scan.problems()]
    contradiction = "" if found else _contradiction(path, index)
    if contradiction:
        found.append(finding(path, contradiction, index.symbols))
    if not found and (index.checksums is None or not has_seal(content)):
        found.append(
            Finding(
                _relative(layout, path),
                "was written before there were checksums: its structure is sound, its values cannot be vouched for",
                "nothing need be done; importing its files again gives them checksums",
                is_damage=False,
                timeframe=timeframe,
            )
        )
    return found


@dataclass
class _Touched:
    """Where one kind of problem was found."""

    count: int = 0
    fields: dict[str, None] = field(default_factory=dict)
    positions: set[int] = field(default_factory=set)


class _Scan:
    """What is found in a segment's file while it is read."""

    def __init__(self, index: SegmentIndex) -> None:
        self._index = index
        self._blocks = 0
        self._last_time: tuple[int, int] | None = None  # row and time
        self._wrong_block = _Touched()
        self._wrong_order = _Touched()
        self._wrong_value = _Touched()
        self._begins_wrong = False

    def read(self, file: IO[bytes], progress: Callable[[int], None]) -> None:
        checksums = self._index.checksums
        block_bytes = checksums.block_bytes if checksums else BLOCK_BYTES
        position = 0
        while block := file.read(block_bytes):
            if position == 0:
                self._begins_wrong = not block.startswith(MAGIC)
            is_right = checksums is None or checksums.agree(self._blocks, block)
            if not is_right:
                self._wrong_block.count += 1
            for name, offset in self._index.offsets.items():
                self._look_at(block, position, name, offset, is_right=is_right)
            self._blocks += 1
            position += len(block)
            progress(len(block))

    def problems(self) -> list[tuple[str, Sequence[str]]]:
        """Each with the symbols that it touches."""
        found: list[tuple[str, Sequence[str]]] = []
        symbols = self._index.symbols
        if self._begins_wrong:
            found.append(("does not begin as an Arrow file", symbols))
        for touched, text in (
            (self._wrong_block, f"of {self._blocks:,} blocks have another checksum"),
            (self._wrong_order, "times are not later than the one before them"),
            (self._wrong_value, "values are infinite or negative"),
        ):
            if touched.count:
                where = f"in {', '.join(touched.fields)}" if touched.fields else "where only other programs read"
                found.append((f"{touched.count:,} {text}, {where}", [symbols[at] for at in sorted(touched.positions)]))
        return found

    def _look_at(self, block: bytes, position: int, name: str, offset: int, *, is_right: bool) -> None:
        """Looks at the part of a column that a block has."""
        begin = max(offset, position)
        end = min(offset + self._index.rows * VALUE_BYTES, position + len(block))
        first, rows = (begin - offset) // VALUE_BYTES, (end - begin) // VALUE_BYTES
        if end <= begin:
            return
        if not is_right:
            self._touch(self._wrong_block, name, np.array([first, first + rows - 1]), is_range=True)
            return
        values = np.frombuffer(block, "<i8" if name == OPEN_TIME else "<f8", rows, begin - position)
        if name == OPEN_TIME:
            self._look_at_times(values, first)
        else:
            wrong = np.isinf(values) if name not in PRICE_FIELDS else np.isinf(values) | (values < 0)
            self._add(self._wrong_value, name, np.flatnonzero(wrong) + first)

    def _look_at_times(self, times: npt.NDArray[np.int64], first: int) -> None:
        before = self._last_time
        if before is not None and before[0] == first - 1:
            times, first = np.append(before[1], times), first - 1
        late = np.flatnonzero(times[1:] <= times[:-1]) + first + 1
        late = late[~np.isin(late, self._index.starts)]
        self._add(self._wrong_order, OPEN_TIME, late)
        self._last_time = first + len(times) - 1, int(times[-1])

    def _add(self, touched: _Touched, name: str, rows: npt.NDArray[np.intp]) -> None:
        if len(rows):
            touched.count += len(rows)
            self._touch(touched, name, rows, is_range=False)

    def _touch(self, touched: _Touched, name: str, rows: npt.NDArray[np.intp], *, is_range: bool) -> None:
        """Notes the symbols of rows, or of all from the first to the last."""
        positions = self._index.starts.searchsorted(rows, side="right") - 1
        touched.fields[name] = None
        touched.positions.update(
            range(int(positions[0]), int(positions[-1]) + 1) if is_range else np.unique(positions).tolist()
        )


def _contradiction(path: Path, index: SegmentIndex) -> str:
    """How a file that other programs read is not what its index says."""
    import pyarrow as pa  # noqa: PLC0415 - takes 100 ms, and readers of candles use this module's types

    from candelabra_server.candles.segment_writer import read_arrow  # noqa: PLC0415

    try:
        offsets, symbols, starts = read_arrow(path)
    except (pa.ArrowException, OSError, ValueError, KeyError, IndexError, AttributeError):
        return "cannot be read as an Arrow file"
    if offsets != index.offsets or symbols != list(index.symbols) or not np.array_equal(starts, index.starts):
        return "and its index contradict each other"
    return ""


def _relative(layout: StoreLayout, path: Path) -> str:
    return path.relative_to(layout.root).as_posix()


def _cause(error: OSError) -> str:
    return "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror or 'unknown'}"
