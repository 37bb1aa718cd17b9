"""Properties that hold however functions are put together, on candles with gaps, zeros and infinities."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candelabra_server.domain.candles import Candles
from candelabra_server.formulas.service import FormulaService

ROWS = 300
SERVICE = FormulaService()


def odd_candles() -> Candles:
    random = np.random.default_rng(3)
    close = 50 * np.exp(np.cumsum(random.normal(0, 0.02, ROWS)))
    gaps = close.copy()
    gaps[random.random(ROWS) < 0.1] = np.nan
    gaps[random.random(ROWS) < 0.02] = np.inf
    gaps[150:170] = 0
    fields = {
        "open": np.roll(close, 1),
        "high": close * 1.01,
        "low": close * 0.99,
        "close": close,
        "volume": random.integers(1, 1_000_000, ROWS).astype(np.float64),
        "gaps": gaps,
    }
    return Candles(symbol="ODD", open_time_micros=np.arange(ROWS, dtype=np.int64), fields=fields)


CANDLES = odd_candles()


def rows(start: int, stop: int) -> Candles:
    fields = {name: column[start:stop] for name, column in CANDLES.fields.items()}
    return Candles(symbol="ODD", open_time_micros=CANDLES.open_time_micros[start:stop], fields=fields)


def joined(*parts) -> st.SearchStrategy[str]:
    return st.tuples(*(st.just(part) if isinstance(part, str) else part for part in parts)).map("".join)


def larger(smaller: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    window = st.integers(min_value=2, max_value=20).map(str)
    condition = joined("(", smaller, st.sampled_from([" < ", " <= ", " == ", " != "]), smaller, ")")
    return st.one_of(
        joined("(", smaller, st.sampled_from([" + ", " - ", " * ", " / ", " % ", " ^ "]), smaller, ")"),
        condition,
        joined("(not ", condition, " and ", condition, " or ", condition, ")"),
        joined("if(", condition, ", ", smaller, ", ", smaller, ")"),
        joined(
            st.sampled_from(["sma", "wma", "stddev", "highest", "lowest", "change", "roc"]),
            "(",
            smaller,
            ", ",
            window,
            ")",
        ),
        joined(st.sampled_from(["Ref", "Mean", "Sum", "Std", "Max", "Min"]), "(", smaller, ", ", window, ")"),
        joined("(", smaller, ")[", window, "]"),
        joined(st.sampled_from(["cross_over", "cross_under"]), "(", smaller, ", ", smaller, ")"),
        joined("-(", smaller, ")"),
    )


FORMULAS = st.recursive(
    st.sampled_from(["open", "high", "low", "close", "volume", "$gaps", "close * 0 + 2", "(close - close - 0.5)"]),
    larger,
    max_leaves=8,
)
THOROUGH = settings(max_examples=300, deadline=None, derandomize=True)


@THOROUGH
@given(text=FORMULAS, start=st.integers(min_value=0, max_value=ROWS - 1))
def test_a_composed_formula_has_the_same_values_from_every_start(text, start):
    formula = SERVICE.compile(text, parameters={})
    first = max(0, start - formula.warm_up_candles)
    part = formula.evaluate(rows(first, ROWS))[0][start - first :]
    np.testing.assert_array_equal(part, formula.evaluate(CANDLES)[0][start:])


@THOROUGH
@given(text=FORMULAS, stop=st.integers(min_value=0, max_value=ROWS))
def test_later_candles_change_no_earlier_value(text, stop):
    formula = SERVICE.compile(text, parameters={})
    np.testing.assert_array_equal(formula.evaluate(rows(0, stop))[0], formula.evaluate(CANDLES)[0][:stop])


@pytest.mark.parametrize("text", ["ema(close, 9)", "rsi(close)", "atr(7)", "macd(close)", "ema($gaps, 5)"])
def test_later_candles_change_no_earlier_value_of_recursive_functions(text):
    formula = SERVICE.compile(text, parameters={})
    for stop in (0, 1, 9, 100, 299):
        for part, whole in zip(formula.evaluate(rows(0, stop)), formula.evaluate(CANDLES), strict=True):
            np.testing.assert_array_equal(part, whole[:stop])
