"""Segments: the candles of one import, mapped into memory, and the index that finds a symbol in them."""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from candelabra_server.candles.manifest import FORMAT
from candelabra_server.candles.store_layout import StoreLayout
from candelabra_server.domain.candles import FloatColumn, MicrosColumn
from candelabra_server.errors import StoreError

__all__ = ["OPEN_TIME", "MappedSegment", "SegmentIndex"]

OPEN_TIME = "open_time"
"""Name of the time column in a segment."""

_MAGIC = b"ARROW1"
_VALUE_BYTES = 8


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
    """

    file_bytes: int
    rows: int
    offsets: Mapping[str, int]
    symbols: Sequence[str]
    starts: npt.NDArray[np.int64]
    field_sets: Sequence[Sequence[str]]
    field_set_of: Sequence[int]

    def to_json(self) -> bytes:
        """The content of the index file."""
        content = {
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
        return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"

    @classmethod
    def from_json(cls, content: bytes) -> SegmentIndex:
        """Reads what `to_json` wrote.

        Raises:
            ValueError, KeyError, TypeError, AttributeError, OverflowError: it is damaged or of another version.
        """
        parsed: dict[str, Any] = json.loads(content)
        if parsed["format"] != FORMAT:
            raise ValueError("another version")
        index = cls(
            file_bytes=int(parsed["file_bytes"]),
            rows=int(parsed["rows"]),
            offsets={name: int(column["offset"]) for name, column in parsed["columns"].items()},
            symbols=parsed["symbols"],
            starts=np.array(parsed["starts"], dtype=np.int64),
            field_sets=parsed["field_sets"],
            field_set_of=parsed["field_set_of"],
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
            and all(
                offset >= 0 and offset % _VALUE_BYTES == 0 and offset + self.rows * _VALUE_BYTES <= self.file_bytes
                for offset in self.offsets.values()
            )
        )
        if not is_sound:
            raise ValueError("contradicts itself")


class MappedSegment:
    """A segment's columns as read-only arrays over the mapped file.

    Immutable, so safe from any thread. The file stays mapped, also when it is removed, until the segment
    and every array that came from it are gone.

    Attributes:
        name: of the segment.
        mapping: the mapped file.
        open_times: of all rows, sorted within a symbol.
        time_values: the same as Python sees them, for binary searches: numpy's takes ten times as long.
        starts: rows at which symbols start, and the row count.
        symbols: sorted.
        positions: by symbol: where it is in `symbols`.
    """

    def __init__(self, name: str, mapping: mmap.mmap, index: SegmentIndex) -> None:
        self.name = name
        self.mapping = mapping
        columns = {
            field: np.frombuffer(mapping, "<i8" if field == OPEN_TIME else "<f8", index.rows, offset)
            for field, offset in index.offsets.items()
        }
        self.open_times: MicrosColumn = columns[OPEN_TIME]
        start = index.offsets[OPEN_TIME]
        self.time_values = memoryview(mapping)[start : start + index.rows * _VALUE_BYTES].cast("q")
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
        path, index_path = layout.segment(name), layout.segment_index(name)
        index = _read_index(index_path)
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                # A file that is shorter than its index says would end the process when it is read.
                if size != index.file_bytes or file.read(len(_MAGIC)) != _MAGIC:
                    raise StoreError(f"{path.name} of the candle store is damaged")
                mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise StoreError(f"{path.name} of the candle store cannot be read") from error
        return cls(name, mapping, index)

    @property
    def rows(self) -> int:
        """How many candles it has."""
        return len(self.open_times)

    def columns(self, position: int) -> Mapping[str, FloatColumn]:
        """The whole columns of the fields that a symbol has."""
        return self._columns_of_set[self._set_of[position] if self._set_of else 0]


def _read_index(path: Path) -> SegmentIndex:
    try:
        return SegmentIndex.from_json(path.read_bytes())
    except OSError as error:
        raise StoreError(f"{path.name} of the candle store cannot be read") from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, IndexError) as error:
        raise StoreError(f"{path.name} of the candle store is damaged or was written by a later version") from error
