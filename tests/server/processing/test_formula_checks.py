"""Checks of formulas and the list of functions, as FormulaService answers them."""

import itertools
import math

import pytest

from candelabra.v1 import CheckFormulaRequest, ColumnKind, Compatibility, Formula, ListFunctionsRequest
from candelabra_server.errors import FormulaNotFoundError, InvalidRequestError
from candelabra_server.formulas.catalogue import FUNCTIONS, Family
from candelabra_server.formulas.saved import DeclaredParameter, SavedFormula
from candelabra_server.formulas.service import FormulaService
from candelabra_server.formulas.store import FormulaStore
from candelabra_server.processing.formula_checks import check_formula, list_functions


def check(expression="", *, service=None, timeframe="", parameters=None, allow_lookahead=False, **formula):
    request = CheckFormulaRequest(
        formula=Formula(expression=expression, **formula),
        parameters=parameters or {},
        timeframe=timeframe,
        allow_lookahead=allow_lookahead,
    )
    return check_formula(request, service or FormulaService())


def refused(*arguments, **options):
    with pytest.raises(InvalidRequestError) as caught:
        check(*arguments, **options)
    return {violation.field: violation.description for violation in caught.value.violations}


def functions(pattern="", family=""):
    return list(list_functions(ListFunctionsRequest(pattern=pattern, family=family)).functions)


def function(name):
    (found,) = (each for each in functions() if each.name == name)
    return found


@pytest.fixture
def saved(tmp_path):
    store = FormulaStore(tmp_path)
    days = DeclaredParameter(name="days", minimum=2, maximum=50)
    store.create(SavedFormula(id="trend", expression="sma(close, days)", parameters=(days,)))
    return FormulaService(store=store)


def test_a_formula_that_can_run_is_described():
    answer = check("sma(close, n)", parameters={"n": 20})
    assert not answer.problems
    assert not answer.missing_parameters
    assert answer.formula.outputs[0].warm_up_candles == 19
    assert [(each.name, each.value, each.used) for each in answer.formula.parameters] == [("n", 20, True)]


def test_a_formula_that_is_wrong_is_answered_with_every_mistake_in_the_order_of_the_text():
    answer = check("a = smaa(close, 3)\nb = closse + rsi(open, 2, 3)")
    assert not answer.HasField("formula")
    assert [(problem.code, problem.line, problem.column) for problem in answer.problems] == [
        ("UNKNOWN_FUNCTION", 1, 5),
        ("UNKNOWN_NAME", 2, 5),
        ("TOO_MANY_ARGUMENTS", 2, 27),
    ]
    assert answer.problems[2].signature == FUNCTIONS["rsi"].signature
    assert all(problem.text.startswith(f"line {problem.line}, column ") for problem in answer.problems)


def test_at_most_twenty_mistakes_are_told():
    assert len(check(" + ".join(f"n{number}" for number in range(30))).problems) == 20


def test_names_without_a_value_are_told_once_each_in_the_order_of_the_text():
    answer = check("a = ema(close, fast) - ema(close, slow)\nb = fast + smaa(close, 3)")
    assert list(answer.missing_parameters) == ["fast", "slow"]
    assert [problem.code for problem in answer.problems] == ["UNKNOWN_NAME"] * 3 + ["UNKNOWN_FUNCTION"]
    filled = check("a = ema(close, fast) - ema(close, slow)", parameters={"fast": 3, "slow": 9})
    assert filled.HasField("formula")


def test_a_name_that_is_used_before_it_is_defined_is_no_parameter():
    answer = check("a = b; b = close")
    assert [problem.code for problem in answer.problems] == ["NOT_YET_DEFINED"]
    assert not answer.missing_parameters


def test_the_timeframe_is_daily_unless_it_is_given_in_any_spelling():
    def own_warm_up(timeframe):
        return check("close@1w", timeframe=timeframe).formula.warm_ups[0].candles

    assert (own_warm_up(""), own_warm_up("day"), own_warm_up("60min")) == (2 * 7, 2 * 7, 2 * 7 * 24)


def test_a_look_into_the_future_is_a_mistake_unless_it_is_allowed():
    assert [problem.code for problem in check("close[-1]").problems] == ["LOOKAHEAD"]
    allowed = check("close[-1]", allow_lookahead=True)
    assert allowed.formula.outputs[0].look_ahead_candles == 1


def test_the_options_of_a_formula_hold():
    plain, rounded = check("close"), check("close", float32_fields=True)
    assert len(rounded.formula.nodes) == len(plain.formula.nodes) + 1
    right, qlib = (check("WMA($close, 5)", compatibility=each) for each in Compatibility.values())
    assert [node.operation for node in right.formula.nodes] != [node.operation for node in qlib.formula.nodes]


def test_a_saved_formula_is_checked_by_its_id(saved):
    answer = check(id="trend", parameters={"days": 5}, service=saved)
    assert answer.formula.outputs[0].warm_up_candles == 4
    assert list(answer.formula.saved_formulas) == ["trend@1"]
    wrong = check(id="trend", parameters={"days": 2.5}, service=saved)
    assert [problem.source_line for problem in wrong.problems] == ["sma(close, days)"]


def test_a_parameter_of_a_saved_formula_must_be_given_and_in_its_range(saved):
    assert refused(id="trend", service=saved) == {"parameters[days]": "is required by formula `trend`"}
    assert list(refused(id="trend", parameters={"days": 51}, service=saved)) == ["parameters[days]"]


def test_an_unknown_id_is_an_error_of_the_call(saved):
    with pytest.raises(FormulaNotFoundError, match="did you mean `trend`"):
        check(id="trand", service=saved)


def test_everything_that_is_wrong_with_the_call_is_told_at_once():
    found = refused("close", timeframe="2 fortnights", parameters={"a": math.nan, "b": math.inf}, id="trend")
    assert list(found) == ["parameters[a]", "parameters[b]", "formula", "timeframe"]
    assert "give one of them" in found["formula"]


@pytest.mark.parametrize("text", ["", "  \n"])
def test_a_formula_must_be_given(text):
    assert list(refused(text)) == ["formula.expression"]


def test_every_function_is_listed_once_with_families_together_in_their_order():
    found = functions()
    assert sorted(function.name for function in found) == sorted(FUNCTIONS)
    order = [family.value for family in Family]
    families = [name for name, _ in itertools.groupby(function.family for function in found)]
    assert families == [name for name in order if name in families]


def test_a_family_keeps_the_order_of_the_catalogue():
    names = [name for name, function in FUNCTIONS.items() if function.family is Family.QLIB]
    assert [function.name for function in functions(family="Qlib")] == names


def test_a_function_is_told_with_all_that_the_catalogue_says():
    bands = function("bbands")
    catalogued = FUNCTIONS["bbands"]
    assert bands.signature == catalogued.signature
    assert (bands.summary, bands.source, bands.warm_up) == (
        catalogued.summary,
        catalogued.source,
        catalogued.warm_up,
    )
    assert list(bands.outputs) == ["upper", "middle", "lower"]
    assert [(each.name, each.implied_field, each.condition) for each in bands.inputs] == [("series", "", False)]
    period = bands.settings[0]
    assert (period.name, period.kind, period.default_value) == ("period", "candles, whole, 1 or more", "20")
    assert (period.HasField("minimum"), period.minimum, period.HasField("maximum")) == (True, 2, False)


def test_inputs_tell_their_fields_and_whether_they_must_be_signals():
    assert [each.implied_field for each in function("atr").inputs] == ["high", "low", "close"]
    assert [each.condition for each in function("count_if").inputs] == [True]
    assert list(function("count_if").outputs) == []
    assert function("count_if").kind == ColumnKind.COLUMN_KIND_NUMBER
    assert function("cross_over").kind == ColumnKind.COLUMN_KIND_SIGNAL


def test_texts_have_their_choices_and_their_default_in_quotes():
    settings = [setting for each in functions() for setting in each.settings if "one of a few" in setting.kind]
    assert settings
    for setting in settings:
        assert setting.choices
        assert setting.default_value in {"", *(f'"{choice}"' for choice in setting.choices)}


def test_a_setting_without_a_default_has_none():
    assert [(setting.name, setting.default_value) for setting in function("Mean").settings] == [("N", "")]


@pytest.mark.parametrize("pattern", ["cross*", "CROSS*", "cROss?over", "*_over"])
def test_wildcards_match_the_name_in_any_case(pattern):
    names = {function.name for function in functions(pattern)}
    assert "cross_over" in names
    assert all("over" in name or name.startswith("cross") for name in names)


def test_a_pattern_without_wildcards_is_looked_for_in_names_and_summaries():
    found = functions("standard DEVIATION")
    assert found
    assert all("standard deviation" in function.summary.casefold() for function in found)
    assert "sma" in {function.name for function in functions("SMA")}
    assert functions("no function says this") == []


def test_brackets_are_ordinary_characters_of_a_pattern():
    assert functions("[a-z]*") == []


def test_pattern_and_family_both_hold():
    assert {function.family for function in functions("*a*", family="Qlib")} == {"Qlib"}


@pytest.mark.parametrize(
    ("request_fields", "field", "told"),
    [
        ({"family": "Quilb"}, "family", "Language, Technical analysis"),
        ({"pattern": "*" * 1_000}, "pattern", "1,000 characters"),
    ],
)
def test_what_cannot_be_listed_is_refused(request_fields, field, told):
    with pytest.raises(InvalidRequestError) as caught:
        functions(**request_fields)
    (violation,) = caught.value.violations
    assert violation.field == field
    assert told in violation.description
