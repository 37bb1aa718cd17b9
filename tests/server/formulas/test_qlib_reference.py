"""Qlib's expressions beside what Qlib itself computed from the same candles (tests/reference).

Two values agree where both are missing, or the same infinity, or at most RELATIVE of Qlib's value apart: Qlib rounds
each answer to 32 bits, which is 6e-8 of it. Qlib's operators of one row compute in 32 bits too, and what they round
grows where a later step subtracts. By how much is not guessed: the reference has for every value how far it moves when
Qlib's fields are held in 64 bits, which is nothing for nearly all. That much is allowed besides, and FLOOR of the
largest value of the column, which is what sums in 64 bits leave where their terms cancel.
"""

import numpy as np
import pytest
from bokeh_sampledata import stocks

from candelabra_server.domain.candles import Candles
from candelabra_server.errors import FormulaError
from candelabra_server.formulas.builtins import BUILTIN_FORMULAS
from candelabra_server.formulas.catalogue import FUNCTIONS, Family
from candelabra_server.formulas.compile_options import CompileOptions
from reference.qlib_differences import DIFFERENCES, FRACTIONS, LATE_DIFFERENCES
from reference.qlib_values import qlib_reference

RELATIVE = 1e-6
FLOOR = 1e-13

REFERENCE = qlib_reference()
TIMES = REFERENCE.days.astype("datetime64[us]").astype(np.int64)
CANDLES = {
    symbol: Candles(symbol, TIMES, {name: np.array(column, dtype=np.float64) for name, column in fields.items()})
    for symbol, fields in REFERENCE.candles.items()
}
OPERATORS = REFERENCE.groups["operators"]
LATE = REFERENCE.groups["late"]
OTHER_SYMBOL = REFERENCE.groups["other_symbol"]

RIGHT = CompileOptions(allow_lookahead=True)
COMPAT = CompileOptions(allow_lookahead=True, qlib_defects=True)
MODES = {"right": RIGHT, "compat": COMPAT}

DIFFERENT = {expression: difference for difference in DIFFERENCES for expression in difference.gives}
LATE_DIFFERENT = {expression: difference for difference in LATE_DIFFERENCES for expression in difference.expressions}
NOT_IN_THE_REFERENCE = {
    "TResample": "fails on Qlib's own daily data, which it indexes by number",
}


def agreement(ours, qlib, rounding):
    """Where our values agree with Qlib's; see the top of this file."""
    largest = np.max(np.abs(qlib), initial=0, where=np.isfinite(qlib))
    with np.errstate(invalid="ignore"):
        apart = np.abs(ours - qlib)
        close = apart <= RELATIVE * np.abs(qlib) + rounding + FLOOR * largest
    return np.where(np.isfinite(ours) & np.isfinite(qlib), close, (ours == qlib) | (np.isnan(ours) & np.isnan(qlib)))


def rows_that_differ(ours, group, symbol, expression):
    values, rounding = group.of(symbol, expression)
    differs = ~agreement(ours, values.astype(np.float64), rounding.astype(np.float64))
    return [group.rows[place] for place in np.flatnonzero(differs)]


def evaluated(service, expression, symbol, options):
    compiled = service.compile(expression, parameters={}, options=options)
    others = {name: CANDLES[name] for name in compiled.other_symbols}
    return compiled.evaluate(CANDLES[symbol], others=others)[0]


def evaluated_late(service, expression, symbol, options):
    """From the late row on, with the warm-up that the formula asks for and not a candle more."""
    compiled = service.compile(expression, parameters={}, options=options)
    warm_up = min(compiled.warm_up_candles, REFERENCE.late_row)
    whole = CANDLES[symbol]
    first = REFERENCE.late_row - warm_up
    fields = {name: column[first:] for name, column in whole.fields.items()}
    candles = Candles(symbol, whole.open_time_micros[first:], fields, warm_up)
    return compiled.evaluate(candles)[0][warm_up:]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("expression", [text for text in OPERATORS.expressions if text not in {*DIFFERENT, *FRACTIONS}])
def test_an_expression_gives_the_values_of_qlib(service, expression, mode):
    for symbol in OPERATORS.symbols:
        ours = evaluated(service, expression, symbol, MODES[mode])
        assert rows_that_differ(ours, OPERATORS, symbol, expression) == []


@pytest.mark.parametrize("expression", [text for text in DIFFERENT if text in OPERATORS.expressions])
def test_a_documented_difference_is_there(service, expression):
    differing = 0
    for symbol in OPERATORS.symbols:
        qlib, rounding = OPERATORS.of(symbol, expression)
        ours = evaluated(service, expression, symbol, RIGHT)
        expected = DIFFERENT[expression].gives[expression](CANDLES[symbol].fields, qlib.astype(np.float64))
        assert np.flatnonzero(~agreement(ours, np.asarray(expected, dtype=np.float64), rounding)).tolist() == []
        differing += len(rows_that_differ(ours, OPERATORS, symbol, expression))
    assert differing > 0


@pytest.mark.parametrize("expression", [text for text in DIFFERENT if text in OPERATORS.expressions])
def test_compat_gives_the_values_of_qlib_where_it_is_said_to(service, expression):
    differing = [
        row
        for symbol in OPERATORS.symbols
        for row in rows_that_differ(evaluated(service, expression, symbol, COMPAT), OPERATORS, symbol, expression)
    ]
    assert (differing == []) == DIFFERENT[expression].compat


@pytest.mark.parametrize("expression", FRACTIONS)
def test_a_window_between_0_and_1_is_refused_but_for_compat(service, expression):
    with pytest.raises(FormulaError) as caught:
        service.compile(expression, parameters={}, options=RIGHT)
    assert [problem.code for problem in caught.value.problems] == ["WINDOW_FRACTION"]
    for symbol in OPERATORS.symbols:
        ours = evaluated(service, expression, symbol, COMPAT)
        assert rows_that_differ(ours, OPERATORS, symbol, expression) == []


@pytest.mark.parametrize("expression", [text for text in LATE.expressions if text not in LATE_DIFFERENT])
def test_a_range_that_begins_later_gives_the_values_of_qlib(service, expression):
    for symbol in LATE.symbols:
        ours = evaluated_late(service, expression, symbol, COMPAT)
        assert rows_that_differ(ours, LATE, symbol, expression) == []


@pytest.mark.parametrize("expression", LATE_DIFFERENT)
def test_where_a_range_begins_matters_to_qlib_and_not_to_us(service, expression):
    for symbol in LATE.symbols:
        late = evaluated_late(service, expression, symbol, RIGHT)
        np.testing.assert_allclose(late, evaluated(service, expression, symbol, RIGHT)[REFERENCE.late_row :], rtol=1e-9)
        assert rows_that_differ(late, LATE, symbol, expression) != []
        compat = evaluated_late(service, expression, symbol, COMPAT)
        assert (rows_that_differ(compat, LATE, symbol, expression) == []) == LATE_DIFFERENT[expression].compat


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("expression", OTHER_SYMBOL.expressions)
def test_another_symbol_gives_the_values_of_qlib(service, expression, mode):
    ours = evaluated(service, expression, "AAPL", MODES[mode])
    assert rows_that_differ(ours, OTHER_SYMBOL, "AAPL", expression) == []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("identifier", "key", "symbol"),
    [
        *(("qlib/alpha158", "alpha158", symbol) for symbol in REFERENCE.groups["alpha158"].symbols),
        ("qlib/alpha158", "alpha158_gaps", "GAPS"),
        *(("qlib/alpha360", "alpha360", symbol) for symbol in REFERENCE.groups["alpha360"].symbols),
    ],
)
def test_every_column_of_a_built_in_set_has_the_values_of_qlib(service, identifier, key, symbol, mode):
    group = REFERENCE.groups[key]
    compiled = service.compile_saved(identifier, parameters={}, options=MODES[mode])
    columns = compiled.evaluate(CANDLES[symbol])
    assert [column.name for column in compiled.columns] == group.names
    differing = {
        expression
        for expression, column in zip(group.expressions, columns, strict=True)
        if rows_that_differ(column[group.rows], group, symbol, expression)
    }
    documented = {expression for expression in group.expressions if expression in DIFFERENT}
    assert differing == (documented if mode == "right" and symbol == "GAPS" else set())


def test_columns_of_alpha158_that_differ_have_the_documented_values(service):
    group = REFERENCE.groups["alpha158_gaps"]
    columns = service.compile_saved("qlib/alpha158", parameters={}, options=RIGHT).evaluate(CANDLES["GAPS"])
    different = {text: column for text, column in zip(group.expressions, columns, strict=True) if text in DIFFERENT}
    assert len(different) == 15
    for expression, column in different.items():
        expected = DIFFERENT[expression].gives[expression](CANDLES["GAPS"].fields, column)
        np.testing.assert_allclose(column, expected, rtol=1e-12)


@pytest.mark.parametrize("identifier", BUILTIN_FORMULAS)
def test_fields_of_64_bits_are_rounded_to_qlibs_where_the_job_asks_for_it(service, identifier):
    rows = len(TIMES)
    stored = {name: np.array(stocks.AAPL[name][-rows:], dtype=np.float64) for name in ("open", "high", "low", "close")}
    stored |= {"volume": CANDLES["AAPL"].fields["volume"], "vwap": CANDLES["AAPL"].fields["vwap"] * (1 + 1e-9)}
    candles = Candles("AAPL", TIMES, stored)
    expected = service.compile_saved(identifier, parameters={}).evaluate(CANDLES["AAPL"])
    exact = service.compile_saved(identifier, parameters={}).evaluate(candles)
    options = CompileOptions(float32_fields=True)
    rounded = service.compile_saved(identifier, parameters={}, options=options).evaluate(candles)
    for column, wanted in zip(rounded, expected, strict=True):
        np.testing.assert_array_equal(column, wanted)
    assert not all(np.array_equal(*pair, equal_nan=True) for pair in zip(exact, expected, strict=True))


def test_every_operator_of_the_catalogue_is_in_the_reference():
    asked = "\n".join((*OPERATORS.expressions, *OTHER_SYMBOL.expressions))
    operators = {name for name, function in FUNCTIONS.items() if function.family is Family.QLIB}
    assert {name for name in operators if f"{name}(" not in asked} == set(NOT_IN_THE_REFERENCE)


def test_every_difference_is_of_an_expression_in_the_reference():
    assert set(DIFFERENT) <= {*OPERATORS.expressions, *REFERENCE.groups["alpha158_gaps"].expressions}
    assert set(FRACTIONS) <= set(OPERATORS.expressions)
    assert set(LATE_DIFFERENT) <= set(LATE.expressions)


@pytest.mark.parametrize("key", REFERENCE.groups)
def test_qlibs_rounding_is_nothing_for_most_values_and_little_for_the_others(key):
    group = REFERENCE.groups[key]
    assert np.mean(group.rounding > 0) < 0.1
    present = np.isfinite(group.values)
    largest = np.max(np.abs(group.values), axis=2, initial=0, where=present, keepdims=True)
    assert np.all(group.rounding <= 2e-5 * largest)
