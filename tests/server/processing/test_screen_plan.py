"""Plans of screens: what can be wrong is found before anything runs, all of it at once, in the screen's own names."""

import json

import pytest

from candelabra.v1 import ColumnKind, Formula
from candelabra.worker.v1 import ChunkTask, JobTask
from candelabra_server.config import JobLimits, TimeLimits
from candelabra_server.errors import InvalidRequestError, Reason
from candelabra_server.formulas.service import FormulaService
from candelabra_server.processing.job_plan import JobTiming
from candelabra_server.processing.screen_plan import OrderKey, plan_screen
from candelabra_server.processing.worker_configs import WorkerConfigs
from support.memory_repository import MemoryRepository, MemorySnapshot
from support.screens import screen

STORED = ["A", "AA", "B"]
THREE = "fast = sma(close, 2); slow = sma(close, 5); pick = fast > slow"


def plan(request):
    made = plan_screen(
        request,
        candle_repo=MemoryRepository(STORED),
        formula_service=FormulaService(),
        configs=WorkerConfigs(candle_repo=json.dumps({"type": "x"}), formula_service="{}"),
        timing=JobTiming.of(TimeLimits(), None),
        limits=JobLimits(),
    )
    made.close()
    assert MemorySnapshot.open_count == 0
    return made


def violations(request):
    with pytest.raises(InvalidRequestError) as caught:
        plan(request)
    assert MemorySnapshot.open_count == 0
    return {violation.field: violation.description for violation in caught.value.violations}, caught.value.reason


def test_workers_are_told_to_look_at_the_last_row_up_to_the_time():
    made = plan(screen("A*", THREE, as_of="2020-02-01", filter="pick", screen_id="mine", weight=3))
    task = JobTask.FromString(ChunkTask.FromString(made.job.chunk_bytes(["A"])).job)
    assert (task.task.date_range_start, task.task.date_range_end, task.task.last_n) == ("", "2020-02-01", 1)
    assert (task.task.timeframe, task.task.formula_expression) == ("1d", THREE)
    assert task.screen.filter_column == 2
    assert task.snapshot_id == "memory-1"
    assert (made.screen_id, made.job.symbols, made.job.weight) == ("mine", ("A", "AA"), 3)


def test_every_output_is_a_column():
    assert plan(screen("A", THREE)).columns == (
        ("fast", ColumnKind.COLUMN_KIND_NUMBER),
        ("slow", ColumnKind.COLUMN_KIND_NUMBER),
        ("pick", ColumnKind.COLUMN_KIND_SIGNAL),
    )


def test_a_screen_without_an_id_gets_one():
    assert plan(screen("A", THREE)).screen_id.startswith("screen-")


@pytest.mark.parametrize(
    ("expression", "wanted", "column"),
    [
        ("close > 100", "", 0),  # the only output, and a signal
        ("close", "", None),
        (THREE, "", None),
        (THREE, "fast", 0),
        ("macd(close)", "value.signal", 1),
    ],
)
def test_the_filter_is_the_output_that_is_named_or_the_only_one_when_it_is_a_signal(expression, wanted, column):
    made = plan(screen("A", expression, filter=wanted))
    task = JobTask.FromString(ChunkTask.FromString(made.job.shared_bytes).job)
    assert made.filter_column == column
    assert task.HasField("screen")
    assert (task.screen.filter_column if task.screen.HasField("filter_column") else None) == column


@pytest.mark.parametrize(
    ("order_by", "keys"),
    [
        ("", []),
        ("slow", [(1, False)]),
        ("slow desc", [(1, True)]),
        (" pick DESC ,fast asc,symbol", [(2, True), (0, False), (None, False)]),
        ("symbol desc", [(None, True)]),
    ],
)
def test_the_order_is_outputs_or_the_symbol_each_in_its_direction(order_by, keys):
    made = plan(screen("A", THREE, order_by=order_by))
    assert made.order == tuple(OrderKey(*key) for key in keys)
    assert made.is_sorted == bool(keys)


def test_a_limit_alone_makes_a_screen_sorted():
    made = plan(screen("A", THREE, limit=5))
    assert made.limit == 5
    assert made.is_sorted


def test_a_parameter_that_is_not_used_is_a_warning():
    (warning,) = plan(screen("A", "close", parameters={"n": 3})).warnings
    assert "`n`" in warning


def test_everything_that_is_wrong_is_told_at_once_under_the_screens_own_names():
    request = screen(
        ["ZZ*"],
        "pick = close > 1; fast = close",
        as_of="yesterday",
        screen_id="a b",
        filter="pik",
        order_by="fsat desc, pick pick, , pick, pick desc",
        limit=-1,
        weight=1_000,
    )
    with pytest.raises(InvalidRequestError) as caught:
        plan(request)
    told = [(violation.field, violation.description) for violation in caught.value.violations]
    assert [field for field, _ in told].count("order_by") == 4
    assert {field for field, _ in told} == {
        "as_of",
        "screen_id",
        "symbols[0]",
        "options.weight",
        "filter",
        "order_by",
        "limit",
    }
    assert caught.value.reason == Reason.INVALID_REQUEST


def test_a_value_that_a_parameter_cannot_have_is_told():
    found, _ = violations(screen("A", "close", parameters={"n": float("inf")}))
    assert "finite" in found["parameters[n]"]


def test_a_filter_that_is_no_output_is_told_how_a_condition_gets_a_name():
    found, _ = violations(screen("A", "rsi = rsi(close); pick = rsi < 30", filter="pik"))
    assert "did you mean `pick`?" in found["filter"]
    assert "outputs are: `rsi`, `pick`" in found["filter"]
    assert "`pick = rsi < 30`" in found["filter"]


@pytest.mark.parametrize(
    ("order_by", "told"),
    [
        ("fsat", "did you mean `fast`?"),
        ("nothing", "outputs are: `fast`, `slow`, `pick`; `symbol` sorts by name"),
        ("symbl desc", "did you mean `symbol`?"),
        ("fast down", "expected the name of an output, then nothing, `asc` or `desc`"),
        ("fast asc desc", "then nothing, `asc` or `desc`"),
        ("fast, fast desc", "has `fast` twice"),
        ("fast,", "empty name"),
    ],
)
def test_an_order_that_cannot_be_read_says_what_was_expected(order_by, told):
    found, _ = violations(screen("A", THREE, order_by=order_by))
    assert told in found["order_by"]


def test_very_long_orders_are_told_in_few_violations():
    request = screen("A", THREE, order_by="," * 100_000)
    with pytest.raises(InvalidRequestError) as caught:
        plan(request)
    assert len(caught.value.violations) == 20


@pytest.mark.parametrize(
    ("formula", "field"),
    [(None, "formula"), (Formula(), "formula.expression"), (Formula(expression=" "), "formula.expression")],
)
def test_a_formula_is_required(formula, field):
    request = screen("A")
    if formula is not None:
        request.formula.CopyFrom(formula)
    found, _ = violations(request)
    assert set(found) == {field}
    assert "required" in found[field]


def test_a_wrong_formula_is_told_with_what_can_be_checked_beside_it():
    found, _ = violations(screen("A", "smaa(close, 3)", filter="pick", order_by="x, x", limit=-3))
    assert set(found) == {"formula.expression", "order_by", "limit"}
    found, reason = violations(screen("A", "smaa(close, 3)"))
    assert set(found) == {"formula.expression"}
    assert reason == Reason.INVALID_FORMULA
