"""Writes the results of a job, one function a format.

CSV and JSON lines of a formula are written symbol by symbol as results come, so that memory stays flat; all else
gathers the whole job first. A file appears under its name only when it is complete.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from candelabra_client._commands.options import Output
from candelabra_client._commands.tables import plain_console, print_results
from candelabra_client._decoding import FloatArray
from candelabra_client._files import replaced
from candelabra_client._frames import column_names, free_names, import_optional, job_to_arrow
from candelabra_client._result import SymbolResult

__all__ = [
    "STREAMED",
    "WRITERS",
    "Writer",
    "check_libraries",
    "iso_times",
    "json_values",
    "opened",
    "value_texts",
    "write_arrow",
    "write_parquet",
]

Writer: TypeAlias = Callable[[Iterable[SymbolResult], IO[Any], int], None]
"""Writes results to a stream; the number is the most rows that a table shows."""

STREAMED: Final = frozenset({Output.CSV, Output.JSONL})
"""Formats that do not need all results at once."""

_BINARY = frozenset({Output.PARQUET, Output.ARROW})


def check_libraries(output: Output) -> None:
    """Raises MissingDependency when a format needs a library that is not installed, before anything runs."""
    if output in _BINARY:
        import_optional("pyarrow")


@contextmanager
def opened(path: Path | None, output: Output) -> Iterator[IO[Any]]:
    """Gives the stream to write to: a file, or standard output when there is no path.

    When the body fails, a file that was there stays as it was.
    """
    if path is None:
        yield sys.stdout.buffer if output in _BINARY else sys.stdout
        return
    with replaced(path, binary=output in _BINARY) as stream:
        yield stream


def write_parquet(table: Any, stream: IO[bytes]) -> None:  # noqa: ANN401 - a pyarrow.Table
    """Writes a Parquet file."""
    import_optional("pyarrow.parquet").write_table(table, stream)


def write_arrow(table: Any, stream: IO[bytes]) -> None:  # noqa: ANN401 - a pyarrow.Table
    """Writes the Arrow IPC stream format, which a pipe can carry and every Arrow reader knows."""
    with import_optional("pyarrow.ipc").new_stream(stream, table.schema) as writer:
        writer.write_table(table)


def iso_times(times: NDArray[np.datetime64]) -> list[str]:
    """Returns ISO 8601 in UTC of times in microseconds; fractions of a second only where there are any."""
    whole = not np.any(times.view("int64") % 1_000_000)
    return [f"{text}Z" for text in np.datetime_as_string(times, unit="s" if whole else "us").tolist()]


def value_texts(values: FloatArray) -> list[str]:
    """Returns the shortest texts that read back the same; NaN is empty."""
    # str() of the numpy scalar, since a float32 as a Python float has digits that it does not mean.
    numbers = values.tolist() if values.dtype == np.float64 else list(values)
    return ["" if value != value else str(value) for value in numbers]  # noqa: PLR0124 - NaN


def json_values(values: FloatArray) -> list[float | None]:
    """Returns what JSON can hold: NaN and infinities are None."""
    numbers = values.tolist() if values.dtype == np.float64 else [float(str(value)) for value in values]
    return [value if finite else None for value, finite in zip(numbers, np.isfinite(values).tolist(), strict=True)]


def _write_table(results: Iterable[SymbolResult], stream: IO[str], rows: int) -> None:
    print_results(plain_console(stream), list(results), rows=rows)


def _write_csv(results: Iterable[SymbolResult], stream: IO[str], _rows: int) -> None:
    """Writes `symbol,time` and the columns; NaN is empty, numbers are the shortest that read back the same."""
    writer = csv.writer(stream, lineterminator="\n")
    names: tuple[str, ...] | None = None
    for result, columns in _with_columns(results):
        if names is None:
            names = columns
            writer.writerow(("symbol", "time", *free_names(names, "symbol", "time").values()))
        empty = [""] * result.row_count
        values = [value_texts(result[name]) if name in result else empty for name in names]
        symbols = [result.symbol] * result.row_count
        writer.writerows(zip(symbols, iso_times(result.open_times), *values, strict=True))


def _write_jsonl(results: Iterable[SymbolResult], stream: IO[str], _rows: int) -> None:
    """Writes an object a row: `symbol`, `time` and the columns; NaN and infinities, which JSON lacks, are null."""
    for result, _ in _with_columns(results):
        free = free_names(result.columns, "symbol", "time")
        columns = {free[name]: json_values(result[name]) for name in result.columns}
        for row, time in enumerate(iso_times(result.open_times)):
            record = {"symbol": result.symbol, "time": time, **{name: values[row] for name, values in columns.items()}}
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")


def _write_job_parquet(results: Iterable[SymbolResult], stream: IO[bytes], _rows: int) -> None:
    write_parquet(job_to_arrow(list(results), wide=False), stream)


def _write_job_arrow(results: Iterable[SymbolResult], stream: IO[bytes], _rows: int) -> None:
    write_arrow(job_to_arrow(list(results), wide=False), stream)


WRITERS: Final[Mapping[Output, Writer]] = MappingProxyType(
    {
        Output.TABLE: _write_table,
        Output.CSV: _write_csv,
        Output.JSONL: _write_jsonl,
        Output.PARQUET: _write_job_parquet,
        Output.ARROW: _write_job_arrow,
    }
)


def _with_columns(results: Iterable[SymbolResult]) -> Iterator[tuple[SymbolResult, tuple[str, ...]]]:
    """Yields results that have rows, and the columns of all: of a sequence their union, else those of the first."""
    known = column_names(results) if isinstance(results, list) else None
    for result in results:
        if result.ok:
            yield result, known or result.columns
