"""Values do not depend on where the range starts, given the warm-up that the formula asks for."""

import numpy as np
import pytest

from candelabra_server.domain.candles import Candles
from candelabra_server.formulas.compile_options import CompileOptions
from candelabra_server.formulas.operations import ALL_HISTORY

EXACT = (
    "close / open - 1",
    "close ^ 0.3 + volume ** -1.5",
    "volume % 7",
    "close[7]",
    "change(close, 5)",
    "roc(close)",
    "sma(close, 20)",
    "sma(sma(close, 5), 3)[2]",
    "wma(close, 30)",
    "stddev(volume, 13)",
    "bbands(close)",
    "highest(high, 50) - lowest(low, 37)",
    "cross_over(sma(close, 5), sma(close, 20)) or cross_under(close, 100)",
    "if(close > close[1] and not volume < sma(volume, 3), 1, -1)",
    "Mean($close, 5) / $close",
    "Std($close, 60) / Sum($volume, 20)",
    "(Max($high, 30) - $close) / (Max($high, 30) - Min($low, 30) + 1e-12)",
    "Mean($close > Ref($close, 1), 10) - Mean($close < Ref($close, 1), 10)",
    "Std(Ref($close, 3) - sma(close, 4), 7)",
    "100 < close[1] <= 200 == 0",
)
RECURSIVE = (
    "ema(close, 2)",
    "ema(close, 50)",
    "ema(volume, 20)",
    "rsi(close)",
    "rsi(close, 3)",
    "atr(14)",
    "macd(close)",
    "macd(volume, 5, 35, 5)",
    "ema(ema(close, 10), 10)",
    "sma(rsi(close, 7), 5)[3]",
    "Mean(ema($close, 12), 5)",
)


def sliced(candles: Candles, start: int) -> Candles:
    fields = {name: column[start:] for name, column in candles.fields.items()}
    return Candles(symbol=candles.symbol, open_time_micros=candles.open_time_micros[start:], fields=fields)


def starts(candles: Candles) -> list[int]:
    """The first forty rows, the last ten, and every 61st between."""
    rows = len(candles)
    return sorted({*range(40), *range(40, rows, 61), *range(rows - 10, rows)})


@pytest.mark.parametrize("symbol", ["FB", "IBM"])
@pytest.mark.parametrize("expression", EXACT)
def test_finite_windows_give_the_same_bits_from_every_start(service, real_candles, expression, symbol):
    candles = real_candles[symbol]
    formula = service.compile(expression, parameters={})
    whole = formula.evaluate(candles)
    for start in starts(candles):
        first = max(0, start - formula.warm_up_candles)
        part = formula.evaluate(sliced(candles, first))
        for wanted, actual in zip(whole, part, strict=True):
            assert actual[start - first :].tobytes() == wanted[start:].tobytes(), start


@pytest.mark.parametrize("symbol", ["AAPL", "FB", "GOOG", "IBM", "MSFT"])
@pytest.mark.parametrize("expression", RECURSIVE)
def test_recursive_functions_give_the_same_ten_digits_from_every_start(service, real_candles, expression, symbol):
    candles = real_candles[symbol]
    formula = service.compile(expression, parameters={})
    whole = formula.evaluate(candles)
    for start in starts(candles):
        first = max(0, start - formula.warm_up_candles)
        part = formula.evaluate(sliced(candles, first))
        for wanted, actual in zip(whole, part, strict=True):
            rest = wanted[start:]
            np.testing.assert_array_equal(np.isnan(actual[start - first :]), np.isnan(rest))
            error = np.abs(actual[start - first :] - rest) / np.maximum(1, np.abs(rest))
            assert np.nanmax(error, initial=0) <= 1e-10, start


@pytest.mark.parametrize("expression", EXACT + RECURSIVE)
def test_the_warm_up_is_no_longer_than_needed_to_have_a_value(service, real_candles, expression):
    candles = real_candles["MSFT"]
    formula = service.compile(expression, parameters={})
    first = len(candles) - 1 - formula.warm_up_candles
    for column in formula.evaluate(sliced(candles, first)):
        assert not np.isnan(column[-1])


@pytest.mark.parametrize(
    ("expression", "candles"),
    [
        ("close", 0),
        ("5", 0),
        ("close + open[3]", 3),
        ("close[2][3]", 5),
        ("sma(close, 20)", 19),
        ("sma(sma(close, 5), 3)[2]", 8),
        ("sma(close, 5) - sma(close, 20)", 19),
        ("change(close)", 1),
        ("roc(close, 10)", 10),
        ("bbands(close)", 19),
        ("cross_over(close, sma(close, 10))", 10),
        ("Mean($close, 5)", 4),
        ("Ref(Mean($close, 5), 3)", 7),
        ("ema(close, 1)", 0),
        ("ema(close, 12)", 11 + 193),
        ("rsi(close, 14)", 14 + 435),
        ("atr(14)", 14 + 435),
        ("atr(1)", 1),
        ("macd(close, 12, 26, 9)", 25 + 419 + 8 + 145),
        ("a = sma(close, 5); b = close", 4),
        ("_a = sma(close, 500); b = close", 0),
    ],
)
def test_the_warm_up_is_composed_of_what_every_node_needs(service, expression, candles):
    assert service.compile(expression, parameters={}).warm_up_candles == candles


@pytest.mark.parametrize("period", [2, 14, 100])
@pytest.mark.parametrize(("function", "alpha"), [("ema", lambda n: 2 / (n + 1)), ("rsi", lambda n: 1 / n)])
def test_what_comes_before_the_warm_up_weighs_less_than_one_part_in_a_hundred_trillion(
    service, function, alpha, period
):
    warm_up = service.compile(f"{function}(close, {period})", parameters={}).warm_up_candles
    steps = warm_up - (period - 1 if function == "ema" else period)
    assert (1 - alpha(period)) ** steps <= 1e-14 < (1 - alpha(period)) ** (steps - 1)


@pytest.mark.parametrize(
    "text",
    [
        "streak(close > open)",
        "streak(close > open)[3]",
        "Ref(streak(close > open), -2)",
        "streak(close > open)@1w",
        'TResample(streak(close > open), "1w", "last")',
        "sma(Mean($close, 0), 5)",
    ],
)
def test_what_needs_the_whole_history_needs_no_more_and_no_less(service, text):
    formula = service.compile(text, parameters={}, options=CompileOptions(allow_lookahead=True))
    assert formula.warm_up_candles == ALL_HISTORY
