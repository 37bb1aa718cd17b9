"""Functions of one row: each kernel against Python's own arithmetic, constants folded to the same bits as columns."""

import itertools
import math
import operator
import struct
from collections.abc import Callable, Mapping
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candelabra_server.domain.candles import Candles, FloatColumn
from candelabra_server.errors import FormulaError
from candelabra_server.formulas.catalogue import FUNCTIONS, SYMBOL, Family
from candelabra_server.formulas.kernels import elementwise
from candelabra_server.formulas.kernels.talib_import import talib
from candelabra_server.formulas.operations import OPERATIONS
from candelabra_server.formulas.service import ColumnKind

NAN, INFINITY = math.nan, math.inf
VALUES = (-INFINITY, -1e300, -2.5, -1.5, -1.0, -0.5, -0.0, 0.0, 5e-324, 0.5, 1.0, 1.5, 2.5, 7.0, 1e300, INFINITY, NAN)
THOROUGH = settings(max_examples=60, deadline=None, derandomize=True)
SYMBOLS = ("AAPL", "FB", "GOOG", "IBM", "MSFT")
Fields = Mapping[str, FloatColumn]


def quotient(left: float, right: float) -> float:
    if right == 0:
        return NAN if left == 0 or math.isnan(left) else math.copysign(INFINITY, left) * math.copysign(1, right)
    return left / right


def remainder(left: float, right: float) -> float:
    """Python's, whose result has the sign of the divisor; NaN where it raises."""
    if right == 0 or math.isinf(left):
        return NAN
    return left % right


def power(base: float, exponent: float) -> float:
    try:
        return math.pow(base, exponent)
    except (OverflowError, ValueError):
        if base < 0 and not exponent.is_integer():
            return NAN
        return math.copysign(INFINITY, base) if exponent % 2 == 1 else INFINITY


def logarithm(value: float) -> float:
    if value == 0:
        return -INFINITY
    return NAN if value < 0 else math.log(value)


def sign(value: float) -> float:
    return value if math.isnan(value) or value == 0 else math.copysign(1.0, value)


def rounded(value: float) -> float:
    """The whole number at or below a half more, exactly."""
    return value if not math.isfinite(value) else float(math.floor(Fraction(value) + Fraction(1, 2)))


def in_32_bits(value: float) -> float:
    try:
        return struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        return math.copysign(INFINITY, value)


def larger(left: float, right: float) -> float:
    return NAN if math.isnan(left) or math.isnan(right) else max(left, right)


def smaller(left: float, right: float) -> float:
    return NAN if math.isnan(left) or math.isnan(right) else min(left, right)


ONE = {
    elementwise.negate: operator.neg,
    elementwise.absolute: abs,
    elementwise.sign: sign,
    elementwise.logarithm: logarithm,
    elementwise.round_half_up: rounded,
    elementwise.round_to_float32: in_32_bits,
    elementwise.is_missing: lambda value: float(math.isnan(value)),
    elementwise.is_true: lambda value: not math.isnan(value) and value != 0,
    elementwise.signal_or_zero: lambda value: 0.0 if math.isnan(value) else value,
}
TWO = {
    elementwise.add: operator.add,
    elementwise.subtract: operator.sub,
    elementwise.multiply: operator.mul,
    elementwise.divide: quotient,
    elementwise.remainder: remainder,
    elementwise.power: power,
    elementwise.greatest: larger,
    elementwise.least: smaller,
}
# Their truth tables are in test_logic.py; the shift looks along the rows and is with the windows.
ELSEWHERE = {"choose", "equal", "less", "less_equal", "logical_and", "logical_not", "logical_or", "not_equal", "shift"}


def assert_almost_the_same(actual: np.ndarray, expected: list[float]) -> None:
    """Equal to the last bit or two: the C library's logarithm and power need not be numpy's."""
    np.testing.assert_allclose(actual, np.array(expected, dtype=np.float64), rtol=1e-15, atol=0)


@pytest.mark.parametrize("kernel", ONE, ids=lambda kernel: kernel.__name__)
@THOROUGH
@given(values=st.lists(st.floats(), max_size=40))
def test_a_kernel_of_one_column_equals_python_row_by_row(kernel, values):
    with np.errstate(all="ignore"):
        assert_almost_the_same(kernel(np.array([*VALUES, *values])), [ONE[kernel](v) for v in (*VALUES, *values)])


def test_rounding_is_exact_where_half_a_more_would_round_up_by_itself():
    just_below_half, whole, half = 0.49999999999999994, 2.0**52 + 1, 2.0**51 + 0.5
    column = np.array([just_below_half, whole, -whole, half, -half])
    assert elementwise.round_half_up(column).tolist() == [0.0, whole, -whole, half + 0.5, -half + 0.5]


@pytest.mark.parametrize("kernel", TWO, ids=lambda kernel: kernel.__name__)
@THOROUGH
@given(values=st.lists(st.tuples(st.floats(), st.floats()), max_size=40))
def test_a_kernel_of_two_columns_equals_python_row_by_row(kernel, values):
    pairs = [*itertools.product(VALUES, VALUES), *values]
    left, right = (np.array(side) for side in zip(*pairs, strict=True))
    with np.errstate(all="ignore"):
        assert_almost_the_same(kernel(left, right), [TWO[kernel](*pair) for pair in pairs])


@pytest.mark.parametrize("kernel", TWO, ids=lambda kernel: kernel.__name__)
def test_a_number_in_place_of_a_column_stands_for_every_row(kernel):
    values = np.array(VALUES)
    with np.errstate(all="ignore"):
        for number in VALUES:
            column = np.full(len(values), number)
            assert kernel(values, np.float64(number)).tobytes() == kernel(values, column).tobytes()
            assert kernel(np.float64(number), values).tobytes() == kernel(column, values).tobytes()


@pytest.mark.parametrize("kernel", [*ONE, *TWO], ids=lambda kernel: kernel.__name__)
@pytest.mark.parametrize("rows", [0, 1, 33])
def test_a_kernel_neither_changes_nor_returns_the_columns_it_is_given(kernel, rows):
    column = np.linspace(-3, 3, rows)
    column.flags.writeable = False
    with np.errstate(all="ignore"):
        result = kernel(*([column] * (1 if kernel in ONE else 2)))
    assert not np.shares_memory(result, column)
    assert len(result) == rows
    assert column.tolist() == np.linspace(-3, 3, rows).tolist()


def test_every_kernel_of_one_row_has_a_twin():
    assert {kernel.__name__ for kernel in (*ONE, *TWO)} | ELSEWHERE == set(elementwise.__all__)


@pytest.mark.parametrize("name", [name for name, operation in OPERATIONS.items() if operation.commutative])
def test_operands_that_may_change_places_change_no_bit(name):
    left, right = (np.array(side) for side in zip(*itertools.product(VALUES, VALUES), strict=True))
    known = ~np.isnan(left) & ~np.isnan(right)
    kernel = OPERATIONS[name].kernel
    with np.errstate(all="ignore"):
        first, second = kernel(left, right), kernel(right, left)
    assert first[known].tobytes() == second[known].tobytes()
    np.testing.assert_array_equal(np.isnan(first), np.isnan(second))


ORACLES: dict[str, Callable[[Fields], object]] = {
    "if(close > open, high, low)": lambda f: np.where(f["close"] > f["open"], f["high"], f["low"]),
    "abs(close - open)": lambda f: [abs(c - o) for c, o in pairs(f, "close", "open")],
    "log(volume)": lambda f: [math.log(value) for value in f["volume"]],
    "sign(close - open)": lambda f: [sign(c - o) for c, o in pairs(f, "close", "open")],
    "round(close)": lambda f: [rounded(value) for value in f["close"]],
    "greatest(open, close)": lambda f: [max(pair) for pair in pairs(f, "open", "close")],
    "greatest(close, 100)": lambda f: [max(value, 100) for value in f["close"]],
    "least(open, close)": lambda f: [min(pair) for pair in pairs(f, "open", "close")],
    "clamp(close, 100, 200)": lambda f: [sorted((100, value, 200))[1] for value in f["close"]],
    "clamp(close, open, high)": lambda f: np.minimum(np.maximum(f["close"], f["open"]), f["high"]),
    "clamp(close, 200, 100)": lambda f: np.full(len(f["close"]), 100.0),
    "na(close[3])": lambda f: [float(row < 3) for row in range(len(f["close"]))],
    "nz(close[3])": lambda f: [0, 0, 0, *f["close"][:-3]],
    "nz(close[3], -1.5)": lambda f: [-1.5, -1.5, -1.5, *f["close"][:-3]],
    "nz(close[3], replacement=7)": lambda f: [7, 7, 7, *f["close"][:-3]],
    "typical_price()": lambda f: talib.TYPPRICE(f["high"], f["low"], f["close"]),
    "typical_price(open, low, close)": lambda f: talib.TYPPRICE(f["open"], f["low"], f["close"]),
}


def pairs(fields: Fields, first: str, second: str):
    return zip(fields[first], fields[second], strict=True)


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize("expression", ORACLES)
def test_a_function_equals_its_oracle_on_real_candles(service, real_candles, expression, symbol):
    candles = real_candles[symbol]
    (actual,) = service.compile(expression, parameters={}).evaluate(candles)
    assert_almost_the_same(actual, list(np.asarray(ORACLES[expression](candles.fields))))


def test_every_function_of_the_language_has_an_oracle():
    names = {function.name for function in FUNCTIONS.values() if function.family is Family.LANGUAGE}
    names.remove(SYMBOL.name)  # gives no series by itself
    assert {name for name in names if any(text.startswith(f"{name}(") for text in ORACLES)} == names


@pytest.mark.parametrize("expression", ORACLES)
def test_a_value_of_one_row_depends_on_no_other_row(service, real_candles, expression):
    candles = real_candles["FB"]
    formula = service.compile(expression, parameters={})
    (whole,) = formula.evaluate(candles)
    assert formula.warm_up_candles == (3 if "[3]" in expression else 0)
    for start, stop in ((0, 0), (0, 1), (7, 200), (100, 101)):
        first = max(0, start - formula.warm_up_candles)
        fields = {name: column[first:stop] for name, column in candles.fields.items()}
        (part,) = formula.evaluate(Candles("FB", candles.open_time_micros[first:stop], fields))
        assert part[start - first :].tobytes() == whole[start:stop].tobytes()


@pytest.mark.parametrize(
    "call",
    [
        "abs({0})",
        "log({0})",
        "sign({0})",
        "round({0})",
        "na({0})",
        "nz({0}, 3)",
        "greatest({0}, {1})",
        "least({0}, {1})",
        "clamp({0}, {1}, 2)",
        "typical_price({0}, {1}, 2)",
        "if({0} > 0, {1}, 4)",
    ],
)
def test_constants_are_folded_to_the_bits_that_columns_would_give(service, call):
    for first, second in itertools.product((-2.5, -0.0, 0.1, 7.0, NAN), repeat=2):
        fields = {"a": np.full(9, first), "b": np.full(9, second)}
        candles = Candles("X", np.arange(9, dtype=np.int64), fields)
        (columns,) = service.compile(call.format("$a", "$b"), parameters={}).evaluate(candles)
        parameters = {"a": first, "b": second}
        try:
            folded = service.compile(call.format("a", "b"), parameters=parameters)
        except FormulaError:  # log(0): constants must be finite or NaN
            assert np.isinf(columns).all()
            continue
        (values,) = folded.evaluate(candles)
        np.testing.assert_array_equal(values, columns)
        assert np.signbit(values[~np.isnan(values)]).tolist() == np.signbit(columns[~np.isnan(columns)]).tolist()


def test_only_na_is_a_signal_and_if_is_one_where_both_branches_are(service):
    kinds = {
        "na(close)": ColumnKind.SIGNAL,
        "nz(close > open)": ColumnKind.NUMBER,
        "greatest(close > open, close < open)": ColumnKind.NUMBER,
        "if(close > open, close > 1, na(open))": ColumnKind.SIGNAL,
        "if(close > open, close > 1, open)": ColumnKind.NUMBER,
    }
    for expression, kind in kinds.items():
        assert service.compile(expression, parameters={}).columns[0].kind is kind


@pytest.mark.parametrize("expression", ["nz(close, open)", "nz(close, nan)", "greatest(close)", "clamp(close, 1)"])
def test_a_call_that_lacks_an_input_or_has_a_series_for_a_constant_is_refused(service, expression):
    with pytest.raises(FormulaError):
        service.compile(expression, parameters={})
