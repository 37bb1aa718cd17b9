"""Every operator of Qlib against a twin that looks at one window or row at a time, and where its values may differ."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from candelabra_server.domain.candles import Candles, FloatColumn
from candelabra_server.errors import FormulaError
from candelabra_server.formulas.catalogue import FUNCTIONS, Family
from candelabra_server.formulas.compile_options import CompileOptions
from candelabra_server.formulas.kernels import pair_windows
from candelabra_server.formulas.operations import ALL_HISTORY, Exactness
from candelabra_server.formulas.service import CompiledFormula, FormulaService
from support.qlib_twins import (
    COLUMN_PAIRS,
    COLUMNS,
    DEFECTS,
    PAIRS,
    ROLLING,
    WINDOWS,
    assert_equals_twin,
    assert_within,
    centred,
    correlation,
    line,
    present,
    windows,
)

NAN, INF = math.nan, math.inf
SERVICE = FormulaService()
DEFAULT, COMPAT = CompileOptions(), CompileOptions(qlib_defects=True)
ALL_COLUMNS = pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS.keys())


def candles_of(*columns: FloatColumn) -> Candles:
    """Daily candles with the columns as fields x and y."""
    times = np.arange(len(columns[0]), dtype=np.int64) * 86_400_000_000
    return Candles("MADE", times, dict(zip("xy", columns, strict=False)))


def evaluated(text: str, *columns: FloatColumn, options: CompileOptions = DEFAULT) -> FloatColumn:
    return SERVICE.compile(text, parameters={}, options=options).evaluate(candles_of(*columns))[0]


def sign(x: FloatColumn) -> FloatColumn:
    return np.where(np.isnan(x), NAN, (x > 0).astype(float) - (x < 0))


def known(truth, *sides):
    return np.where(np.isnan(sides).any(axis=0), NAN, truth)


ROWS: dict[str, tuple[Callable[[FloatColumn, FloatColumn], object], Callable[[FloatColumn, FloatColumn], object]]] = {
    "Abs($x)": (lambda x, y: np.abs(x),) * 2,
    "Sign($x)": (lambda x, y: sign(x),) * 2,
    "Sign($x * 1e-60)": (lambda x, y: sign(x), lambda x, y: np.where(np.isfinite(x), 0, sign(x))),
    "Log($x)": (lambda x, y: np.log(x),) * 2,
    "Power($x, $y)": (lambda x, y: x**y,) * 2,
    "Add($x, $y)": (lambda x, y: x + y,) * 2,
    "Sub($x, $y)": (lambda x, y: x - y,) * 2,
    "Mul($x, $y)": (lambda x, y: x * y,) * 2,
    "Div($x, $y)": (lambda x, y: x / y,) * 2,
    "Greater($x, $y)": (lambda x, y: known(np.fmax(x, y), x, y),) * 2,
    "Less($x, $y)": (lambda x, y: known(np.fmin(x, y), x, y),) * 2,
    "Gt($x, $y)": (lambda x, y: known(x > y, x, y), lambda x, y: x > y),
    "Ge($x, $y)": (lambda x, y: known(x >= y, x, y), lambda x, y: x >= y),
    "Lt($x, $y)": (lambda x, y: known(x < y, x, y), lambda x, y: x < y),
    "Le($x, $y)": (lambda x, y: known(x <= y, x, y), lambda x, y: x <= y),
    "Eq($x, $y)": (lambda x, y: known(x == y, x, y), lambda x, y: x == y),
    "Ne($x, $y)": (lambda x, y: known(x != y, x, y), lambda x, y: x != y),
    "And(Gt($x, $y), Lt($x, 2))": (lambda x, y: (x > y) & (x < 2),) * 2,
    "Or(Gt($x, $y), Lt($x, 1))": (lambda x, y: (x > y) | (x < 1),) * 2,
    "Not(Gt($x, $y))": (lambda x, y: ~(x > y),) * 2,
    "If(Gt($x, $y), $x, 5)": (lambda x, y: np.where(x > y, x, 5),) * 2,
    "If($x, $y, -1)": (lambda x, y: known(np.where(x != 0, y, -1), x), lambda x, y: np.where(x != 0, y, -1)),
    "IsNull($x)": (lambda x, y: np.isnan(x),) * 2,
    "IsNull(Gt($x, $y))": (lambda x, y: np.zeros(len(x)),) * 2,
    "IsInf($x)": (lambda x, y: np.isinf(x),) * 2,
    "FFillNan($x)": (lambda x, y: pd.Series(x).ffill(),) * 2,
    "Mean(Gt($x, $y), 3)": (lambda x, y: pd.Series(x > y).rolling(3, min_periods=1).mean(),) * 2,
    "Mean(Ne($x, $y), 1)": (lambda x, y: (x != y) & ~np.isnan(x + y), lambda x, y: x != y),
    "Ref($x, 3)": (lambda x, y: pd.Series(x).shift(3),) * 2,
    "Ref($x, 0)": (lambda x, y: np.full(len(x), x[0]),) * 2,
    "Delta($x, 2)": (lambda x, y: x - pd.Series(x).shift(2),) * 2,
    "Delta($x, 0)": (lambda x, y: x - x[0],) * 2,
    "Count($x, 4)": (lambda x, y: pd.Series(x).rolling(4, min_periods=1).count(),) * 2,
    "Count($x, 0)": (lambda x, y: np.cumsum(~np.isnan(x)),) * 2,
}
"""Expressions of x and y: what they are by default, and with compat=qlib."""
ROW_X = np.array([1.0, -2, 0, NAN, 3, NAN, 2, INF, -INF, 0.5, -0.0, 1, 4])
ROW_Y = np.array([2.0, 1, 0, 1, NAN, NAN, 2, 1, 2, 0.25, 3, INF, -1])
ANYWHERE = {function.name for function in FUNCTIONS.values() if any(s.kind.is_text for s in function.settings)}
"""Operators of other symbols and timeframes, which test_sources.py is about."""

CALLS = (
    *(f"{name}($x, {{}}{rolling.settings})" for name, rolling in ROLLING.items()),
    *(f"{name}($x, $y, {{}})" for name in PAIRS),
    "Ref($x, {})",
    "Delta($x, {})",
    "Count($x, {})",
    "EMA(Mean($x, 3), {})",
)


def test_every_operator_has_a_twin():
    operators = {function.name for function in FUNCTIONS.values() if function.family is Family.QLIB}
    in_rows = {name for name in operators if any(f"{name}(" in text for text in ROWS)}
    assert set(ROLLING) | set(PAIRS) | in_rows == operators - ANYWHERE
    assert operators & ANYWHERE == {"ChangeInstrument", "Mask", "TResample"}


@ALL_COLUMNS
@pytest.mark.parametrize("name", ROLLING)
def test_a_rolling_operator_equals_its_twin_in_every_window(name, column):
    rolling = ROLLING[name]
    for rows in rolling.windows:
        assert_equals_twin(evaluated(f"{name}($x, {rows}{rolling.settings})", column), rolling, column, rows)


@ALL_COLUMNS
@pytest.mark.parametrize("name", ROLLING)
def test_compat_brings_back_the_defects_of_an_operator_and_changes_no_other(name, column):
    rolling = DEFECTS.get(name, ROLLING[name])
    for rows in rolling.windows[::3]:
        text = f"{name}($x, {rows}{rolling.settings})"
        actual = evaluated(text, column, options=COMPAT)
        if name in DEFECTS:
            assert_equals_twin(actual, rolling, column, rows)
        else:
            assert actual.tobytes() == evaluated(text, column).tobytes()


@pytest.mark.parametrize("name", DEFECTS)
def test_every_defect_of_qlib_can_be_seen(name):
    rows = 0 if name == "EMA" else 20
    columns = (COLUMNS["gaps"], COLUMNS["flat"])
    values = [[evaluated(f"{name}($x, {rows})", x, options=options) for x in columns] for options in (DEFAULT, COMPAT)]
    assert not all(np.array_equal(*pair, equal_nan=True) for pair in zip(*values, strict=True))


@pytest.mark.parametrize(("left", "right"), COLUMN_PAIRS)
@pytest.mark.parametrize("name", PAIRS)
def test_a_pair_operator_equals_its_twin_in_every_window(name, left, right):
    x, y = COLUMNS[left][:90], COLUMNS[right][:90]
    for rows in WINDOWS:
        pairs = list(zip(windows(x, rows), windows(y, rows), strict=True))
        expected = [PAIRS[name](*pair) for pair in pairs]
        spreads = [np.prod([np.ptp(present(side)) if len(present(side)) else 0 for side in pair]) for pair in pairs]
        bounds = [1e-10] * len(pairs) if name == "Corr" else [1e-12 * spread for spread in spreads]
        assert_within(evaluated(f"{name}($x, $y, {rows})", x, y), expected, bounds)


@pytest.mark.parametrize("options", [DEFAULT, COMPAT], ids=["default", "compat"])
@pytest.mark.parametrize("text", ROWS)
def test_an_operator_of_one_row_equals_its_twin(text, options):
    with np.errstate(all="ignore"):
        expected = np.asarray(ROWS[text][options is COMPAT](ROW_X, ROW_Y), dtype=np.float64)
    actual = evaluated(text, ROW_X, ROW_Y, options=options)
    np.testing.assert_allclose(actual, expected, rtol=1e-15)
    for rows in (0, 1):
        assert len(evaluated(text, ROW_X[:rows], ROW_Y[:rows], options=options)) == rows


@ALL_COLUMNS
@pytest.mark.parametrize("rows", [5, 20, 0])
def test_pair_moments_are_those_of_the_rows_that_both_columns_have(column, rows):
    other = np.resize(COLUMNS["gaps"], len(column))
    counts, *moments = pair_windows.pair_moments(column, other, rows)
    for row, pair in enumerate(zip(windows(column, rows), windows(other, rows), strict=True)):
        left, right = (side[~np.isnan(pair).any(axis=0)] for side in pair)
        assert counts[row] == len(left)
        if not len(left):
            assert np.isnan([moments[0][row], moments[1][row]]).all()
            continue
        x, y = centred(left), centred(right)
        expected = [left.mean(), right.mean(), (x**2).sum(), (y**2).sum(), (x * y).sum()]
        np.testing.assert_allclose([moment[row] for moment in moments], expected, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("name", ["Std", "Skew", "Kurt", "Mad", "Slope", "Cov"])
def test_a_value_too_large_to_square_does_no_harm_beside_rows_without_one(name):
    column = np.array([1e200, NAN, NAN, NAN, 1.0, 2.0, 4.0, 3.0])
    alone = np.array([NAN] * 4 + [1.0, 2.0, 4.0, 3.0])
    call = f"{name}($x, $x, 4)" if name in PAIRS else f"{name}($x, 4)"
    np.testing.assert_array_equal(evaluated(call, column)[4:], evaluated(call, alone)[4:])
    assert evaluated("Std($x, 3)", np.array([1e200, NAN, 1e200]))[2] == 0


def test_the_fit_of_all_history_has_no_bound_below_which_it_is_missing():
    tiny = COLUMNS["tiny"]
    assert np.isnan(evaluated("Rsquare($x, 20)", tiny)).all()
    expected = [line(window)[1] for window in windows(tiny, 0)]
    np.testing.assert_allclose(evaluated("Rsquare($x, 0)", tiny), expected, rtol=1e-10)


@ALL_COLUMNS
@pytest.mark.parametrize("span", [1, 2, 5, 20, 0.5, 0.07])
def test_the_exponential_mean_is_over_all_rows_that_have_weight(span, column):
    formula = SERVICE.compile(f"EMA($x, {span})", parameters={})
    alpha = span if span < 1 else 2 / (span + 1)
    steps = formula.warm_up_candles
    assert (1 - alpha) ** (steps + 1) <= 1e-14
    assert steps == 0 or (1 - alpha) ** (steps - 1) > 1e-14
    expected = []
    for window in windows(column, steps + 1):
        weights = (1 - alpha) ** np.arange(len(window))[::-1].astype(float) * ~np.isnan(window)
        expected.append(np.nansum(weights * window) / weights.sum() if weights.sum() else NAN)
    assert_within(evaluated(f"EMA($x, {span})", column), expected, [1e-13 * np.nan_to_num(abs(e)) for e in expected])


@pytest.mark.parametrize("span", [2, 5, 20])
def test_the_exponential_mean_is_that_of_pandas_where_no_gap_is_long(span):
    column = COLUMNS["ties"]
    expected = pd.Series(column).ewm(span=span, min_periods=1).mean()
    np.testing.assert_allclose(evaluated(f"EMA($x, {span})", column), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("span", [1, 5, 20])
def test_the_exponential_mean_of_compat_is_over_what_qlib_loads(span):
    gaps = COLUMNS["gaps"]
    formula = SERVICE.compile(f"EMA($x, {span})", parameters={}, options=COMPAT)
    assert formula.warm_up_candles == span - 1
    for start in (0, 3, 40, 100):
        loaded = gaps[start:]
        expected = pd.Series(np.where(np.isinf(loaded), NAN, loaded)).ewm(span=span, min_periods=1).mean()
        np.testing.assert_allclose(formula.evaluate(candles_of(loaded))[0], expected, rtol=1e-12)


def test_in_a_gap_the_exponential_mean_ends_when_its_last_value_has_faded_and_goes_on_with_compat():
    column = np.array([5.0, *[NAN] * 40])
    steps = SERVICE.compile("EMA($x, 2)", parameters={}).warm_up_candles
    np.testing.assert_array_equal(evaluated("EMA($x, 2)", column), [*[5.0] * (steps + 1), *[NAN] * (40 - steps)])
    np.testing.assert_array_equal(evaluated("EMA($x, 2)", column, options=COMPAT), [5.0] * 41)


def test_a_correlation_is_missing_where_a_side_is_flat_in_all_its_own_values():
    left = np.array([100, 100, 100, 100, 100, 100, 100, 100, 100.00005, 100])
    beside = np.array([*[NAN] * 7, 1.0, 3.0, 2.0])
    assert correlation(left[7:], beside[7:]) > 0.8
    assert np.isnan(evaluated("Corr($x, $y, 10)", left, beside)[-1])
    assert np.isnan(evaluated("Corr($x, $y, 10)", beside, left)[-1])
    assert evaluated("Corr($x, $y, 3)", left, beside)[-1] == pytest.approx(correlation(left[7:], beside[7:]))


def test_a_flat_column_has_itself_as_its_means():
    flat = COLUMNS["flat"]
    first = np.flatnonzero(~np.isnan(flat))[0]
    for call in ("WMA($x, 40)", "EMA($x, 9)", "EMA($x, 0)", "Quantile($x, 70, 0.3)"):
        assert set(evaluated(call, flat)[first:]) == {0.1}


def cut(candles: Candles, start: int, stop: int | None = None) -> Candles:
    fields = {name: column[start:stop] for name, column in candles.fields.items()}
    return Candles(candles.symbol, candles.open_time_micros[start:stop], fields)


def compiled(call: str, setting: float, options: CompileOptions) -> CompiledFormula:
    return SERVICE.compile(call.format(setting), parameters={}, options=options)


@pytest.mark.parametrize("options", [DEFAULT, COMPAT], ids=["default", "compat"])
@pytest.mark.parametrize("call", CALLS)
def test_a_window_has_the_same_bits_from_every_start(call, options):
    candles = candles_of(COLUMNS["gaps"], COLUMNS["ties"])
    for rows in (7, 66):
        formula = compiled(call, rows, options)
        if options is COMPAT and call.startswith("EMA"):
            continue
        assert formula.plan.steps[-1].node.exactness is Exactness.EXACT
        whole_range = formula.evaluate(candles)[0]
        for start in range(0, 120, 7):
            first = max(0, start - formula.warm_up_candles)
            part = formula.evaluate(cut(candles, first))[0]
            assert part[start - first :].tobytes() == whole_range[start:].tobytes(), start


@pytest.mark.parametrize("options", [DEFAULT, COMPAT], ids=["default", "compat"])
@pytest.mark.parametrize("call", CALLS)
def test_later_candles_change_no_bit_of_an_earlier_value(call, options):
    candles = candles_of(COLUMNS["gaps"], COLUMNS["ties"])
    for rows in (0, 5, 70):
        formula = compiled(call, rows, options)
        assert (formula.warm_up_candles == ALL_HISTORY) == (rows == 0)
        whole_range = formula.evaluate(candles)[0]
        for stop in (0, 1, 2, 3, 17, 64, 65, 119):
            assert formula.evaluate(cut(candles, 0, stop))[0].tobytes() == whole_range[:stop].tobytes(), stop


@pytest.mark.parametrize("alpha", [0.05, 0.3, 0.9])
@pytest.mark.parametrize("name", ["Mean", "Sum", "Std", "Var", "Max", "Min", "Med", "Count", "EMA"])
def test_a_fraction_is_an_alpha_for_ema_and_with_compat_for_what_qlib_averages(name, alpha):
    column = COLUMNS["gaps"]
    expected = pd.Series(np.where(np.isinf(column), NAN, column)).ewm(alpha=alpha, min_periods=1).mean()
    actual = evaluated(f"{name}($x, {alpha})", column, options=COMPAT)
    np.testing.assert_allclose(actual, expected, rtol=1e-12)
    if name != "EMA":
        assert problems(f"{name}($x, {alpha})", DEFAULT) == ["WINDOW_FRACTION"]


@pytest.mark.parametrize("name", ["Skew", "Kurt", "IdxMax", "Mad", "Rank", "Slope", "Rsquare", "Resi", "WMA", "Delta"])
@pytest.mark.parametrize("options", [DEFAULT, COMPAT], ids=["default", "compat"])
def test_a_fraction_is_refused_where_qlib_fails_with_it(name, options):
    assert problems(f"{name}($x, 0.5)", options) == ["WINDOW_NOT_WHOLE"]


@pytest.mark.parametrize(
    ("text", "options", "code"),
    [
        ("EMA($x, 0.00001)", DEFAULT, "WINDOW_OUT_OF_RANGE"),
        ("EMA($x, 1.5)", COMPAT, "WINDOW_NOT_WHOLE"),
        ("EMA($x, -1)", DEFAULT, "WINDOW_OUT_OF_RANGE"),
        ("Mean($x, 5e-324)", COMPAT, "WINDOW_OUT_OF_RANGE"),
        ("EMA($x, 90000)", DEFAULT, "WARM_UP_TOO_LONG"),
        ("Skew($x, 2)", DEFAULT, "WINDOW_OUT_OF_RANGE"),
        ("Kurt($x, 3)", DEFAULT, "WINDOW_OUT_OF_RANGE"),
        ("Mad($x, 5001)", DEFAULT, "WINDOW_OUT_OF_RANGE"),
        ("Quantile($x, 5, 1.5)", DEFAULT, "SETTING_OUT_OF_RANGE"),
        ("And($x, $y > 1)", DEFAULT, "NOT_A_SIGNAL"),
        ("Not($x)", COMPAT, "NOT_A_SIGNAL"),
        ("Delta($x, -1)", DEFAULT, "LOOKAHEAD"),
    ],
)
def test_what_no_operator_can_do_is_refused(text, options, code):
    assert problems(text, options) == [code]


def problems(text: str, options: CompileOptions) -> list[str]:
    with pytest.raises(FormulaError) as caught:
        SERVICE.compile(text, parameters={}, options=options)
    return [problem.code for problem in caught.value.problems]
