"""Saved formulas: run by id, called from other formulas, pinned, checked, and never in a circle."""

import numpy as np
import pytest

from candelabra_server.errors import FormulaError, FormulaNotFoundError, InvalidRequestError
from candelabra_server.formulas.builtins import BUILTIN_FORMULAS
from candelabra_server.formulas.compile_options import CompileOptions
from candelabra_server.formulas.factory import create_formula_service
from candelabra_server.formulas.saved import DeclaredParameter, SavedFormula
from candelabra_server.formulas.service import FormulaService
from candelabra_server.formulas.store import FormulaStore

TREND = SavedFormula(
    id="trend",
    expression="sma(close, days) * scale",
    parameters=(
        DeclaredParameter(name="days", minimum=2, maximum=50),
        DeclaredParameter(name="scale", default=1.0),
    ),
)
BANDS = SavedFormula(
    id="desk/bands",
    expression="_middle = sma(close, 3); up = _middle + 1; m = macd(close, 2, 3, 2)",
)


@pytest.fixture
def store(tmp_path):
    store = FormulaStore(tmp_path, built_ins=BUILTIN_FORMULAS.values())
    store.create(TREND)
    store.create(BANDS)
    return store


@pytest.fixture
def saved(store):
    return FormulaService(store=store)


def value(service, text, candles, **options):
    return service.compile(text, parameters={}, **options).evaluate(candles)[0].tolist()


def codes(service, text, parameters=None):
    with pytest.raises(FormulaError) as caught:
        service.compile(text, parameters=parameters or {})
    return [problem.code for problem in caught.value.problems]


def test_a_saved_formula_of_one_value_is_a_series(saved, few_candles):
    assert value(saved, "@trend(2) + 1", few_candles) == pytest.approx(
        value(saved, "sma(close, 2) + 1", few_candles), nan_ok=True
    )
    assert value(saved, "@trend(scale=2, days=3)", few_candles) == pytest.approx(
        value(saved, "sma(close, 3) * 2", few_candles), nan_ok=True
    )


def test_parameters_of_the_job_can_be_handed_on(saved, few_candles):
    formula = saved.compile("@trend(days * 2)", parameters={"days": 2})
    np.testing.assert_array_equal(formula.evaluate(few_candles)[0], value(saved, "sma(close, 4)", few_candles))
    assert formula.warnings == ()


def test_a_saved_formula_of_several_values_is_asked_for_one(saved, few_candles):
    np.testing.assert_array_equal(
        value(saved, "@desk/bands().up", few_candles), value(saved, "sma(close, 3) + 1", few_candles)
    )
    np.testing.assert_array_equal(
        value(saved, "@desk/bands().m.hist", few_candles), value(saved, "macd(close, 2, 3, 2).hist", few_candles)
    )
    formula = saved.compile("b = @desk/bands()", parameters={})
    assert [column.name for column in formula.columns] == ["b.up", "b.m.macd", "b.m.signal", "b.m.hist"]


def test_what_a_saved_formula_computes_is_shared_with_its_caller(saved):
    formula = saved.compile("a = @trend(3); b = @trend(3) + sma(close, 3)", parameters={})
    assert [step.node.operation.name for step in formula.plan.steps].count("simple_mean") == 1


def test_names_within_a_saved_formula_do_not_meet_those_of_its_caller(saved, few_candles):
    np.testing.assert_array_equal(
        value(saved, "_middle = close * 0; up = @desk/bands().up + _middle", few_candles),
        value(saved, "sma(close, 3) + 1", few_candles),
    )


def test_a_saved_formula_is_computed_over_the_candles_at_hand(saved, real_candles):
    candles = real_candles["FB"]
    np.testing.assert_array_equal(
        saved.compile("@trend(3)@1w", parameters={}).evaluate(candles)[0],
        saved.compile("sma(close, 3)@1w", parameters={}).evaluate(candles)[0],
    )


def test_a_version_can_be_pinned_and_the_newest_is_used_otherwise(saved, store, few_candles):
    first = saved.compile("@trend(2)", parameters={})
    store.update(SavedFormula(id="trend", expression="close * days", parameters=TREND.parameters), etag="")
    second = saved.compile("@trend(2)", parameters={})
    assert second.evaluate(few_candles)[0].tolist() == (few_candles.fields["close"] * 2).tolist()
    assert {name: formula.version for name, formula in first.saved_formulas.items()} == {"trend": 1}
    assert {name: formula.version for name, formula in second.saved_formulas.items()} == {"trend": 2}
    pinned = saved.compile("@trend@1(2)", parameters={})
    np.testing.assert_array_equal(pinned.evaluate(few_candles)[0], first.evaluate(few_candles)[0])


def test_a_formula_that_was_missing_is_found_once_it_is_saved(saved, store):
    assert codes(saved, "@late()") == ["FORMULA_NOT_FOUND"]
    store.create(SavedFormula(id="late", expression="close"))
    assert saved.compile("@late()", parameters={}).columns[0].name == "value"
    store.delete("late", etag="")
    assert codes(saved, "@late()") == ["FORMULA_NOT_FOUND"]


def test_mistakes_in_a_call_are_told_with_the_formulas_signature(saved):
    assert codes(saved, "@trend()") == ["MISSING_ARGUMENT"]
    assert codes(saved, "@trend(1)") == ["SETTING_OUT_OF_RANGE"]
    assert codes(saved, "@trend(51)") == ["SETTING_OUT_OF_RANGE"]
    assert codes(saved, "@trend(2, 1, 4)") == ["TOO_MANY_ARGUMENTS"]
    assert codes(saved, "@trend(2, days=3)") == ["DUPLICATE_ARGUMENT"]
    assert codes(saved, "@trend(dayz=3)") == ["UNKNOWN_ARGUMENT"]
    assert codes(saved, "@trend(close)") == ["SETTING_NOT_CONSTANT"]
    assert codes(saved, "@desk/bands() + 1") == ["SEVERAL_OUTPUTS"]
    assert codes(saved, "@desk/bands().down") == ["UNKNOWN_OUTPUT"]
    with pytest.raises(FormulaError) as caught:
        saved.compile("@trend(dayz=3)", parameters={})
    first = caught.value.problems[0]
    assert (first.suggestion, first.signature) == ("days", "@trend(days, scale=1)")
    with pytest.raises(FormulaError, match="did you mean `trend`"):
        saved.compile("@trand(3)", parameters={})


def test_a_saved_formula_that_has_become_wrong_says_where(saved, store):
    store.create(SavedFormula(id="upper", expression="a = 1\nb = @desk/bands().up"))
    store.update(SavedFormula(id="desk/bands", expression="down = close"), etag="")
    with pytest.raises(FormulaError, match=r"saved formula `upper` is wrong: line 2, .*has no output `up`") as caught:
        saved.compile("@upper().b", parameters={})
    assert [problem.code for problem in caught.value.problems] == ["SAVED_FORMULA_WRONG"]


def test_formulas_that_contain_one_another_are_refused(saved, store):
    store.create(SavedFormula(id="one", expression="@two()"))
    store.create(SavedFormula(id="two", expression="@three() + 1"))
    store.create(SavedFormula(id="three", expression="@one()"))
    with pytest.raises(FormulaError, match="cannot contain itself: `one` → `two` → `three` → `one`"):
        saved.compile("@one()", parameters={})


def test_a_draft_is_checked_before_it_is_saved(saved):
    saved.check_saved(TREND)
    with pytest.raises(FormulaError, match="cannot contain itself"):
        saved.check_saved(SavedFormula(id="me", expression="@me() + 1"))
    with pytest.raises(FormulaError, match="unknown name `other`"):
        saved.check_saved(SavedFormula(id="new", expression="sma(close, other)"))


def test_a_parameter_without_a_default_fits_anywhere_until_it_has_a_value(saved):
    days, share = DeclaredParameter(name="days"), DeclaredParameter(name="share")
    saved.check_saved(
        SavedFormula(
            id="new",
            expression="a = rsi(close, days * 2)[days - 1] * share; b = bbands(close, days, share).upper",
            parameters=(days, share),
        )
    )


def test_a_formula_runs_by_its_id_with_defaults_and_ranges(saved, few_candles):
    formula = saved.compile_saved("trend", parameters={"days": 3})
    assert dict(formula.parameters) == {"days": 3, "scale": 1}
    assert formula.evaluate(few_candles)[0].tolist() == pytest.approx(
        value(saved, "sma(close, 3)", few_candles), nan_ok=True
    )
    assert saved.compile_saved("trend@1", parameters={"days": 3, "more": 1}).warnings == (
        "parameter `more` is not used by the formula",
    )
    with pytest.raises(InvalidRequestError, match=r"parameters\[days\]: is required by formula `trend`"):
        saved.compile_saved("trend", parameters={})
    with pytest.raises(InvalidRequestError, match=r"parameters\[days\]: must be from 2 to 50, not 51"):
        saved.compile_saved("trend", parameters={"days": 51})
    with pytest.raises(FormulaNotFoundError):
        saved.compile_saved("trend@7", parameters={"days": 3})


def test_a_saved_formulas_own_options_hold_in_it_and_nowhere_else(saved, store, few_candles):
    store.create(SavedFormula(id="narrow", expression="close / 3", float32_fields=True))
    few = few_candles.fields["close"].astype(np.float32).astype(np.float64) / 3
    formula = saved.compile("a = @narrow(); b = close / 3", parameters={})
    assert formula.evaluate(few_candles)[0].tolist() == few.tolist()
    names = [step.node.operation.name for step in formula.plan.steps]
    assert names.count("round_to_float32") == 1
    everywhere = saved.compile("b = close / 3", parameters={}, options=CompileOptions(float32_fields=True))
    assert "round_to_float32" in [step.node.operation.name for step in everywhere.plan.steps]


def test_the_options_of_a_job_hold_in_the_formulas_that_it_calls(saved, store, few_candles):
    store.create(SavedFormula(id="third", expression="close / 3"))
    options = CompileOptions(float32_fields=True)
    called = saved.compile("@third()", parameters={}, options=options)
    assert "round_to_float32" in [step.node.operation.name for step in called.plan.steps]
    by_id = saved.compile_saved("third", parameters={}, options=options)
    assert called.evaluate(few_candles)[0].tolist() == by_id.evaluate(few_candles)[0].tolist()


def test_formulas_for_any_timeframe_and_labels_can_be_saved(saved):
    for text in ("close@4h", "sma(close, 20)@1M", "Ref($close, -2) / Ref($close, -1) - 1", "close" + "[1]" * 118):
        saved.check_saved(SavedFormula(id="new", expression=text))


def test_formulas_nested_beyond_reason_are_refused(saved, store):
    for level in range(1, 30):
        store.create(SavedFormula(id=f"level_{level}", expression=f"@level_{level - 1}()" if level > 1 else "close"))
    assert saved.compile("@level_10()", parameters={}).plan.steps
    assert codes(saved, "@level_29()") == ["SAVED_FORMULA_WRONG"]


def test_a_worker_finds_the_same_formulas_by_its_configuration(saved, few_candles):
    other = create_formula_service(saved.worker_config())
    np.testing.assert_array_equal(
        other.compile("@trend(2)", parameters={}).evaluate(few_candles)[0],
        saved.compile("@trend(2)", parameters={}).evaluate(few_candles)[0],
    )
    assert other.worker_config() == saved.worker_config()


def test_without_a_store_there_are_the_built_in_formulas_only():
    service = FormulaService()
    with pytest.raises(FormulaNotFoundError, match="there is no formula `trend`"):
        service.find("trend")
