"""The service and what it compiles: caching, configuration, evaluation as callers see it."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from candelabra_server.domain.candles import Candles
from candelabra_server.errors import ConfigurationError, FormulaError, Reason, SymbolFailure
from candelabra_server.formulas import service as service_module
from candelabra_server.formulas.compile_options import CompileOptions
from candelabra_server.formulas.factory import create_formula_service
from candelabra_server.formulas.graph import OWN
from candelabra_server.formulas.limits import FormulaLimits
from candelabra_server.formulas.operations import OPERATIONS
from candelabra_server.formulas.service import FormulaService


def test_an_equal_service_is_made_from_the_configuration_for_workers():
    service = FormulaService(limits=FormulaLimits(max_window=77, max_nesting=8))
    config = json.loads(json.dumps(service.worker_config()))
    assert config["type"] == "builtin"
    assert config["max_window"] == 77
    assert create_formula_service(config).worker_config() == service.worker_config()


def test_limits_that_are_not_configured_keep_their_defaults():
    assert create_formula_service({"type": "builtin"}).worker_config() == FormulaService().worker_config()


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({}, "type None"),
        ({"type": "other"}, "'other'"),
        ({"type": "builtin", "max_windows": 5}, "'max_windows'"),
        ({"type": "builtin", "max_window": 0}, "max_window"),
        ({"type": "builtin", "max_window": "5"}, "max_window"),
        ({"type": "builtin", "max_nodes": 1.5}, "max_nodes"),
        ({"type": "builtin", "max_statements": True}, "max_statements"),
        ({"type": "builtin", "max_nesting": 65}, "max_nesting"),
        ({"type": "builtin", "max_window": 100_001}, "max_window"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused_by_name(config, named):
    with pytest.raises(ConfigurationError, match=named):
        create_formula_service(config)


@pytest.mark.parametrize(
    ("limits", "text", "code"),
    [
        ({"max_expression_length": 5}, "close + 1", "TOO_LONG"),
        ({"max_statements": 1}, "a = 1; b = 2", "TOO_MANY_STATEMENTS"),
        ({"max_nesting": 2}, "(((1)))", "TOO_DEEP"),
        ({"max_nodes": 2}, "close + open", "TOO_LARGE"),
        ({"max_window": 9}, "sma(close, 10)", "WINDOW_OUT_OF_RANGE"),
        ({"max_warm_up_candles": 9}, "sma(close[5], 6)", "WARM_UP_TOO_LONG"),
    ],
)
def test_every_limit_holds(limits, text, code):
    with pytest.raises(FormulaError) as caught:
        FormulaService(limits=FormulaLimits(**limits)).compile(text, parameters={})
    assert [problem.code for problem in caught.value.problems] == [code]


def test_a_formula_is_compiled_once_for_the_same_text_parameters_and_permission(service):
    first = service.compile("sma(close, n)", parameters={"n": 5})
    assert service.compile("sma(close, n)", parameters={"n": 5.0}) is first
    assert service.compile("sma(close, n)", parameters={"n": 6}) is not first
    assert (
        service.compile("sma(close, n)", parameters={"n": 5}, options=CompileOptions(allow_lookahead=True)) is not first
    )


def test_a_wrong_formula_is_refused_again_without_being_compiled_again(monkeypatch):
    service = FormulaService()
    with pytest.raises(FormulaError) as first:
        service.compile("smaa(close)", parameters={})
    monkeypatch.setattr(service_module, "check_text", None)
    with pytest.raises(FormulaError) as second:
        service.compile("smaa(close)", parameters={})
    assert second.value.problems == first.value.problems
    assert second.value is not first.value


def test_only_so_many_formulas_are_remembered(monkeypatch):
    monkeypatch.setattr(service_module, "_CACHED_FORMULAS", 3)
    service = FormulaService()
    kept = service.compile("close", parameters={})
    for number in range(5):
        service.compile(f"close + {number}", parameters={})
        assert service.compile("close", parameters={}) is kept
    assert len(service._compiled) == 3


def test_threads_compile_and_evaluate_side_by_side(real_candles):
    service = FormulaService()
    texts = [f"macd(close, {fast}, 30).hist + sma(close, {fast})" for fast in range(2, 12)]
    expected = [FormulaService().compile(text, parameters={}).evaluate(real_candles["FB"])[0] for text in texts]
    barrier = threading.Barrier(4)

    def work(_: int) -> list[bytes]:
        barrier.wait()
        return [service.compile(text, parameters={}).evaluate(real_candles["FB"])[0].tobytes() for text in texts]

    with ThreadPoolExecutor(4) as pool:
        for values in pool.map(work, range(4)):
            assert values == [column.tobytes() for column in expected]


def test_parameters_that_are_not_used_are_warned_of(service):
    formula = service.compile("sma(close, fast)", parameters={"fast": 5, "slow": 10, "b": 1})
    assert formula.warnings == (
        "parameter `b` is not used by the formula",
        "parameter `slow` is not used by the formula",
    )


def test_a_formula_names_the_fields_it_reads_sorted_and_no_others(service):
    formula = service.compile("_unused = vwap; a = $my_field + close; b = atr(14)", parameters={})
    assert dict(formula.plan.fields) == {OWN: ("close", "high", "low", "my_field")}


def test_a_field_that_is_not_stored_fails_the_symbol_and_names_those_that_are(service, few_candles):
    with pytest.raises(SymbolFailure, match="TEST have no field `vwap`; stored are: close, high, low") as caught:
        service.compile("vwap / close", parameters={}).evaluate(few_candles)
    assert caught.value.reason is Reason.FIELD_NOT_STORED
    assert caught.value.metadata == {"fields": "vwap"}


@pytest.mark.parametrize(
    "expression",
    [
        "close",
        "a = close; b = close; c = close[0]",
        "5",
        "a = sma(close, 2); b = sma(close, 2)",
        "macd(close)",
        "bbands(close, 2)",
        "a = macd(close).hist; b = macd(close)",
        "close > open",
        "ema(close, 1)",
        "highest(close, 1)",
        "Max($close, 1)",
        "highest(close, 1000)",
    ],
)
def test_outputs_are_new_contiguous_columns_that_share_no_memory(service, few_candles, expression):
    columns = service.compile(expression, parameters={}).evaluate(few_candles)
    for index, column in enumerate(columns):
        assert column.dtype == np.float64
        assert column.shape == (6,)
        assert column.flags.c_contiguous
        assert column.flags.writeable
        others = [*columns[:index], *few_candles.fields.values()]
        assert not any(np.shares_memory(column, other) for other in others)


@pytest.mark.parametrize(
    "expression",
    [
        "sma(close, 3)",
        "macd(close)",
        "Std($close, 3)",
        "cross_over(close, 5)",
        "rsi(close)",
        "atr(3)",
        "7",
        "roc(close)",
    ],
)
@pytest.mark.parametrize("rows", [0, 1])
def test_candles_of_no_or_one_row_give_columns_of_that_length(service, expression, rows):
    fields = {name: np.full(rows, 5.0) for name in ("open", "high", "low", "close", "volume")}
    candles = Candles(symbol="NEW", open_time_micros=np.arange(rows, dtype=np.int64), fields=fields)
    for column in service.compile(expression, parameters={}).evaluate(candles):
        assert column.shape == (rows,)


def test_the_checkpoint_is_called_between_kernels_that_take_long(service):
    rows = 400_000
    columns = {name: np.ones(rows) for name in ("open", "high", "low", "close", "volume")}
    candles = Candles(symbol="LONG", open_time_micros=np.arange(rows, dtype=np.int64), fields=columns)
    formula = service.compile("Corr($close, $open, 200) + Corr($high, $low, 200)", parameters={})
    calls: list[None] = []
    formula.evaluate(candles, checkpoint=lambda: calls.append(None))
    assert len(calls) == 3


def test_what_the_checkpoint_raises_ends_the_evaluation(service, few_candles):
    def stop() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        service.compile("sma(close, 2)", parameters={}).evaluate(few_candles, checkpoint=stop)


def test_a_compiled_formula_cannot_be_changed(service):
    formula = service.compile("close", parameters={})
    with pytest.raises(AttributeError):
        formula.columns = ()


def test_equal_expressions_are_computed_once(service, few_candles):
    formula = service.compile(
        "a = sma(close, 2) - sma(open, 2)\nb = sma(period=2, series=$close) + 1\nc = 1 + sma(close, two)",
        parameters={"two": 2},
    )
    names = [step.node.operation.name for step in formula.plan.steps]
    assert names.count("simple_mean") == 2
    assert names.count("add") == 1
    assert formula.plan.outputs[1] == formula.plan.outputs[2]
    assert len(formula.evaluate(few_candles)) == 3


def test_what_no_output_needs_is_not_computed(service):
    formula = service.compile("_a = sma(close, 500); b = macd(close).hist; c = 2 * 3 + 4", parameters={})
    names = [step.node.operation.name for step in formula.plan.steps]
    assert names == ["field", "macd", "output", "constant"]


def test_a_column_is_let_go_after_its_last_use(service, few_candles, monkeypatch):
    formula = service.compile("_a = close + 1; _b = _a * 2; _c = _b - 3; d = _c / 4", parameters={})
    freed = [step.free for step in formula.plan.steps]
    assert sorted(number for step in freed for number in step) == list(range(len(freed) - 1))
    kept = service.compile("a = close + 1; b = a * 2", parameters={})
    outputs = set(kept.plan.outputs)
    assert not outputs & {number for step in kept.plan.steps for number in step.free}
    assert kept.evaluate(few_candles)[0].tolist() == [12, 13, 14, 11, 10, 11]


def test_equal_constants_are_told_apart_by_their_sign_of_zero(service, few_candles):
    columns = service.compile("a = 1 / (close * 0 + z); b = 1 / -(close * 0 + z)", parameters={"z": -0.0})
    assert [column[0] for column in columns.evaluate(few_candles)] == [np.inf, -np.inf]
    for zero in (-0.0, 0.0):
        plan = service.compile("close + z", parameters={"z": zero}).plan
        assert [repr(step.node.constant) for step in plan.steps if step.node.constant is not None] == [repr(zero)]


def test_every_operation_is_known_by_its_own_name():
    assert all(name == operation.name for name, operation in OPERATIONS.items())


def test_the_limits_of_the_service_are_those_that_can_be_configured():
    assert set(FormulaService().worker_config()) == {"type", *FormulaLimits.__dataclass_fields__}
