"""Every window kernel against a slow, obvious twin that looks at each window by itself, in exact arithmetic."""

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candelabra_server.domain.candles import FloatColumn
from candelabra_server.formulas.kernels import elementwise, full_windows, recursive, skipping_windows

NAN = math.nan
MODERATE = st.floats(min_value=-1e6, max_value=1e6, allow_subnormal=False).map(lambda value: round(value, 6))
LARGE = st.integers(min_value=0, max_value=50).map(lambda steps: 1e9 + steps * 2.0**-10)
ODD = st.sampled_from([NAN, math.inf, -math.inf, 0.0, -0.0, 1e12, 5e-324, 7.0])


def columns():
    values = st.one_of(
        st.lists(MODERATE, max_size=40),
        st.lists(LARGE, max_size=40),
        st.lists(st.one_of(MODERATE, ODD), max_size=40),
        st.lists(st.sampled_from([3.3, NAN]), max_size=40),
        st.tuples(MODERATE, st.integers(min_value=0, max_value=40)).map(lambda pair: [pair[0]] * pair[1]),
    )
    return values.map(lambda items: np.array(items, dtype=np.float64))


WINDOWS = st.integers(min_value=1, max_value=50)
THOROUGH = settings(max_examples=150, deadline=None, derandomize=True)


def exact_mean(values: list[float]) -> float:
    if not all(map(math.isfinite, values)):
        return math.fsum(values) if not {math.inf, -math.inf} <= set(values) else NAN
    return float(sum(map(Fraction, values)) / len(values))


def exact_weighted_mean(values: list[float]) -> float:
    if not all(map(math.isfinite, values)):
        return exact_mean(values)
    total = sum(weight * Fraction(value) for weight, value in enumerate(values, 1))
    return float(total / (len(values) * (len(values) + 1) // 2))


def exact_deviation(values: list[float], less: int) -> float:
    if not all(map(math.isfinite, values)) or len(values) <= less:
        return NAN
    exact = [Fraction(value) for value in values]
    mean = sum(exact) / len(exact)
    return math.sqrt(sum((value - mean) ** 2 for value in exact) / (len(exact) - less))


def nan_max(values: list[float]) -> float:
    return NAN if any(map(math.isnan, values)) else max(values)


def nan_min(values: list[float]) -> float:
    return NAN if any(map(math.isnan, values)) else min(values)


FULL: dict[Callable[..., FloatColumn], Callable[[list[float]], float]] = {
    full_windows.simple_mean: exact_mean,
    full_windows.weighted_mean: exact_weighted_mean,
    full_windows.standard_deviation: lambda values: exact_deviation(values, 0),
    full_windows.highest: nan_max,
    full_windows.lowest: nan_min,
}
SKIPPING: dict[Callable[..., FloatColumn], Callable[[list[float]], float]] = {
    skipping_windows.rolling_sum: lambda values: math.fsum(values) if values else NAN,
    skipping_windows.rolling_mean: lambda values: exact_mean(values) if values else NAN,
    skipping_windows.rolling_std: lambda values: exact_deviation(values, 1),
    skipping_windows.rolling_max: lambda values: max(values, default=NAN),
    skipping_windows.rolling_min: lambda values: min(values, default=NAN),
}


def assert_windows(actual, expected, column, window):
    """Equal to 1e-13 of the largest value in the window: what a dozen roundings may add up to."""
    assert len(actual) == len(expected) == len(column)
    for row, (got, wanted) in enumerate(zip(actual.tolist(), expected, strict=True)):
        held = [abs(value) for value in column[max(0, row - window + 1) : row + 1] if math.isfinite(value)]
        bound = 1e-13 * max(held, default=0.0) * (window if held else 1)
        same = got == wanted or (math.isnan(got) and math.isnan(wanted))
        assert same or abs(got - wanted) <= bound, (row, got, wanted)


@pytest.mark.parametrize("kernel", FULL, ids=lambda kernel: kernel.__name__)
@THOROUGH
@given(column=columns(), window=WINDOWS)
def test_a_full_window_equals_its_exact_value_and_is_nan_before(kernel, column, window):
    twin = FULL[kernel]
    rows = range(len(column))
    expected = [NAN if row + 1 < window else twin(column[row + 1 - window : row + 1].tolist()) for row in rows]
    with np.errstate(all="ignore"):
        assert_windows(kernel(column, window), expected, column, window)


@pytest.mark.parametrize("kernel", SKIPPING, ids=lambda kernel: kernel.__name__)
@THOROUGH
@given(column=columns(), window=WINDOWS)
def test_a_skipping_window_equals_the_exact_value_of_what_is_there(kernel, column, window):
    twin = SKIPPING[kernel]
    expected = [
        twin([value for value in column[max(0, row + 1 - window) : row + 1].tolist() if math.isfinite(value)])
        for row in range(len(column))
    ]
    with np.errstate(all="ignore"):
        assert_windows(kernel(column, window), expected, column, window)


@pytest.mark.parametrize("kernel", [*FULL, *SKIPPING], ids=lambda kernel: kernel.__name__)
@THOROUGH
@given(column=columns(), window=WINDOWS, start=st.integers(min_value=0, max_value=40))
def test_a_window_has_the_same_bits_wherever_the_column_begins(kernel, column, window, start):
    with np.errstate(all="ignore"):
        whole, part = kernel(column, window), kernel(column[start:], window)
    full_from = start + window - 1
    assert whole[full_from:].tobytes() == part[window - 1 :].tobytes()


@pytest.mark.parametrize("kernel", [*FULL, *SKIPPING], ids=lambda kernel: kernel.__name__)
@pytest.mark.parametrize("window", [1, 2, 5, 100])
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_a_window_neither_changes_nor_returns_the_column_it_is_given(kernel, window, rows):
    column = np.arange(rows, dtype=np.float64)
    column.flags.writeable = False
    result = kernel(column, window)
    assert not np.shares_memory(result, column)
    assert column.tolist() == list(range(rows))
    assert result.dtype == np.float64
    assert len(result) == rows


@pytest.mark.parametrize("offset", [0.0, 1e9, 1e12])
@pytest.mark.parametrize("kernel", [full_windows.standard_deviation, skipping_windows.rolling_std])
def test_deviations_are_as_exact_on_a_large_offset_as_on_none(kernel, offset):
    steps = np.random.default_rng(5).integers(0, 1000, 300) * 2.0**-10
    plain, lifted = kernel(steps, 37), kernel(offset + steps, 37)
    np.testing.assert_allclose(lifted, plain, rtol=1e-13)


@pytest.mark.parametrize("kernel", [full_windows.standard_deviation, skipping_windows.rolling_std])
def test_flat_prices_after_noise_and_a_spike_deviate_by_exactly_zero(kernel):
    column = np.concatenate([np.random.default_rng(6).normal(100, 10, 50), [1e12], np.full(30, 0.1)])
    assert kernel(column, 20)[-10:].tolist() == [0.0] * 10


@pytest.mark.parametrize("odd", [math.inf, NAN, 1e300])
@pytest.mark.parametrize("kernel", [*FULL, *SKIPPING], ids=lambda kernel: kernel.__name__)
def test_an_odd_value_leaves_with_its_candle(kernel, odd):
    column = np.random.default_rng(7).normal(100, 10, 60)
    disturbed = column.copy()
    disturbed[20] = odd
    with np.errstate(all="ignore"):
        untouched, result = kernel(column, 13), kernel(disturbed, 13)
    assert result[:20].tobytes() == untouched[:20].tobytes()
    assert result[33:].tobytes() == untouched[33:].tobytes()


@THOROUGH
@given(column=columns(), candles=st.integers(min_value=-50, max_value=50))
def test_a_shift_takes_the_value_of_another_row_or_nan(column, candles):
    rows = range(len(column))
    expected = [column[row - candles] if row - candles in rows else NAN for row in rows]
    np.testing.assert_array_equal(elementwise.shift(column, candles), expected)


@pytest.mark.parametrize("odd", [NAN, math.inf, -math.inf])
def test_recursive_kernels_leave_missing_and_infinite_rows_out(odd):
    column = np.random.default_rng(8).normal(100, 10, 80)
    gaps = np.insert(column, [0, 10, 10, 40, 80], odd)
    missing = ~np.isfinite(gaps)
    kernels = [
        lambda values: recursive.exponential_mean(values, 5),
        lambda values: recursive.relative_strength(values, 5),
        lambda values: recursive.average_true_range(values + 1, values - 1, values, 5),
        lambda values: recursive.macd(values, 3, 6, 4)[2],
    ]
    for kernel in kernels:
        assert np.isnan(kernel(gaps)[missing]).all()
        np.testing.assert_array_equal(kernel(gaps)[~missing], kernel(column))


def test_recursive_kernels_take_columns_of_no_or_only_missing_rows():
    for column in (np.empty(0), np.full(3, NAN)):
        np.testing.assert_array_equal(recursive.exponential_mean(column, 2), column)
        for output in recursive.macd(column, 2, 3, 2):
            np.testing.assert_array_equal(output, column)
