"""Every NaN has a reason: counted per column, by what it began with."""

import numpy as np
import pytest

from candelabra_server.domain.candles import Candles
from candelabra_server.formulas.compile_options import CompileOptions
from candelabra_server.formulas.service import FormulaService, MissingCause

SERVICE = FormulaService()
DAY = 86_400_000_000
WARM_UP, MISSING, ZERO, FLAT, DOMAIN = MissingCause


def candles(warm_up: int = 0, **columns: list[float]) -> Candles:
    fields = {name: np.array(values, dtype=np.float64) for name, values in columns.items()}
    rows = len(next(iter(fields.values())))
    return Candles("TEST", np.arange(rows, dtype=np.int64) * DAY, fields, warm_up)


RISING = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
GAP = [1.0, 2.0, np.nan, 4.0, 5.0, 6.0]

CASES = {
    "close": (RISING, {}),
    "sma(close, 3)": (RISING, {WARM_UP: 2}),
    "sma(sma(close, 2), 3)": (RISING, {WARM_UP: 3}),
    "close[4]": (RISING, {WARM_UP: 4}),
    "ema(close, 4)": (RISING, {WARM_UP: 3}),
    "macd(close, 2, 3, 2).hist": (RISING, {WARM_UP: 3}),
    "$close + 1": (GAP, {MISSING: 1}),
    "sma(close, 2)": (GAP, {WARM_UP: 1, MISSING: 2}),
    "close[2]": (GAP, {WARM_UP: 2, MISSING: 1}),
    "ema(close, 2)": (GAP, {WARM_UP: 1, MISSING: 1}),
    "Mean($close, 2)": (GAP, {}),
    "Std($close, 2)": (GAP, {WARM_UP: 1, MISSING: 2}),
    "(close - close) / (close - close)": (RISING, {ZERO: 6}),
    "sma((close - 2) * 0 / (close - 2), 2)": (RISING, {WARM_UP: 1, ZERO: 2}),
    "(2.5 - close) ^ 0.5": (RISING, {DOMAIN: 4}),
    "log(close - 3)": (RISING, {DOMAIN: 2}),
    "zscore(close - close, 3)": (RISING, {WARM_UP: 2, FLAT: 4}),
    "if(close > 3, nan, close)": (RISING, {MISSING: 3}),
    "if(close > close[1], (0 - close) ^ 0.5, close)": (RISING, {WARM_UP: 1, DOMAIN: 5}),
    "if(close > 2, close, sma(close, 6))": (RISING, {WARM_UP: 2}),
    "close > sma(close, 3)": (GAP, {WARM_UP: 2, MISSING: 3}),
    "bars_since(close > 4)": (RISING, {WARM_UP: 4}),
    "sma(close, 2)@2d": (RISING, {WARM_UP: 3}),
    'TResample($close, "2d", "mean")': (RISING, {WARM_UP: 1}),
    "nan": (RISING, {MISSING: 6}),
    "(obv(close, close) - obv(close, close)) / 0": (RISING, {ZERO: 6}),
    "log(0 - streak(close > 0))": (RISING, {DOMAIN: 6}),
    "if(close < 3, 0 / (close - close), sma(close, 3))": (RISING, {ZERO: 2}),
    "close + nan": (RISING, {MISSING: 6}),
    "shift_of_one = sma(5, 3)[1] + close": (RISING, {WARM_UP: 3}),
}


@pytest.mark.parametrize("text", CASES)
def test_every_nan_is_counted_by_what_it_began_with(text):
    close, expected = CASES[text]
    given = candles(close=close)
    formula = SERVICE.compile(text, parameters={})
    columns = formula.evaluate(given)
    (counts,) = formula.missing_counts(columns, given)
    assert counts == expected
    assert sum(counts.values()) == np.count_nonzero(np.isnan(columns[0]))


def test_rows_before_the_range_are_not_counted():
    given = candles(warm_up=4, close=GAP)
    formula = SERVICE.compile("a = sma(close, 3); b = sma(close, 6)", parameters={})
    assert formula.missing_counts(formula.evaluate(given), given) == [{MISSING: 1}, {MISSING: 2}]


def test_rows_that_lack_later_candles_lack_warm_up_on_the_other_side():
    given = candles(close=GAP)
    formula = SERVICE.compile("Ref($close, -2)", parameters={}, options=CompileOptions(allow_lookahead=True))
    assert formula.missing_counts(formula.evaluate(given), given) == [{WARM_UP: 2, MISSING: 1}]


def test_the_short_way_and_the_long_way_count_alike(real_candles):
    given = real_candles["IBM"].last(200, warm_up_candles=0)
    short = SERVICE.compile("sma(close, 50)", parameters={})
    assert short.missing_counts(short.evaluate(given), given) == [{WARM_UP: 49}]
    both = SERVICE.compile("a = sma(close, 50); b = (0 - close) ^ 0.5", parameters={})
    assert both.missing_counts(both.evaluate(given), given) == [{WARM_UP: 49}, {DOMAIN: 200}]


def test_another_symbols_missing_values_are_told_as_such():
    given = candles(close=RISING)
    other = candles(close=GAP)
    formula = SERVICE.compile('sma(symbol("SPY").close, 2)', parameters={})
    columns = formula.evaluate(given, others={"SPY": other})
    assert formula.missing_counts(columns, given, others={"SPY": other}) == [{WARM_UP: 1, MISSING: 2}]


def test_tracing_ends_when_the_evaluation_would():
    given = candles(close=GAP)
    formula = SERVICE.compile("sma(close, 2) / close", parameters={})
    columns = formula.evaluate(given)

    def stop() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        formula.missing_counts(columns, given, checkpoint=stop)
