"""Values of every function of TA-Lib's catalogue: TA-Lib's own, from every start, over gaps, and never from later."""

import numpy as np
import pytest

from candelabra_server.domain.candles import PRICE_FIELDS, Candles
from candelabra_server.formulas.catalogue import FUNCTIONS
from candelabra_server.formulas.catalogue.reference import dependence_class
from candelabra_server.formulas.kernels.talib_functions import ELEMENTWISE, OWN_ARITHMETIC, compacted
from support.talib_calls import NAMES, TalibCall, call_of, calls, part_of

CLASSES = {name: dependence_class(FUNCTIONS[name.lower()]) for name in NAMES}
EXACT = [name for name, dependence in CLASSES.items() if dependence == "exact"]
BOUNDED = [name for name, dependence in CLASSES.items() if dependence != "whole history"]
SYMBOLS = ("AAPL", "FB", "GOOG", "IBM", "MSFT")


def assert_close(actual, expected, bound):
    """The same rows without a value, and otherwise within the bound, relative where the value is above 1."""
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
    with np.errstate(invalid="ignore"):  # of infinities that are equal
        error = np.where(actual == expected, 0, np.abs(actual - expected)) / np.maximum(1, np.abs(expected))
    assert np.nanmax(error, initial=0) <= bound


def assert_ta_libs(call: TalibCall, actual, expected):
    """The bits of TA-Lib, but where the arithmetic is another one: there, as far as TA-Lib's is right."""
    if call.name in OWN_ARITHMETIC:
        assert_close(actual, expected, 5e-9)
    elif call.name in ELEMENTWISE:
        assert_close(actual, expected, 1e-15)
    else:
        assert actual.tobytes() == expected.tobytes()


def test_every_class_has_its_functions():
    assert {kind: list(CLASSES.values()).count(kind) for kind in sorted(set(CLASSES.values()))} == {
        "1e-9": 53,
        "exact": 59,
        "whole history": 80,
    }


def spread_over(rows: int) -> list[int]:
    """Small ones, the last ones, and twenty between."""
    return sorted({1, 2, 3, 13, 29, rows - 2, rows - 1, *range(40, rows, rows // 20)})


@pytest.mark.parametrize("name", NAMES)
def test_values_are_those_of_ta_lib_on_five_real_symbols(service, real_candles, name):
    for call in calls(name):
        formula = service.compile(call.text, parameters={})
        for symbol in SYMBOLS:
            candles = real_candles[symbol]
            for actual, expected in zip(formula.evaluate(candles), call.computed(candles.fields), strict=True):
                assert_ta_libs(call, actual, expected)


@pytest.mark.parametrize("name", OWN_ARITHMETIC)
def test_what_is_computed_otherwise_agrees_to_ten_digits_where_ta_lib_has_not_drifted(service, real_candles, name):
    """TA-Lib's first value has carried nothing along yet."""
    call = call_of(name)
    formula = service.compile(call.text, parameters={})
    for start in range(0, 3000, 100):
        candles = part_of(real_candles["AAPL"], start, start + call.lookback + 1)
        for actual, expected in zip(formula.evaluate(candles), call.computed(candles.fields), strict=True):
            assert_close(actual, expected, 1e-10 if name != "LINEARREG_ANGLE" else 1e-9)


@pytest.mark.parametrize("name", BOUNDED)
def test_values_are_the_same_from_every_start_within_the_class(service, real_candles, name):
    for call in calls(name):
        formula = service.compile(call.text, parameters={})
        for symbol in ("AAPL", "GOOG"):
            candles = real_candles[symbol]
            whole = formula.evaluate(candles)
            for start in spread_over(len(candles)):
                first = max(0, start - formula.warm_up_candles)
                if first == 0:
                    continue  # the very same candles
                for actual, expected in zip(formula.evaluate(part_of(candles, first)), whole, strict=True):
                    if name in EXACT:
                        assert actual[start - first :].tobytes() == expected[start:].tobytes(), start
                    else:
                        assert_close(actual[start - first :], expected[start:], 1e-9)


@pytest.mark.parametrize("average", ["sma", "ema", "wma", "dema", "tema", "trima", "t3", "hma", "zlema", "rma"])
@pytest.mark.parametrize("period", [1, 2, 7, 25])
def test_every_moving_average_is_the_same_from_every_start(service, real_candles, average, period):
    candles = real_candles["AAPL"]
    formula = service.compile(f'ma(close, {period}, "{average}")', parameters={})
    (whole,) = formula.evaluate(candles)
    for start in spread_over(len(candles))[-18:]:
        first = max(0, start - formula.warm_up_candles)
        (part,) = formula.evaluate(part_of(candles, first))
        assert_close(part[start - first :], whole[start:], 1e-9)


@pytest.fixture(scope="module")
def rough_candles() -> Candles:
    """Prices that are large beside their changes, with a spike, a flat stretch and candles without volume."""
    random = np.random.default_rng(9)
    close = 1e6 + np.cumsum(random.integers(-5, 6, 700)) * 2.0**-7
    close[300:360] = close[300]
    spread = random.integers(0, 5, (2, 700)) * 2.0**-7
    open_ = np.roll(close, 1)
    fields = dict.fromkeys(PRICE_FIELDS, close) | {
        "open": open_,
        "high": np.maximum(open_, close) + spread[0],
        "low": np.minimum(open_, close) - spread[1],
        "volume": np.where(np.arange(700) % 90 < 35, 0.0, random.integers(1, 10**6, 700)),
    }
    spiked = {name: column.copy() for name, column in fields.items()}
    for column in spiked.values():
        column[150] *= 1e6
    return Candles("ROUGH", np.arange(700, dtype=np.int64), spiked)


@pytest.mark.parametrize("name", EXACT)
def test_exact_functions_give_the_same_bits_however_rough_the_candles(service, rough_candles, name):
    for call in calls(name):
        formula = service.compile(call.text, parameters={})
        whole = formula.evaluate(rough_candles)
        for start in (120, 151, 180, 250, 301, 333, 362, 500, 699):
            first = max(0, start - formula.warm_up_candles)
            for part, column in zip(formula.evaluate(part_of(rough_candles, first)), whole, strict=True):
                assert part[start - first :].tobytes() == column[start:].tobytes(), start


@pytest.mark.parametrize("name", NAMES)
def test_later_candles_change_no_bit_of_an_earlier_value(service, real_candles, name):
    candles = part_of(real_candles["MSFT"], 0, 900)
    for call in calls(name):
        formula = service.compile(call.text, parameters={})
        whole = formula.evaluate(candles)
        for stop in (0, 1, 2, 31, 32, 33, 34, 64, 65, 100, 101, 257, 898, 899):
            for part, column in zip(formula.evaluate(part_of(candles, 0, stop)), whole, strict=True):
                assert part.tobytes() == column[:stop].tobytes(), stop


@pytest.mark.parametrize("name", NAMES)
def test_rows_that_lack_an_input_are_left_out_and_the_rest_is_as_if_it_stood_together(service, real_candles, name):
    candles = part_of(real_candles["IBM"], 1000, 1600)
    random = np.random.default_rng(3)
    fields = {field: candles.fields[field].copy() for field in PRICE_FIELDS}
    for column in fields.values():
        column[random.random(600) < 0.04] = np.nan
        column[100:103] = np.nan
    gaps = Candles("GAPS", candles.open_time_micros, fields)
    for call in calls(name):
        present = np.all([np.isfinite(column) for column in call.columns(fields)], axis=0)
        assert 300 < present.sum() < 590
        expected = call.computed({field: column[present] for field, column in fields.items()})
        formula = service.compile(call.text, parameters={})
        for actual, wanted in zip(formula.evaluate(gaps), expected, strict=True):
            assert np.isnan(actual[~present]).all()
            assert_ta_libs(call, actual[present], wanted)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_compaction_leaves_out_what_is_not_finite_in_any_column(odd):
    first, second = np.arange(6.0), np.arange(6.0) * 10
    first[1], second[4] = odd, odd
    seen = []

    def add(*columns):
        seen.extend(column.tolist() for column in columns)
        return [columns[0] + columns[1]]

    (result,) = compacted([first, second], 1, add)
    np.testing.assert_array_equal(result, [0, np.nan, 22, 33, np.nan, 55])
    assert seen == [[0, 2, 3, 5], [0, 20, 30, 50]]


@pytest.mark.parametrize("rows", [0, 3])
def test_compaction_asks_for_nothing_where_no_row_is_left(rows):
    columns = compacted([np.full(rows, np.nan)], 2, lambda *_: pytest.fail("there is nothing to compute"))
    assert [column.tolist() for column in columns] == [pytest.approx([np.nan] * rows, nan_ok=True)] * 2


def test_whole_numbers_have_no_value_before_the_lookback(service, real_candles):
    candles = part_of(real_candles["IBM"], 0, 40)
    for text, rows in (("maxindex(close, 9)", 8), ("ht_trendmode(close)", 40), ("fractal().swinghigh", 4)):
        (column,) = service.compile(text, parameters={}).evaluate(candles)
        assert np.isnan(column).tolist() == [True] * rows + [False] * (40 - rows)


@pytest.mark.parametrize("name", NAMES)
def test_no_column_is_changed_or_handed_back(service, few_candles, name):
    formula = service.compile(call_of(name).text, parameters={})
    before = {field: column.tobytes() for field, column in few_candles.fields.items()}
    for column in formula.evaluate(few_candles):
        assert column.flags.writeable
        assert not any(np.shares_memory(column, field) for field in few_candles.fields.values())
    assert {field: column.tobytes() for field, column in few_candles.fields.items()} == before


def test_functions_of_one_value_are_computed_ahead_for_constants(service):
    formula = service.compile("sqrt(16) * exp(0) + floor(-0.5) + cos(0)", parameters={})
    assert [step.node.constant for step in formula.plan.steps] == [4.0]
