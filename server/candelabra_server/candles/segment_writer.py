"""Writes segments: an Arrow IPC file that any Arrow tool reads, and the index that our readers use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import ipc

from candelabra_server.candles.candle_batch import SegmentContent
from candelabra_server.candles.checksums import BlockChecksums, ChecksummingFile
from candelabra_server.candles.segment import OPEN_TIME, SegmentIndex
from candelabra_server.candles.store_layout import StoreLayout, sync_file, write_durably

__all__ = ["read_arrow", "write_segment"]

_SYMBOL = "symbol"


def write_segment(layout: StoreLayout, name: str, content: SegmentContent) -> None:
    """Writes a segment's two files and returns when they are on the disk.

    The Arrow file has one record batch, uncompressed: a dictionary-encoded symbol, the open time as a
    UTC timestamp in microseconds, and the fields as doubles, NaN where there is no value. Its checksums are those of
    what was handed to the system, so that they also tell when something else came to lie on the disk.
    """
    path = layout.segment(name)
    checksums = _write_arrow(path, content)
    sync_file(path)
    offsets = _column_offsets(path)
    field_sets = sorted({tuple(column for column in content.columns if column in names) for names in content.fields})
    number_of = {frozenset(names): number for number, names in enumerate(field_sets)}
    index = SegmentIndex(
        file_bytes=path.stat().st_size,
        rows=len(content.open_times),
        offsets=offsets,
        symbols=content.symbols,
        starts=content.starts,
        field_sets=field_sets,
        field_set_of=[number_of[names] for names in content.fields] if len(field_sets) > 1 else [],
        checksums=checksums,
    )
    write_durably(layout.segment_index(name), index.to_json())


def read_arrow(path: Path) -> tuple[dict[str, int], list[str], npt.NDArray[np.int64]]:
    """What an index says of a segment's file, from the file itself: offsets of columns, symbols and their starts.

    Raises:
        pyarrow.ArrowException, OSError, ValueError, KeyError, IndexError, AttributeError: it is no such file.
    """
    with pa.memory_map(str(path)) as source:
        base = source.read_buffer().address
        batch = _batch(source)
        batch.validate(full=True)
        column = batch.column(_SYMBOL)
        symbols, codes = column.dictionary.to_pylist(), column.indices.to_numpy()
        starts = np.append(np.flatnonzero(np.diff(codes, prepend=-1)), len(codes)).astype(np.int64)
        if not np.array_equal(codes[starts[:-1]], np.arange(len(symbols))):
            raise ValueError("symbols are not in their order")
        return _offsets(base, batch), symbols, starts


def _write_arrow(path: Path, content: SegmentContent) -> BlockChecksums:
    rows = len(content.open_times)
    codes = np.repeat(np.arange(len(content.symbols), dtype=np.int32), np.diff(content.starts))
    times = np.ascontiguousarray(content.open_times, dtype=np.int64)
    arrays = {
        _SYMBOL: pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(content.symbols, pa.string())),
        OPEN_TIME: pa.Array.from_buffers(pa.timestamp("us", "UTC"), rows, [None, pa.py_buffer(times)]),
    }
    for field, column in content.columns.items():
        values = np.ascontiguousarray(column, dtype=np.float64)
        arrays[field] = pa.Array.from_buffers(pa.float64(), rows, [None, pa.py_buffer(values)])
    batch = pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays))
    with path.open("wb") as file:
        sink = ChecksummingFile(file)
        with ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)
        return sink.checksums()


def _column_offsets(path: Path) -> Mapping[str, int]:
    """Where the values of each column begin in the file, found by mapping it as a reader would."""
    with pa.memory_map(str(path)) as source:
        return _offsets(source.read_buffer().address, _batch(source))


def _batch(source: pa.MemoryMappedFile) -> pa.RecordBatch:
    source.seek(0)
    return ipc.open_file(source).get_batch(0)


def _offsets(base: int, batch: pa.RecordBatch) -> dict[str, int]:
    return {field: batch.column(field).buffers()[1].address - base for field in batch.schema.names if field != _SYMBOL}
