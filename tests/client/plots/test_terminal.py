import io

import numpy as np
import pytest

from candelabra_client._plots import theme
from candelabra_client._plots.canvas import Canvas
from candelabra_client._plots.layout import lay_out
from candelabra_client._plots.terminal import draw_terminal, print_terminal, wanted_heights
from support.charts import candles, days, result

CANDLE = set("╷╻╵│╽╹╿┃")
NAN = float("nan")


def lines(chart, width=80, height=23):
    canvas, _ = draw_terminal(chart, width, height)
    return ["".join(text for text, _ in row) for row in canvas.rows()]


def styles(chart, width=80, height=23):
    """The style of every cell."""
    canvas, _ = draw_terminal(chart, width, height)
    return [[style for text, style in row for _ in text] for row in canvas.rows()]


def is_dots(character):
    return 0x2800 < ord(character) < 0x2900


def chart(count=60, *, signals=(), formula="", **columns):
    columns = result("AAPL", days(count), signals=signals, **columns)
    return lay_out(columns, candles=candles(count), formula=formula, timeframe="1d")


def one_candle(first, high, low, last, *, floor=0.0, ceiling=10.0):
    """Candles of which the second is the one asked about; the first has the whole range."""
    prices = {"open": [floor, first], "high": [ceiling, high], "low": [floor, low], "close": [ceiling, last]}
    return lay_out(result("A", days(2), **prices))


@pytest.mark.parametrize(("width", "height"), [(80, 23), (160, 49), (40, 12), (200, 30)])
@pytest.mark.parametrize("count", [0, 1, 60, 3_000])
def test_a_chart_is_exactly_as_wide_and_high_as_asked_for(width, height, count):
    wave = np.sin(np.arange(count))
    drawn = lines(chart(count, a__macd=wave, a__hist=wave, b=wave * 100, empty=np.full(count, NAN)), width, height)

    assert [len(line) for line in drawn] == [width] * height


def test_captions_prices_panes_volume_and_times_stand_below_each_other():
    average = candles(60)["close"] + 1
    drawn = lines(chart(average=average, strength=np.arange(60.0) % 7))

    assert drawn[0].rstrip() == "AAPL  1d, 2012-01-01 to 2012-02-29"
    assert drawn[1].startswith("─ average ")
    rule = next(row for row, line in enumerate(drawn) if line.startswith("─ ─ strength 3 ─"))
    assert all(CANDLE & set(line) for line in drawn[4:7])
    assert not any(CANDLE & set(line) for line in drawn[rule:])
    assert any(is_dots(character) for line in drawn[rule + 1 :] for character in line)
    assert set("▁▂▃▄▅▆▇█") & set(drawn[-2])
    assert "└2012-0" in drawn[-1]


def test_candles_stand_at_their_rows():
    drawn = lines(one_candle(2, 9.9, 0.1, 8), height=23)

    assert "".join(line[4] for line in drawn[2:-1]) == "││││" + "┃" * 12 + "╿" + "│││"
    assert "".join(line[1] for line in drawn[2:-1]) == "┃" * 20


@pytest.mark.parametrize(
    ("open_to_close", "cells"),
    [
        ((5.2, 5.2, 5.2, 5.2), "╻"),
        ((4.9, 4.9, 4.9, 4.9), "╹"),
        ((4.9, 5.4, 4.9, 4.9), "╷╹"),
        ((4.4, 4.9, 4.4, 4.4), "╽"),
        ((4.9, 4.9, 4.4, 4.9), "╿"),
        ((4.9, 4.9, 4.4, 4.4), "┃"),
        ((4.4, 4.9, 3.9, 4.4), "╽╵"),
    ],
)
def test_each_half_of_a_cell_is_body_wick_or_nothing(open_to_close, cells):
    drawn = lines(one_candle(*open_to_close), height=13)  # ten rows, twenty halves, for prices from 0 to 10

    assert "".join(line[4] for line in drawn[2:-1]).strip() == cells


def test_rising_and_falling_candles_differ_in_colour():
    found = {style for row in styles(chart(20))[2:] for style in row}

    assert {theme.UP, theme.DOWN} <= found


def test_a_mark_stands_right_below_its_candle():
    drawn = lines(chart(60, up=np.arange(60) == 30, signals=["up"]))
    column = 30  # one column a candle
    row = next(number for number, line in enumerate(drawn[2:], start=2) if "▲" in line)

    assert drawn[row].index("▲") == column
    assert drawn[row - 1][column] in CANDLE
    assert drawn[1].startswith("▲ up")


def test_a_gap_in_a_column_is_a_gap_in_its_line():
    values = np.arange(60.0)
    values[20:40] = NAN
    drawn = lines(chart(a=values))
    rule = next(row for row, line in enumerate(drawn) if "─ a 59" in line)
    used = [any(is_dots(line[column]) for line in drawn[rule + 1 : -3]) for column in range(60)]

    assert all(used[:20])
    assert not any(used[21:39])
    assert all(used[40:60])


def test_bars_of_a_histogram_go_up_and_down_from_zero():
    drawn = lines(chart(a__hist=np.where(np.arange(60) < 30, 1.0, -1.0)), height=40)
    rule = next(row for row, line in enumerate(drawn) if "▄ a.hist" in line)
    rows = [row for row in range(rule + 1, 40) if drawn[row][5] in "█▀▄"]
    below = [row for row in range(rule + 1, 40) if drawn[row][45] in "█▀▄"]

    assert max(rows[: len(rows) // 2]) < min(below[len(below) // 2 :])


def test_labels_of_the_axis_stand_where_their_price_is():
    drawn = lines(one_candle(5, 5, 5, 5), height=23)
    labelled = {float(line[72:]): row for row, line in enumerate(drawn) if line[71:72] == "┤"}

    assert labelled == {10: 2, 8: 6, 6: 10, 4: 14, 2: 18, 0: 21}


def test_many_rows_leave_the_axis_free_in_every_part():
    count = 3_000
    average = candles(count)["close"]
    up = np.arange(count) % 100 == 50
    drawn = chart(count, average=average, a__macd=np.arange(count), a__hist=np.arange(count), up=up, signals=["up"])
    for line in lines(drawn, height=40)[2:-1]:
        assert line[71] in " ┤─"
        assert not any(is_dots(character) or character in CANDLE for character in line[71:])
    assert "43 rows a candle" in lines(drawn)[0]


def test_where_room_is_short_the_volume_goes_first_then_the_last_panes():
    panes = chart(**{f"c{number}": np.full(60, -1.0) for number in range(6)})

    assert wanted_heights(panes, 60).volume > 0
    assert len(wanted_heights(panes, 60).panes) == 6
    assert len(wanted_heights(panes, 24).panes) == 4
    assert wanted_heights(panes, 24).volume == 0
    _, left_out = draw_terminal(panes, 80, 24)
    assert left_out == ("c4", "c5")


@pytest.mark.parametrize("height", range(12, 80))
@pytest.mark.parametrize("panes", range(5))
def test_all_rows_are_given_to_something(height, panes):
    drawn = chart(**{f"c{number}": np.full(60, -1.0) for number in range(panes)})
    heights = wanted_heights(drawn, height)

    assert heights.price + sum(pane + 1 for pane in heights.panes) + heights.volume == height - 3
    assert heights.price >= max(5, *(heights.panes or (0,)))
    assert all(pane >= 3 for pane in heights.panes)


def test_columns_without_candles_fill_the_screen():
    drawn = lay_out(result("A", days(9), a=np.arange(9), b=np.arange(9)))

    assert sum(pane + 1 for pane in wanted_heights(drawn, 23).panes) == 20
    assert any("─ b 8" in line for line in lines(drawn))


def printed(*charts):
    stream = io.StringIO()
    left_out = print_terminal(charts, stream)
    return stream.getvalue().split("\n")[:-1], left_out


def test_printing_leaves_a_line_for_the_prompt(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "30")
    drawn, left_out = printed(chart())

    assert [len(line) for line in drawn] == [100] * 29
    assert left_out == ()
    assert "\x1b" not in "".join(drawn)


def test_several_symbols_share_the_screen_while_each_is_legible(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "41")

    assert len(printed(chart(), chart())[0]) == 40
    assert len(printed(*[chart()] * 6)[0]) == 6 * 12


def test_characters_that_would_move_the_cursor_are_not_printed():
    canvas = Canvas(10, 1)
    canvas.write(0, 0, "a\x1b[31mb\n")

    assert ["".join(text for text, _ in row) for row in canvas.rows()] == ["a [31mb   "]


def test_dots_do_not_cover_what_is_there_and_join_in_a_cell():
    canvas = Canvas(3, 1)
    canvas.put(0, 0, "┃")
    for row, column in ((0, 0), (0, 2), (3, 3), (9, 9), (-1, 0)):
        canvas.dot(row, column, "red")

    assert ["".join(text for text, _ in row) for row in canvas.rows()] == ["┃⢁ "]
