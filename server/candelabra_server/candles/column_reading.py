"""Columns of a file as numbers, times and symbols, with what is wrong logged by line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from candelabra_server.candles.import_options import ImportOptions
from candelabra_server.candles.local_times import in_time_zone
from candelabra_server.candles.number_column import NumberColumn, is_text, read_numbers
from candelabra_server.candles.problem_log import FileProblems
from candelabra_server.candles.source_table import ColumnRoles, SourceTable
from candelabra_server.candles.time_column import EXPECTED_TIME, TimeColumn, read_times
from candelabra_server.domain.candles import MicrosColumn

__all__ = ["log_bad_numbers", "quoted", "read_open_times", "read_required", "read_symbols"]

Rows = npt.NDArray[np.intp]


def read_symbols(table: SourceTable, roles: ColumnRoles, symbol: str) -> tuple[Sequence[str], npt.NDArray[np.int32]]:
    """The distinct symbols, and of each row the position of its symbol; `symbol` where there is no such column."""
    rows = len(table.columns[0])
    if roles.symbol is None:
        return [symbol], np.zeros(rows, dtype=np.int32)
    text = pc.fill_null(_as_text(table.columns[roles.symbol]), "")
    encoded = pc.utf8_trim_whitespace(text).dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False).astype(np.int32)


def read_open_times(
    table: SourceTable, roles: ColumnRoles, options: ImportOptions, problems: FileProblems
) -> tuple[MicrosColumn, Rows]:
    """The open times, and the rows that have none."""
    parts = [table.columns[position] for position in roles.times]
    name = " and ".join(table.names[position] for position in roles.times)
    column = parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*map(_as_text, parts), " ")
    times = read_times(column, options.time_format)
    problems.in_rows(times.missing_rows, lambda _: f"the time is missing (column {name!r})")
    expected = EXPECTED_TIME if options.time_format is None else f"expected the form {options.time_format}"
    problems.in_rows(times.bad_rows, lambda row: f"{quoted(column, row)} is not a time (column {name!r}); {expected}")
    micros = _in_zone(times, options.time_zone, problems)
    return micros, np.union1d(times.missing_rows, times.bad_rows)


def read_required(table: SourceTable, position: int, problems: FileProblems) -> NumberColumn:
    """A column of which every value that is there must be a number."""
    numbers = read_numbers(table.columns[position])
    log_bad_numbers(table, position, numbers.bad_rows, problems)
    return numbers


def log_bad_numbers(table: SourceTable, position: int, rows: Rows, problems: FileProblems) -> None:
    """Logs the rows of a column that are not numbers."""
    name, column = table.names[position], table.columns[position]
    problems.in_rows(rows, lambda row: f"{quoted(column, row)} is not a number (column {name!r})")


def quoted(column: pa.Array, row: int) -> str:
    """A value for a message."""
    text = str(column[row].as_py())
    return repr(text if len(text) <= 40 else text[:40] + "…")


def _in_zone(times: TimeColumn, zone: str | None, problems: FileProblems) -> MicrosColumn:
    return times.micros if zone is None else in_time_zone(times, zone, problems)


def _as_text(column: pa.Array) -> pa.Array:
    return column if is_text(column) else pc.cast(column, pa.string())
