"""Reads one file of candles, in whichever of the known formats its content is, into a checked batch.

1. The bytes are unpacked (unpacking.py) and their format is recognised: CSV (csv_source.py), Parquet or Arrow.
2. Columns get their roles by name (source_table.py, vendor_names.py).
3. Texts and types become symbols, times and numbers (column_reading.py).
4. Every candle is checked (candle_checks.py), prices are adjusted if that was asked for (adjustment.py), and
   the times of a file that is right so far must be plausible for the timeframe (candle_spacing.py).

What is wrong is logged; a file with problems gives no batch.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import ipc, parquet, types

from candelabra_server.candles.adjustment import adjusted
from candelabra_server.candles.candle_batch import CandleBatch
from candelabra_server.candles.candle_checks import check_candles
from candelabra_server.candles.candle_spacing import check_spacing
from candelabra_server.candles.column_reading import log_bad_numbers, read_open_times, read_required, read_symbols
from candelabra_server.candles.csv_source import CsvSource
from candelabra_server.candles.file_search import stem
from candelabra_server.candles.import_options import ImportOptions
from candelabra_server.candles.number_column import read_numbers
from candelabra_server.candles.price_scale import FIXED_POINT, find_price_scale, scaled
from candelabra_server.candles.problem_log import FileProblems, ProblemLog
from candelabra_server.candles.source_table import ColumnRoles, SourceTable, field_name, find_roles
from candelabra_server.candles.unpacking import unpack
from candelabra_server.candles.vendor_names import FIXED_POINT_SIGN, symbol_in_name
from candelabra_server.domain.candles import PRICE_FIELDS, FloatColumn, MicrosColumn

__all__ = ["read_file"]

_PARQUET_MAGIC = b"PAR1"
_ARROW_FILE_MAGIC = b"ARROW1"
_ARROW_STREAM_MAGIC = b"\xff\xff\xff\xff"
_FEATHER_V1_MAGIC = b"FEA1"


def read_file(path: Path, options: ImportOptions, log: ProblemLog) -> CandleBatch | None:
    """Reads and checks a file; None when the log has problems of it.

    Args:
        path: the file.
        options: what is not in the file, or differently from what is usual.
        log: where problems go.
    """
    problems = FileProblems(log, str(path))
    try:
        table = _read_table(path, options, problems)
        if table is None:
            return None
        roles = find_roles(table.names, options, problems)
        if roles is None:
            return None
        for line, message in table.bad_lines():
            problems.in_line(line, message)
        open_times, untimed_rows = read_open_times(table, roles, options, problems)
        symbol = options.symbol or symbol_in_name(stem(path))
        scale = _price_scale(table, roles, options, problems)
        batch = _read_batch(
            str(path), table, roles, symbol=symbol, open_times=open_times, scale=scale, problems=problems
        )
        check_candles(batch, problems, untimed_rows=untimed_rows)
        if roles.adjust_by is not None:
            batch = adjusted(batch, table, roles.adjust_by, problems)
        if options.timeframe is not None and not problems:
            check_spacing(batch, options.timeframe, problems)
        return None if problems else batch
    finally:
        problems.report()


def _read_table(path: Path, options: ImportOptions, problems: FileProblems) -> SourceTable | None:
    try:
        packed = path.read_bytes()
    except OSError as error:
        problems.in_file(f"cannot be read: {error.strerror or 'input/output error'}")
        return None
    content = unpack(packed, problems)
    if content is None:
        return None
    reader = _columnar_reader(content)
    if reader is None:
        source = CsvSource(content, options.header, problems)
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


def _price_scale(table: SourceTable, roles: ColumnRoles, options: ImportOptions, problems: FileProblems) -> Decimal:
    if options.price_scale is not None:
        return options.price_scale
    if FIXED_POINT_SIGN not in map(field_name, table.names):
        return Decimal(1)
    prices = [table.columns[position] for position in roles.prices[:-1] if position is not None]
    scale = find_price_scale(prices)
    if scale is None:
        problems.in_file(
            "has whole numbers for prices, some of them small: they may be fixed-point or plain; "
            f"say which it is: --price-scale {FIXED_POINT:e} or --price-scale 1"
        )
    return scale or Decimal(1)


def _read_batch(
    source: str,
    table: SourceTable,
    roles: ColumnRoles,
    *,
    symbol: str,
    open_times: MicrosColumn,
    scale: Decimal,
    problems: FileProblems,
) -> CandleBatch:
    symbols, codes = read_symbols(table, roles, symbol)
    columns: dict[str, FloatColumn] = {}
    dropped: list[str] = ["(no name)" for name in table.names if not name]
    dropped += [table.names[position] for position in roles.left_out]
    for field, position in zip(PRICE_FIELDS, roles.prices, strict=True):
        if position is None:
            columns[field] = np.full(len(open_times), np.nan)
        else:
            values = read_required(table, position, problems).values
            columns[field] = values if field == "volume" else scaled(values, scale)
    for field, position in roles.others.items():
        numbers = read_numbers(table.columns[position])
        if numbers.is_meant_as_numbers:
            log_bad_numbers(table, position, numbers.bad_rows, problems)
            columns[field] = numbers.values
        else:
            dropped.append(table.names[position])
    return CandleBatch(source, symbols, codes, open_times, columns, problems.locate, dropped, scale)
