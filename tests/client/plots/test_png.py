import io
from concurrent.futures import ThreadPoolExecutor

import matplotlib.image
import numpy as np
import pytest

from candelabra_client._plots import theme
from candelabra_client._plots.layout import lay_out
from candelabra_client._plots.png import DOTS_PER_INCH, MOST_ROWS, WIDTH_INCHES, draw_png, height_inches
from support.charts import candles, days, result

NAN = float("nan")


def pixels(*charts):
    picture = draw_png(charts)
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    return np.rint(matplotlib.image.imread(io.BytesIO(picture))[..., :3] * 255).astype(int)


def chart(count=100, **columns):
    return lay_out(result("AAPL", days(count), **columns), candles=candles(count), formula="a < $b$", timeframe="1d")


def shares(image, colour):
    """How much of each row of dots has about this colour, which a thin stroke never has exactly."""
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return (np.abs(image - wanted).max(axis=2) <= 40).mean(axis=1)


def test_the_picture_has_the_size_of_its_parts():
    one = lay_out(candles(30))
    other = chart(pane=np.zeros(100))

    assert pixels(one).shape[:2] == (round(height_inches(one) * DOTS_PER_INCH), WIDTH_INCHES * DOTS_PER_INCH)
    both = pixels(one, other).shape[0]
    assert both == pytest.approx((height_inches(one) + height_inches(other)) * DOTS_PER_INCH, abs=1)
    assert height_inches(other) > height_inches(one)


def test_candles_have_both_colours_and_columns_theirs():
    image = pixels(chart(average=candles(100)["close"] + 1, pane__macd=np.sin(np.arange(100)), pane__hist=np.ones(100)))
    third = image.shape[0] // 3

    assert shares(image[:third], theme.UP).max() > 0.01
    assert shares(image[:third], theme.DOWN).max() > 0.01
    assert shares(image[: 2 * third], theme.line_colour(0)).max() > 0.001
    assert shares(image[2 * third :], theme.line_colour(0)).max() > 0.001
    assert shares(image, "#FFFFFF").min() < 0.999


def test_every_part_has_something_in_it():
    drawn = chart(pane=np.sin(np.arange(100)), signal=np.arange(100) % 10)
    image = pixels(drawn)
    tops = np.cumsum([0.62, 3.6 + 0.09, 1.25 + 0.09, 1.25 + 0.09])
    bottoms = [*tops[1:], height_inches(drawn) - 0.34]
    for top, bottom in zip(tops, bottoms, strict=True):
        inside = image[round(top * 100) + 25 : round(bottom * 100) - 12, 30:1_100]
        coloured = np.ptp(inside, axis=2) > 30
        assert coloured.mean() > 0.005


def strokes(image, count, row):
    """How many pieces the candle of a row consists of, seen from top to bottom through its middle."""
    column = round(25 + 1_100 * (row + 1) / (count + 1))
    price = image[65:420, column - 1 : column + 1]
    is_drawn = np.isclose(price, 255).all(axis=(1, 2)) == 0
    is_coloured = is_drawn & (np.ptp(price, axis=2).max(axis=1) > 60)
    return int(np.count_nonzero(np.diff(is_coloured.astype(int)) == 1))


def test_a_rising_candle_is_hollow_where_there_is_room():
    few, many = pixels(lay_out(candles(40))), pixels(lay_out(candles(400)))

    assert [strokes(few, 40, row) for row in (10, 11, 20, 21)] == [2, 1, 2, 1]
    assert [strokes(many, 400, row) for row in (10, 11, 20, 21)] == [1, 1, 1, 1]


def test_a_gap_in_a_column_is_a_gap_in_its_line():
    values = candles(100)["close"] + 3
    values[30:70] = NAN
    image = pixels(chart(line=values))[85:420]
    columns = shares(image.transpose(1, 0, 2), theme.line_colour(0)) > 0

    assert columns[60:340].mean() > 0.9
    assert not columns[370:770].any()
    assert columns[800:1_100].mean() > 0.9


@pytest.mark.parametrize("count", [0, 1, 2, 501, MOST_ROWS + 1])
def test_any_number_of_rows_can_be_drawn(count):
    columns = result("A", days(count), signals=["up"], up=np.arange(count) % 2, empty=np.full(count, NAN))

    assert pixels(lay_out(columns, candles=candles(count))).size


def test_columns_without_candles_can_be_drawn():
    assert shares(pixels(lay_out(result("A", days(9), a=np.arange(9)))), theme.line_colour(0)).max() > 0.001
    assert pixels(lay_out(result("A", days(9)))).size


def test_infinities_and_missing_prices_can_be_drawn():
    source = candles(50)
    gaps = {name: np.where(np.arange(50) % 5, source[name], NAN) for name in source.columns}

    assert pixels(lay_out(result("A", days(50), infinite=np.full(50, np.inf), **gaps))).size


def test_the_same_charts_are_the_same_bytes_from_any_thread():
    drawn = chart(pane=np.arange(100))
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(draw_png, [[drawn]] * 4))) == 1
