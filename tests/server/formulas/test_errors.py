"""What is wrong with a formula, where it is, and what to write instead."""

import pytest

from candelabra_server.errors import FormulaError, FormulaProblem
from candelabra_server.formulas.catalogue import ELSEWHERE, FUNCTIONS, OF_TWO_VALUES
from candelabra_server.formulas.service import FormulaService

# text: (code, line, column, length, suggestion) of every problem.
PROBLEMS = {
    # Functions
    "smaa(close, 10)": [("UNKNOWN_FUNCTION", 1, 1, 4, "sma")],
    "1 + Maen($close, 5)": [("UNKNOWN_FUNCTION", 1, 5, 4, "Mean")],
    "mean($close, 5)": [("UNKNOWN_FUNCTION", 1, 1, 4, "Mean")],
    "SMA(close, 5)": [("UNKNOWN_FUNCTION", 1, 1, 3, "sma")],
    "Iff(close > 1, 2, 3)": [("UNKNOWN_FUNCTION", 1, 1, 3, "if")],
    "crossover(close, open)": [("UNKNOWN_FUNCTION", 1, 1, 9, "cross_over")],
    "fibonacci(close)": [("UNKNOWN_FUNCTION", 1, 1, 9, None)],
    "close(1)": [("UNKNOWN_FUNCTION", 1, 1, 5, None)],
    "sma": [("FUNCTION_WITHOUT_CALL", 1, 1, 3, None)],
    # As others write them
    "delay(close, 1)": [("UNKNOWN_FUNCTION", 1, 1, 5, "Ref")],
    "ts_mean(close, 5)": [("UNKNOWN_FUNCTION", 1, 1, 7, "Mean")],
    "barssince(close > 1)": [("UNKNOWN_FUNCTION", 1, 1, 9, "bars_since")],
    "ta.sma(close, 20)": [("SYNTAX", 1, 7, 1, None)],
    "close > 1 && open > 1": [("SYNTAX", 1, 12, 1, None)],
    "max(close, open)": [("SETTING_NOT_CONSTANT", 1, 12, 4, None)],
    # Names
    "clsoe + 1": [("UNKNOWN_NAME", 1, 1, 5, "close")],
    "sma(close, fsat)": [("UNKNOWN_NAME", 1, 12, 4, "fast")],
    "trend = close\nb = trends": [("UNKNOWN_NAME", 2, 5, 6, "trend")],
    "x": [("UNKNOWN_NAME", 1, 1, 1, None)],
    "a = b\nb = close": [("NOT_YET_DEFINED", 1, 5, 1, None)],
    "a = a + 1": [("NOT_YET_DEFINED", 1, 5, 1, None)],
    "a = close; a = open": [("NAME_TAKEN", 1, 12, 1, None)],
    "close = open": [("NAME_TAKEN", 1, 1, 5, None)],
    "fast = open": [("NAME_TAKEN", 1, 1, 4, None)],
    "a = close\nopen": [("UNNAMED", 2, 1, 4, None)],
    "_a = close": [("NO_OUTPUT", 1, 1, 2, None)],
    # Arguments
    "sma()": [("MISSING_ARGUMENT", 1, 1, 5, None)],
    "Mean($close)": [("MISSING_ARGUMENT", 1, 1, 12, None)],
    "if(close > 1)": [("MISSING_ARGUMENT", 1, 1, 13, None)],
    "sma(close, 5, 6)": [("TOO_MANY_ARGUMENTS", 1, 15, 1, None)],
    "sma(close, perod=5)": [("UNKNOWN_ARGUMENT", 1, 12, 5, "period")],
    "sma(close, 5, period=6)": [("DUPLICATE_ARGUMENT", 1, 15, 8, None)],
    "sma(period=5, close)": [("POSITION_AFTER_NAME", 1, 15, 5, None)],
    "if(close = 5, 1, 2)": [("UNKNOWN_ARGUMENT", 1, 4, 5, None)],
    "atr(high, low)": [("MISSING_ARGUMENT", 1, 1, 14, None)],
    "atr(close)": [("MISSING_ARGUMENT", 1, 1, 10, None)],
    "atr(high=close)": [("MISSING_ARGUMENT", 1, 1, 15, None)],
    # Windows
    "sma(close, open)": [("SETTING_NOT_CONSTANT", 1, 12, 4, None)],
    "sma(close, 10.5)": [("WINDOW_NOT_WHOLE", 1, 12, 4, None)],
    "sma(close, half)": [("WINDOW_NOT_WHOLE", 1, 12, 4, None)],
    "sma(close, 0)": [("WINDOW_OUT_OF_RANGE", 1, 12, 1, None)],
    "sma(close, -5)": [("WINDOW_OUT_OF_RANGE", 1, 12, 2, None)],
    "sma(close, 100001)": [("WINDOW_OUT_OF_RANGE", 1, 12, 6, None)],
    "rsi(close, 1)": [("WINDOW_OUT_OF_RANGE", 1, 12, 1, None)],
    "sma(close, 9^9^9)": [("CONSTANT_INFINITE", 1, 12, 5, None)],
    "bbands(close, up=0/0)": [("SETTING_NOT_FINITE", 1, 18, 3, None)],
    "Mean($close, 0.1)": [("WINDOW_FRACTION", 1, 14, 3, None)],
    "Ref($close, 1.5)": [("WINDOW_NOT_WHOLE", 1, 13, 3, None)],
    "close[0.5]": [("WINDOW_NOT_WHOLE", 1, 7, 3, None)],
    "close[100001]": [("WINDOW_OUT_OF_RANGE", 1, 7, 6, None)],
    "close[open]": [("SETTING_NOT_CONSTANT", 1, 7, 4, None)],
    "rsi(close, 100000)": [("WARM_UP_TOO_LONG", 1, 1, 18, None)],
    "a = close" + "[100000]" * 11: [("WARM_UP_TOO_LONG", 1, 90, 8, None)],
    # The future
    "Ref($close, -1)": [("LOOKAHEAD", 1, 13, 2, None)],
    "close[-1]": [("LOOKAHEAD", 1, 7, 2, None)],
    "close[1 - 3]": [("LOOKAHEAD", 1, 7, 5, None)],
    # Kinds
    "close and open > 1": [("NOT_A_SIGNAL", 1, 1, 5, None)],
    "not close": [("NOT_A_SIGNAL", 1, 5, 5, None)],
    "close > 1 & open < 2": [("NOT_A_SIGNAL", 1, 13, 4, None)],
    "bars_since(close)": [("NOT_A_SIGNAL", 1, 12, 5, None)],
    '"close"': [("NO_SERIES", 1, 1, 7, None)],
    'close + "1"': [("TEXT_HERE", 1, 9, 3, None)],
    'sma(close, "5")': [("TEXT_HERE", 1, 12, 3, None)],
    "close + 'open": [("BAD_CHARACTER", 1, 9, 1, None)],
    # Constants
    "1e999": [("CONSTANT_INFINITE", 1, 1, 5, None)],
    "close * (1 / 0)": [("CONSTANT_INFINITE", 1, 10, 5, None)],
    "9 ** 9 ** 9 ** 9": [("CONSTANT_INFINITE", 1, 6, 11, None)],
    "log(0)": [("CONSTANT_INFINITE", 1, 1, 6, None)],
    # Other symbols and timeframes
    'symbol("SPY")': [("NO_SERIES", 1, 1, 13, None)],
    'symbol("SPY") + 1': [("SEVERAL_OUTPUTS", 1, 1, 13, None)],
    "symbol(SPY).close": [("UNKNOWN_NAME", 1, 8, 3, None)],
    "symbol(5).close": [("SETTING_NOT_TEXT", 1, 8, 1, None)],
    'symbol("").close': [("UNKNOWN_CHOICE", 1, 8, 2, None)],
    "close@1h": [("TIMEFRAME", 1, 6, 3, None)],
    "close@7x": [("TIMEFRAME", 1, 6, 3, None)],
    "(close@1w)@2d": [("TIMEFRAME", 1, 7, 3, None)],
    "close@weekly": [("SYNTAX", 1, 6, 7, None)],
    'TResample($close, "1w", "median")': [("UNKNOWN_CHOICE", 1, 25, 8, None)],
    'TResample($close, "1h", "last")': [("TIMEFRAME", 1, 19, 4, None)],
    # Not to be had
    "rank(close)": [("CROSS_SECTIONAL", 1, 1, 4, None)],
    "cs_zscore(close) + indneutralize(close, 1)": [
        ("CROSS_SECTIONAL", 1, 1, 9, None),
        ("CROSS_SECTIONAL", 1, 20, 13, None),
    ],
    "P($$roe_q)": [("SYNTAX", 1, 3, 1, None)],
    "PRef(close, 1)": [("NOT_AVAILABLE", 1, 1, 4, None)],
    # Saved formulas
    "@trend(20)": [("FORMULA_NOT_FOUND", 1, 1, 6, None)],
    "@trend + 1": [("SYNTAX", 1, 8, 1, None)],
    # Several outputs
    "macd(close) + 1": [("SEVERAL_OUTPUTS", 1, 1, 11, None)],
    "sma(macd(close), 5)": [("SEVERAL_OUTPUTS", 1, 5, 11, None)],
    "macd(close)[1]": [("SEVERAL_OUTPUTS", 1, 1, 11, None)],
    "macd(close).hits": [("UNKNOWN_OUTPUT", 1, 13, 4, "hist")],
    "close.hist": [("NO_OUTPUTS", 1, 7, 4, None)],
    # Syntax
    "close +": [("SYNTAX", 1, 8, 1, None)],
    "close open": [("SYNTAX", 1, 7, 4, None)],
    "close AND open": [("SYNTAX", 1, 7, 3, "and")],
    "sma(close 10)": [("SYNTAX", 1, 11, 2, None)],
    "sma(, 10)": [("SYNTAX", 1, 5, 1, None)],
    "a = b = close": [("SYNTAX", 1, 7, 1, None)],
    "close.": [("SYNTAX", 1, 7, 1, None)],
    "$": [("SYNTAX", 1, 1, 1, None)],
    "$$close": [("SYNTAX", 1, 1, 1, None)],
    "(close": [("UNBALANCED", 1, 1, 1, None)],
    "close)": [("UNBALANCED", 1, 6, 1, None)],
    "sma(close]": [("UNBALANCED", 1, 10, 1, None)],
    "(a; b)": [("UNBALANCED", 1, 1, 1, None)],
    "close & open": [("NOT_A_SIGNAL", 1, 1, 5, None), ("NOT_A_SIGNAL", 1, 9, 4, None)],
    "close ~ open": [("BAD_CHARACTER", 1, 7, 1, None)],
    "cl\u043ese": [("BAD_CHARACTER", 1, 3, 1, None)],
    "close\x00": [("BAD_CHARACTER", 1, 6, 1, None)],
    "": [("EMPTY", 1, 1, 1, None)],
    " # nothing\n": [("EMPTY", 1, 1, 1, None)],
    # All at once, in order
    "a = close +\nb = smaa(foo, 10.5)\nc = Maen($close, 0.5)\nopen": [
        ("SYNTAX", 1, 12, 1, None),
        ("UNKNOWN_FUNCTION", 2, 5, 4, "sma"),
        ("UNKNOWN_NAME", 2, 10, 3, None),
        ("UNKNOWN_FUNCTION", 3, 5, 4, "Mean"),
        ("UNNAMED", 4, 1, 4, None),
    ],
    # One mistake is told once: what is made from it is silent.
    "a = smaa(close, 5)\nb = a + a[1]\nc = sma(b, 5)": [("UNKNOWN_FUNCTION", 1, 5, 4, "sma")],
    "a = (close +)\nb = a": [("SYNTAX", 1, 13, 1, None)],
    "-q1": [("UNKNOWN_NAME", 1, 2, 2, None)],
    "not qq1 ^ 2 and qq2 < 1 <= qq3 or qq4[qq5].qq6": [
        ("UNKNOWN_NAME", 1, 5, 3, None),
        ("UNKNOWN_NAME", 1, 17, 3, None),
        ("UNKNOWN_NAME", 1, 28, 3, None),
        ("UNKNOWN_NAME", 1, 35, 3, None),
        ("UNKNOWN_NAME", 1, 39, 3, None),
    ],
    "a ? b : c": [("BAD_CHARACTER", 1, 3, 1, None), ("BAD_CHARACTER", 1, 7, 1, None)],
}
PARAMETERS = {"fast": 10.0, "half": 0.5}


def problems_of(
    service: FormulaService, text: str, parameters: dict[str, float] | None = None
) -> tuple[FormulaProblem, ...]:
    with pytest.raises(FormulaError) as caught:
        service.compile(text, parameters=PARAMETERS if parameters is None else parameters)
    return caught.value.problems


@pytest.mark.parametrize("text", PROBLEMS)
def test_every_mistake_has_its_code_place_and_suggestion(service, text):
    found = [
        (problem.code, problem.line, problem.column, problem.length, problem.suggestion)
        for problem in problems_of(service, text)
    ]
    assert found == PROBLEMS[text]


@pytest.mark.parametrize("text", PROBLEMS)
def test_a_mistake_shows_its_line(service, text):
    lines = text.split("\n")
    for problem in problems_of(service, text):
        assert problem.source == lines[problem.line - 1]
        assert "\n" not in problem.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("close open", "unexpected `open`; expected an operator or the end of the statement"),
        ("sma(close 10)", "unexpected `10`; expected an operator, `,` or `)`"),
        (
            "close +",
            "the statement ends too early; expected a value (a number, name, `$field` or function call)",
        ),
        ("macd(close).1", "unexpected `.1`; expected an operator or the end of the statement"),
        ("macd(close).()", "unexpected `(`; expected the name of an output"),
        (
            "x = if(close = 1, 2, 3)",
            "`if(condition, then, otherwise)` has no argument `close` (for equality write `==`)",
        ),
        ("a = (1, 2)", "unexpected `,`; expected an operator or `)`"),
        ("close[1, 2]", "unexpected `,`; expected an operator or `]`"),
        ("a = close => 1", "unexpected `=`; expected an operator or the end of the statement; for equality write `==`"),
        (
            "if(close => 1, 2, 3)",
            "unexpected `>`; expected a value (a number, name, `$field` or function call); write `>=`",
        ),
        ("close = 5", "`close` is a field; choose another name, or write `==` for equality"),
        ("(close = 1)", "unexpected `=`; expected an operator or `)`; for equality write `==`"),
        ("sma(close, half)", "`period` of `sma` (given as `half`) must be a whole number of candles, not 0.5"),
        ("sma(close, 0)", "`period` of `sma` must be from 1 to 100000, not 0"),
        ("sma()", "`sma(series, period=30)` lacks `series`"),
        ("sma", "`sma` is a function; write `sma(series, period=30)`"),
        ("close(1)", "`close` is a field, not a function; its history is written `close[1]`"),
        ("macd(close) + 1", "`macd` has several outputs; choose one of `.macd`, `.signal`, `.hist`"),
        ("a = b\nb = close", "`b` has no value yet; it is defined on line 2"),
        ("(close", "`(` is never closed"),
        ("a ? 1", "`?` cannot be used in a formula; write `if(condition, a, b)`"),
        ("cl\u043ese", "`\u043e` (CYRILLIC SMALL LETTER O) cannot be used in a formula"),
        ("close\x00", "U+0000 cannot be used in a formula"),
        (
            "my_field",
            (
                "unknown name `my_field`; expected a field (open, high, low, close, volume, vwap, any other stored "
                "column as `$column`), an earlier name or a parameter of the job"
            ),
        ),
        (
            "Ref($close, -1)",
            "`N` of `Ref` is -1, which looks into the future; the job must allow that (allow_lookahead)",
        ),
    ],
)
def test_a_message_says_what_is_wrong_and_what_to_do(service, text, message):
    assert problems_of(service, text)[0].message == message


def test_a_problem_reads_as_position_message_suggestion_line_and_carets(service):
    (problem,) = problems_of(service, "a = close\nb = smaa(a, 10)")
    assert str(problem) == (
        "line 2, column 5: unknown function `smaa`; did you mean `sma`?\n"
        "  b = smaa(a, 10)\n"
        "      ^^^^"
    )  # fmt: skip


def test_a_very_long_line_is_shown_around_the_mistake(service):
    (problem,) = problems_of(service, "close + " * 1000 + "smaa(close)" + " + close" * 500)
    message, shown, carets = str(problem).split("\n")
    assert message == "line 1, column 8001: unknown function `smaa`; did you mean `sma`?"
    assert len(shown) == 102
    assert shown[carets.index("^") : carets.rindex("^") + 1] == "smaa"


def test_a_mistake_over_several_lines_ends_with_its_first(service):
    (problem,) = problems_of(service, "a = macd(\n  close\n) + 1")
    assert (problem.line, problem.column, problem.length, problem.source) == (1, 5, 5, "a = macd(")


def test_a_parameter_may_not_be_called_like_a_field_that_is_read(service):
    (problem,) = problems_of(service, "close + 1", {"close": 5.0})
    assert problem.code == "PARAMETER_NAME_TAKEN"


def test_a_hundred_mistakes_are_told_up_to_twenty(service):
    assert len(problems_of(service, "\n".join(f"a{row} = nothing{row}" for row in range(100)))) == 20


def test_names_of_any_length_give_short_messages(service):
    (problem,) = problems_of(service, "x" * 5000)
    assert len(problem.message) < 250
    assert len(str(problem)) < 600


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("ta.sma(close, 20)", "functions are written without a prefix: `sma(…)`"),
        ("close > 1 && open > 1", "write `and`"),
        ("close > 1 || open > 1", "write `or`"),
        ("max(close, open)", "of two values, one a candle, it is `greatest(a, b)`"),
        ("close > 1 & open > 2", "binds tighter than comparisons (put those in parentheses)"),
        ("rank(close)", "`Rank(feature, N)` rank a value within the symbol's own history"),
        ("close@weekly", "a longer timeframe is written `@1w`"),
        ("P($$roe_q)", "point-in-time columns (`$$name`) are not stored"),
        ("@trend + 1", "as in `@trend(20)`"),
        ("a = close +\n    open", "a line may break inside brackets"),
    ],
)
def test_a_spelling_of_elsewhere_gets_a_hint(service, text, hint):
    assert any(hint in problem.message for problem in problems_of(service, text))


def test_every_spelling_of_elsewhere_means_a_function():
    assert set(ELSEWHERE.values()) | set(OF_TWO_VALUES) | set(OF_TWO_VALUES.values()) <= set(FUNCTIONS)
    assert not set(ELSEWHERE) & set(FUNCTIONS)
