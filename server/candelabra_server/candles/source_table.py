"""SourceTable: the columns of one file as they were read, before anything is made of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from candelabra_server.candles.import_options import ImportOptions
from candelabra_server.candles.problem_log import FileProblems
from candelabra_server.candles.vendor_names import (
    HINTS_BY_FIRST_NAME,
    INSTRUMENT_NAMES,
    NO_FIELDS,
    OTHER_SPELLINGS,
    SYMBOL_NAMES,
    TIME_NAMES,
    long_names,
)
from candelabra_server.domain.candles import PRICE_FIELDS

__all__ = ["ColumnRoles", "SourceTable", "field_name", "find_roles"]

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
        prices: one for each of PRICE_FIELDS; None for a volume that the file does not have.
        others: by field name: columns that are kept when they hold numbers.
        adjust_by: the column that prices are adjusted by, None when they are not.
        left_out: columns that are not kept, whatever they hold.
    """

    times: Sequence[int]
    symbol: int | None
    prices: Sequence[int | None]
    others: Mapping[str, int]
    adjust_by: int | None
    left_out: Sequence[int]


def field_name(name: str) -> str:
    """The name that a formula uses for a column: `Adj Close` is `adj_close`, `<VOL>` is `volume`."""
    word = _NO_WORD.sub("_", name.lower()).strip("_")
    word = OTHER_SPELLINGS.get(word, word)
    return f"n{word}" if word[:1].isdigit() else word


def find_roles(names: Sequence[str], options: ImportOptions, problems: FileProblems) -> ColumnRoles | None:
    """Finds out what a file's columns are; None, and problems, when columns are missing or come twice."""
    found = f"found {', '.join(name or '(no name)' for name in names)}"
    positions = _positions(names, problems)
    given = _given_positions(names, positions, options, found, problems)
    left_out = [position for name, position in positions.items() if name in NO_FIELDS or name in given]
    positions = {
        name: position for name, position in positions.items() if name not in given and position not in given.values()
    }
    times = [positions[name] for name in TIME_NAMES if name in positions]
    if "time" in given:
        times = [position for position in [given["time"]] if position is not None]
    is_split = "date" in positions and "time" in positions and len(times) == 2
    if not times and "time" not in given:
        problems.in_line(
            1,
            f"no time column; expected one of {', '.join(TIME_NAMES)}; {found}; "
            f"{HINTS_BY_FIRST_NAME.get(names[0], 'say which it is: --column time=NAME')}",
        )
    prices = {name: given[name] if name in given else positions.get(name) for name in PRICE_FIELDS}
    missing = [name for name, position in prices.items() if position is None and name not in given]
    if missing:
        problems.in_line(1, f"no column {', '.join(missing)}; {found}; {_asking_for(missing)}")
    adjusting = None
    if options.adjust_by is not None:
        adjusting = positions.get(field_name(options.adjust_by))
        if adjusting is None:
            problems.in_line(1, f"no column {options.adjust_by!r} to adjust by; {found}")
    symbol = given.get("symbol", next((positions[name] for name in SYMBOL_NAMES if name in positions), None))
    if symbol is None and options.symbol is None and any(name in positions for name in INSTRUMENT_NAMES):
        problems.in_line(
            1,
            f"no symbol column, but {INSTRUMENT_NAMES[0]}; {found}; give the symbol: --symbol NAME, "
            f"or take the numbers for symbols: --column symbol={INSTRUMENT_NAMES[0]}",
        )
    if problems:
        return None
    chosen = times if is_split else times[:1]
    taken = {*chosen, symbol, adjusting, *prices.values(), *left_out}
    return ColumnRoles(
        times=chosen,
        symbol=symbol,
        prices=list(prices.values()),
        others={name: position for name, position in positions.items() if position not in taken},
        adjust_by=adjusting,
        left_out=[position for position in left_out if position not in {symbol, *given.values()}],
    )


def _positions(names: Sequence[str], problems: FileProblems) -> dict[str, int]:
    """The columns by the name that a formula would use."""
    positions: dict[str, int] = {}
    for position, name in enumerate(long_names(names)):
        word = field_name(name)
        if word in positions:
            problems.in_line(1, f"columns {names[positions[word]]!r} and {names[position]!r} have the same name")
        elif word:
            positions[word] = position
    return positions


def _given_positions(
    names: Sequence[str], positions: Mapping[str, int], options: ImportOptions, found: str, problems: FileProblems
) -> dict[str, int | None]:
    """The columns that the user said are something, by role; None for a volume that is not there."""
    given: dict[str, int | None] = {}
    for role, name in options.columns.items():
        position = names.index(name) if name in names else positions.get(field_name(name))
        if position is None and name.strip():
            problems.in_line(1, f"no column {name!r} for {role}; {found}")
        given[role] = position if name.strip() else None
    return given


def _asking_for(missing: Sequence[str]) -> str:
    asking = f"say which it is: --column {missing[0]}=NAME"
    return f"{asking}, or nothing for NAME if there is none" if list(missing) == ["volume"] else asking
