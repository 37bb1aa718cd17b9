"""Segments: the candles of one import, mapped into memory, and the index that finds a symbol in them."""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from candelabra_server.candles.checksums import BlockChecksums, is_intact, sealed
from candelabra_server.candles.manifest import FORMAT
from candelabra_server.candles.store_layout import StoreLayout, unreadable
from candelabra_server.domain.candles import FloatColumn, MicrosColumn
from candelabra_server.errors import StoreError

__all__ = ["MAGIC", "OPEN_TIME", "VALUE_BYTES", "DamagedSegment", "MappedSegment", "SegmentIndex", "open_segment"]

OPEN_TIME = "open_time"
"""Name of the time column in a segment."""

MAGIC = b"ARROW1"
"""How a segment's file begins."""
VALUE_BYTES = 8
"""Of every value in every column."""


@dataclass(frozen=True, slots=True)
class SegmentIndex:
    """Where in a segment's file everything lies; written beside it as JSON.

    It lets readers do without an Arrow library, whose import costs a process 100 ms and a thread.

    Attributes:
        file_bytes: size of the segment's file.
        rows: how many candles.
        offsets: by column name: position in the file of its values, 8 bytes each, little-endian.
        symbols: sorted.
        starts: the first row of each symbol, and the row count: one more than symbols.
        field_sets: the distinct sets of fields that symbols have, in the order of columns.
        field_set_of: one position in `field_sets` a symbol; empty when there is but one set.
        checksums: of the segment's file; None when it was written before there were any.
    """

    file_bytes: int
    rows: int
    offsets: Mapping[str, int]
    symbols: Sequence[str]
    starts: npt.NDArray[np.int64]
    field_sets: Sequence[Sequence[str]]
    field_set_of: Sequence[int]
    checksums: BlockChecksums | None = None

    def to_json(self) -> bytes:
        """The content of the index file."""
        content: dict[str, Any] = {
            "format": FORMAT,
            "file_bytes": self.file_bytes,
            "rows": self.rows,
            "columns": {
                name: {"offset": offset, "dtype": "<i8" if name == OPEN_TIME else "<f8"}
                for name, offset in self.offsets.items()
            },
            "symbols": list(self.symbols),
            "starts": self.starts.tolist(),
            "field_sets": [list(names) for names in self.field_sets],
            "field_set_of": list(self.field_set_of),
        }
        if self.checksums is not None:
            content["checksums"] = {"block_bytes": self.checksums.block_bytes, "crc32": self.checksums.digits}
        return sealed(content)

    @classmethod
    def from_json(cls, content: bytes) -> SegmentIndex:
        """Reads what `to_json` wrote.

        Raises:
            ValueError, KeyError, TypeError, AttributeError, OverflowError, IndexError: it is damaged or of another
                version.
        """
        if not is_intact(content):
            raise ValueError("another checksum")
        parsed: dict[str, Any] = json.loads(content)
        if parsed["format"] != FORMAT:
            raise ValueError("another version")
        sums = parsed.get("checksums")
        index = cls(
            file_bytes=int(parsed["file_bytes"]),
            rows=int(parsed["rows"]),
            offsets={name: int(column["offset"]) for name, column in parsed["columns"].items()},
            symbols=parsed["symbols"],
            starts=np.array(parsed["starts"], dtype=np.int64),
            field_sets=parsed["field_sets"],
            field_set_of=parsed["field_set_of"],
            checksums=BlockChecksums(int(sums["block_bytes"]), str(sums["crc32"])) if sums else None,
        )
        index._check()
        return index

    def _check(self) -> None:
        starts = self.starts
        is_sound = (
            len(starts) == len(self.symbols) + 1
            and starts[0] == 0
            and starts[-1] == self.rows
            and bool((np.diff(starts) > 0).all())
            and len(self.field_set_of) in (0, len(self.symbols))
            and (len(self.field_set_of) > 0 or len(self.field_sets) == 1)
            and all(0 <= number < len(self.field_sets) for number in set(self.field_set_of))
            and all(name in self.offsets for names in self.field_sets for name in names)
            and OPEN_TIME in self.offsets
            and (self.checksums is None or self.checksums.fit(self.file_bytes))
            and all(
                offset >= 0 and offset % VALUE_BYTES == 0 and offset + self.rows * VALUE_BYTES <= self.file_bytes
                for offset in self.offsets.values()
            )
        )
        if not is_sound:
            raise ValueError("contradicts itself")


class MappedSegment:
    """A segment's columns as read-only arrays over the mapped file.

    Immutable, so safe from any thread. The file stays mapped, also when it is removed, until the segment
    and every array that came from it are gone. So does what it reads when another file takes its name; but a file
    that is shortened in place ends the process that reads behind its new end, which `fault` tells before.

    Attributes:
        name: of the segment.
        mapping: the mapped file.
        file_bytes: the size that it has unless it was changed.
        open_times: of all rows, sorted within a symbol.
        time_values: the same as Python sees them, for binary searches: numpy's takes ten times as long.
        starts: rows at which symbols start, and the row count.
        symbols: sorted.
        positions: by symbol: where it is in `symbols`.
    """

    def __init__(self, name: str, mapping: mmap.mmap, index: SegmentIndex) -> None:
        self.name = name
        self.mapping = mapping
        self.file_bytes = index.file_bytes
        columns = {
            field: np.frombuffer(mapping, "<i8" if field == OPEN_TIME else "<f8", index.rows, offset)
            for field, offset in index.offsets.items()
        }
        self.open_times: MicrosColumn = columns[OPEN_TIME]
        start = index.offsets[OPEN_TIME]
        self.time_values = memoryview(mapping)[start : start + index.rows * VALUE_BYTES].cast("q")
        self.starts: list[int] = index.starts.tolist()
        self.symbols = index.symbols
        self.positions = dict(zip(index.symbols, range(len(index.symbols)), strict=True))
        self._columns_of_set: list[dict[str, FloatColumn]] = [
            {field: columns[field] for field in fields} for fields in index.field_sets
        ]
        self._set_of = index.field_set_of

    @classmethod
    def open(cls, layout: StoreLayout, name: str) -> MappedSegment:
        """Maps a segment.

        Raises:
            StoreError: one of its two files is missing or damaged.
        """
        index = _read_index(layout.segment_index(name))
        return cls(name, _map(layout.segment(name), index), index)

    @property
    def rows(self) -> int:
        """How many candles it has."""
        return len(self.open_times)

    def columns(self, position: int) -> Mapping[str, FloatColumn]:
        """The whole columns of the fields that a symbol has."""
        return self._columns_of_set[self._set_of[position] if self._set_of else 0]

    def fault(self) -> str:
        """What is wrong with the mapped file by now; empty when nothing is. Takes half a microsecond."""
        try:
            size = self.mapping.size()  # the file's, by the descriptor that the mapping has
        except OSError as error:
            return unreadable(Path(f"{self.name}.arrow"), error).message
        return "" if size == self.file_bytes else _wrong_size(f"{self.name}.arrow", size, self.file_bytes)


@dataclass(frozen=True, slots=True)
class DamagedSegment:
    """A segment that cannot be read, but whose index tells whose candles are in it.

    Attributes:
        name: of the segment.
        symbols: those that it has candles of, which nobody may believe to be read without them.
        fault: what is wrong, for users; begins with the file.
    """

    name: str
    symbols: Collection[str]
    fault: str


def open_segment(layout: StoreLayout, name: str) -> MappedSegment | DamagedSegment:
    """Maps a segment; where only its candles are damaged, tells whose they are.

    Raises:
        StoreError: its index is missing or damaged, so it may have candles of any symbol.
    """
    index = _read_index(layout.segment_index(name))
    try:
        return MappedSegment(name, _map(layout.segment(name), index), index)
    except StoreError as error:
        return DamagedSegment(name, frozenset(index.symbols), error.message)


def _map(path: Path, index: SegmentIndex) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            # A file that is shorter than its index says would end the process when it is read.
            if size != index.file_bytes:
                raise StoreError(_wrong_size(path.name, size, index.file_bytes))
            if file.read(len(MAGIC)) != MAGIC:
                raise StoreError(f"{path.name} of the candle store is damaged: it does not begin as an Arrow file")
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise unreadable(path, error) from error


def _wrong_size(file_name: str, size: int, expected: int) -> str:
    return f"{file_name} of the candle store is damaged: it has {size:,} bytes, not {expected:,}"


def _read_index(path: Path) -> SegmentIndex:
    try:
        return SegmentIndex.from_json(path.read_bytes())
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, IndexError) as error:
        raise StoreError(f"{path.name} of the candle store is damaged or was written by a later version") from error
