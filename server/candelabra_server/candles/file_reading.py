"""Reads one file of candles, in whichever of the known formats its content is, into a checked batch.

1. The bytes are unpacked and their format is recognised: CSV (csv_source.py), Parquet or Arrow.
2. Columns get their roles by name (source_table.py).
3. Texts and types become times and numbers (time_column.py, number_column.py).
4. Every candle is checked (candle_checks.py), then prices are adjusted if that was asked for.

What is wrong is logged; a file with problems gives no batch.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import ipc, parquet, types

from candelabra_server.candles.candle_batch import CandleBatch
from candelabra_server.candles.candle_checks import check_candles
from candelabra_server.candles.csv_source import CsvSource
from candelabra_server.candles.number_column import is_text, read_numbers
from candelabra_server.candles.problem_log import FileProblems, ProblemLog
from candelabra_server.candles.source_table import ColumnRoles, SourceTable, find_roles
from candelabra_server.candles.time_column import EXPECTED_TIME, TimeColumn, read_times
from candelabra_server.domain.candles import PRICE_FIELDS, FloatColumn, MicrosColumn

__all__ = ["read_file"]

_GZIP_MAGIC = b"\x1f\x8b"
_PARQUET_MAGIC = b"PAR1"
_ARROW_FILE_MAGIC = b"ARROW1"
_ARROW_STREAM_MAGIC = b"\xff\xff\xff\xff"
_FEATHER_V1_MAGIC = b"FEA1"
_ENDINGS = (".gz", ".csv", ".txt", ".tsv", ".parquet", ".pq", ".arrow", ".feather", ".ipc")


def read_file(path: Path, *, symbol: str | None, adjust_by: str | None, log: ProblemLog) -> CandleBatch | None:
    """Reads and checks a file; None when the log has problems of it.

    Args:
        path: the file.
        symbol: of all candles, where the file has no such column; None is the file's name without endings.
        adjust_by: the column that prices are scaled to, or None.
        log: where problems go.
    """
    problems = FileProblems(log, str(path))
    try:
        table = _read_table(path, problems)
        if table is None:
            return None
        roles = find_roles(table.names, adjust_by, problems)
        if roles is None:
            return None
        for line, message in table.bad_lines():
            problems.in_line(line, message)
        times = _read_open_times(table, roles, problems)
        batch = _read_batch(
            str(path), table, roles, symbol=symbol or _stem(path), open_times=times.micros, problems=problems
        )
        check_candles(batch, problems, untimed_rows=np.union1d(times.missing_rows, times.bad_rows))
        if roles.adjust_by is not None:
            batch = _adjusted(batch, table, roles.adjust_by, problems)
        return None if problems else batch
    finally:
        problems.report()


def _stem(path: Path) -> str:
    name = path.name
    while Path(name).suffix.lower() in _ENDINGS:
        name = Path(name).stem
    return name


def _read_table(path: Path, problems: FileProblems) -> SourceTable | None:
    try:
        content = path.read_bytes()
        if content.startswith(_GZIP_MAGIC):
            content = gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        problems.in_file("is damaged or truncated: its gzip data ends early or does not unpack")
        return None
    except OSError as error:
        problems.in_file(f"cannot be read: {error.strerror or 'input/output error'}")
        return None
    reader = _columnar_reader(content)
    if reader is None:
        source = CsvSource(content, problems)
        problems.locate = source.line_of
        return source.read()
    try:
        table = reader(pa.BufferReader(content))
        columns = [_decoded(column) for column in table.columns]
    except (pa.ArrowException, OSError, ValueError):
        problems.in_file("is a damaged or truncated Parquet or Arrow file")
        return None
    if table.num_rows == 0:
        problems.in_file("has no candles")
        return None
    return SourceTable([str(name).strip() for name in table.column_names], columns)


def _columnar_reader(content: bytes) -> Callable[[pa.BufferReader], pa.Table] | None:
    if content.startswith(_PARQUET_MAGIC):
        return parquet.read_table  # type: ignore[no-any-return]
    if content.startswith(_ARROW_FILE_MAGIC):
        return lambda source: ipc.open_file(source).read_all()
    if content.startswith(_ARROW_STREAM_MAGIC):
        return lambda source: ipc.open_stream(source).read_all()
    if content.startswith(_FEATHER_V1_MAGIC):
        from pyarrow import feather  # noqa: PLC0415 - an old format that few files have

        return feather.read_table  # type: ignore[no-any-return]
    return None


def _decoded(column: pa.ChunkedArray) -> pa.Array:
    if types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    whole = column.combine_chunks()
    return pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole


def _read_batch(
    source: str,
    table: SourceTable,
    roles: ColumnRoles,
    *,
    symbol: str,
    open_times: MicrosColumn,
    problems: FileProblems,
) -> CandleBatch:
    symbols, codes = _read_symbols(table, roles, symbol)
    columns: dict[str, FloatColumn] = {}
    dropped: list[str] = ["(no name)" for name in table.names if not name]
    for field, position in zip(PRICE_FIELDS, roles.prices, strict=True):
        columns[field] = _read_required(table, position, problems)
    for field, position in roles.others.items():
        numbers = read_numbers(table.columns[position])
        if numbers.is_meant_as_numbers:
            _log_bad_numbers(table, position, numbers.bad_rows, problems)
            columns[field] = numbers.values
        else:
            dropped.append(table.names[position])
    return CandleBatch(source, symbols, codes, open_times, columns, problems.locate, dropped)


def _read_symbols(table: SourceTable, roles: ColumnRoles, symbol: str) -> tuple[Sequence[str], npt.NDArray[np.int32]]:
    rows = len(table.columns[0])
    if roles.symbol is None:
        return [symbol], np.zeros(rows, dtype=np.int32)
    column = table.columns[roles.symbol]
    text = pc.fill_null(column if is_text(column) else pc.cast(column, pa.string()), "")
    encoded = pc.utf8_trim_whitespace(text).dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False).astype(np.int32)


def _read_open_times(table: SourceTable, roles: ColumnRoles, problems: FileProblems) -> TimeColumn:
    parts = [table.columns[position] for position in roles.times]
    name = " and ".join(table.names[position] for position in roles.times)
    if len(parts) == 2:
        texts = [part if is_text(part) else pc.cast(part, pa.string()) for part in parts]
        column = pc.binary_join_element_wise(*texts, " ")
    else:
        column = parts[0]
    times = read_times(column)
    problems.in_rows(times.missing_rows, lambda _: f"the time is missing (column {name!r})")
    problems.in_rows(
        times.bad_rows, lambda row: f"{_quoted(column, row)} is not a time (column {name!r}); {EXPECTED_TIME}"
    )
    return times


def _read_required(table: SourceTable, position: int, problems: FileProblems) -> FloatColumn:
    numbers = read_numbers(table.columns[position])
    _log_bad_numbers(table, position, numbers.bad_rows, problems)
    return numbers.values


def _log_bad_numbers(table: SourceTable, position: int, rows: npt.NDArray[np.intp], problems: FileProblems) -> None:
    name, column = table.names[position], table.columns[position]
    problems.in_rows(rows, lambda row: f"{_quoted(column, row)} is not a number (column {name!r})")


def _quoted(column: pa.Array, row: int) -> str:
    text = str(column[row].as_py())
    return repr(text if len(text) <= 40 else text[:40] + "…")


def _adjusted(batch: CandleBatch, table: SourceTable, position: int, problems: FileProblems) -> CandleBatch:
    """Scales open, high, low and close by the column over close, and volume by the inverse.

    The column itself is not kept: it is the close from now on.
    """
    numbers, name = read_numbers(table.columns[position]), table.names[position]
    _log_bad_numbers(table, position, numbers.bad_rows, problems)
    target, close = numbers.values, batch.columns["close"]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        factor = target / close
        is_wrong = ~(np.isfinite(factor) & (factor > 0)) & ~(np.isnan(target) & np.isnan(close))
        is_wrong[numbers.bad_rows] = False
        problems.in_rows(
            np.flatnonzero(is_wrong),
            lambda row: (
                f"cannot adjust by {_quoted(table.columns[position], row)} (column {name!r}); "
                "expected a number above zero"
            ),
        )
        scaled = {field: batch.columns[field] * factor for field in PRICE_FIELDS[:-1]}
        columns = {**batch.columns, **scaled, "volume": batch.columns["volume"] / factor}
    return CandleBatch(
        batch.source, batch.symbols, batch.codes, batch.open_times, columns, batch.locate, batch.dropped_columns
    )
