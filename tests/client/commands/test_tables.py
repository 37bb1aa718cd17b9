import io

import numpy as np
import pytest
from rich.console import Console

from candelabra_client import ColumnKind, SymbolError, SymbolResult
from candelabra_client._commands.tables import (
    counted,
    head_and_tail,
    number_texts,
    plain_console,
    print_results,
    time_texts,
)

DAY = 86_400_000_000


def result(symbol, row_count, /, **columns):
    return SymbolResult(
        symbol,
        open_time_micros=np.arange(row_count, dtype=np.int64) * DAY,
        values={name: np.array(values, float) for name, values in columns.items()},
        kinds=dict.fromkeys(columns, ColumnKind.NUMBER),
    )


def failed(symbol):
    nothing = np.empty(0, np.int64)
    return SymbolResult(symbol, open_time_micros=nothing, values={}, kinds={}, error=SymbolError("NO_CANDLES", "none"))


def printed(*results, rows=20, width=80):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    print_results(console, results, rows=rows)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_few_symbols_get_a_table_each_with_head_and_tail():
    assert printed(result("A", 6, value=[1, 2, 3, 4, 5, 6]), failed("NOPE"), rows=3) == [
        "A  6 rows",
        "time        value",
        "1970-01-01      1",
        "1970-01-02      2",
        "… 3 more",
        "1970-01-06      6",
        "",
    ]


def test_many_symbols_get_a_row_each_with_their_last_values():
    symbols = [result(f"S{number}", 2, value=[0, number]) for number in range(8)]

    assert printed(*symbols, rows=4) == [
        "symbol    time        rows  value",
        "S0        1970-01-02     2      0",
        "S1        1970-01-02     2      1",
        "… 4 more",
        "S6        1970-01-02     2      6",
        "S7        1970-01-02     2      7",
        "8 symbols, 16 rows",
    ]


def test_one_row_a_symbol_makes_one_table():
    assert printed(result("A", 1, value=[1]), result("B", 1, value=[np.nan])) == [
        "symbol  time        value",
        "A       1970-01-01      1",
        "B       1970-01-01      -",
        "2 symbols, 2 rows",
    ]


def test_a_symbol_without_rows_has_no_last_value():
    assert printed(result("A", 0, value=[]), result("B", 1, value=[2]))[1] == "A       -               -"


def test_no_results_print_nothing():
    assert printed(failed("A")) == []


@pytest.mark.parametrize("width", [30, 50, 79, 80, 100, 400])
def test_a_table_never_exceeds_the_terminal(width):
    columns = {f"column_{number}": np.arange(3) * 10.0**number for number in range(12)}

    lines = printed(result("A", 3, **columns), width=width)

    assert max(len(line) for line in lines) <= width
    shown = [name for name in columns if name in lines[1].split()]
    assert shown == list(columns)[: len(shown)]
    assert len(shown) == 12 or lines[-2].startswith(f"{12 - len(shown)} columns without room: colu")


def test_a_file_gets_every_column_and_text_as_it_is():
    columns = {f"column_{number}": [1.0] for number in range(40)}
    stream = io.StringIO()

    print_results(plain_console(stream), [result("[red]:smile:", 1, **columns)], rows=20)

    lines = stream.getvalue().splitlines()
    assert lines[0].split() == ["symbol", "time", *columns]
    assert lines[1].split()[:2] == ["[red]:smile:", "1970-01-01"]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([1.0, 2.0, np.nan], ["1", "2", "-"]),
        ([431.256, 7.5], ["431.256", "7.500"]),
        ([12_345_678.0], ["12,345,678"]),
        ([1_234_567.25], ["1,234,567.25"]),
        ([0.001234, -1.0], ["0.00123", "-1.00000"]),
        ([0.00001234], ["1.23400e-05"]),
        ([np.inf, -np.inf, 1.5], ["inf", "-inf", "1.50000"]),
        ([np.nan], ["-"]),
        ([], []),
    ],
)
def test_numbers_have_about_six_significant_digits(values, texts):
    assert number_texts(np.array(values, float)) == texts


def test_signals_are_true_false_or_unknown():
    assert number_texts(np.array([1.0, 0.0, np.nan]), ColumnKind.SIGNAL) == ["true", "false", "-"]


@pytest.mark.parametrize(
    ("times", "texts"),
    [
        (["2012-01-01", "2012-01-02"], ["2012-01-01", "2012-01-02"]),
        (["2012-01-01", "2012-01-01T09:30"], ["2012-01-01 00:00", "2012-01-01 09:30"]),
        (["2012-01-01T09:30:01"], ["2012-01-01 09:30:01"]),
        (["2012-01-01T09:30:00.000001"], ["2012-01-01 09:30:00.000001"]),
        ([], []),
    ],
)
def test_times_show_the_unit_that_all_of_them_need(times, texts):
    assert time_texts(np.array(times, "datetime64[us]")) == texts


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (0, ([1, 2, 3, 4, 5], 0, [])),
        (5, ([1, 2, 3, 4, 5], 0, [])),
        (4, ([1, 2], 1, [4, 5])),
        (3, ([1, 2], 2, [5])),
        (1, ([1], 4, [])),
    ],
)
def test_head_and_tail_tell_what_lies_between(most, expected):
    assert head_and_tail([1, 2, 3, 4, 5], most) == expected


def test_nouns_follow_their_number():
    assert [counted(number, "row") for number in (0, 1, 2_000)] == ["0 rows", "1 row", "2,000 rows"]
