import numpy as np
import pytest

from candelabra_client._plots.chart import Candles, Style
from candelabra_client._plots.layout import MOST_PANES, entering, group_names, is_like_price, lay_out, lay_out_all
from support.charts import DAY, candles, days, failed, result

NAN = float("nan")


def labels(series):
    return [each.label for each in series]


def drawn(formula="", *, count=120, signals=(), **columns):
    return lay_out(
        result("AAPL", days(count), signals=signals, **columns), candles=candles(count), formula=formula, timeframe="1d"
    )


def mean(values, count):
    return np.convolve(values, np.ones(count) / count)[: len(values)] if count else values


def test_an_average_lies_over_the_candles():
    close = candles(120)["close"]
    average = mean(close, 5)
    average[:4] = NAN
    chart = drawn(average=average)

    assert (labels(chart.overlays), chart.panes, chart.signals) == (["average"], (), ())


def test_an_oscillator_gets_a_pane_even_where_its_numbers_are_those_of_the_price():
    oscillator = 50 + 20 * np.sin(np.arange(120))
    chart = drawn(strength=oscillator)

    assert chart.overlays == ()
    assert [labels(pane.series) for pane in chart.panes] == [["strength"]]


def test_a_column_far_from_the_price_gets_a_pane():
    assert [labels(pane.series) for pane in drawn(ratio=np.full(120, 0.5)).panes] == [["ratio"]]
    assert labels(drawn(level=np.full(120, 49.0)).overlays) == ["level"]


def test_a_column_without_any_value_gets_a_pane():
    assert [labels(pane.series) for pane in drawn(empty=np.full(120, NAN)).panes] == [["empty"]]


def test_outputs_of_one_function_share_a_pane_and_the_histogram_is_bars():
    wave = np.sin(np.arange(120) / 5)
    chart = drawn("macd(close)", value__macd=wave, value__signal=wave, value__hist=wave / 3, other=wave)

    assert [labels(pane.series) for pane in chart.panes] == [
        ["macd(close).macd", "macd(close).signal", "macd(close).hist"],
        ["other"],
    ]
    assert [each.style for each in chart.panes[0].series] == [Style.LINE, Style.LINE, Style.BARS]


def test_bands_lie_over_the_candles_together_or_not_at_all():
    close = candles(120)["close"]
    near = drawn(bands__upper=close * 1.05, bands__lower=close * 0.95)
    assert labels(near.overlays) == ["bands.upper", "bands.lower"]

    apart = drawn(bands__upper=close * 1.05, bands__width=np.full(120, 0.1))
    assert apart.overlays == ()
    assert [labels(pane.series) for pane in apart.panes] == [["bands.upper", "bands.width"]]


def test_a_signal_is_marked_where_it_becomes_true():
    chart = drawn(is_up=np.tile([NAN, 1, 0, 1, 1, 0], 20), signals=["is_up"])

    assert [signal.label for signal in chart.signals] == ["is_up"]
    assert np.flatnonzero(chart.signals[0].entered).tolist() == list(range(3, 120, 6))


@pytest.mark.parametrize(
    ("values", "entered"), [([1, 1], []), ([NAN, 1], []), ([0, 1], [1]), ([0, NAN, 1], []), ([0, 1, 0, 1], [1, 3])]
)
def test_what_follows_unknown_is_no_change(values, entered):
    assert np.flatnonzero(entering(np.array(values, float))).tolist() == entered


def test_rows_meet_their_candle_by_open_time():
    sparse = result("AAPL", days(3)[[0, 2]], a=[1.0, 3.0])
    chart = lay_out(sparse, candles=candles(3))
    assert chart.panes[0].series[0].values.tolist() == pytest.approx([1.0, NAN, 3.0], nan_ok=True)

    foreign = result("AAPL", days(3) + DAY // 2, a=[1.0, 2.0, 3.0])
    assert np.isnan(lay_out(foreign, candles=candles(3)).panes[0].series[0].values).all()


def test_a_result_with_prices_is_its_own_candles():
    chart = lay_out(candles(10))

    assert chart.candles is not None
    assert (chart.overlays, chart.panes) == ((), ())
    assert chart.volume is not None


def test_further_fields_of_candles_are_columns():
    source = candles(60)
    extended = result(
        "AAPL",
        days(60),
        vwap=source["close"] + 0.1,
        trades=np.arange(60.0),
        **{name: source[name] for name in source.columns},
    )
    chart = lay_out(extended)

    assert labels(chart.overlays) == ["vwap"]
    assert [labels(pane.series) for pane in chart.panes] == [["trades"]]


def test_a_column_of_the_formula_named_as_a_price_is_not_taken_for_it():
    chart = drawn(close=np.full(120, -1.0))

    assert chart.candles is not None
    assert chart.candles.close.tolist() == candles(120)["close"].tolist()
    assert [labels(pane.series) for pane in chart.panes] == [["close"]]


def test_without_candles_all_columns_lie_below_each_other():
    chart = lay_out(result("AAPL", days(3), signals=["up"], a=[1, 2, 3], up=[0, 1, 0]))

    assert (chart.candles, chart.volume, chart.overlays, chart.signals) == (None, None, (), ())
    assert [labels(pane.series) for pane in chart.panes] == [["a"], ["up"]]


def test_a_volume_of_nothing_is_not_shown():
    source = candles(5)
    chart = lay_out(result("A", days(5), **{**{n: source[n] for n in source.columns}, "volume": np.zeros(5)}))

    assert chart.volume is None


def test_more_panes_than_fit_are_named_as_omitted():
    chart = drawn(**{f"c{number}": np.full(120, -1.0) for number in range(MOST_PANES + 2)})

    assert len(chart.panes) == MOST_PANES
    assert chart.omitted == ("c8", "c9")


def test_a_lone_expression_labels_its_column_when_it_is_short():
    assert labels(drawn("rsi(close,\n  14)", value=np.zeros(120)).panes[0].series) == ["rsi(close,; 14)"]
    assert labels(drawn("x" * 100, value=np.zeros(120)).panes[0].series) == ["value"]


def test_the_caption_has_timeframe_and_days_and_the_formula_no_comments():
    chart = drawn("a = close # the last\n\nb = a;", a=np.zeros(120))

    assert chart.caption == "1d, 2012-01-01 to 2012-04-29"
    assert chart.formula == "a = close; b = a"
    assert lay_out(candles(1)).caption == "2012-01-01"


def test_no_rows_make_a_chart_too():
    assert lay_out(candles(0)).row_count == 0
    assert lay_out(result("A", days(0), a=[]), candles=candles(0)).row_count == 0


def test_failed_symbols_have_no_chart_and_failed_candles_are_no_candles():
    charts = lay_out_all([candles(3), failed("B"), result("C", days(3), a=[1, 2, 3])], candles=[failed("C")])

    assert [(chart.symbol, chart.candles is None) for chart in charts] == [("AAPL", False), ("C", True)]


def test_names_are_grouped_by_what_stands_before_the_last_dot():
    assert group_names(["a.x", "b", "a.y", "x.y.z", "x.y.w"]) == [("a.x", "a.y"), ("b",), ("x.y.z", "x.y.w")]


def test_flat_prices_still_tell_what_is_like_them():
    flat = np.full(10, 5.0)
    prices = Candles(flat, flat, flat, flat)

    assert is_like_price(np.full(10, 6.0), prices)
    assert not is_like_price(np.linspace(4, 6, 10), prices)
