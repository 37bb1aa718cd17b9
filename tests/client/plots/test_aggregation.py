import numpy as np

from candelabra_client._plots.aggregation import aggregated
from candelabra_client._plots.layout import lay_out
from support.charts import candles, days, result

NAN = float("nan")


def test_enough_room_changes_nothing():
    chart = lay_out(candles(10))

    assert aggregated(chart, 10) is chart


def test_candles_come_together_as_those_of_a_longer_timeframe():
    source = candles(7)
    one = aggregated(lay_out(source, timeframe="1d"), 3)
    groups = [slice(0, 3), slice(3, 6), slice(6, 7)]

    assert one.caption.endswith(", 3 rows a candle")
    assert one.times.tolist() == source.open_times[[0, 3, 6]].tolist()
    assert one.candles is not None
    assert one.candles.open.tolist() == [source["open"][group][0] for group in groups]
    assert one.candles.high.tolist() == [source["high"][group].max() for group in groups]
    assert one.candles.low.tolist() == [source["low"][group].min() for group in groups]
    assert one.candles.close.tolist() == [source["close"][group][-1] for group in groups]
    assert one.candles.volume is not None
    assert one.candles.volume.tolist() == [source["volume"][group].sum() for group in groups]


def test_a_series_has_its_last_value_and_a_signal_any_mark():
    columns = result("AAPL", days(6), signals=["up"], a=[1, 2, NAN, NAN, NAN, NAN], up=[0, 1, 1, 1, 1, 0])
    one = aggregated(lay_out(columns, candles=candles(6)), 2)

    assert np.array_equal(one.panes[0].series[0].values, [2, NAN], equal_nan=True)
    assert one.signals[0].entered.tolist() == [True, False]


def test_missing_prices_leave_the_others():
    source = candles(4)
    gaps = {name: np.where(np.arange(4) % 2, NAN, source[name]) for name in source.columns}
    one = aggregated(lay_out(result("A", days(4), **gaps)), 2)

    assert one.candles is not None
    assert one.candles.close.tolist() == [source["close"][0], source["close"][2]]
    assert one.candles.high.tolist() == [source["high"][0], source["high"][2]]
