"""Functions of signals, state and measures against their oracles on real candles, from every start, without future."""

import math
from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np
import pytest

from candelabra_server.domain.candles import Candles, FloatColumn
from candelabra_server.errors import FormulaError
from candelabra_server.formulas.catalogue import FUNCTIONS, Family
from candelabra_server.formulas.kernels.talib_import import talib
from candelabra_server.formulas.operations import ALL_HISTORY
from candelabra_server.formulas.service import ColumnKind
from support import slow_twins

SYMBOLS = ("AAPL", "FB", "GOOG", "IBM", "MSFT")
Fields = Mapping[str, FloatColumn]
Oracle = Callable[[Fields], object]


def up(fields: Fields) -> FloatColumn:
    return (fields["close"] > fields["open"]).astype(np.float64)


def crossed(fields: Fields) -> list[float]:
    """Close and open, row by row: on another side than before, or on one after touching."""
    rows = [math.nan]
    differences = fields["close"] - fields["open"]
    for before, now in pairwise(differences):
        rows.append(float((before <= 0 < now) or (before >= 0 > now)))
    return rows


def of_windows(first: str, second: str, window: int, compute: Callable[[FloatColumn, FloatColumn], float]) -> Oracle:
    """Every window by itself."""

    def column(fields: Fields) -> FloatColumn:
        values = np.full(len(fields[first]), np.nan)
        for row in range(window - 1, len(values)):
            rows = slice(row + 1 - window, row + 1)
            values[row] = compute(fields[first][rows], fields[second][rows])
        return values

    return column


def covariance(first: FloatColumn, second: FloatColumn) -> float:
    return float(np.dot(first - first.mean(), second - second.mean()) / (len(first) - 1))


def session_vwap(session: str) -> Oracle:
    def column(fields: Fields) -> list[float]:
        typical = talib.TYPPRICE(fields["high"], fields["low"], fields["close"])
        return slow_twins.session_mean(fields["time"].tolist(), typical.tolist(), fields["volume"].tolist(), session)

    return column


ORACLES: dict[str, Oracle] = {
    "cross(close, open)": crossed,
    "cross(open, close)": crossed,
    "bars_since(close > open)": lambda f: slow_twins.bars_since(up(f)),
    "bars_since(rising(close, 4))": lambda f: slow_twins.bars_since(slow_twins.rising(f["close"], 4)),
    "value_when(close > open, high)": lambda f: slow_twins.value_when(up(f), f["high"], 0),
    "value_when(close > open, high, 3)": lambda f: slow_twins.value_when(up(f), f["high"], 3),
    "value_when(close > open, high, occurrence=100000)": lambda f: np.full(len(f["high"]), np.nan),
    "streak(close > open)": lambda f: slow_twins.streak(up(f)),
    "count_if(close > open, 10)": lambda f: slow_twins.count_if(up(f), 10),
    "count_if(close > open, period=1)": up,
    "rising(close)": lambda f: slow_twins.rising(f["close"], 1),
    "rising(close, 4)": lambda f: slow_twins.rising(f["close"], 4),
    "falling(low)": lambda f: slow_twins.falling(f["low"], 1),
    "falling(low, 4)": lambda f: slow_twins.falling(f["low"], 4),
    "pivot_high(high, 5, 3)": lambda f: slow_twins.pivot_high(f["high"], 5, 3),
    "pivot_high(high, left=1, right=1)": lambda f: slow_twins.pivot_high(f["high"], 1, 1),
    "pivot_low(low, 5, 3)": lambda f: slow_twins.pivot_low(f["low"], 5, 3),
    "highest_bars(high, 20)": lambda f: slow_twins.highest_bars(f["high"], 20),
    "lowest_bars(low, 33)": lambda f: slow_twins.lowest_bars(f["low"], 33),
    "fix_nan(pivot_high(high, 2, 2))": lambda f: slow_twins.fix_nan(slow_twins.pivot_high(f["high"], 2, 2)),
    "simple_return(close)": lambda f: talib.ROCP(f["close"], 1),
    "simple_return(close, 21)": lambda f: talib.ROCP(f["close"], 21),
    "log_return(close)": lambda f: np.concatenate(([np.nan], np.diff(np.log(f["close"])))),
    "log_return(close, 5)": lambda f: np.concatenate((np.full(5, np.nan), np.log(f["close"][5:] / f["close"][:-5]))),
    "true_range()": lambda f: talib.TRANGE(f["high"], f["low"], f["close"]),
    "true_range(high, low, open)": lambda f: talib.TRANGE(f["high"], f["low"], f["open"]),
    "session_vwap()": session_vwap("1d"),
    'session_vwap("1w")': session_vwap("1w"),
    'session_vwap(session="1M")': session_vwap("1M"),
    "zscore(close)": of_windows("close", "close", 20, lambda x, _: (x[-1] - x.mean()) / x.std()),
    "zscore(volume, 60)": of_windows("volume", "volume", 60, lambda x, _: (x[-1] - x.mean()) / x.std()),
    "percent_rank(close)": lambda f: slow_twins.percent_rank(f["close"], 20),
    "percent_rank(volume, 250)": lambda f: slow_twins.percent_rank(f["volume"], 250),
    "percent_rank(close, 1000)": lambda f: slow_twins.percent_rank(f["close"], 1000),
    "drawdown(close)": lambda f: f["close"] / np.array(slow_twins.highest_so_far(f["close"])) - 1,
    "covariance(close, volume, 20)": of_windows("close", "volume", 20, covariance),
    "covariance(close, close, 2)": of_windows("close", "close", 2, covariance),
    "correlation(close, volume, 20)": of_windows("close", "volume", 20, lambda x, y: float(np.corrcoef(x, y)[0, 1])),
    "beta_to(close, open, 60)": of_windows("close", "open", 60, lambda x, y: covariance(x, y) / covariance(y, y)),
}
WHOLE_HISTORY = ("bars_since", "value_when", "streak", "fix_nan", "session_vwap", "drawdown")
WARM_UPS = {
    "cross(close, open)": 1,
    "count_if(close > open, 10)": 9,
    "rising(close, 4)": 4,
    "falling(low)": 1,
    "pivot_high(high, 5, 3)": 8,
    "highest_bars(high, 20)": 19,
    "simple_return(close, 21)": 21,
    "log_return(close)": 1,
    "true_range()": 1,
    "zscore(close)": 19,
    "percent_rank(close)": 20,
    "covariance(close, volume, 20)": 19,
    **{f"{text}": ALL_HISTORY for text in ORACLES if text.startswith(WHOLE_HISTORY)},
}
SIGNALS = ("cross(", "rising(", "falling(")


def timed_fields(candles):
    return {**candles.fields, "time": candles.open_time_micros}


def sliced(candles: Candles, start: int, stop: int) -> Candles:
    fields = {name: column[start:stop] for name, column in candles.fields.items()}
    return Candles(symbol=candles.symbol, open_time_micros=candles.open_time_micros[start:stop], fields=fields)


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize("expression", ORACLES)
def test_a_function_equals_its_oracle_on_real_candles(service, real_candles, expression, symbol):
    candles = real_candles[symbol]
    expected = np.asarray(ORACLES[expression](timed_fields(candles)), dtype=np.float64)
    (actual,) = service.compile(expression, parameters={}).evaluate(candles)
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
    error = np.abs(actual - expected) / np.maximum(1, np.abs(expected))
    assert np.nanmax(error, initial=0) <= 1e-10


def test_every_function_of_signals_and_measures_has_an_oracle():
    names = {function.name for function in FUNCTIONS.values() if function.family is Family.SIGNAL}
    assert {name for name in names if any(text.startswith(f"{name}(") for text in ORACLES)} == names


@pytest.mark.parametrize("expression", ORACLES)
def test_a_value_has_the_same_bits_wherever_the_range_starts(service, real_candles, expression):
    candles = real_candles["FB"]
    rows = len(candles)
    formula = service.compile(expression, parameters={})
    (whole,) = formula.evaluate(candles)
    for start in sorted({*range(0, 30, 3), *range(30, rows, 37), rows - 1}):
        first = max(0, start - formula.warm_up_candles)
        (part,) = formula.evaluate(sliced(candles, first, rows))
        assert part[start - first :].tobytes() == whole[start:].tobytes(), start


@pytest.mark.parametrize("expression", ORACLES)
def test_later_candles_change_no_bit_of_an_earlier_value(service, real_candles, expression):
    candles = real_candles["FB"]
    formula = service.compile(expression, parameters={})
    (whole,) = formula.evaluate(candles)
    for stop in (0, 1, 2, 9, 50, 211, len(candles) - 1):
        (part,) = formula.evaluate(sliced(candles, 0, stop))
        assert part.tobytes() == whole[:stop].tobytes(), stop


@pytest.mark.parametrize(("expression", "candles"), WARM_UPS.items())
def test_the_warm_up_is_what_the_definition_looks_back_on(service, expression, candles):
    assert service.compile(expression, parameters={}).warm_up_candles == candles


@pytest.mark.parametrize("expression", ORACLES)
def test_crossings_and_directions_are_signals_and_the_rest_are_numbers(service, expression):
    (column,) = service.compile(expression, parameters={}).columns
    assert column.kind is (ColumnKind.SIGNAL if expression.startswith(SIGNALS) else ColumnKind.NUMBER)


@pytest.mark.parametrize("text", ["value_when(close > open, {})", "fix_nan({})"])
@pytest.mark.parametrize(("series", "kind"), [("close < 10", ColumnKind.SIGNAL), ("close", ColumnKind.NUMBER)])
def test_state_of_a_signal_is_a_signal_and_of_a_number_a_number(service, text, series, kind):
    assert service.compile(text.format(series), parameters={}).columns[0].kind is kind


@pytest.mark.parametrize(
    "call", ["bars_since({})", "value_when({}, close)", "streak({})", "count_if({}, 3)", "if({}, 1, 2)"]
)
def test_a_condition_must_be_a_signal(service, call):
    service.compile(call.format("close > open"), parameters={})
    with pytest.raises(FormulaError) as caught:
        service.compile(call.format("close - open"), parameters={})
    assert [problem.code for problem in caught.value.problems] == ["NOT_A_SIGNAL"]


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("count_if(close > open, 0)", "WINDOW_OUT_OF_RANGE"),
        ("pivot_high(high, 0, 2)", "WINDOW_OUT_OF_RANGE"),
        ("pivot_low(low, 2, 0)", "WINDOW_OUT_OF_RANGE"),
        ("highest_bars(high, close)", "SETTING_NOT_CONSTANT"),
        ("value_when(close > open, close, -1)", "SETTING_OUT_OF_RANGE"),
        ("value_when(close > open, close, 0.5)", "WINDOW_NOT_WHOLE"),
        ("zscore(close, 1)", "WINDOW_OUT_OF_RANGE"),
        ("correlation(close, open, 1)", "WINDOW_OUT_OF_RANGE"),
        ("covariance(close, open)", "MISSING_ARGUMENT"),
    ],
)
def test_a_setting_that_has_no_meaning_is_refused(service, expression, code):
    with pytest.raises(FormulaError) as caught:
        service.compile(expression, parameters={})
    assert code in {problem.code for problem in caught.value.problems}


def test_a_session_must_be_a_day_a_week_or_a_month(service):
    with pytest.raises(FormulaError) as caught:
        service.compile('session_vwap("1h")', parameters={})
    assert '"1d", "1w", "1M"' in str(caught.value)


def values(service, expression, **fields):
    columns = {name: np.array(column, dtype=np.float64) for name, column in fields.items()}
    rows = len(next(iter(columns.values())))
    candles = Candles(symbol="X", open_time_micros=np.arange(rows, dtype=np.int64) * 3_600_000_000, fields=columns)
    (column,) = service.compile(expression, parameters={}).evaluate(candles)
    return ["nan" if math.isnan(value) else value for value in column.tolist()]


def test_a_missing_value_is_a_condition_that_does_not_hold(service):
    close = [1.0, math.nan, 3.0, math.nan, math.nan, 4.0, 0.0]
    condition = "close > 0"
    assert values(service, f"bars_since({condition})", close=close) == [0, 1, 0, 1, 2, 0, 1]
    assert values(service, f"streak({condition})", close=close) == [1, 0, 1, 0, 0, 1, 0]
    assert values(service, f"count_if({condition}, 3)", close=close) == ["nan", "nan", 2, 1, 1, 1, 1]
    assert values(service, f"value_when({condition}, close, 1)", close=close) == ["nan", "nan", 1, 1, 1, 3, 3]


def test_of_equal_peaks_the_last_is_the_pivot_and_the_first_is_the_highest_bar(service):
    high = [1, 5, 5, 2, 1, 1]
    assert values(service, "pivot_high(high, 1, 1)", high=high) == ["nan", "nan", "nan", 5, "nan", "nan"]
    assert values(service, "pivot_high(high, 2, 2)", high=high) == ["nan"] * 4 + [5, "nan"]
    assert values(service, "highest_bars(high, 4)", high=high) == ["nan", "nan", "nan", -2, -3, -3]
    low = [-value for value in high]
    assert values(service, "pivot_low(low, 1, 1)", low=low) == ["nan", "nan", "nan", -5, "nan", "nan"]
    assert values(service, "lowest_bars(low, 4)", low=low) == ["nan", "nan", "nan", -2, -3, -3]


def test_rising_looks_at_every_value_of_the_window_not_only_at_the_last_step(service):
    close = [3, 1, 2, 4, math.nan, 5, 6]
    assert values(service, "rising(close, 2)", close=close) == ["nan", "nan", 0, 1, "nan", "nan", "nan"]
    assert values(service, "rising(close)", close=close) == ["nan", 0, 1, 1, "nan", "nan", 1]


def test_a_flat_window_has_no_score_correlation_or_beta_but_a_covariance_of_nought(service):
    fields = {"close": [1e9 + 0.1] * 30, "open": list(range(30))}
    for expression in ("zscore(close, 5)", "correlation(close, open, 5)", "beta_to(open, close, 5)"):
        assert values(service, expression, **fields) == ["nan"] * 30
    assert values(service, "covariance(close, open, 5)", **fields) == ["nan"] * 4 + [0.0] * 26
    assert values(service, "beta_to(close, open, 5)", **fields) == ["nan"] * 4 + [0.0] * 26


def test_a_gap_or_an_infinity_leaves_a_pair_window_with_its_candle(service):
    close = [1.0, 2.0, math.nan, 4.0, 7.0, math.inf, 3.0, 4.0, 9.0]
    fields = {"close": close, "open": [2.0, 3.0, 1.0, 0.0, 5.0, 2.0, 8.0, 1.0, 1.5]}
    for function in ("correlation", "covariance", "beta_to"):
        known = [value != "nan" for value in values(service, f"{function}(close, open, 2)", **fields)]
        assert known == [False, True, False, False, True, False, False, True, True]


def test_a_correlation_is_never_beyond_one(service):
    close = np.random.default_rng(4).normal(1e9, 1, 500)
    column = values(service, "correlation(close, close * 3 + 1, 3)", close=close)
    assert all(value == "nan" or -1 <= value <= 1 for value in column)


def test_drawdown_passes_over_missing_values(service):
    close = [math.nan, 10, 8, math.nan, 12, 6]
    assert values(service, "drawdown(close)", close=close) == ["nan", 0, 8 / 10 - 1, "nan", 0, 6 / 12 - 1]


def test_returns_on_nought_are_infinite_or_missing(service):
    close = [0, 0, 5, -5, 0]
    assert values(service, "simple_return(close)", close=close) == ["nan", "nan", math.inf, -2, -1]
    assert values(service, "log_return(close)", close=close) == ["nan", "nan", math.inf, "nan", -math.inf]


def test_a_session_begins_at_midnight_in_utc_and_waits_for_volume(service):
    hours = 26
    fields = {name: np.arange(hours, dtype=np.float64) for name in ("high", "low", "close")}
    volume = np.ones(hours)
    volume[[0, 24]] = 0
    column = values(service, "session_vwap()", **fields, volume=volume)
    assert column[:3] == ["nan", 1, 1.5]
    assert column[23:] == [12, "nan", 25]
    assert values(service, 'session_vwap("1w")', **fields, volume=volume)[24:] == [12, sum(range(1, 24), 25) / 24]
