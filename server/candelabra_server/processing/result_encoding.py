"""Turns a symbol's columns into finished ProcessingResult bytes, and the server's fields into their head.

A packed repeated double is on the wire its tag, its length and the bytes of the numbers. So a part is put together of
prefixes, which are the same for every symbol of a job, and the columns' own bytes: one memory copy, straight to where
the server will find it, and no conversion of values. Concatenated encodings of one message type merge, so the server's
own fields, which have the lowest numbers, are joined in front and the values are never decoded or encoded again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from candelabra.v1 import ColumnInfo, ColumnKind, NanReasons, ResultInfo, SymbolError
from candelabra.worker.v1 import EncodedResult
from candelabra_server.domain.candles import FloatTable, MicrosColumn
from candelabra_server.errors import CandelabraError
from candelabra_server.formulas.compiled.loading import loaded_machine
from candelabra_server.formulas.service import CAUSES

__all__ = [
    "DEFAULT_MESSAGE_BYTES",
    "UNLIMITED_MESSAGE_BYTES",
    "ColumnStatistics",
    "HeaderEncoder",
    "ResultLayout",
    "column_infos",
    "encode_failure",
    "joined_info",
]

DEFAULT_MESSAGE_BYTES = 1_048_576
"""Largest encoded result unless a job asks for another size."""
UNLIMITED_MESSAGE_BYTES = 2**31 - 1
"""As large as a message can be: for results that stay in the process."""

_HEADER_BYTES = 256
"""Room for the server's fields (a job id of at most 128 characters and four numbers)."""
_FIELD_BYTES = 16
"""Room for the tags and lengths around one column's values."""
_INFO_COLUMN_BYTES = 56
"""Room for what is told about a column, beside its name."""

_SYMBOL_BYTES = 512
"""Room for the symbol and the numbers beside it."""

# Tags: the number of the field << 3, | 2 where a length follows, | 0 for a number.
_SYMBOL, _ROW_OFFSET, _LAST_PART = b"\x32", b"\x40", b"\x48\x01"
_TIMES, _COLUMN, _INFO = b"\x52", b"\x5a", b"\x62"
_COLUMN_NAME, _COLUMN_KIND, _COLUMN_VALUES, _COLUMN_VALUES_F32 = b"\x0a", b"\x10", b"\x1a", b"\x22"
_INFO_COLUMNS = b"\x1a"
_CANDLES_READ, _WARM_UP_CANDLES_USED, _LOAD_MICROS, _COMPUTE_MICROS = b"\x08", b"\x10", b"\x20", b"\x28"
_JOB_ID, _SEQUENCE, _SYMBOLS_TOTAL, _SYMBOLS_DONE, _ATTEMPTS = b"\x0a", b"\x10", b"\x18", b"\x20", b"\x28"
_BYTES = [bytes((number,)) for number in range(256)]
_LITTLE_ENDIAN_INT64 = np.dtype("<i8")
_KEPT_PREFIXES = 64

_Prefixes = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]
"""What stands before each column's values, one behind the other, and where each ends."""


class ColumnStatistics(NamedTuple):
    """What is counted while columns are written, one number a column.

    Attributes:
        missing: how many rows have no value.
        first_valid: the first row that has one; -1 for none.
        last_missing: the last row of the table in which any column has none; -1 for none.
    """

    missing: npt.NDArray[np.int64]
    first_valid: npt.NDArray[np.int64]
    last_missing: int


class ResultLayout:
    """How the results of one job look: the same columns for every symbol. Not safe for concurrent use.

    Args:
        names: of the columns.
        kinds: of the columns.
        float32: 32-bit values.
        max_message_bytes: of one message, the server's fields included.
        snapshot_id: the state of the store that the job reads.
        warnings: what comes with every symbol.
    """

    def __init__(
        self,
        names: Sequence[str],
        kinds: Sequence[ColumnKind],
        *,
        float32: bool = False,
        max_message_bytes: int = DEFAULT_MESSAGE_BYTES,
        snapshot_id: str = "",
        warnings: Sequence[str] = (),
    ) -> None:
        self._names = tuple(names)
        self._width = 4 if float32 else 8
        self._heads = [
            _COLUMN_NAME + _varint(len(encoded)) + encoded + (_COLUMN_KIND + _varint(kind) if kind else b"")
            for encoded, kind in zip((name.encode() for name in names), kinds, strict=True)
        ]
        self._values_tag = _COLUMN_VALUES_F32 if float32 else _COLUMN_VALUES
        self._info_end = ResultInfo(snapshot_id=snapshot_id, warnings=warnings).SerializeToString()
        self._known_prefixes: dict[int, _Prefixes] = {}
        self._counts = np.zeros(len(names), dtype=np.int64)
        self._firsts = np.zeros(len(names), dtype=np.int64)
        name_bytes = sum(len(head) for head in self._heads)
        self._row_bytes = 8 + self._width * len(names)
        self._around = _HEADER_BYTES + _SYMBOL_BYTES + name_bytes + _FIELD_BYTES * len(names)
        self._info_room = _HEADER_BYTES + len(self._info_end) + name_bytes + _INFO_COLUMN_BYTES * len(names)
        self._rows_in_part = max(1, (max_message_bytes - self._around - self._info_room) // self._row_bytes)

    def most_bytes(self, rows: int) -> int:
        """At most what `write` and `add_info` take for so many rows."""
        parts = -(-max(rows, 1) // self._rows_in_part)
        return rows * self._row_bytes + parts * self._around + self._info_room

    def rows_that_fit(self, size: int) -> int:
        """How many rows `write` and `add_info` need no more than `size` bytes for, at least 1."""
        part_bytes = self._rows_in_part * self._row_bytes + self._around
        parts, rest = divmod(size - self._info_room, part_bytes)
        return max(1, parts * self._rows_in_part + max(0, rest - self._around) // self._row_bytes)

    def write(
        self,
        room: npt.NDArray[np.uint8],
        symbol: str,
        open_time_micros: MicrosColumn,
        values: FloatTable,
        *,
        skip: int = 0,
        row_offset: int = 0,
        is_last: bool = True,
    ) -> tuple[list[int], ColumnStatistics]:
        """Writes consecutive rows as ProcessingResult messages without the server's fields and without `info`.

        At least one message, in order of rows; none exceeds the largest size, server's fields and `info` included,
        unless one row alone does.

        Args:
            room: at least `most_bytes`.
            symbol: whose rows.
            open_time_micros: of the rows.
            values: one row of the table a column, C-contiguous.
            skip: rows of the table before these.
            row_offset: the number of the first of these rows in the symbol's whole result.
            is_last: whether no rows of the symbol follow.

        Returns:
            The messages' sizes, and what was counted, until the next call; rows are counted from the first of these.
        """
        rows = len(open_time_micros)
        table: npt.NDArray[np.float64] | npt.NDArray[np.float32] = values
        dropped = 0
        if self._width != values.itemsize:
            with np.errstate(over="ignore"):  # a value beyond float32 becomes an infinity, as the client asked
                table = values[:, skip : skip + rows].astype("<f4")
            skip, dropped = 0, skip
        counts, firsts = self._counts, self._firsts
        counts[:] = 0
        firsts[:] = -1
        last_missing = -1
        sizes = []
        at = 0
        for first in range(0, max(rows, 1), self._rows_in_part):
            stop = min(first + self._rows_in_part, rows)
            begin = at
            at = _put(room, at, _lead(symbol, row_offset + first, is_last=is_last and stop == rows))
            if stop > first:
                times = open_time_micros[first:stop].astype(_LITTLE_ENDIAN_INT64, copy=False)
                at = _put(room, at, _TIMES + _varint(times.nbytes) + times.tobytes())
            at, last = _splice(
                room,
                at,
                self._prefixes(stop - first),
                table=table,
                rows=range(skip + first, skip + stop),
                counts=counts,
                firsts=firsts,
            )
            last_missing = max(last_missing, last)
            sizes.append(at - begin)
        if skip:
            firsts[firsts >= 0] -= skip
        return sizes, ColumnStatistics(counts, firsts, last_missing + dropped if last_missing >= 0 else -1)

    def info(
        self,
        found: ColumnStatistics,
        causes: bytes | None,
        *,
        candles_read: int,
        warm_up_candles_used: int,
        load_micros: int,
        compute_micros: int,
    ) -> bytes:
        """An encoded ResultInfo of what `write` wrote; `causes` as for `column_infos`."""
        columns = column_infos(self._names, found.missing.tobytes(), found.first_valid.tobytes(), causes)
        return b"".join(
            (
                _number(_CANDLES_READ, candles_read),
                _number(_WARM_UP_CANDLES_USED, warm_up_candles_used),
                columns,
                _number(_LOAD_MICROS, load_micros),
                _number(_COMPUTE_MICROS, compute_micros),
                self._info_end,
            )
        )

    def add_info(self, room: npt.NDArray[np.uint8], sizes: list[int], info: bytes) -> None:
        """Puts an encoded info behind the last message."""
        at = sum(sizes)
        sizes[-1] += _put(room, at, _INFO + _varint(len(info)) + info) - at

    def _prefixes(self, rows: int) -> _Prefixes:
        """What stands before each column's values in a part of so many rows, and where each ends; kept."""
        known = self._known_prefixes.get(rows)
        if known is None:
            if len(self._known_prefixes) >= _KEPT_PREFIXES:
                self._known_prefixes.clear()
            known = self._known_prefixes[rows] = self._make_prefixes(rows)
        return known

    def _make_prefixes(self, rows: int) -> _Prefixes:
        size = rows * self._width
        around = self._values_tag + _varint(size) if rows else b""
        prefixes = [_COLUMN + _varint(len(head) + len(around) + size) + head + around for head in self._heads]
        ends = np.cumsum([len(prefix) for prefix in prefixes], dtype=np.int64)
        return np.frombuffer(b"".join(prefixes), dtype=np.uint8), ends


@lru_cache(maxsize=256)  # most symbols of a job lack the same rows for the same causes
def column_infos(names: tuple[str, ...], missing: bytes, first_valid: bytes, causes: bytes | None) -> bytes:
    """Encoded `ResultInfo.columns`.

    Args:
        names: of the columns.
        missing: how many rows have no value, a 64-bit number a column.
        first_valid: the first row that has one, likewise.
        causes: of the rows without a value, how many have each of CAUSES, likewise; None where that is not told.
    """
    counts, firsts = np.frombuffer(missing, np.int64).tolist(), np.frombuffer(first_valid, np.int64).tolist()
    reasons = None if causes is None else np.frombuffer(causes, np.int64).reshape(-1, len(CAUSES)).tolist()
    encoded = bytearray()
    for number, name in enumerate(names):
        info = ColumnInfo(name=name, first_valid_row=firsts[number], nan_count=counts[number])
        if reasons is not None and any(reasons[number]):
            info.nan_reasons.CopyFrom(
                NanReasons(**{cause.value: n for cause, n in zip(CAUSES, reasons[number], strict=True)})
            )
        content = info.SerializeToString()
        encoded += _INFO_COLUMNS + _varint(len(content)) + content
    return bytes(encoded)


def joined_info(infos: Sequence[tuple[int, bytes]]) -> bytes:
    """The info of a symbol whose rows were computed in ranges, as a field of its last message.

    Args:
        infos: of each range in order: the number of its first row, and its encoded ResultInfo.
    """
    whole = ResultInfo.FromString(infos[0][1])
    for first_row, encoded in infos[1:]:
        part = ResultInfo.FromString(encoded)
        whole.candles_read += part.candles_read
        whole.load_micros += part.load_micros
        whole.compute_micros += part.compute_micros
        for column, more in zip(whole.columns, part.columns, strict=True):
            if column.first_valid_row < 0 <= more.first_valid_row:
                column.first_valid_row = first_row + more.first_valid_row
            column.nan_count += more.nan_count
            for field in NanReasons.DESCRIPTOR.fields:
                count = getattr(more.nan_reasons, field.name)
                if count:
                    setattr(column.nan_reasons, field.name, getattr(column.nan_reasons, field.name) + count)
    content = whole.SerializeToString()
    return _INFO + _varint(len(content)) + content


def encode_failure(symbol: str, failure: CandelabraError) -> bytes:
    """Encodes why a symbol has no result, as its only message."""
    error = SymbolError(reason=str(failure.reason), message=failure.message, metadata=dict(failure.metadata))
    return EncodedResult(symbol=symbol, error=error, last_part=True).SerializeToString()


class HeaderEncoder:
    """Encodes the fields of a job's messages that only the server knows; they go in front of a worker's bytes."""

    def __init__(self, *, job_id: str, symbols_total: int) -> None:
        name = job_id.encode()
        self._before = (_JOB_ID + _varint(len(name)) + name if name else b"") + _SEQUENCE
        self._between = _number(_SYMBOLS_TOTAL, symbols_total)

    def encode(self, *, sequence: int, symbols_done: int, attempts: int) -> bytes:
        """A header; the sequence is 1 or more."""
        done, tried = _number(_SYMBOLS_DONE, symbols_done), _number(_ATTEMPTS, attempts)
        return b"".join((self._before, _varint(sequence), self._between, done, tried))


def _lead(symbol: str, row_offset: int, *, is_last: bool) -> bytes:
    """The fields of a message before its rows."""
    name = symbol.encode()
    return b"".join(
        (
            _SYMBOL + _varint(len(name)) + name if name else b"",
            _number(_ROW_OFFSET, row_offset),
            _LAST_PART if is_last else b"",
        )
    )


def _number(tag: bytes, number: int) -> bytes:
    """A field that holds a number from 0 on; 0 is not there."""
    return tag + _varint(number) if number else b""


def _put(room: npt.NDArray[np.uint8], at: int, content: bytes | memoryview) -> int:
    """Writes bytes; returns where the next ones go."""
    end = at + len(content)
    room.data[at:end] = content  # a quarter of what an assignment to the array takes
    return end


def _splice(
    room: npt.NDArray[np.uint8],
    at: int,
    prefixes: _Prefixes,
    *,
    table: npt.NDArray[np.float64] | npt.NDArray[np.float32],
    rows: range,
    counts: npt.NDArray[np.int64],
    firsts: npt.NDArray[np.int64],
) -> tuple[int, int]:
    """Writes each column's prefix and its rows, and counts; gives where the next bytes go: see compiled/splicing.py."""
    texts, ends = prefixes
    first, stop = rows.start, rows.stop
    machine = loaded_machine()
    if machine is not None:
        splice = machine.splice if table.itemsize == 8 else machine.splice_float32
        last = splice(room, at, texts, ends, table.reshape(-1), table.shape[1], first, stop, counts, firsts)
        return at + len(texts) + table.itemsize * len(table) * len(rows), int(last)
    last = -1
    for number, (begin, end) in enumerate(_prefix_bounds(ends)):
        at = _put(room, at, texts[begin:end].data)
        column = table[number, first:stop]
        at = _put(room, at, column.view(np.uint8).data)
        missing = np.isnan(column)
        count = int(np.count_nonzero(missing))
        counts[number] += count
        if count:
            last = max(last, first + int(np.flatnonzero(missing)[-1]))
        if firsts[number] < 0 and count < len(rows):
            firsts[number] = first + int(np.argmin(missing))
    return at, last


def _prefix_bounds(ends: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    begin = 0
    for end in ends.tolist():
        yield begin, end
        begin = end


def _varint(number: int) -> bytes:
    """A number as protobuf encodes lengths and kinds."""
    if number < 128:
        return _BYTES[number]
    if number < 16_384:
        return _BYTES[number & 127 | 128] + _BYTES[number >> 7]
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
