"""Every function against its oracle on real candles: TA-Lib for technical analysis, pandas for Qlib's operators."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import pytest

from candelabra_server.domain.candles import FloatColumn
from candelabra_server.formulas.catalogue import FUNCTIONS, Family
from candelabra_server.formulas.kernels.talib_import import talib

SYMBOLS = ("AAPL", "FB", "GOOG", "IBM", "MSFT")
Fields = Mapping[str, FloatColumn]


def rolling(name: str, window: int) -> Callable[[Fields], pd.api.typing.Rolling]:
    return lambda fields: pd.Series(fields[name]).rolling(window, min_periods=1)


def deviation(name: str, window: int, *, ddof: int, min_periods: int | None = None) -> Callable[[Fields], pd.Series]:
    """pandas, every window by itself: its own rolling std, as TA-Lib's, carries rounding errors along the history."""

    def of_window(values: FloatColumn) -> float:
        return values.std(ddof=ddof) if len(values) > ddof else np.nan

    return lambda fields: pd.Series(fields[name]).rolling(window, min_periods=min_periods).apply(of_window, raw=True)


def crossed(first: FloatColumn, second: FloatColumn) -> FloatColumn:
    """Row by row, as the definition says it."""
    rows = [np.nan]
    for before, after, before_second, after_second in zip(first, first[1:], second, second[1:], strict=False):
        known = not np.isnan([before, after, before_second, after_second]).any()
        rows.append(float(before <= before_second and after > after_second) if known else np.nan)
    return np.array(rows)


ORACLES: dict[str, Callable[[Fields], object]] = {
    "sma(close, 20)": lambda f: talib.SMA(f["close"], 20),
    "sma(close)": lambda f: talib.SMA(f["close"]),
    "sma(volume, 7)": lambda f: talib.SMA(f["volume"], 7),
    "sma(close, 1)": lambda f: f["close"],
    "sma(close, period=250)": lambda f: talib.SMA(f["close"], 250),
    "ema(close, 12)": lambda f: talib.EMA(f["close"], 12),
    "ema(close, 1)": lambda f: talib.EMA(f["close"], 1),
    "ema(volume)": lambda f: talib.EMA(f["volume"]),
    "wma(close, 20)": lambda f: talib.WMA(f["close"], 20),
    "wma(high)": lambda f: talib.WMA(f["high"]),
    "rsi(close)": lambda f: talib.RSI(f["close"]),
    "rsi(close, 2)": lambda f: talib.RSI(f["close"], 2),
    "atr()": lambda f: talib.ATR(f["high"], f["low"], f["close"]),
    "atr(5)": lambda f: talib.ATR(f["high"], f["low"], f["close"], 5),
    "atr(period=5)": lambda f: talib.ATR(f["high"], f["low"], f["close"], 5),
    "atr(high, low, open, 14)": lambda f: talib.ATR(f["high"], f["low"], f["open"], 14),
    "atr(1)": lambda f: talib.TRANGE(f["high"], f["low"], f["close"]),
    "macd(close)": lambda f: talib.MACD(f["close"]),
    "macd(close, 12, 26, 9).hist": lambda f: talib.MACD(f["close"])[2],
    "macd(close, fast=5, slow=35, signal=5)": lambda f: talib.MACD(f["close"], 5, 35, 5),
    "macd(close, 26, 12, 9)": lambda f: talib.MACD(f["close"], 26, 12, 9),
    "bbands(close)": lambda f: talib.BBANDS(f["close"], 20),
    "bbands(close, 10, up=1.5, down=3)": lambda f: talib.BBANDS(f["close"], 10, 1.5, 3.0),
    'bbands(close, 20, 1, 2, "ema")': lambda f: talib.BBANDS(f["close"], 20, 1.0, 2.0, 1),
    'bbands(close, 10, matype="hma")': lambda f: talib.BBANDS(f["close"], 10, 2.0, 2.0, 9),
    'bbands(close, 20, matype="mama")': lambda f: talib.BBANDS(f["close"], 20, 2.0, 2.0, 7),
    "stddev(close, 20)": deviation("close", 20, ddof=0),
    "stddev(close, 20, nbdev=-1.5)": lambda f: -1.5 * deviation("close", 20, ddof=0)(f),
    "stddev(close)": deviation("close", 5, ddof=0),
    "highest(high, 20)": lambda f: talib.MAX(f["high"], 20),
    "highest(high)": lambda f: talib.MAX(f["high"]),
    "lowest(low, 33)": lambda f: talib.MIN(f["low"], 33),
    "lowest(low, 64)": lambda f: talib.MIN(f["low"], 64),
    "change(close)": lambda f: talib.MOM(f["close"], 1),
    "change(close, 10)": lambda f: talib.MOM(f["close"], 10),
    "roc(close)": lambda f: talib.ROC(f["close"]),
    "roc(volume, 3)": lambda f: talib.ROC(f["volume"], 3),
    "cross_over(close, sma(close, 20))": lambda f: crossed(f["close"], talib.SMA(f["close"], 20)),
    "cross_under(close, sma(close, 20))": lambda f: crossed(talib.SMA(f["close"], 20), f["close"]),
    "cross_over(rsi(close), 30)": lambda f: crossed(talib.RSI(f["close"]), np.full(len(f["close"]), 30.0)),
    "if(close > open, high, low)": lambda f: np.where(f["close"] > f["open"], f["high"], f["low"]),
    "Ref($close, 3)": lambda f: pd.Series(f["close"]).shift(3),
    "Mean($close, 5)/$close": lambda f: rolling("close", 5)(f).mean() / f["close"],
    "Mean($volume, 60)": lambda f: rolling("volume", 60)(f).mean(),
    "Std($close, 5)": deviation("close", 5, ddof=1, min_periods=1),
    "Std($volume, 60)/$volume": lambda f: deviation("volume", 60, ddof=1, min_periods=1)(f) / f["volume"],
    "Sum($volume, 20)": lambda f: rolling("volume", 20)(f).sum(),
    "Max($high, 20)": lambda f: rolling("high", 20)(f).max(),
    "Min($low, 10)": lambda f: rolling("low", 10)(f).min(),
    # A comparison with NaN is false for Qlib, so its first row counts as 0.
    "Mean($close > Ref($close, 1), 10)": lambda f: (
        (pd.Series(f["close"]) > pd.Series(f["close"]).shift(1)).astype(float).rolling(10, min_periods=1).mean()
    ),
}


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize("expression", ORACLES)
def test_a_function_equals_its_oracle_on_real_candles(service, real_candles, expression, symbol):
    candles = real_candles[symbol]
    expected = ORACLES[expression](candles.fields)
    columns = expected if isinstance(expected, (tuple, list)) else [expected]
    values = service.compile(expression, parameters={}).evaluate(candles)
    for actual, wanted in zip(values, columns, strict=True):
        assert_equal_to_ten_digits(actual, np.asarray(wanted, dtype=np.float64))


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize(
    ("expression", "oracle"),
    [
        ("stddev(close, 5)", lambda f: talib.STDDEV(f["close"], 5)),
        ("stddev(close, 20)", lambda f: talib.STDDEV(f["close"], 20)),
        ("Std($close, 5)", lambda f: rolling("close", 5)(f).std()),
        ("Std($close, 60)", lambda f: rolling("close", 60)(f).std()),
    ],
)
def test_deviations_equal_running_ones_as_far_as_those_are_right(service, real_candles, expression, oracle, symbol):
    candles = real_candles[symbol]
    actual = service.compile(expression, parameters={}).evaluate(candles)[0]
    np.testing.assert_allclose(actual, np.asarray(oracle(candles.fields)), rtol=1e-9, atol=1e-8)


def test_every_function_of_technical_analysis_has_an_oracle():
    names = {name for name, function in FUNCTIONS.items() if function.family is Family.TECHNICAL}
    assert {name for name in names if any(text.startswith(f"{name}(") for text in ORACLES)} == names


@pytest.mark.parametrize("window", [1, 2, 3, 7, 16, 100])
@pytest.mark.parametrize("name", ["Mean", "Std", "Sum", "Max", "Min"])
def test_qlib_operators_skip_missing_and_infinite_values_as_pandas_does(service, real_candles, name, window):
    candles = real_candles["FB"]
    column = candles.fields["close"].copy()
    random = np.random.default_rng(11)
    column[random.random(len(column)) < 0.4] = np.nan
    column[50:200] = np.nan
    column[random.random(len(column)) < 0.05] = np.inf
    gaps = type(candles)("GAPS", candles.open_time_micros, {"close": column})
    expected = getattr(pd.Series(column).rolling(window, min_periods=1), name.lower())()
    actual = service.compile(f"{name}($close, {window})", parameters={}).evaluate(gaps)[0]
    assert_equal_to_ten_digits(actual, expected.to_numpy())


def assert_equal_to_ten_digits(actual, expected):
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
    error = np.abs(actual - expected) / np.maximum(1, np.abs(expected))
    assert np.nanmax(error, initial=0) <= 1e-10
