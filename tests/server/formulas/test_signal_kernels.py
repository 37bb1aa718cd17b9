"""Kernels of signals, state and scores against slow twins, on gaps, infinities, flat, empty and very large columns."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candelabra_server.formulas.kernels import full_pairs, full_windows, percent_rank, sessions, state, turning_points
from support import slow_twins

NAN = math.nan
THOROUGH = settings(max_examples=60, deadline=None, derandomize=True)
MODERATE = st.floats(min_value=-1e6, max_value=1e6, allow_subnormal=False).map(lambda value: round(value, 3))
LARGE = st.integers(min_value=0, max_value=20).map(lambda steps: 1e9 + steps * 2.0**-10)
FEW = st.sampled_from([1.0, 2.0, 3.0, 2.0, 1.0, NAN])
ODD = st.one_of(MODERATE, st.sampled_from([NAN, math.inf, -math.inf, 0.0, -0.0, 7.0, 7.0]))
CONDITIONS = st.sampled_from([1.0, 0.0, NAN])
WINDOWS = st.one_of(st.integers(min_value=1, max_value=5), st.integers(min_value=1, max_value=45))
SIDES = st.integers(min_value=1, max_value=7)


def read_only(values) -> np.ndarray:
    column = np.array(values, dtype=np.float64)
    column.flags.writeable = False
    return column


def lists(values, *, most=40):
    """Columns of single values, and runs of one value, of any length from 0."""
    runs = st.lists(st.tuples(values, st.integers(min_value=1, max_value=12)), max_size=6)
    return st.one_of(
        st.lists(values, max_size=most), runs.map(lambda items: [value for value, rows in items for _ in range(rows)])
    )


COLUMNS = st.one_of(lists(MODERATE), lists(LARGE), lists(FEW), lists(ODD)).map(read_only)
CONDITION_COLUMNS = lists(CONDITIONS).map(read_only)
BOTH = st.lists(st.tuples(CONDITIONS, ODD), max_size=40).map(
    lambda pairs: (read_only([first for first, _ in pairs]), read_only([second for _, second in pairs]))
)
# Each kernel, its twin, the columns it takes and its settings; then the candles before a row that its value needs,
# None for all of them.
CASES = {
    "bars_since": (state.bars_since, slow_twins.bars_since, CONDITION_COLUMNS, (), None),
    "streak": (state.streak, slow_twins.streak, CONDITION_COLUMNS, (), None),
    "fix_nan": (state.last_present, slow_twins.fix_nan, COLUMNS, (), None),
    "highest_so_far": (state.highest_so_far, slow_twins.highest_so_far, COLUMNS, (), None),
    "value_when": (
        state.value_when,
        slow_twins.value_when,
        BOTH,
        (st.integers(min_value=0, max_value=4),),
        None,
    ),
    "count_if": (
        turning_points.count_if,
        slow_twins.count_if,
        CONDITION_COLUMNS,
        (WINDOWS,),
        lambda window: window - 1,
    ),
    "highest_bars": (
        turning_points.highest_bars,
        slow_twins.highest_bars,
        COLUMNS,
        (WINDOWS,),
        lambda window: window - 1,
    ),
    "lowest_bars": (turning_points.lowest_bars, slow_twins.lowest_bars, COLUMNS, (WINDOWS,), lambda window: window - 1),
    "pivot_high": (
        turning_points.pivot_high,
        slow_twins.pivot_high,
        COLUMNS,
        (SIDES, SIDES),
        lambda left, right: left + right,
    ),
    "pivot_low": (
        turning_points.pivot_low,
        slow_twins.pivot_low,
        COLUMNS,
        (SIDES, SIDES),
        lambda left, right: left + right,
    ),
    "percent_rank": (percent_rank.percent_rank, slow_twins.percent_rank, COLUMNS, (WINDOWS,), lambda window: window),
}


@st.composite
def calls(draw, name):
    _, _, columns, parameters, _ = CASES[name]
    given_columns = draw(columns)
    inputs = given_columns if isinstance(given_columns, tuple) else (given_columns,)
    return inputs, tuple(draw(parameter) for parameter in parameters)


def run(kernel, inputs, constants):
    with np.errstate(all="ignore"):
        return kernel(*inputs, *constants)


@pytest.mark.parametrize("name", CASES)
@THOROUGH
@given(data=st.data())
def test_a_kernel_equals_its_slow_twin(name, data):
    kernel, twin, *_ = CASES[name]
    inputs, constants = data.draw(calls(name))
    result = run(kernel, inputs, constants)
    assert result.dtype == np.float64
    np.testing.assert_array_equal(result, np.array(twin(*(column.tolist() for column in inputs), *constants)))


@pytest.mark.parametrize("name", CASES)
@THOROUGH
@given(data=st.data(), stop=st.integers(min_value=0, max_value=40))
def test_later_rows_change_no_bit_of_an_earlier_one(name, data, stop):
    kernel = CASES[name][0]
    inputs, constants = data.draw(calls(name))
    whole = run(kernel, inputs, constants)
    part = run(kernel, tuple(column[:stop] for column in inputs), constants)
    assert part.tobytes() == whole[:stop].tobytes()


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case[-1]])
@THOROUGH
@given(data=st.data(), start=st.integers(min_value=0, max_value=40))
def test_a_window_has_the_same_bits_wherever_the_column_begins(name, data, start):
    kernel, *_, warm_up = CASES[name]
    inputs, constants = data.draw(calls(name))
    whole = run(kernel, inputs, constants)
    part = run(kernel, tuple(column[start:] for column in inputs), constants)
    rows = warm_up(*constants)
    assert whole[start + rows :].tobytes() == part[rows:].tobytes()


@pytest.mark.parametrize("name", CASES)
@THOROUGH
@given(data=st.data())
def test_a_kernel_neither_changes_nor_returns_the_columns_it_is_given(name, data):
    inputs, constants = data.draw(calls(name))
    before = [column.tobytes() for column in inputs]
    result = run(CASES[name][0], inputs, constants)
    assert [column.tobytes() for column in inputs] == before
    assert not any(np.shares_memory(result, column) for column in inputs)
    assert result.flags.c_contiguous
    assert len(result) == len(inputs[0])


@pytest.mark.parametrize("rows", [0, 1, 2, 900, 1025])
@pytest.mark.parametrize("window", [1, 7, 64, 899, 1000])
@pytest.mark.parametrize("values", ["noise", "ties", "flat", "gaps", "infinities"])
def test_long_percent_ranks_by_sorted_blocks_equal_those_by_lag(rows, window, values):
    random = np.random.default_rng(rows)
    column = {
        "noise": random.normal(size=rows),
        "ties": random.integers(0, 4, rows).astype(np.float64),
        "flat": np.full(rows, 3.0),
        "gaps": np.where(random.random(rows) < 0.01, NAN, random.normal(size=rows)),
        "infinities": np.where(random.random(rows) < 0.1, -np.inf, random.normal(size=rows)),
    }[values]
    present = ~np.isnan(column)  # what is counted for a value that is missing is of no use
    by_lag, in_blocks = (
        count(column, window)[present] for count in (percent_rank._count_by_lag, percent_rank._count_in_blocks)
    )
    assert by_lag.tolist() == in_blocks.tolist()


def test_a_percent_rank_takes_its_long_way_beyond_the_limit_with_the_same_values(monkeypatch):
    column = np.random.default_rng(2).normal(size=3000)
    column[500] = NAN
    short = percent_rank.percent_rank(column, 120)
    monkeypatch.setattr(percent_rank, "LONGEST_BY_LAG", 119)
    assert percent_rank.percent_rank(column, 120).tobytes() == short.tobytes()
    assert np.isnan(short[500:621]).all()
    assert not np.isnan(short[621:]).any()


def exact_score(values: list[float] | None) -> float:
    if values is None or not all(map(math.isfinite, values)):
        return NAN
    exact = [Fraction(value) for value in values]
    mean = sum(exact) / len(exact)
    variance = sum((value - mean) ** 2 for value in exact) / len(exact)
    return float(exact[-1] - mean) / math.sqrt(variance) if variance else NAN


@THOROUGH
@given(column=COLUMNS, window=WINDOWS.map(lambda window: window + 1))
def test_a_score_equals_its_exact_value_however_large_the_level(column, window):
    expected = [exact_score(values) for values in slow_twins.windows(column, window)]
    result = run(full_windows.standard_score, (column,), (window,))
    np.testing.assert_allclose(result, np.array(expected), rtol=0, atol=1e-12)


def test_a_score_of_small_differences_on_a_large_level_loses_no_digit():
    column = 1e9 + np.random.default_rng(9).integers(0, 50, 300) * 2.0**-20
    expected = [exact_score(values) for values in slow_twins.windows(column, 13)]
    np.testing.assert_allclose(run(full_windows.standard_score, (column,), (13,)), expected, rtol=1e-14, atol=1e-14)


@THOROUGH
@given(column=COLUMNS, window=WINDOWS, start=st.integers(min_value=0, max_value=40))
def test_a_score_has_the_same_bits_wherever_the_column_begins(column, window, start):
    whole = run(full_windows.standard_score, (column,), (window,))
    part = run(full_windows.standard_score, (column[start:],), (window,))
    assert whole[start + window - 1 :].tobytes() == part[window - 1 :].tobytes()


def exact_moments(first, second):
    """Sums of squared deviations of both, and of their products."""
    left, right = ([Fraction(value) for value in values] for values in (first, second))
    left_rest, right_rest = ([value - sum(values) / len(values) for value in values] for values in (left, right))
    return (
        sum(value * value for value in left_rest),
        sum(value * value for value in right_rest),
        sum(a * b for a, b in zip(left_rest, right_rest, strict=True)),
    )


PAIRS = {
    full_pairs.covariance: lambda left, right, product, rows: float(product / (rows - 1)),
    full_pairs.beta: lambda left, right, product, rows: float(product / right) if right else NAN,
    full_pairs.correlation: lambda left, right, product, rows: (
        float(product) / math.sqrt(left) / math.sqrt(right) if left and right else NAN
    ),
}
PAIR_COLUMNS = st.one_of(
    *(st.lists(st.tuples(values, values), max_size=40) for values in (LARGE, FEW, st.integers(-9, 9).map(float), ODD))
).map(lambda rows: tuple(read_only([row[side] for row in rows]) for side in (0, 1)))
PAIR_WINDOWS = WINDOWS.map(lambda window: window + 1)


@pytest.mark.parametrize("kernel", PAIRS, ids=lambda kernel: kernel.__name__)
@THOROUGH
@given(columns=PAIR_COLUMNS, window=PAIR_WINDOWS)
def test_a_measure_of_a_pair_equals_its_exact_value_however_large_the_level(kernel, columns, window):
    result = run(kernel, columns, (window,))
    for row, sides in enumerate(zip(*(slow_twins.windows(column, window) for column in columns), strict=True)):
        if sides[0] is None or not np.isfinite(sides).all():
            assert math.isnan(result[row])
            continue
        left, right, product = exact_moments(*sides)
        expected = PAIRS[kernel](left, right, product, window)
        # What is left of products that cancel is as exact as the products are.
        size = PAIRS[kernel](left, right, Fraction(math.sqrt(left) * math.sqrt(right)), window)
        assert math.isnan(expected) == math.isnan(result[row])
        assert math.isnan(expected) or abs(result[row] - expected) <= 1e-12 * abs(size)


@pytest.mark.parametrize("kernel", PAIRS, ids=lambda kernel: kernel.__name__)
@THOROUGH
@given(columns=PAIR_COLUMNS, window=PAIR_WINDOWS, start=st.integers(min_value=0, max_value=40))
def test_a_measure_of_a_pair_has_the_same_bits_wherever_the_columns_begin_and_end(kernel, columns, window, start):
    whole = run(kernel, columns, (window,))
    later = run(kernel, tuple(column[start:] for column in columns), (window,))
    earlier = run(kernel, tuple(column[:start] for column in columns), (window,))
    assert whole[start + window - 1 :].tobytes() == later[window - 1 :].tobytes()
    assert whole[:start].tobytes() == earlier.tobytes()
    assert not any(np.shares_memory(whole, column) for column in columns)


def session_columns(rows: int):
    """Irregular candles from before 1970 to after, minutes to days apart, some without volume."""
    random = np.random.default_rng(rows)
    gaps = random.choice([60, 3600, 5 * 3600, 86_400, 3 * 86_400], size=rows, p=[0.6, 0.25, 0.1, 0.04, 0.01])
    times = -40 * 86_400_000_000 + np.cumsum(gaps).astype(np.int64) * 1_000_000
    prices = 1e9 + np.cumsum(random.integers(-8, 9, rows)) * 2.0**-4
    weights = random.integers(0, 1000, rows) * (random.random(rows) < 0.9)
    return times, prices, weights.astype(np.float64)


@pytest.mark.parametrize("session", ["1d", "1w", "1M"])
@pytest.mark.parametrize("rows", [0, 1, 2, 3, 700])
def test_a_session_mean_equals_that_of_its_session_alone(session, rows):
    times, prices, weights = session_columns(rows)
    expected = slow_twins.session_mean(times.tolist(), prices.tolist(), weights.tolist(), session)
    with np.errstate(all="ignore"):
        result = sessions.session_weighted_mean(times, prices, weights, session)
    assert len(result) == rows
    np.testing.assert_allclose(result, np.array(expected), rtol=1e-15 * 4)


def test_a_session_has_the_same_bits_whatever_was_before_and_after_it():
    times, prices, weights = session_columns(700)
    days = times // 86_400_000_000
    disturbed = prices.copy()
    chosen = days[350]
    disturbed[days != chosen] = NAN
    with np.errstate(all="ignore"):
        whole = sessions.session_weighted_mean(times, prices, weights, "1d")[days == chosen]
        alone = sessions.session_weighted_mean(times, disturbed, weights, "1d")[days == chosen]
        cut = sessions.session_weighted_mean(times[:351], prices[:351], weights[:351], "1d")
        full = sessions.session_weighted_mean(times, prices, weights, "1d")
    assert len(whole) > 3
    assert whole.tobytes() == alone.tobytes()
    assert cut.tobytes() == full[:351].tobytes()


def test_a_gap_lasts_to_the_end_of_its_session_and_no_longer():
    hours = np.arange(48, dtype=np.int64) * 3_600_000_000
    prices, weights = np.full(48, 5.0), np.ones(48)
    prices[10] = NAN
    result = sessions.session_weighted_mean(hours, prices, weights, "1d")
    assert np.flatnonzero(np.isnan(result)).tolist() == list(range(10, 24))
    assert (result[~np.isnan(result)] == 5.0).all()
