"""Turns a symbol's columns into finished ProcessingResult bytes, and the server's fields into their head.

A packed repeated double is on the wire exactly what a bytes field of the same number is, so workers
fill the twin message EncodedResult with raw column bytes: one memory copy instead of a conversion of
every value. Concatenated encodings of one message type merge, so the server's own fields, which have
the lowest numbers, are joined in front and the values are never decoded or encoded again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from candelabra.v1 import ColumnInfo, ColumnKind, NanReasons, ProcessingResult, ResultInfo, SymbolError
from candelabra.worker.v1 import EncodedColumn, EncodedResult
from candelabra_server.domain.candles import FloatColumn, MicrosColumn
from candelabra_server.errors import CandelabraError

__all__ = [
    "DEFAULT_MESSAGE_BYTES",
    "UNLIMITED_MESSAGE_BYTES",
    "ResultColumn",
    "encode_failure",
    "encode_header",
    "encode_rows",
]

DEFAULT_MESSAGE_BYTES = 1_048_576
"""Largest encoded result unless a job asks for another size."""
UNLIMITED_MESSAGE_BYTES = 2**31 - 1
"""As large as a message can be: for results that stay in the process."""

_HEADER_BYTES = 256
"""Room for the server's fields (a job id of at most 128 characters and four numbers)."""
_FIELD_BYTES = 16
"""Room for the tags and lengths around one column's values."""


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """One output: its name, what its values mean, one value a row, and why some are NaN (None: not told)."""

    name: str
    kind: ColumnKind
    values: FloatColumn
    nan_reasons: NanReasons | None = None


def encode_rows(
    symbol: str,
    open_time_micros: MicrosColumn,
    columns: Sequence[ResultColumn],
    info: ResultInfo,
    *,
    float32: bool = False,
    max_message_bytes: int = DEFAULT_MESSAGE_BYTES,
) -> list[bytes]:
    """Encodes a symbol's rows as consecutive ProcessingResult messages without the server's fields.

    At least one message, in order of rows, the last one marked and with `info`, to which an entry for
    every column is added. None exceeds `max_message_bytes`, server's fields included, unless one row
    alone does.
    """
    info.columns.extend(_describe(column) for column in columns)
    width = 4 if float32 else 8
    around = _HEADER_BYTES + info.ByteSize() + 4 * len(symbol)
    around += sum(4 * len(column.name) + _FIELD_BYTES for column in columns)
    rows_in_part = max(1, (max_message_bytes - around) // (8 + width * len(columns)))
    float_type = np.dtype("<f4" if float32 else "<f8")
    with np.errstate(over="ignore"):  # a value beyond float32 becomes an infinity, as the client asked
        packed = [np.ascontiguousarray(column.values, dtype=float_type) for column in columns]
    times = np.ascontiguousarray(open_time_micros, dtype="<i8")
    parts = []
    for first, end in _row_ranges(len(times), rows_in_part):
        part = EncodedResult(symbol=symbol, row_offset=first, open_time_micros=times[first:end].tobytes())
        for column, values in zip(columns, packed, strict=True):
            raw = values[first:end].tobytes()
            if float32:
                part.columns.append(EncodedColumn(name=column.name, kind=column.kind, values_f32=raw))
            else:
                part.columns.append(EncodedColumn(name=column.name, kind=column.kind, values=raw))
        if end == len(times):
            part.last_part = True
            part.info.CopyFrom(info)
        parts.append(part.SerializeToString())
    return parts


def encode_failure(symbol: str, failure: CandelabraError) -> bytes:
    """Encodes why a symbol has no result, as its only message."""
    error = SymbolError(reason=str(failure.reason), message=failure.message, metadata=dict(failure.metadata))
    return EncodedResult(symbol=symbol, error=error, last_part=True).SerializeToString()


def encode_header(*, job_id: str, sequence: int, symbols_total: int, symbols_done: int, attempts: int) -> bytes:
    """The fields that only the server knows; goes in front of a worker's bytes."""
    return ProcessingResult(
        job_id=job_id, sequence=sequence, symbols_total=symbols_total, symbols_done=symbols_done, attempts=attempts
    ).SerializeToString()


def _row_ranges(rows: int, rows_in_part: int) -> Iterator[tuple[int, int]]:
    for first in range(0, max(rows, 1), rows_in_part):
        yield first, min(first + rows_in_part, rows)


def _describe(column: ResultColumn) -> ColumnInfo:
    missing = np.isnan(column.values)
    nan_count = int(np.count_nonzero(missing))
    first_valid = -1 if nan_count == len(missing) else int(np.argmin(missing))
    return ColumnInfo(
        name=column.name, first_valid_row=first_valid, nan_count=nan_count, nan_reasons=column.nan_reasons
    )
