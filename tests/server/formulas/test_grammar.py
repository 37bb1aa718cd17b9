"""What each piece of the language gives: columns and values on six candles."""

import math

import numpy as np
import pytest

from candelabra_server.domain.candles import Candles
from candelabra_server.formulas.compile_options import CompileOptions
from candelabra_server.formulas.service import ColumnKind, OutputColumn

NAN = math.nan
INF = math.inf
NO_FIELDS = Candles(symbol="ONE", open_time_micros=np.zeros(1, dtype=np.int64), fields={})

# The candles: close 11 12 13 10 9 10, open 10 11 12 11 10 9, high 12 13 14 13 12 11, low 9 10 11 10 9 8,
# volume 100 … 600, spread 1 NaN 3 0 -1 inf.
VALUES: dict[str, list[float]] = {
    # Numbers, names and fields
    "5": [5] * 6,
    "1e-12 * 1E12": [1] * 6,
    ".5 + 5.": [5.5] * 6,
    "close": [11, 12, 13, 10, 9, 10],
    "$close": [11, 12, 13, 10, 9, 10],
    "$spread": [1, NAN, 3, 0, -1, INF],
    "half": [0.5] * 6,
    # Arithmetic and its ranks
    "close + 2 * 3 - 4 / 2": [15, 16, 17, 14, 13, 14],
    "(close + 2) * 3": [39, 42, 45, 36, 33, 36],
    "close - 1 - 1": [9, 10, 11, 8, 7, 8],
    "64 / 4 / 2": [8] * 6,
    "-close + +1": [-10, -11, -12, -9, -8, -9],
    "--5": [5] * 6,
    "2 ^ 3 ^ 2": [512] * 6,
    "2 ** 3": [8] * 6,
    "-2 ^ 2": [-4] * 6,
    "2 ^ -1": [0.5] * 6,
    "(-8) ^ 0.5": [NAN] * 6,
    "7 % 4 + -7 % 4": [4] * 6,
    "close % 4": [3, 0, 1, 2, 1, 2],
    "$spread / 0": [INF, NAN, INF, NAN, -INF, INF],
    "1 / $spread": [1, NAN, 1 / 3, INF, -1, 0],
    "nan": [NAN] * 6,
    "(close * 1e300) ** 2": [INF] * 6,
    "5 % 0": [NAN] * 6,
    "$spread ^ 0 + 1 ^ $spread": [2] * 6,
    # Comparison
    "close > 10": [1, 1, 1, 0, 0, 0],
    "close >= 10": [1, 1, 1, 1, 0, 1],
    "close < open": [0, 0, 0, 1, 1, 0],
    "close <= 10": [0, 0, 0, 1, 1, 1],
    "close == 10": [0, 0, 0, 1, 0, 1],
    "close != 10": [1, 1, 1, 0, 1, 0],
    "$spread > 0": [1, NAN, 1, 0, 0, 1],
    "$spread != $spread": [0, NAN, 0, 0, 0, 0],
    "10 < close <= 12": [1, 1, 0, 0, 0, 0],
    "9 < close < 13 != 11": [1, 1, 0, 1, 0, 1],
    "(close > 10) + 1": [2, 2, 2, 1, 1, 1],
    # Logic
    "close > 10 and open > 10": [0, 1, 1, 0, 0, 0],
    "close > 12 or open < 10": [0, 0, 1, 0, 0, 1],
    "not close > 10": [0, 0, 0, 1, 1, 1],
    "not not 7": [1] * 6,
    "close > 12 or close > 10 and open > 10": [0, 1, 1, 0, 0, 0],
    # History
    "close[0]": [11, 12, 13, 10, 9, 10],
    "close[1]": [NAN, 11, 12, 13, 10, 9],
    "close[1][2]": [NAN, NAN, NAN, 11, 12, 13],
    "(close - open)[1]": [NAN, 1, 1, 1, -1, -1],
    "sma(close, 2)[1]": [NAN, NAN, 11.5, 12.5, 11.5, 9.5],
    "close[2 * two - 3]": [NAN, 11, 12, 13, 10, 9],
    "close[100]": [NAN] * 6,
    "5[1]": [NAN, 5, 5, 5, 5, 5],
    "-close[1]": [NAN, -11, -12, -13, -10, -9],
    "2 ^ two[0]": [4] * 6,
    # Choice
    "if(close > open, 1, -1)": [1, 1, 1, -1, -1, 1],
    "if($spread > 0, close, open)": [11, NAN, 13, 11, 10, 10],
    "if(two, 3, 4)": [3] * 6,
    "if(condition=close > 12, then=1, otherwise=0)": [0, 0, 1, 0, 0, 0],
    # Functions, arguments, parameters
    "sma(close, two)": [NAN, 11.5, 12.5, 11.5, 9.5, 9.5],
    "sma(close, period=two)": [NAN, 11.5, 12.5, 11.5, 9.5, 9.5],
    "sma(series=close, period=2,)": [NAN, 11.5, 12.5, 11.5, 9.5, 9.5],
    "sma(5, 2)": [NAN, 5, 5, 5, 5, 5],
    "sma(close, 7)": [NAN] * 6,
    "highest(high, 3)": [NAN, NAN, 14, 14, 14, 13],
    "lowest(low, 3)": [NAN, NAN, 9, 10, 9, 8],
    "change(close)": [NAN, 1, 1, -3, -1, 1],
    "roc(close, 1)": [NAN, 100 / 11, 100 / 12, -300 / 13, -10, 100 / 9],
    "wma(close, 2)": [NAN, 35 / 3, 38 / 3, 11, 28 / 3, 29 / 3],
    "stddev(close, 2)": [NAN, 0.5, 0.5, 1.5, 0.5, 0.5],
    "bbands(close, 2, 1, 3).upper": [NAN, 12, 13, 13, 10, 10],
    "bbands(close, 2, down=3).lower": [NAN, 10, 11, 7, 8, 8],
    "cross_over(close, 10)": [NAN, 0, 0, 0, 0, 0],
    "cross_over(close, 9)": [NAN, 0, 0, 0, 0, 1],
    "cross_under(close, 12)": [NAN, 0, 0, 1, 0, 0],
    "cross_over($spread, 0)": [NAN, NAN, NAN, 0, 0, 1],
    "sma($spread, 2)": [NAN, NAN, NAN, 1.5, -0.5, INF],
    # Qlib
    "Ref($close, 1)": [NAN, 11, 12, 13, 10, 9],
    "Mean($close, 2)": [11, 11.5, 12.5, 11.5, 9.5, 9.5],
    "Mean($spread, 3)": [1, 1, 2, 1.5, 2 / 3, -0.5],
    "Sum($spread, 2)": [1, 1, 3, 3, -1, -1],
    "Std($close, 2)": [NAN, 0.5**0.5, 0.5**0.5, 4.5**0.5, 0.5**0.5, 0.5**0.5],
    "Max($spread, 2)": [1, 1, 3, 3, 0, -1],
    "Min($spread, 2)": [1, 1, 3, 0, -1, -1],
    "Sum($spread > 0, 3)": [1, 1, 2, 1, 1, 1],
    "Mean(feature=$close, N=1)": [11, 12, 13, 10, 9, 10],
    # Lines
    "# nothing but a remark before\nclose # and after\n": [11, 12, 13, 10, 9, 10],
    "sma(\n  close, # series\n  2\n)": [NAN, 11.5, 12.5, 11.5, 9.5, 9.5],
    ";;\r\n close\t+ 1;;": [12, 13, 14, 11, 10, 11],
    "_a = close + 1; b = _a * 2": [24, 26, 28, 22, 20, 22],
    "_m = macd(close, 2, 3, 2); b = if(_m.hist > 0, 1, 2) * 0 + 1": [NAN, NAN, NAN, 1, 1, 1],
}


@pytest.mark.parametrize("expression", VALUES)
def test_an_expression_gives_these_values(service, few_candles, expression):
    given = {"half": 0.5, "two": 2.0}
    (column,) = service.compile(expression, parameters=given).evaluate(few_candles)
    np.testing.assert_allclose(column, VALUES[expression], rtol=1e-14)


@pytest.mark.parametrize(
    ("expression", "columns"),
    [
        ("close", ["value"]),
        ("x = close", ["x"]),
        ("a = close; b = open", ["a", "b"]),
        ("b = open\na = close", ["b", "a"]),
        ("_a = close; b = _a", ["b"]),
        ("macd(close)", ["value.macd", "value.signal", "value.hist"]),
        ("bbands(close)", ["value.upper", "value.middle", "value.lower"]),
        ("m = macd(close)\nx = m.hist", ["m.macd", "m.signal", "m.hist", "x"]),
        ("_m = macd(close); m = _m", ["m.macd", "m.signal", "m.hist"]),
        ("macd(close).hist", ["value"]),
        ("(macd(close)).hist[1]", ["value"]),
        ("sma1 = sma(close, 1)", ["sma1"]),
    ],
)
def test_columns_are_named_as_the_statements_say(service, expression, columns):
    assert [column.name for column in service.compile(expression, parameters={}).columns] == columns


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("close", ColumnKind.NUMBER),
        ("close > open", ColumnKind.SIGNAL),
        ("1 < close < 2", ColumnKind.SIGNAL),
        ("not close > open", ColumnKind.SIGNAL),
        ("close > 1 and 1", ColumnKind.SIGNAL),
        ("(close > 1) & (open < 2) | (close == 3)", ColumnKind.SIGNAL),
        ("cross_over(close, open)", ColumnKind.SIGNAL),
        ("cross_under(close, open)", ColumnKind.SIGNAL),
        ("(close > open)[1]", ColumnKind.SIGNAL),
        ("Ref($close > $open, 1)", ColumnKind.SIGNAL),
        ("Ref($close, 1)", ColumnKind.NUMBER),
        ("if(close > open, close > 1, open > 1)", ColumnKind.SIGNAL),
        ("if(close > open, 1, 0)", ColumnKind.NUMBER),
        ("if(close > open, close > 1, 0)", ColumnKind.NUMBER),
        ("(close > open) * 1", ColumnKind.NUMBER),
        ("-(close > open)", ColumnKind.NUMBER),
        ("Sum($close > $open, 3)", ColumnKind.NUMBER),
        ("macd(close).hist", ColumnKind.NUMBER),
    ],
)
def test_a_column_is_a_signal_where_it_answers_yes_or_no(service, expression, kind):
    assert service.compile(expression, parameters={}).columns == (OutputColumn("value", kind),)


@pytest.mark.parametrize("operator", ["and", "or"])
def test_logic_is_three_valued(service, operator):
    # Kleene: what the unknown could not change is known.
    table = {
        "and": {(1, NAN): NAN, (0, NAN): 0, (NAN, NAN): NAN, (1, 1): 1, (1, 0): 0, (0, 0): 0},
        "or": {(1, NAN): 1, (0, NAN): NAN, (NAN, NAN): NAN, (1, 1): 1, (1, 0): 1, (0, 0): 0},
    }[operator]
    for (left, right), expected in table.items():
        for a, b in ((left, right), (right, left)):
            formula = service.compile(f"a {operator} b", parameters={"a": a, "b": b})
            np.testing.assert_array_equal(formula.evaluate(NO_FIELDS), [[expected]])


def test_a_choice_on_something_unknown_is_unknown(service):
    for condition, expected in ((1, 10), (0, 20), (NAN, NAN), (-3, 10), (INF, 10)):
        formula = service.compile("if(c, 10, 20)", parameters={"c": condition})
        np.testing.assert_array_equal(formula.evaluate(NO_FIELDS), [[expected]])


def test_the_future_can_be_read_where_the_job_allows_it(service, few_candles):
    formula = service.compile(
        "Ref($close, -2) / close[-1]", parameters={}, options=CompileOptions(allow_lookahead=True)
    )
    (column,) = formula.evaluate(few_candles)
    np.testing.assert_allclose(column, [13 / 12, 10 / 13, 9 / 10, 10 / 9, NAN, NAN])
    assert formula.warm_up_candles == 0
    assert formula.warnings == ("values depend on candles up to 2 rows later",)


def test_looking_ahead_shortens_the_warm_up(service):
    formula = service.compile("Ref(sma(close, 5), -2)", parameters={}, options=CompileOptions(allow_lookahead=True))
    assert formula.warm_up_candles == 2


def test_a_long_chain_of_operators_is_as_good_as_a_short_one(service, few_candles):
    formula = service.compile("1" + "+1" * 8191, parameters={})
    assert formula.evaluate(few_candles)[0].tolist() == [8192.0] * 6
    formula = service.compile("close" + "-close" * 2700, parameters={})
    assert formula.evaluate(few_candles)[0][0] == -2699 * 11
