import io

import numpy as np
import pytest
from rich.console import Console

from candelabra_client import ColumnKind, ScreenBatch
from candelabra_client._commands.screen_tables import GrowingTable, print_screen


def batch(first, last):
    numbers = np.arange(first, last, dtype=float)
    return ScreenBatch(
        [f"S{number:.0f}" for number in numbers],
        as_of=np.full(len(numbers), "2012-01-01", "datetime64[us]"),
        values={"value": numbers, "low": numbers % 2},
        kinds={"value": ColumnKind.NUMBER, "low": ColumnKind.SIGNAL},
    )


def console(*, height=40, width=80):
    return Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)


def lines(console):
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def grown(*batches, rows=0, height=40):
    terminal = console(height=height)
    table = GrowingTable(terminal, rows=rows)
    for each in batches:
        table.add(each)
    terminal.print(table())
    return table, [line.split()[0] for line in lines(terminal)[1:]]


def test_a_screen_is_a_row_a_symbol_with_signals_as_words():
    terminal = console()
    print_screen(terminal, batch(0, 4), rows=3)

    assert lines(terminal) == [
        "symbol    time        value    low",
        "S0        2012-01-01      0  false",
        "S1        2012-01-01      1   true",
        "… 1 more",
        "S3        2012-01-01      3   true",
    ]


def test_nothing_is_printed_where_nobody_passed():
    terminal = console()
    print_screen(terminal, batch(0, 0), rows=20)

    assert lines(terminal) == []


def test_a_table_without_rows_is_empty():
    terminal = console()
    terminal.print(GrowingTable(terminal, rows=5)())

    assert "".join(lines(terminal)) == ""


@pytest.mark.parametrize("sizes", [(100,), (1, 99), (2, 3, 95), (50, 50), (10,) * 10])
def test_a_growing_table_keeps_its_first_and_its_last_rows(sizes):
    ends = np.cumsum(sizes).tolist()
    batches = [batch(end - size, end) for size, end in zip(sizes, ends, strict=True)]

    table, shown = grown(*batches, rows=5)

    assert shown == ["S0", "S1", "S2", "…", "S98", "S99"]
    assert table.row_count == 100


def test_a_growing_table_is_never_higher_than_the_terminal():
    _, shown = grown(batch(0, 1_000), rows=0, height=12)

    assert shown == ["S0", "S1", "S2", "…", "S997", "S998", "S999"]


def test_a_growing_table_that_fits_shows_every_row():
    _, shown = grown(batch(0, 2), batch(2, 4), rows=20)

    assert shown == ["S0", "S1", "S2", "S3"]
