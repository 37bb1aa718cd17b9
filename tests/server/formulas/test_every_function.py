"""What every function of the catalogue keeps to: causality, its class, and candles of any number and any kind."""

import numpy as np
import pytest

from candelabra_server.domain.candles import PRICE_FIELDS, Candles
from candelabra_server.formulas.catalogue import FUNCTIONS, SYMBOL, Function, SettingKind
from candelabra_server.formulas.catalogue.reference import dependence_class
from candelabra_server.formulas.compile_options import CompileOptions
from candelabra_server.formulas.service import FormulaService

SERVICE = FormulaService()
CALLED = [function for function in FUNCTIONS.values() if function is not SYMBOL]
DAY = 86_400_000_000


def sliced(candles: Candles, start: int, stop: int | None = None) -> Candles:
    fields = {name: column[start:stop] for name, column in candles.fields.items()}
    return Candles(candles.symbol, candles.open_time_micros[start:stop], fields)


def call_of(function: Function) -> str:
    """The function with its defaults, over prices."""
    fields = dict(zip(function.inputs, function.implied or ("close", "volume", "open", "high"), strict=False))
    conditions = iter(("close > open", "high > high[1]"))
    inputs = [next(conditions) if name in function.conditions else fields[name] for name in function.inputs]
    if function.name in {"acos", "asin"}:
        inputs = ["close / 1000"]  # cosines and sines are from -1 to 1
    if function.name in {"And", "Or", "Not", "If"}:
        inputs[0] = "close > open"
    if function.name in {"And", "Or"}:
        inputs[1] = "volume > Ref($volume, 1)"
    settings = [text_of(setting) for setting in function.settings if setting.default is None]
    arguments = [*settings, *inputs] if function.settings_first else [*inputs, *settings]
    return f"{function.name}({', '.join(arguments)})"


def text_of(setting) -> str:
    if setting.kind is SettingKind.SYMBOL:
        return '"OTHER"'
    if setting.kind.is_text:
        return f'"{(setting.choices or ("1w",))[0]}"'
    return f"{setting.maximum if setting.maximum is not None and setting.maximum < 7 else 7}"


LOCAL = [
    function
    for function in CALLED
    if SERVICE.compile(call_of(function), parameters={}, options=CompileOptions(allow_lookahead=True)).is_local
]


def evaluate(formula, candles: Candles) -> list[np.ndarray]:
    return formula.evaluate(candles, others=dict.fromkeys(formula.other_symbols, candles))


@pytest.fixture(scope="module")
def candles(real_candles) -> Candles:
    """450 real candles."""
    return sliced(real_candles["IBM"], 1000, 1450)


@pytest.fixture(scope="module")
def broken() -> Candles:
    """Candles with everything in them that a column can have."""
    random = np.random.default_rng(2)
    fields = {}
    for name in PRICE_FIELDS:
        column = 100 * np.exp(np.cumsum(random.normal(0, 0.02, 300)))
        column[random.random(300) < 0.1] = np.nan
        column[random.random(300) < 0.02] = np.inf
        column[random.random(300) < 0.02] = -np.inf
        column[random.random(300) < 0.05] = 0
        column[120:150] = 7
        column[200:230] = np.nan
        column[260:] *= -1e300
        column.flags.writeable = False
        fields[name] = column
    return Candles("BROKEN", np.arange(300, dtype=np.int64) * DAY, fields)


@pytest.mark.parametrize("function", CALLED, ids=lambda function: function.name)
def test_later_candles_change_no_earlier_value(function, candles):
    formula = SERVICE.compile(call_of(function), parameters={})
    whole = evaluate(formula, candles)
    for stop in (0, 1, 2, 33, 34, 257, 448, 449):
        for part, column in zip(evaluate(formula, sliced(candles, 0, stop)), whole, strict=True):
            np.testing.assert_array_equal(part, column[:stop])


@pytest.mark.parametrize("function", CALLED, ids=lambda function: function.name)
def test_values_depend_on_the_start_no_more_than_the_class_says(function, candles):
    formula = SERVICE.compile(call_of(function), parameters={})
    whole = evaluate(formula, candles)
    for start in (1, 2, 9, 57, 111, 222, 333, 444, 449):
        first = max(0, start - formula.warm_up_candles)
        for part, column in zip(evaluate(formula, sliced(candles, first)), whole, strict=True):
            actual, expected = part[start - first :], column[start:]
            if dependence_class(function) == "1e-9":
                np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
                error = np.abs(actual - expected) / np.maximum(1, np.abs(expected))
                assert np.nanmax(error, initial=0) <= 1e-9
            else:
                np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("function", CALLED, ids=lambda function: function.name)
def test_any_candles_are_borne_and_none_is_changed(function, broken):
    formula = SERVICE.compile(call_of(function), parameters={})
    before = {name: column.tobytes() for name, column in broken.fields.items()}
    for rows in (0, 1, 2, 3, 40, 300):
        part = sliced(broken, 0, rows)
        columns = evaluate(formula, part)
        for column in columns:
            assert (column.dtype, column.shape, column.flags.c_contiguous) == (np.float64, (rows,), True)
            assert not any(np.shares_memory(column, field) for field in part.fields.values())
        for column, counts in (
            zip(columns, formula.missing_counts(columns, part), strict=True) if not formula.other_symbols else ()
        ):
            assert sum(counts.values()) == np.count_nonzero(np.isnan(column))
    assert {name: column.tobytes() for name, column in broken.fields.items()} == before


@pytest.mark.parametrize("function", CALLED, ids=lambda function: function.name)
def test_every_function_has_a_value_on_real_candles(function, candles):
    """But for conditions that these candles never meet."""
    formula = SERVICE.compile(call_of(function), parameters={})
    for column in evaluate(formula, candles):
        assert not np.isnan(column).all()


@pytest.mark.parametrize("function", CALLED, ids=lambda function: function.name)
def test_what_the_catalogue_says_is_complete(function):
    assert function.summary
    assert function.warm_up
    assert function.source
    assert len(set(function.outputs)) == len(function.outputs)
    names = [*function.inputs, *(setting.name for setting in function.settings)]
    assert len(set(names)) == len(names)
    assert not function.implied or len(function.implied) == len(function.inputs)
    assert set(function.conditions) <= set(function.inputs)
    assert "\n" not in function.summary


def ends_of(candles: Candles, rows: int) -> list[Candles]:
    """So many rows up to some of the candles, where there are as many."""
    return [sliced(candles, stop - rows, stop) for stop in range(rows, len(candles) + 1, 37)]


@pytest.mark.parametrize("function", LOCAL, ids=lambda function: function.name)
def test_candles_of_other_symbols_before_it_change_no_bit_of_a_local_functions_last_row(function, candles, broken):
    formula = SERVICE.compile(call_of(function), parameters={})
    rows = formula.warm_up_candles + 1
    regular, odd = ends_of(candles, rows), ends_of(broken, rows)
    stacked = [piece for pair in zip(regular, odd, strict=False) for piece in pair]
    assert len(stacked) >= 4
    fields = {name: np.concatenate([piece.fields[name] for piece in stacked]) for name in PRICE_FIELDS}
    table = formula.evaluate_stack(fields, rows * len(stacked))
    for number, piece in enumerate(stacked, 1):
        assert table[:, number * rows - 1].tobytes() == formula.evaluate(piece)[:, -1].tobytes()


@pytest.mark.parametrize(
    "text",
    [
        "ema(close, 5)",
        "rsi(close, 14) < 30",
        "Mean($close, 0)",
        "streak(close > open)",
        'close / symbol("OTHER").close',
        "close@1w",
        "Ref($close, -1)",
    ],
)
def test_what_depends_on_more_than_its_warm_up_is_not_local(text):
    assert not SERVICE.compile(text, parameters={}, options=CompileOptions(allow_lookahead=True)).is_local
