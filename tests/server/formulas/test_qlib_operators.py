"""Every operator of Qlib against a twin that looks at one window or row at a time, and where its values may differ."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from bokeh_sampledata import stocks

from candelabra_server.domain.candles import Candles, FloatColumn
from candelabra_server.errors import FormulaError
from candelabra_server.formulas.catalogue import FUNCTIONS, Family
from candelabra_server.formulas.compile_options import CompileOptions
from candelabra_server.formulas.kernels import pair_windows
from candelabra_server.formulas.operations import ALL_HISTORY, Exactness
from candelabra_server.formulas.service import CompiledFormula, FormulaService

NAN, INF = math.nan, math.inf
SERVICE = FormulaService()
DEFAULT, COMPAT = CompileOptions(), CompileOptions(qlib_defects=True)
WINDOWS = (0, 1, 2, 5, 20, 64, 65, 400)
"""0 is all history; 65 is where order statistics change their way; 400 is longer than every column."""


def made_columns() -> dict[str, FloatColumn]:
    random = np.random.default_rng(4)
    real = np.array(stocks.FB["close"][:150])
    gaps = np.array(stocks.IBM["close"][:150])
    gaps[random.random(150) < 0.3] = NAN
    gaps[[0, 1, *range(60, 90)]] = NAN
    gaps[[20, 21, 100]] = INF, -INF, INF
    ties = random.integers(0, 4, 150).astype(np.float64)
    ties[random.random(150) < 0.2] = NAN
    columns = {
        "real": real,
        "volume": np.array(stocks.FB["volume"][:150], dtype=np.float64),
        "gaps": gaps,
        "ties": ties,
        "flat": np.where(random.random(80) < 0.2, NAN, 0.1),
        "offset": 1e9 + random.integers(0, 50, 120) * 2.0**-10,
        "tiny": 100 + 1e-6 * random.normal(0, 1, 80),
        "nothing": np.full(30, NAN),
        "one": np.array([7.5]),
        "empty": np.empty(0),
    }
    for column in columns.values():
        column.flags.writeable = False
    return columns


COLUMNS = made_columns()
ALL_COLUMNS = pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS.keys())


def candles_of(*columns: FloatColumn) -> Candles:
    """Daily candles with the columns as fields x and y."""
    times = np.arange(len(columns[0]), dtype=np.int64) * 86_400_000_000
    return Candles("MADE", times, dict(zip("xy", columns, strict=False)))


def evaluated(text: str, *columns: FloatColumn, options: CompileOptions = DEFAULT) -> FloatColumn:
    return SERVICE.compile(text, parameters={}, options=options).evaluate(candles_of(*columns))[0]


def windows(column: FloatColumn, rows: int) -> Iterator[FloatColumn]:
    """What each row's window holds; infinite values are missing, as for pandas."""
    held = np.where(np.isinf(column), NAN, column)
    return (held[max(0, row + 1 - rows) if rows else 0 : row + 1] for row in range(len(column)))


def present(values: FloatColumn) -> FloatColumn:
    return values[~np.isnan(values)]


def centred(values: FloatColumn) -> FloatColumn:
    """Deviations from the mean; the first value is taken off first, which is exact for values that are close."""
    near = values - values[0]
    return near - near.mean()


def variance(values: FloatColumn) -> float:
    return (centred(values) ** 2).sum() / (len(values) - 1) if len(values) > 1 else NAN


def skewness(values: FloatColumn) -> float:
    n, deviations = len(values), centred(values)
    if n < 3 or not deviations.any():
        return NAN
    return n / ((n - 1) * (n - 2)) * (deviations**3).sum() / variance(values) ** 1.5


def kurtosis(values: FloatColumn) -> float:
    n, deviations = len(values), centred(values)
    if n < 4 or not deviations.any():
        return NAN
    raw = n * (n + 1) / ((n - 1) * (n - 2) * (n - 3)) * (deviations**4).sum() / variance(values) ** 2
    return raw - 3 * (n - 1) ** 2 / ((n - 2) * (n - 3))


def places(window: FloatColumn) -> FloatColumn:
    """Of the values that are there; 1 is the oldest row."""
    return np.arange(1.0, len(window) + 1)[~np.isnan(window)]


def line(window: FloatColumn) -> tuple[float, float, float]:
    """Slope, squared correlation and residual of the newest row."""
    values, deviations = centred(present(window)), centred(places(window))
    if len(values) < 2:
        return NAN, NAN, NAN
    slope = (values * deviations).sum() / (deviations**2).sum()
    flat = not values.any()
    fit = NAN if flat else (values * deviations).sum() ** 2 / (deviations**2).sum() / (values**2).sum()
    residual = NAN if np.isnan(window[-1]) else values[-1] - slope * deviations[-1]
    return slope, fit, residual


def rank(window: FloatColumn) -> float:
    values, newest = present(window), window[-1]
    if np.isnan(newest):
        return NAN
    return (np.sum(values < newest) + (np.sum(values == newest) + 1) / 2) / len(values)


def weighted_mean(window: FloatColumn) -> float:
    first = present(window)[0]
    return first + ((present(window) - first) * places(window)).sum() / places(window).sum()


def average_of_all_history(window: FloatColumn, *, of_all: bool = False) -> float:
    """EMA with N = 0, with the weights of the rows that are there, or of all."""
    weights = (1 - 2 / (len(window) + 1)) ** np.arange(len(window))[::-1]
    return np.nansum(weights * window) / (weights.sum() if of_all else weights[~np.isnan(window)].sum())


def own_deviation_is_tiny(values: FloatColumn) -> bool:
    return len(values) > 1 and math.sqrt(variance(values)) <= 2e-5


@dataclass(frozen=True)
class Rolling:
    """The twin of an operator, and how exact the operator is: as a share of what `scale` makes of the values."""

    twin: Callable[[FloatColumn], float]
    scale: Callable[[FloatColumn], float]
    tolerance: float = 1e-12
    windows: tuple[int, ...] = WINDOWS
    settings: str = ""


def size(values: FloatColumn) -> float:
    return np.abs(values).max()


def whole(_values: FloatColumn) -> float:
    return 1


ROLLING = {
    "Mean": Rolling(lambda w: present(w)[0] + (present(w) - present(w)[0]).mean(), size, 1e-14),
    "Sum": Rolling(lambda w: math.fsum(present(w)), lambda values: np.abs(values).sum(), 1e-14),
    "Std": Rolling(lambda w: math.sqrt(variance(present(w))), np.ptp),
    "Var": Rolling(lambda w: variance(present(w)), lambda values: np.ptp(values) ** 2),
    "Skew": Rolling(lambda w: skewness(present(w)), whole, 1e-10, (0, *WINDOWS[3:])),
    "Kurt": Rolling(lambda w: kurtosis(present(w)), whole, 1e-10, (0, *WINDOWS[3:])),
    "Max": Rolling(np.nanmax, size, 0),
    "Min": Rolling(np.nanmin, size, 0),
    "IdxMax": Rolling(lambda w: np.nanargmax(w) + 1, whole, 0),
    "IdxMin": Rolling(lambda w: np.nanargmin(w) + 1, whole, 0),
    "Med": Rolling(lambda w: np.median(present(w)), size, 1e-15),
    "Quantile": Rolling(lambda w: np.quantile(present(w), 0.2), size, 1e-15, settings=", 0.2"),
    "Mad": Rolling(lambda w: np.abs(centred(present(w))).mean(), np.ptp),
    "Rank": Rolling(rank, whole, 0),
    "Slope": Rolling(lambda w: line(w)[0], np.ptp),
    "Rsquare": Rolling(lambda w: NAN if own_deviation_is_tiny(present(w)) else line(w)[1], whole, 1e-10, WINDOWS[1:]),
    "Resi": Rolling(lambda w: line(w)[2], np.ptp),
    "WMA": Rolling(weighted_mean, size, 1e-14),
    "EMA": Rolling(average_of_all_history, size, 1e-13, (0,)),
}
"""EMA with N above 0 has a test of its own, Rsquare with N = 0 too."""


def covariance(left: FloatColumn, right: FloatColumn) -> float:
    both = ~np.isnan(left) & ~np.isnan(right)
    if both.sum() < 2:
        return NAN
    return (centred(left[both]) * centred(right[both])).sum() / (both.sum() - 1)


def correlation(left: FloatColumn, right: FloatColumn) -> float:
    both = ~np.isnan(left) & ~np.isnan(right)
    if own_deviation_is_tiny(present(left)) or own_deviation_is_tiny(present(right)) or both.sum() < 2:
        return NAN
    products = math.sqrt(variance(left[both])) * math.sqrt(variance(right[both]))
    return covariance(left, right) / products if products else NAN


PAIRS = {"Cov": covariance, "Corr": correlation}
COLUMN_PAIRS = [("real", "volume"), ("gaps", "ties"), ("ties", "gaps"), ("gaps", "real"), ("offset", "offset")]
COLUMN_PAIRS += [("tiny", "tiny"), ("flat", "flat"), ("nothing", "nothing"), ("one", "one"), ("empty", "empty")]


def sign(x: FloatColumn) -> FloatColumn:
    return np.where(np.isnan(x), NAN, (x > 0).astype(float) - (x < 0))


def known(truth: FloatColumn, *sides: FloatColumn) -> FloatColumn:
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


def assert_within(actual: FloatColumn, expected: list[float], bounds: list[float]) -> None:
    wanted = np.array(expected, dtype=np.float64)
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(wanted))
    wrong = np.flatnonzero(np.abs(actual - wanted) > np.array(bounds))
    assert not len(wrong), (wrong[:5], actual[wrong][:5], wanted[wrong][:5])


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
        held = [(window, present(window)) for window in windows(column, rows)]
        expected = [rolling.twin(window) if len(values) else NAN for window, values in held]
        bounds = [rolling.tolerance * rolling.scale(values) if len(values) else 0 for _, values in held]
        assert_within(evaluated(f"{name}($x, {rows}{rolling.settings})", column), expected, bounds)


@pytest.mark.parametrize(("left", "right"), COLUMN_PAIRS)
@pytest.mark.parametrize("name", PAIRS)
def test_a_pair_operator_equals_its_twin_in_every_window(name, left, right):
    x, y = COLUMNS[left][:120], COLUMNS[right][:120]
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
    assert (1 - alpha) ** steps <= 1e-14
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
        for start in range(0, 150, 7):
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
        for stop in (0, 1, 2, 3, 17, 64, 65, 149):
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
