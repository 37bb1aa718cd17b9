"""SourceTable: the columns of one file as they were read, before anything is made of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from candelabra_server.candles.problem_log import FileProblems
from candelabra_server.domain.candles import PRICE_FIELDS

__all__ = ["ColumnRoles", "SourceTable", "field_name", "find_roles"]

_TIME_NAMES = ("open_time", "timestamp", "datetime", "date_time", "timestamp_utc", "ts_event", "date", "time")
"""Names of the time column; the first of these that a file has is its open time."""
_SYMBOL_NAMES = ("symbol", "ticker")
_OTHER_SPELLINGS = {"vol": "volume"}
_NO_WORD = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class SourceTable:
    """What a file holds.

    Attributes:
        names: of the columns as in the file, without surrounding blanks; empty for a column without a name.
        columns: one a name, equally long, text or typed.
        bad_lines: finds the lines that do not fit the header, which columns leave out, and what is wrong with each.
    """

    names: Sequence[str]
    columns: Sequence[pa.Array]
    bad_lines: Callable[[], Sequence[tuple[int, str]]] = field(default=lambda: ())


@dataclass(frozen=True, slots=True)
class ColumnRoles:
    """Which column of a table is what; all are positions.

    Attributes:
        times: the open time: one column, or two of which one has the date and one the time of day.
        symbol: the symbol, None when the file has none.
        prices: one for each of PRICE_FIELDS.
        others: by field name: columns that are kept when they hold numbers.
        adjust_by: the column that prices are adjusted by, None when they are not.
    """

    times: Sequence[int]
    symbol: int | None
    prices: Sequence[int]
    others: dict[str, int]
    adjust_by: int | None


def field_name(name: str) -> str:
    """The name that a formula uses for a column: `Adj Close` is `adj_close`, `<VOL>` is `volume`."""
    word = _NO_WORD.sub("_", name.lower()).strip("_")
    word = _OTHER_SPELLINGS.get(word, word)
    return f"n{word}" if word[:1].isdigit() else word


def find_roles(names: Sequence[str], adjust_by: str | None, problems: FileProblems) -> ColumnRoles | None:
    """Finds out what a file's columns are; None, and problems, when columns are missing or come twice."""
    positions: dict[str, int] = {}
    for position, name in enumerate(names):
        word = field_name(name)
        if word in positions:
            problems.in_line(1, f"columns {names[positions[word]]!r} and {name!r} have the same name")
        elif word:
            positions[word] = position
    found = f"found {', '.join(name or '(no name)' for name in names)}"
    times = [positions[name] for name in _TIME_NAMES if name in positions]
    is_split = "date" in positions and "time" in positions and len(times) == 2
    if not times:
        problems.in_line(1, f"no time column; expected one of {', '.join(_TIME_NAMES)}; {found}")
    missing = [name for name in PRICE_FIELDS if name not in positions]
    if missing:
        problems.in_line(1, f"no column {', '.join(missing)}; {found}")
    adjusting = None if adjust_by is None else positions.get(field_name(adjust_by))
    if adjust_by is not None and adjusting is None:
        problems.in_line(1, f"no column {adjust_by!r} to adjust by; {found}")
    if problems:
        return None
    symbol = next((positions[name] for name in _SYMBOL_NAMES if name in positions), None)
    chosen = times if is_split else times[:1]
    taken = {*chosen, symbol, adjusting, *(positions[name] for name in PRICE_FIELDS)}
    return ColumnRoles(
        times=chosen,
        symbol=symbol,
        prices=[positions[name] for name in PRICE_FIELDS],
        others={name: position for name, position in positions.items() if position not in taken},
        adjust_by=adjusting,
    )
