"""Lays results out as tables that fit the terminal: head and tail of the rows, as many columns as there is room."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import IO, Any, Final, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from candelabra_client._frames import column_names
from candelabra_client._result import ColumnKind, SymbolResult

__all__ = [
    "OMITTED",
    "Column",
    "counted",
    "head_and_tail",
    "laid_out",
    "number_texts",
    "plain_console",
    "print_results",
    "time_texts",
]

OMITTED: Final = "…"
NO_VALUE: Final = "-"

_MOST_TABLES = 5
"""With more symbols than this, each gets one row instead of a table."""

_UNBOUNDED = 100_000
"""Columns of a console that is a file or a pipe: tables are as wide as they need."""

_T = TypeVar("_T")
_SIGNALS = {0.0: "false", 1.0: "true"}
_GAP = 2  # between two columns


@dataclass(frozen=True, slots=True)
class Column:
    """One column as text; `texts` has a value a row."""

    name: str
    texts: Sequence[str]
    is_number: bool = True

    @property
    def width(self) -> int:
        """Characters that the column needs."""
        return max(len(self.name), *(len(text) for text in self.texts), 1)


def plain_console(stream: IO[str] | None = None) -> Console:
    """Returns a console that prints text as it is, in full width where it is not a terminal."""
    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _UNBOUNDED
    return console


def print_results(console: Console, results: Sequence[SymbolResult], *, rows: int) -> None:
    """Prints the symbols that have a result.

    A few symbols get a table each; many get a row each, with the values of their last candle.

    Args:
        console: where to; its width bounds the tables.
        results: in the order in which to print them.
        rows: most rows of a table; 0 for all.
    """
    good = [result for result in results if result.ok]
    if not good:
        return
    if len(good) <= _MOST_TABLES and any(result.row_count > 1 for result in good):
        for result in good:
            console.print(Text.assemble((result.symbol, "bold"), (f"  {counted(result.row_count, 'row')}", "dim")))
            columns = [Column("time", time_texts(result.open_times), is_number=False)]
            columns += [Column(n, number_texts(result[n], result.kinds[n])) for n in result.columns]
            console.print(laid_out(columns, width=console.width, rows=rows, keys=1))
            console.print()
        return
    console.print(laid_out(_one_row_each(good), width=console.width, rows=rows, keys=2))
    row_count = sum(result.row_count for result in good)
    console.print(Text(f"{counted(len(good), 'symbol')}, {counted(row_count, 'row')}", style="dim"))


def laid_out(columns: Sequence[Column], *, width: int, rows: int, keys: int, hidden: int = 0) -> RenderableType:
    """Returns a table of the first and the last rows, with as many columns as there is room for.

    Args:
        columns: at least one; all have as many texts.
        width: characters that the table may take.
        rows: most rows; 0 for all.
        keys: how many leading columns always stay.
        hidden: rows that are in the middle of the table but not in the columns, which have `rows` texts then.
    """
    shown = _that_fit(columns, width, keys=keys)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for column in shown:
        table.add_column(Text(column.name), justify="right" if column.is_number else "left", no_wrap=True)
    numbers: Sequence[int] = range(len(columns[0].texts))
    if hidden:  # where those would stand that are left out here
        middle = (rows + 1) // 2
        head, omitted, tail = numbers[:middle], hidden, numbers[middle:]
    else:
        head, omitted, tail = head_and_tail(numbers, rows)
    _add_rows(table, shown, head)
    if omitted:
        table.add_row(Text(f"{OMITTED} {omitted:,} more", style="dim"))
        _add_rows(table, shown, tail)
    if len(shown) == len(columns):
        return table
    missing = [column.name for column in columns[len(shown) - 1 :]]
    note = f"{len(missing):,} columns without room: {', '.join(missing)}"
    return Group(table, Text(note, style="dim", overflow="ellipsis", no_wrap=True))


def counted(count: int, noun: str) -> str:
    """Returns a number with its noun: `1 row`, `2,000 rows`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def head_and_tail(items: Sequence[_T], most: int) -> tuple[Sequence[_T], int, Sequence[_T]]:
    """Returns the first and the last items and how many lie between them; `most` 0 means all."""
    if most == 0 or len(items) <= most:
        return items, 0, []
    head = (most + 1) // 2
    tail = most - head
    return items[:head], len(items) - most, items[len(items) - tail :]


def time_texts(times: NDArray[np.datetime64]) -> list[str]:
    """Returns times as text, to the unit that all of them need: days, minutes, seconds or microseconds."""
    units: tuple[Literal["D", "m", "s"], ...] = ("D", "m", "s")
    enough = (unit for unit in units if bool(np.all(np.isnat(times) | (times == times.astype(f"datetime64[{unit}]")))))
    unit: Literal["D", "m", "s", "us"] = next(enough, "us")
    texts = np.datetime_as_string(times, unit=unit).tolist()
    return [NO_VALUE if none else text.replace("T", " ") for text, none in zip(texts, np.isnat(times), strict=True)]


def number_texts(values: NDArray[Any], kind: ColumnKind = ColumnKind.NUMBER) -> list[str]:
    """Returns a column's values with as many decimals as make about six significant digits of its largest."""
    if kind is ColumnKind.SIGNAL:
        return [_SIGNALS.get(value, NO_VALUE) for value in values.tolist()]
    finite = values[np.isfinite(values)]
    largest = float(np.max(np.abs(finite), initial=0.0))
    if bool(np.all(finite == np.trunc(finite))):
        decimals = 0
    elif 0 < largest < 1e-4:
        return [NO_VALUE if value != value else f"{value:.5e}" for value in values.tolist()]  # noqa: PLR0124 - NaN
    else:
        decimals = int(np.clip(6 - len(str(int(largest))), 2, 6))
    return [NO_VALUE if value != value else f"{value:,.{decimals}f}" for value in values.tolist()]  # noqa: PLR0124


def _one_row_each(results: Sequence[SymbolResult]) -> list[Column]:
    """Returns the columns of a table that has the last values of each symbol."""
    last_times = np.array([r.open_times[-1] if r.row_count else np.datetime64("NaT", "us") for r in results], "M8[us]")
    columns = [
        Column("symbol", [result.symbol for result in results], is_number=False),
        Column("time", time_texts(last_times), is_number=False),
    ]
    if any(result.row_count > 1 for result in results):
        columns.append(Column("rows", [f"{result.row_count:,}" for result in results]))
    for name in column_names(results):
        last = np.array([r[name][-1] if name in r and r.row_count else np.nan for r in results])
        kind = next(result.kinds[name] for result in results if name in result)
        columns.append(Column(name, number_texts(last, kind)))
    return columns


def _add_rows(table: Table, columns: Iterable[Column], rows: Iterable[int]) -> None:
    for row in rows:
        table.add_row(*(Text(column.texts[row]) for column in columns))


def _that_fit(columns: Sequence[Column], width: int, *, keys: int) -> Sequence[Column]:
    """Returns the leading columns that fit, then one of dots when there are more; the keys always stay."""
    if sum(column.width + _GAP for column in columns) <= width + _GAP:
        return columns
    room = width - len(OMITTED)
    shown: list[Column] = []
    for position, column in enumerate(columns):
        room -= column.width + _GAP
        if room < 0 and position >= keys:
            break
        shown.append(column)
    return [*shown, Column(OMITTED, [OMITTED] * len(columns[0].texts))]
