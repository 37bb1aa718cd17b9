"""Windows of TA-Lib's that are computed afresh for every row, each against a slow twin in exact arithmetic."""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from candelabra_server.domain.candles import FloatColumn
from candelabra_server.formulas.kernels import talib_windows
from candelabra_server.formulas.kernels.talib_functions import OWN_ARITHMETIC
from candelabra_server.formulas.kernels.talib_import import talib

NAN = math.nan
Window = Sequence[Fraction]
STEPS = np.random.default_rng(5).integers(-40, 41, 120) * 2.0**-9
PRICES = 100 + np.cumsum(STEPS)
COLUMNS: dict[str, FloatColumn] = {
    "prices": PRICES,
    "large prices": 1e9 + np.cumsum(STEPS),
    "small prices": 1e-9 * PRICES,
    "prices below zero": -PRICES,
    "flat prices": np.full(60, 0.1),
    "prices that stand still": np.concatenate([PRICES[:40], np.full(40, 1 / 3), PRICES[:40]]),
    "no prices": np.zeros(40),
    "prices of nothing and one": (np.arange(60) % 3 == 0).astype(np.float64),
    "one price": np.array([7.5]),
    "nothing at all": np.empty(0),
}
OTHER = np.random.default_rng(6).integers(0, 1000, 120).astype(np.float64)
WINDOWS = (2, 3, 7, 30, 100)


def mean(values):
    return sum(values) / Fraction(len(values))


def moment(first, second):
    middle, second_middle = mean(first), mean(second)
    return sum((a - middle) * (b - second_middle) for a, b in zip(first, second, strict=True))


def root(value: Fraction) -> float:
    """As exact where the value is too small for a float."""
    return math.sqrt(value.numerator) / math.sqrt(value.denominator)


def line(values: Window, at: float) -> Fraction:
    """The least-squares line through the rows 0, 1, … at a row."""
    rows = [Fraction(row) for row in range(len(values))]
    return mean(values) + slope(values) * (Fraction(at) - mean(rows))


def slope(values: Window) -> Fraction:
    rows = [Fraction(row) for row in range(len(values))]
    return moment(rows, values) / moment(rows, rows)


def cci(high, low, close):
    typical = [sum(prices) / 3 for prices in zip(high, low, close, strict=True)]
    middle = mean(typical)
    deviation = mean([abs(value - middle) for value in typical])
    return float((typical[-1] - middle) / (Fraction("0.015") * deviation)) if deviation else 0.0


def correlation(first: Window, second: Window) -> float:
    scale = moment(first, first) * moment(second, second)
    return float(moment(first, second)) / root(scale) if scale else 0.0


def beta(first: Window, second: Window) -> float:
    changes = [
        [(after - before) / before if before else Fraction(0) for before, after in pairwise(prices)]
        for prices in (first, second)
    ]
    squares = moment(changes[0], changes[0])
    return float(moment(*changes) / squares) if squares else 0.0


def weighted(prices: Window, volumes: Window) -> float:
    traded = sum(volumes)
    if not traded:
        return NAN
    return float(sum(price * volume for price, volume in zip(prices, volumes, strict=True)) / traded)


Twin = Callable[..., float | Fraction]
OF_ONE: dict[Callable[..., FloatColumn], Twin] = {
    talib_windows.regression: lambda values: line(values, len(values) - 1),
    talib_windows.regression_forecast: lambda values: line(values, len(values)),
    talib_windows.regression_intercept: lambda values: line(values, 0),
    talib_windows.regression_slope: slope,
    talib_windows.regression_angle: lambda values: math.degrees(math.atan(slope(values))),
    talib_windows.variance: lambda values: moment(values, values) / len(values),
}
OF_TWO: dict[Callable[..., FloatColumn], Twin] = {
    talib_windows.correlation: correlation,
    talib_windows.volume_weighted_mean: weighted,
}
KERNELS = [*OF_ONE, *OF_TWO, talib_windows.commodity_channel_index, talib_windows.beta]


def compute(kernel: Callable[..., FloatColumn], columns: Sequence[FloatColumn], window: int) -> FloatColumn:
    settings = (1.0,) if kernel is talib_windows.variance else ()
    with np.errstate(all="ignore"):
        return kernel(*columns, window, *settings)


def inputs_of(kernel: Callable[..., FloatColumn], column: FloatColumn) -> list[FloatColumn]:
    if kernel in OF_ONE:
        return [column]
    if kernel is talib_windows.commodity_channel_index:
        return [column + 0.5, column - 0.25, column]
    return [column, OTHER[: len(column)]]


def assert_every_window(actual, columns, window, twin, error):
    """Equal to the twin of full windows, a dozen of them at least, within an error that the window tells."""
    exact = [[Fraction(value) for value in column.tolist()] for column in columns]
    for row in range(window - 1, len(actual), max(1, (len(actual) - window) // 12)):
        held = [values[row + 1 - window : row + 1] for values in exact]
        expected = float(twin(*held))
        if math.isnan(expected):
            assert math.isnan(actual[row])
        else:
            assert abs(actual[row] - expected) <= error(held, expected), (row, actual[row], expected)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("kernel", OF_ONE, ids=lambda kernel: kernel.__name__)
def test_a_window_of_one_column_is_as_exact_as_its_differences(kernel, name, window):
    column = COLUMNS[name]

    def error(held, expected):
        (values,) = held
        reach = float(max(values) - min(values))
        return {
            talib_windows.variance: 1e-13 * abs(expected),
            talib_windows.regression_slope: 1e-13 * reach,
            talib_windows.regression_angle: 1e-13 * 60 * reach,
        }.get(kernel, 1e-13 * reach + 4e-16 * abs(expected))

    assert_every_window(compute(kernel, [column], window), [column], window, OF_ONE[kernel], error)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("kernel", OF_TWO, ids=lambda kernel: kernel.__name__)
def test_a_window_of_two_columns_equals_its_exact_value(kernel, name, window):
    columns = [COLUMNS[name], OTHER[: len(COLUMNS[name])]]
    scale = 1.0 if kernel is talib_windows.correlation else np.max(np.abs(columns[0]), initial=0)
    actual = compute(kernel, columns, window)
    assert_every_window(actual, columns, window, OF_TWO[kernel], lambda *_: 1e-14 * scale)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("name", ["prices", "large prices", "prices that stand still", "prices of nothing and one"])
def test_the_commodity_channel_index_equals_its_exact_value_over_the_typical_price(name, window):
    # The typical price is rounded before anything else; as a column of its own it is exact.
    typical = COLUMNS[name]
    actual = compute(talib_windows.commodity_channel_index, [typical, typical, typical], window)
    rounded = (typical + typical + typical) / 3
    assert_every_window(actual, [rounded] * 3, window, cci, lambda _, expected: 1e-10 * max(1, abs(expected)))


@pytest.mark.parametrize("window", [2, 5, 30])
@pytest.mark.parametrize("name", ["prices", "prices below zero", "prices of nothing and one", "no prices"])
def test_beta_equals_its_exact_value_over_relative_changes(name, window):
    columns = [COLUMNS[name], OTHER[: len(COLUMNS[name])]]
    actual = compute(talib_windows.beta, columns, window)
    # As many changes as the window is long need one price more.
    assert_every_window(actual, columns, window + 1, beta, lambda _, expected: 1e-9 * max(1, abs(expected)))


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.__name__)
@pytest.mark.parametrize("window", [2, 5, 33])
@pytest.mark.parametrize("name", ["prices", "large prices", "prices that stand still"])
def test_a_window_has_the_same_bits_wherever_the_column_begins(kernel, window, name):
    columns = inputs_of(kernel, COLUMNS[name])
    whole = compute(kernel, columns, window)
    before = window if kernel is talib_windows.beta else window - 1
    for start in (1, 2, 30, 41, 64):
        part = compute(kernel, [column[start:].copy() for column in columns], window)
        assert part[before:].tobytes() == whole[start + before :].tobytes()


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.__name__)
def test_a_spike_leaves_with_its_candle(kernel):
    columns = inputs_of(kernel, PRICES)
    spiked = [column.copy() for column in columns]
    spiked[0][50] = 1e300
    calm, disturbed = compute(kernel, columns, 7), compute(kernel, spiked, 7)
    assert disturbed[:50].tobytes() == calm[:50].tobytes()
    assert disturbed[58:].tobytes() == calm[58:].tobytes()
    assert disturbed[50] != calm[50]


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.__name__)
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_a_window_neither_changes_nor_returns_what_it_is_given(kernel, rows):
    columns = inputs_of(kernel, PRICES[:rows].copy())
    for column in columns:
        column.flags.writeable = False
    before = [column.tobytes() for column in columns]
    result = compute(kernel, columns, 3)
    assert (result.dtype, len(result)) == (np.float64, rows)
    assert not any(np.shares_memory(result, column) for column in columns)
    assert [column.tobytes() for column in columns] == before


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e9 / 7])
def test_what_does_not_vary_is_exactly_flat(value):
    flat = np.full(40, value)
    zeros = [0.0] * 20
    assert compute(talib_windows.commodity_channel_index, [flat] * 3, 21)[20:].tolist() == zeros
    assert compute(talib_windows.variance, [flat], 21)[20:].tolist() == zeros
    assert compute(talib_windows.regression_slope, [flat], 21)[20:].tolist() == zeros
    assert compute(talib_windows.correlation, [flat, OTHER[:40]], 21)[20:].tolist() == zeros
    assert compute(talib_windows.beta, [flat, OTHER[:40] + 1], 20)[20:].tolist() == zeros
    assert compute(talib_windows.regression, [flat], 21)[20:].tolist() == [value] * 20


def test_a_window_without_volume_has_no_weighted_mean():
    volume = np.array([3.0, 1, 0, 0, 0, 2])
    result = compute(talib_windows.volume_weighted_mean, [np.arange(6.0), volume], 2)
    np.testing.assert_array_equal(result[1:], [0.25, 1, np.nan, np.nan, 5])


def test_ta_libs_own_arithmetic_is_worse_which_is_why_there_is_another():
    prices = 6e4 + np.cumsum(np.random.default_rng(1).integers(-5, 6, 20_000)) * 0.01
    exact = float(slope([Fraction(value) for value in prices[-5:].tolist()]))
    assert abs(talib.LINEARREG_SLOPE(prices, 5)[-1] - exact) > 1e-10
    assert abs(talib_windows.regression_slope(prices, 5)[-1] - exact) < 1e-15


def test_every_function_with_own_arithmetic_is_here():
    assert set(OWN_ARITHMETIC.values()) == set(KERNELS)
