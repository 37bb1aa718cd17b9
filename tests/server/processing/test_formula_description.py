"""Descriptions: what a formula would do, in exact numbers, from its plan alone."""

import pytest

from candelabra.v1 import ColumnKind as KindMessage
from candelabra.v1 import Exactness as ExactnessMessage
from candelabra_server.errors import FormulaError
from candelabra_server.formulas.compile_options import CompileOptions
from candelabra_server.formulas.instruction_table import ROW_NANOS
from candelabra_server.formulas.nodes import ColumnKind
from candelabra_server.formulas.operations import OPERATIONS, Exactness
from candelabra_server.formulas.saved import DeclaredParameter, SavedFormula
from candelabra_server.formulas.service import FormulaService
from candelabra_server.formulas.store import FormulaStore
from candelabra_server.processing.formula_description import column_kind, describe_formula, problem_messages


def described(text, parameters=None, **options):
    given = parameters or {}
    formula = FormulaService().compile(text, parameters=given, options=CompileOptions(**options))
    return describe_formula(formula, given=given)


def warm_ups(description):
    return {
        (warm_up.symbol, warm_up.timeframe): "all" if warm_up.whole_history else warm_up.candles
        for warm_up in description.warm_ups
    }


def test_equal_expressions_are_one_node_with_as_many_uses():
    found = described("sma(close, 20) - sma(close, 20)[1]")
    assert [
        (node.operation, list(node.settings), list(node.inputs), node.uses, node.warm_up_candles)
        for node in found.nodes
    ] == [
        ("field", ["close"], [], 1, 0),
        ("simple_mean", ["20"], [0], 2, 19),
        ("shift", ["1"], [1], 1, 20),
        ("subtract", [], [1, 2], 1, 20),
    ]
    (output,) = found.outputs
    assert (output.name, output.node, output.warm_up_candles, output.look_ahead_candles) == ("value", 3, 20, 0)
    assert (output.kind, output.exactness) == (KindMessage.COLUMN_KIND_NUMBER, ExactnessMessage.EXACTNESS_EXACT)
    assert [(field.name, field.symbol, field.timeframe) for field in found.fields] == [("close", "", "")]
    assert warm_ups(found) == {("", ""): 20}
    assert not any(part.whole_history for part in (output, *found.nodes))


def test_a_node_that_takes_another_twice_is_one_use_and_every_output_is_one():
    found = described("a = close * close; b = close; c = close")
    assert [(node.operation, node.uses) for node in found.nodes] == [("field", 3), ("multiply", 1)]
    assert [(output.name, output.node) for output in found.outputs] == [("a", 1), ("b", 0), ("c", 0)]


def test_what_no_column_needs_is_not_computed():
    found = described("_unused = sma(open, 50); y = close")
    assert [node.operation for node in found.nodes] == ["field"]
    assert [output.name for output in found.outputs] == ["y"]
    assert [field.name for field in found.fields] == ["close"]
    assert warm_ups(found) == {("", ""): 0}


def test_outputs_tell_kind_exactness_and_whole_history():
    found = described("a = close > open; b = ema(close, 3); c = streak(close > open)")
    signal, average, streak = found.outputs
    assert (signal.kind, signal.exactness) == (KindMessage.COLUMN_KIND_SIGNAL, ExactnessMessage.EXACTNESS_EXACT)
    assert (average.kind, average.exactness) == (KindMessage.COLUMN_KIND_NUMBER, ExactnessMessage.EXACTNESS_CLOSE)
    assert average.warm_up_candles > 2
    assert (streak.whole_history, streak.warm_up_candles) == (True, 0)
    assert warm_ups(found) == {("", ""): "all"}


def test_a_function_of_several_outputs_gives_a_column_each():
    found = described("bbands(close, 20)")
    assert [output.name for output in found.outputs] == ["value.upper", "value.middle", "value.lower"]
    assert {output.warm_up_candles for output in found.outputs} == {19}


def test_look_ahead_is_told_where_it_is_allowed():
    found = described("a = close[-3]; b = sma(close, 5)[-2]; c = close", allow_lookahead=True)
    assert [output.look_ahead_candles for output in found.outputs] == [3, 2, 0]
    assert [output.warm_up_candles for output in found.outputs] == [0, 2, 0]
    assert found.warnings[0] == "values depend on candles up to 3 rows later"


def test_a_longer_timeframe_has_an_entry_of_its_own_in_its_own_candles():
    """The week that the range starts in, the last closed one, and the one before, which the average needs."""
    found = described("sma(close, 2)@1w")
    assert warm_ups(found) == {("", ""): 3 * 7, ("", "1w"): 3}
    assert [(field.name, field.symbol, field.timeframe) for field in found.fields] == [("close", "", "1w")]
    assert [(node.operation, list(node.settings), node.timeframe, node.warm_up_candles) for node in found.nodes] == [
        ("field", ["close"], "1w", 0),
        ("simple_mean", ["2"], "1w", 1),
        ("align", [], "", 21),
    ]
    assert warm_ups(described("sma(close, 2)@1w", timeframe="1h")) == {("", ""): 3 * 7 * 24, ("", "1w"): 3}


def test_the_largest_need_of_a_longer_timeframe_counts():
    found = described("a = sma(close, 9)@1w; b = close@1w; c = sma(open, 4)@1M")
    assert warm_ups(found) == {("", ""): 5 * 31, ("", "1w"): 10, ("", "1M"): 5}


def test_another_symbol_has_an_entry_of_its_own():
    found = described('a = close / symbol("SPY").close; b = sma(symbol("SPY").close, 3); c = symbol("QQQ").open@1w')
    assert warm_ups(found) == {
        ("", ""): 14,
        ("", "1w"): 2,
        ("SPY", ""): 1,
        ("QQQ", ""): 14,
        ("QQQ", "1w"): 2,
    }
    assert [(field.name, field.symbol, field.timeframe) for field in found.fields] == [
        ("close", "", ""),
        ("open", "QQQ", "1w"),
        ("close", "SPY", ""),
    ]
    assert {node.symbol for node in found.nodes if node.operation == "field"} == {"", "SPY", "QQQ"}


def test_the_whole_history_of_another_symbol_is_not_that_of_the_jobs_own():
    found = described('close + ChangeInstrument("SPY", streak($close > $open))')
    assert warm_ups(found) == {("", ""): 0, ("SPY", ""): "all"}
    assert {node.operation: node.whole_history for node in found.nodes} == {
        "field": False,
        "less": False,
        "streak": True,
        "align": False,
        "add": False,
    }


def test_the_whole_history_stays_whole_in_a_longer_timeframe():
    found = described('TResample(streak(close > open), "1w", "last")')
    reduced, aligned = found.nodes[-2:]
    assert (reduced.operation, list(reduced.settings), reduced.timeframe) == ("reduce", ["last"], "1w")
    assert [(node.whole_history, node.warm_up_candles) for node in (reduced, aligned)] == [(True, 0)] * 2
    assert warm_ups(found) == {("", ""): "all", ("", "1w"): "all"}


@pytest.mark.parametrize(("number", "text"), [("2", "2"), ("0.5", "0.5"), ("1e300", "1e+300"), ("1e-7", "1e-07")])
def test_constants_are_told_in_the_fewest_digits(number, text):
    (constant,) = (node for node in described(f"close * {number}").nodes if node.operation == "constant")
    assert list(constant.settings) == [text]
    assert (constant.symbol, constant.nanos_per_row) == ("", 0)


def test_parameters_are_told_with_whether_they_are_used():
    found = described("close * n", {"n": 2.5, "m": 1})
    assert [(each.name, each.value, each.is_default, each.used) for each in found.parameters] == [
        ("m", 1, False, False),
        ("n", 2.5, False, True),
    ]
    assert list(found.warnings) == ["parameter `m` is not used by the formula"]


def test_a_saved_formula_tells_its_defaults_and_the_versions_that_it_calls(tmp_path):
    store = FormulaStore(tmp_path)
    days = DeclaredParameter(name="days", default=5.0)
    store.create(SavedFormula(id="trend", expression="sma(close, days)", parameters=(days,)))
    store.update(SavedFormula(id="trend", expression="sma(open, days)", parameters=(days,)), etag="")
    share = DeclaredParameter(name="share", default=0.5)
    store.create(SavedFormula(id="blend", expression="@trend(9) * share + n * @trend@1(9)", parameters=(share,)))
    formula = FormulaService(store=store).compile_saved("blend", parameters={"n": 3.0})
    found = describe_formula(formula, given={"n": 3.0})
    assert [(each.name, each.value, each.is_default, each.used) for each in found.parameters] == [
        ("n", 3, False, True),
        ("share", 0.5, True, True),
    ]
    assert list(found.saved_formulas) == ["blend@1", "trend@1", "trend@2"]


def test_the_time_of_a_row_is_that_of_all_nodes():
    found = described("a = percent_rank(close, 30); b = a * 2")
    told = {node.operation: node.nanos_per_row for node in found.nodes}
    assert told == {
        "field": OPERATIONS["field"].nanos("close", "", ""),
        "percent_rank": OPERATIONS["percent_rank"].nanos(30),
        "constant": 0,
        "multiply": ROW_NANOS,
    }
    assert found.nanos_per_row == pytest.approx(sum(told.values()))
    assert told["percent_rank"] > told["multiply"] > 0


def test_every_kind_and_every_class_of_exactness_has_a_value_in_messages():
    kinds = [KindMessage.Value(column_kind(kind)) for kind in (None, *ColumnKind)]
    assert sorted(kinds) == sorted(KindMessage.values())
    classes = [ExactnessMessage.Value(f"EXACTNESS_{exactness.name}") for exactness in Exactness]
    assert sorted(classes) == sorted(set(ExactnessMessage.values()) - {ExactnessMessage.EXACTNESS_UNSPECIFIED})


def test_mistakes_are_told_field_by_field_and_as_a_terminal_shows_them():
    with pytest.raises(FormulaError) as caught:
        FormulaService().compile("a = close\nb = smaa(close, 3)", parameters={})
    (message,) = problem_messages(caught.value.problems)
    assert (message.code, message.line, message.column, message.length) == ("UNKNOWN_FUNCTION", 2, 5, 4)
    assert (message.source_line, message.suggestion, message.signature) == ("b = smaa(close, 3)", "sma", "")
    assert message.message == "unknown function `smaa`"
    assert message.text.splitlines() == [
        "line 2, column 5: unknown function `smaa`; did you mean `sma`?",
        "  b = smaa(close, 3)",
        "      ^^^^",
    ]
