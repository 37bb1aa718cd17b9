"""Writes the rows of a screen, one function a format; CSV and JSON lines batch by batch as they come."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import IO, Any, Final, TypeAlias

from candelabra_client._commands.options import Output
from candelabra_client._commands.output import iso_times, json_values, value_texts, write_arrow, write_parquet
from candelabra_client._commands.screen_tables import print_screen
from candelabra_client._commands.tables import plain_console
from candelabra_client._frames import SYMBOL, TIME, free_names
from candelabra_client._screen import Screen
from candelabra_client._screen_frames import screen_to_arrow
from candelabra_client._screen_result import ScreenBatch, joined

__all__ = ["SCREEN_WRITERS", "ScreenWriter"]

ScreenWriter: TypeAlias = Callable[[Iterable[ScreenBatch], Screen, IO[Any], int], None]
"""Writes batches to a stream. The screen, once they have come, knows its columns even when no symbol has passed; the
number is the most rows that a table shows."""


def _write_table(batches: Iterable[ScreenBatch], screen: Screen, stream: IO[str], rows: int) -> None:
    print_screen(plain_console(stream), _whole(batches, screen), rows=rows)


def _write_csv(batches: Iterable[ScreenBatch], screen: Screen, stream: IO[str], _rows: int) -> None:
    """Writes `symbol,time` and the columns; NaN is empty, numbers are the shortest that read back the same."""
    writer = csv.writer(stream, lineterminator="\n")
    has_header = False
    for batch in batches:
        if not has_header:
            has_header = True
            writer.writerow(_header(batch.columns))
        values = [value_texts(batch[name]) for name in batch.columns]
        writer.writerows(zip(batch.symbols, iso_times(batch.as_of), *values, strict=True))
        stream.flush()
    if not has_header and screen.kinds:
        writer.writerow(_header(screen.kinds))


def _write_jsonl(batches: Iterable[ScreenBatch], _screen: Screen, stream: IO[str], _rows: int) -> None:
    """Writes an object a symbol: `symbol`, `time` and the columns; NaN and infinities, which JSON lacks, are null."""
    for batch in batches:
        names = _header(batch.columns)
        values = [json_values(batch[name]) for name in batch.columns]
        for row in zip(batch.symbols, iso_times(batch.as_of), *values, strict=True):
            stream.write(json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) + "\n")
        stream.flush()


def _write_parquet(batches: Iterable[ScreenBatch], screen: Screen, stream: IO[bytes], _rows: int) -> None:
    write_parquet(screen_to_arrow(_whole(batches, screen)), stream)


def _write_arrow(batches: Iterable[ScreenBatch], screen: Screen, stream: IO[bytes], _rows: int) -> None:
    write_arrow(screen_to_arrow(_whole(batches, screen)), stream)


SCREEN_WRITERS: Final[Mapping[Output, ScreenWriter]] = MappingProxyType(
    {
        Output.TABLE: _write_table,
        Output.CSV: _write_csv,
        Output.JSONL: _write_jsonl,
        Output.PARQUET: _write_parquet,
        Output.ARROW: _write_arrow,
    }
)


def _whole(batches: Iterable[ScreenBatch], screen: Screen) -> ScreenBatch:
    gathered = list(batches)  # first, since the screen knows its columns only then
    return joined(gathered, screen.kinds)


def _header(columns: Iterable[str]) -> tuple[str, ...]:
    return (SYMBOL, TIME, *free_names(tuple(columns), SYMBOL, TIME).values())
