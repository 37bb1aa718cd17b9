"""Every operation of the instruction table by the machine and by its own kernel: the same bits for any column."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candelabra_server.domain.candles import Candles, FloatColumn
from candelabra_server.formulas.checker import Output
from candelabra_server.formulas.compiled.loading import loaded_machine
from candelabra_server.formulas.compiled.opcodes import BLOCK_ROWS, LANES, LONGEST_SLID, TILE_ROWS
from candelabra_server.formulas.evaluator import Evaluation
from candelabra_server.formulas.graph import Graph, Node
from candelabra_server.formulas.instruction_table import BUNDLE_OUTPUTS, BUNDLES, ROW_OPERATIONS
from candelabra_server.formulas.limits import FormulaLimits
from candelabra_server.formulas.planner import Plan, make_plan
from candelabra_server.formulas.service import FormulaService
from candelabra_server.formulas.values import Series

WINDOWS = (1, 2, 3, 5, 20, 60, 64, 300)
SKIPPING = ("rolling_", "index_of_", "place_weighted_mean")
"""How the names of Qlib's operations begin: they take a window of 0, all rows so far."""
TWO_COLUMNS = {"rolling_covariance", "rolling_correlation", "covariance", "correlation", "beta"}
ONE_VALUE = {"negate", "absolute", "sign", "round", "round_to_float32", "not", "is_missing", "signal_or_zero"}
SHARES = (0.0, 0.2, 0.5, 0.8, 1.0)


def nodes_over_windows(graph: Graph, windows: tuple[int, ...]) -> Iterator[tuple[str, Node]]:
    """An entry of every kind for every window; the same column and windows, so that bundles are shared."""
    close, other = graph.field("close"), graph.field("open")
    for name in BUNDLES:
        inputs = (close, other) if name in TWO_COLUMNS else (close,)
        lengths = (*windows, 0) if name.startswith(SKIPPING) else windows
        for window in lengths:
            given_settings: list[tuple[float, ...]]
            if name == "decaying_mean":
                given_settings = [(alpha, window) for alpha in (0.1, 0.9)]
            elif name == "decaying_mean_from_start":
                given_settings = [(0.1, 50)]
            elif name == "rolling_quantile":
                given_settings = [(window, share) for share in SHARES]
            else:
                given_settings = [(window,)]
            for chosen in given_settings:
                yield f"{name}{chosen}", graph.apply(name, *inputs, settings=chosen)
    for name, outputs in BUNDLE_OUTPUTS.items():
        for window in (*windows, 0):
            bundle = graph.apply(name, close, settings=(window,))
            for number in range(len(outputs)):
                yield f"{name}({window}).{number}", graph.output(bundle, number)


def elementwise_nodes(graph: Graph) -> Iterator[tuple[str, Node]]:
    """Every elementwise operation over columns and numbers, and shifts in both directions."""
    close, other, number = graph.field("close"), graph.field("open"), graph.constant(3.5)
    signal = graph.apply("less", close, other)
    for name in ROW_OPERATIONS:
        if name in ONE_VALUE:
            yield name, graph.apply(name, signal if name == "not" else close)
        elif name == "choose":
            yield name, graph.apply(name, signal, close, number)
        else:
            yield name, graph.apply(name, close, other)
            yield f"{name} of a number", graph.apply(name, number, close)
            yield f"{name} by a number", graph.apply(name, signal, number)
    for candles in (-5, -1, 0, 1, 7, 2_000):
        shifted = graph.apply("shift", close, settings=(candles,))
        yield f"shift {candles}", shifted
        yield f"shift {candles} twice", graph.apply("shift", graph.apply("add", shifted, other), settings=(candles,))


def plan_of(make_nodes) -> tuple[list[str], Plan]:
    graph = Graph(FormulaLimits(), "1d")
    named = list(make_nodes(graph))
    outputs = [Output(name=name, series=Series(node)) for name, node in named]
    return [name for name, _ in named], make_plan(outputs, "1d")


OVER_WINDOWS = plan_of(lambda graph: nodes_over_windows(graph, WINDOWS))
ELEMENTWISE = plan_of(elementwise_nodes)


def assert_same_bits(names: list[str], plan: Plan, close: FloatColumn, other: FloatColumn) -> None:
    times = np.arange(len(close), dtype=np.int64)
    evaluation = Evaluation(plan, Candles("X", times, {"close": close, "open": other}), {})
    by_machine, by_steps = evaluation.columns(), evaluation._columns_by_steps()
    for name, found, wanted in zip(names, by_machine, by_steps, strict=True):
        differs = np.flatnonzero(~((found == wanted) | (np.isnan(found) & np.isnan(wanted))))
        assert not len(differs), f"{name}: row {differs[0]} is {found[differs[0]]!r}, not {wanted[differs[0]]!r}"


def odd_columns() -> Iterator[tuple[str, Any]]:
    chance = np.random.default_rng(7)
    walk = 100 + np.cumsum(chance.normal(size=3_000))
    yield "nothing", walk[:0]
    yield "one row", walk[:1]
    yield "two rows", walk[:2]
    yield "a window that is never full", walk[:150]
    for rows in (TILE_ROWS - 1, TILE_ROWS, TILE_ROWS + 1, BLOCK_ROWS, BLOCK_ROWS + 1, 2 * TILE_ROWS):
        yield f"{rows} rows", walk[:rows]
    yield "a walk", walk
    yield "huge beside its changes", 1e9 + np.round(walk) * 2.0**-10
    yield "ties", np.round(walk / 5)
    yield "constant", np.full(700, 3.3)
    yield "flat after noise and a spike", np.concatenate((walk[:300], [1e12], np.full(400, 0.1)))
    yield "denormal", chance.integers(0, 50, size=400) * 5e-324
    yield "zeros of both signs", np.where(chance.random(400) < 0.5, 0.0, -0.0)
    yield "overflowing", walk[:400] * 1e300
    yield "overflowing at first", np.array([1e308, -1e308, 1.0, 2.0])
    yield "powers that overflow at first", np.concatenate(([0, 0, 1e105, 1e105, 0], walk[:100]))
    yield "all missing", np.full(500, np.nan)
    yield "missing at first", with_gaps(walk, range(5))
    yield "a single gap", with_gaps(walk, [1_500])
    yield "a long gap", with_gaps(walk, range(1_400, 1_700))
    yield "gaps just as windows are full again", with_gaps(walk, range(0, 3_000, 300))
    yield "gaps one row later", with_gaps(walk, range(0, 3_000, 301))
    yield "many gaps", with_gaps(walk, np.flatnonzero(chance.random(3_000) < 0.1))
    infinite = with_gaps(walk, [10, 900])
    infinite[[50, 1_000]] = np.inf, -np.inf
    yield "infinities", infinite


def with_gaps(column: FloatColumn, rows) -> FloatColumn:
    gapped = column.copy()
    gapped[list(rows)] = np.nan
    return gapped


ODD_COLUMNS = dict(odd_columns())
KINDS = pytest.mark.parametrize("kind", ODD_COLUMNS)


def beside(close: FloatColumn) -> FloatColumn:
    """Another column, with gaps of its own, flat for a while."""
    chance = np.random.default_rng(3)
    other = np.cumsum(chance.normal(size=len(close)))
    other[len(close) // 3 : len(close) // 2] = 7.0
    other[chance.random(len(close)) < 0.01] = np.nan
    return other


def test_the_plans_have_every_operation_of_the_table():
    for (_, plan), wanted in ((OVER_WINDOWS, {*BUNDLES, *BUNDLE_OUTPUTS}), (ELEMENTWISE, {*ROW_OPERATIONS, "shift"})):
        assert {step.node.operation.name for step in plan.steps} >= wanted
    _, plan = OVER_WINDOWS
    computed = [kernel for step, kernel in zip(plan.steps, plan.program.kernels, strict=True) if step.inputs]
    assert loaded_machine() is not None
    assert all(computed)


@KINDS
def test_windows_have_the_bits_of_their_kernels(kind):
    close = ODD_COLUMNS[kind]
    assert_same_bits(*OVER_WINDOWS, close, beside(close))


@KINDS
def test_pairs_have_the_bits_of_their_kernels_where_both_have_the_same_gaps(kind):
    close = ODD_COLUMNS[kind]
    assert_same_bits(*OVER_WINDOWS, close, close + np.arange(len(close)) % 7)


@KINDS
def test_elementwise_operations_have_the_bits_of_their_kernels(kind):
    close = ODD_COLUMNS[kind]
    assert_same_bits(*ELEMENTWISE, close, beside(close))


@pytest.mark.parametrize("rows", [2 * LONGEST_SLID * LANES - 1, 3 * LONGEST_SLID * LANES + 5])
def test_order_statistics_are_the_same_however_windows_are_moved(rows):
    lengths = (2, 3, 59, LONGEST_SLID - 1, LONGEST_SLID, LONGEST_SLID + 1, 1_000)
    plan = plan_of(
        lambda graph: (
            (f"{name}({window})", graph.apply(name, graph.field("close"), settings=(window, *rest)))
            for window in lengths
            for name, rest in (("rolling_rank", ()), ("rolling_quantile", (0.2,)), ("rolling_quantile", (0.8,)))
        )
    )
    chance = np.random.default_rng(rows)
    for column in (chance.normal(size=rows), np.round(chance.normal(size=rows) * 3), np.arange(rows, 0.0, -1.0)):
        assert_same_bits(*plan, column, column)
        assert_same_bits(*plan, with_gaps(column, range(4)), column)


VALUES = st.one_of(
    st.floats(min_value=-1e6, max_value=1e6),
    st.integers(min_value=0, max_value=50).map(lambda steps: 1e9 + steps * 2.0**-10),
    st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e12, 5e-324, 7.0]),
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(VALUES, VALUES), max_size=90))
def test_short_columns_of_anything_have_the_bits_of_the_kernels(rows):
    close, other = np.array(rows, dtype=np.float64).reshape(-1, 2).T.copy()
    assert_same_bits(*OVER_WINDOWS, close, other)
    assert_same_bits(*ELEMENTWISE, close, other)


def test_the_residual_of_a_flat_window_is_no_negative_zero():
    flat = Candles("X", np.arange(400, dtype=np.int64), {"close": np.full(400, 3.0)})
    for text in ("a = 1 / Resi($close, 4)", "a = 1 / Resi($close, 4); b = Resi($close, 300)"):
        assert (FormulaService().compile(text, parameters={}).evaluate(flat)[0][1:] == np.inf).all()
