"""TA-Lib's catalogue in the language: names, constants and their ranges, and how far every function looks back."""

import json
import subprocess
import sys

import numpy as np
import pytest

from candelabra_server.errors import FormulaError
from candelabra_server.formulas.catalogue import FUNCTIONS, Family, SettingKind
from candelabra_server.formulas.kernels.talib_import import talib
from candelabra_server.formulas.kernels.talib_metadata import MOVING_AVERAGES, TALIB, lookback
from candelabra_server.formulas.limits import FormulaLimits
from candelabra_server.formulas.nodes import ColumnKind
from candelabra_server.formulas.operations import ALL_HISTORY, OPERATIONS
from candelabra_server.formulas.operations import talib as operations
from candelabra_server.formulas.settings import SettingRules, find_fault
from support.talib_calls import NAMES, part_of

PATTERNS = [name for name, function in TALIB.items() if function.pattern]
RULES = SettingRules(FormulaLimits())
# Settings of TA-Lib are its process's: what they reveal is asked for in another one.
REVEALED = """
import json
import talib
import talib.abstract
from talib import _ta_lib

def lookbacks():
    return {name: talib.abstract.Function(name).lookback for name in talib.get_functions()}

before = lookbacks()
stages = {}
for unstable, number in _ta_lib._ta_func_unst_ids.items():
    if unstable in ("NONE", "ALL"):
        continue
    talib.set_unstable_period(unstable, 1000)
    for name, rows in lookbacks().items():
        stages[name] = stages.get(name, 0) + round((rows - before[name]) / 1000)
    talib.set_unstable_period(unstable, 0)
for setting in range(11):
    _ta_lib._ta_set_candle_settings(setting, 0, 50, 1.0)
averages = [name for name, rows in lookbacks().items() if rows != before[name]]
print(json.dumps({"stages": stages, "averages": averages}))
"""


@pytest.fixture(scope="module")
def revealed():
    """How many recursive averages every function has one after the other, and which look at average candles."""
    run = subprocess.run([sys.executable, "-c", REVEALED], check=True, capture_output=True, text=True)
    return json.loads(run.stdout)


def warm_up(name: str) -> int:
    function = FUNCTIONS[name.lower()]
    return OPERATIONS[f"talib_{name.lower()}"].warm_up(*(setting.default for setting in function.settings))


def test_every_function_of_ta_lib_is_a_function_of_the_language():
    families = {name: FUNCTIONS[name.lower()].family for name in talib.get_functions()}
    assert set(families.values()) == {Family.TALIB, Family.TECHNICAL}
    technical = {name for name, family in families.items() if family is Family.TECHNICAL}
    assert technical == {"ATR", "BBANDS", "EMA", "MACD", "ROC", "RSI", "SMA", "STDDEV", "WMA"}
    ours = {name for name, function in FUNCTIONS.items() if function.family is Family.TALIB}
    assert ours == {name.lower() for name in NAMES}


@pytest.mark.parametrize(
    ("signature", "outputs"),
    [
        ("adx([high, low, close], period=14)", ("",)),
        ('apo(series, fast=12, slow=26, matype="ema")', ("",)),
        ("aroon([high, low], period=14)", ("down", "up")),
        ("beta(first, second, period=5)", ("",)),
        ("bop([open, high, low, close])", ("",)),
        ("cdldoji([open, high, low, close])", ("bullish", "bearish")),
        ("cdlmathold([open, high, low, close], penetration=0.5)", ("bullish", "bearish")),
        ("coppock(series, wmaperiod=10, roc1period=11, roc2period=14)", ("",)),
        ("donchian([high, low], period=20)", ("upper", "middle", "lower")),
        ("eri([high, low, close], period=13)", ("bull", "bear")),
        ("ha([open, high, low, close])", ("open", "high", "low", "close")),
        ("ht_phasor(series)", ("inphase", "quadrature")),
        ("macdfix(series, signal=9)", ("macd", "signal", "hist")),
        ("mama(series, fastlimit=0.5, slowlimit=0.05)", ("mama", "fama")),
        ('mavp(series, periods, minperiod=2, maxperiod=30, matype="sma")', ("",)),
        ("max(series, period=30)", ("",)),
        ("minmax(series, period=30)", ("min", "max")),
        ("obv([close, volume])", ("",)),
        ('pvo([volume], fast=12, slow=26, matype="ema")', ("",)),
        ("sqrt(series)", ("",)),
        ('stochf([high, low, close], fastk=5, fastd=3, fastd_matype="sma")', ("fastk", "fastd")),
        ("supertrend([high, low, close], period=10, multiplier=3)", ("supertrend", "trend")),
        ("ultosc([high, low, close], period1=7, period2=14, period3=28)", ("",)),
        ("vortex([high, low, close], period=14)", ("plus", "minus")),
        ("vwma([close, volume], period=30)", ("",)),
    ],
)
def test_names_are_short_and_constants_have_ta_libs_defaults(signature, outputs):
    function = FUNCTIONS[signature.split("(")[0]]
    assert (function.signature, function.outputs) == (signature, outputs)


def test_the_texts_of_moving_averages_are_those_of_ta_lib():
    texts = ["sma", "ema", "wma", "dema", "tema", "trima", "kama", "mama", "t3", "hma", "zlema", "rma"]
    assert list(MOVING_AVERAGES) == texts
    assert all(lookback("MA", 30, number) >= 0 for number in MOVING_AVERAGES.values())
    kinds = [setting for function in FUNCTIONS.values() for setting in function.settings if "matype" in setting.name]
    assert len(kinds) == 15
    assert all(list(setting.choices) == texts and setting.default in texts for setting in kinds)


@pytest.mark.parametrize("name", [name for name in NAMES if TALIB[name].parameters])
def test_ranges_are_as_wide_as_those_of_ta_lib_and_no_wider(name):
    parameters = TALIB[name].parameters
    for bound, direction in (("minimum", -1), ("maximum", 1)):
        constants = [value.default if value.averages else getattr(value, bound) for value in parameters]
        assert lookback(name, *constants) >= 0
        for index, parameter in enumerate(parameters):
            if parameter.averages or (name, bound) == ("MAVP", "minimum"):
                continue  # MAVP's longest period may be as small as its shortest
            value = constants[index]
            beyond = value + direction if isinstance(value, int) else float(np.nextafter(value, direction * np.inf))
            assert lookback(name, *constants[:index], beyond, *constants[index + 1 :]) == -1


def drawn(setting, random):
    """Anything that the setting may be, its bounds more often than all between."""
    if setting.kind is SettingKind.CHOICE:
        return str(random.choice(setting.choices))
    low, high = setting.minimum, setting.maximum
    if setting.kind is SettingKind.WINDOW:
        return int(random.choice([low, low + 1, high, random.integers(low, 40), random.integers(41, 500)]))
    return float(random.choice([low, high, setting.default, random.uniform(max(low, -2), min(high, 2))]))


@pytest.mark.parametrize("name", [name for name in NAMES if TALIB[name].parameters])
def test_whatever_passes_the_check_is_borne_by_ta_lib(real_candles, hostile_columns, name):
    function, random = FUNCTIONS[name.lower()], np.random.default_rng(len(name))
    candles = part_of(real_candles["IBM"], 500, 800)
    prices = {**candles.fields, "periods": candles.fields["volume"] % 50}
    for _ in range(40):
        values = [drawn(setting, random) for setting in function.settings]
        assert all(
            find_fault(setting, float(value), RULES) is None
            for setting, value in zip(function.settings, values, strict=True)
            if not isinstance(value, str)
        )
        if name == "MAVP":
            values[:2] = sorted(values[:2])
        rows = lookback(name, *(MOVING_AVERAGES[value] if isinstance(value, str) else value for value in values))
        assert rows >= 0
        for columns in (prices, hostile_columns):
            given = [columns.get(source, columns["close"]) for source in TALIB[name].inputs]
            with np.errstate(all="ignore"):
                result = OPERATIONS[f"talib_{name.lower()}"].kernel(*given, *values)
            for column in result if isinstance(result, tuple) else (result,):
                assert (column.dtype, len(column)) == (np.float64, 300)
                assert np.isnan(column[:rows]).all()


@pytest.fixture(scope="module")
def hostile_columns():
    """What no market has: huge, tiny, missing and infinite values side by side."""
    random = np.random.default_rng(4)
    odd = [0.0, -0.0, np.nan, np.inf, -np.inf, 1.7e308, -1.7e308, 5e-324, 1e300, -1.0, 7.0]
    fields = ("open", "high", "low", "close", "volume", "periods")
    return {
        field: random.choice(odd, 300, p=[0.12, 0.03, 0.03, 0.02, 0.02, 0.1, 0.1, 0.1, 0.1, 0.18, 0.2])
        for field in fields
    }


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("aroon(1)", "WINDOW_OUT_OF_RANGE"),
        ("adx(100001)", "WINDOW_OUT_OF_RANGE"),
        ("t3(close, 5, 1.5)", "SETTING_OUT_OF_RANGE"),
        ("mama(close, 0.001)", "SETTING_OUT_OF_RANGE"),
        ("percentile(close, 30, 101)", "SETTING_OUT_OF_RANGE"),
        ("sar(-1, 0.2)", "SETTING_OUT_OF_RANGE"),
        ('ma(close, 5, "vwma")', "UNKNOWN_CHOICE"),
        ("ma(close, 5, 1)", "SETTING_NOT_TEXT"),
        ("rma(close, 60000)", "WARM_UP_TOO_LONG"),
    ],
)
def test_what_ta_lib_does_not_take_is_refused_with_the_range(service, text, code):
    with pytest.raises(FormulaError) as caught:
        service.compile(text, parameters={})
    assert [problem.code for problem in caught.value.problems] == [code]


def test_asking_for_a_lookback_leaves_ta_libs_own_objects_as_they_were():
    assert lookback("SMA", 77) == 76
    assert dict(talib.abstract.SMA.parameters) == {"timeperiod": 30}


@pytest.mark.parametrize("name", [name for name in NAMES if f"talib_{name.lower()}" in OPERATIONS])
def test_a_warm_up_counts_every_recursive_average_that_ta_lib_has(revealed, name):
    rows, stages = warm_up(name), revealed["stages"][name]
    if rows == ALL_HISTORY:
        return
    function = TALIB[name]
    defaults = [setting.default for setting in FUNCTIONS[name.lower()].settings]
    memory = operations._DECAYING.get(name, lambda *_: ())(*defaults)
    assert len(memory) >= stages
    assert rows == lookback(name, *function.defaults) + sum(np.ceil(np.log(1e-14) / np.log1p(-np.array(memory))))


def test_all_that_depends_on_its_path_gets_the_whole_history():
    flags = {name: talib.abstract.Function(name).function_flags or [] for name in NAMES}
    path_dependent = {name for name, held in flags.items() if "Output is path-dependent" in held}
    assert len(path_dependent) == 12
    assert {name: warm_up(name) for name in path_dependent} == dict.fromkeys(path_dependent, ALL_HISTORY)
    unstable = {name for name, held in flags.items() if "Function has an unstable period" in held}
    assert all(warm_up(name) > lookback(name, *TALIB[name].defaults) for name in unstable)


def test_patterns_that_compare_with_average_candles_get_the_whole_history(revealed):
    averaging = {name for name in PATTERNS if name in revealed["averages"]}
    assert set(PATTERNS) - averaging == {"CDL3OUTSIDE", "CDLENGULFING", "CDLHIKKAKE", "CDLXSIDEGAP3METHODS"}
    assert {name for name in PATTERNS if warm_up(name) == ALL_HISTORY} == averaging


@pytest.mark.parametrize(
    ("text", "candles"),
    [
        ('ma(close, 10, "sma")', 9),
        ('ma(close, 10, "ema")', 9 + 161),
        ('ma(close, 10, "dema")', 18 + 2 * 161),
        ('ma(close, 10, "t3")', 54 + 6 * 161),
        ('ma(close, 10, "rma")', 9 + 306),
        ('ma(close, 10, "mama")', ALL_HISTORY),
        ('stoch(slowd_matype="mama")', ALL_HISTORY),
        ('macdext(close, fastmatype="mama")', ALL_HISTORY),
        ('bbands(close, 20, matype="mama")', ALL_HISTORY),
        ('bbands(close, 10, matype="ema")', 9 + 161),
        ("mavp(close, volume, 30, 2)", 29),
        ("kc(20, 10)", 19 + 323 + 306),
        ("ema(adx(14), 5)", 27 + 870 + 4 + 80),
    ],
)
def test_a_warm_up_follows_the_constants(service, text, candles):
    assert service.compile(text, parameters={}).warm_up_candles == candles


def test_a_function_that_nobody_has_looked_at_would_get_the_whole_history():
    assert operations._warm_up("A_NEW_ONE")(5) == ALL_HISTORY


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_is_two_signals(name):
    function = FUNCTIONS[name.lower()]
    assert (function.kind, function.outputs) == (ColumnKind.SIGNAL, ("bullish", "bearish"))


def test_a_pattern_may_stand_where_a_signal_must(service, real_candles):
    formula = service.compile("cdldoji().bullish and not cdlhammer().bullish", parameters={})
    assert formula.columns[0].kind is ColumnKind.SIGNAL
    assert 0 < np.nansum(formula.evaluate(real_candles["IBM"])[0]) < 1000


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("stoch(high, low, close).slowk", "stoch().slowk"),
        ('stoch(7, 3, "ema").slowd', 'stoch(high, low, close, 7, 3, "ema").slowd'),
        ("sar(high, low)", "sar()"),
        ("sar(step, 2 * step)", "sar(high, low, 0.1, 0.2)"),
        ("sar($high, low[0])", "sar(high, low, 0.02, 0.2)"),
        ("_top = high; a = sar(_top, low)", "sar()"),
        ("_step = 0.1; a = sar(_step, 0.2)", "sar(0.1, 0.2)"),
        ("pvo(volume)", "pvo()"),
        ("pvo(12, 30)", "pvo(volume, 12, 30)"),
        ("ao(atr(5), atr(9))", "ao(high=atr(5), low=atr(9))"),
        ("mavp(close, volume % 40, 30, 2)", "mavp(close, volume % 40, 2, 30)"),
        ("mavp(close, volume * 1e200, 2, 9)", "mavp(close, 9, 2, 9)"),
        ("mavp(close, -volume, 2, 9)", "mavp(close, 2, 2, 9)"),
        ("div(add(open, close), 2)", "(open + close) / 2"),
        ("sub(high, mult(low, 2))", "high - low * 2"),
        ("sma(close, ceil(2.5))", "sma(close, 3)"),
        ("stddev(close, 5, 1)", "stddev(close, 5)"),
        ('bbands(close, matype="sma").upper', "bbands(close).upper"),
    ],
)
def test_two_ways_of_writing_give_the_same_bits(service, real_candles, text, same):
    candles = real_candles["FB"]
    parameters = {"step": 0.1} if "sar(step" in text else {}
    (actual,) = service.compile(text, parameters=parameters).evaluate(candles)
    (expected,) = service.compile(same, parameters={}).evaluate(candles)
    assert not np.isnan(actual).all()
    assert actual.tobytes() == expected.tobytes()


def test_outputs_of_one_call_are_computed_once(service):
    formula = service.compile(
        "a = donchian(20).upper - donchian(20).lower; b = cdldoji().bullish; c = cdldoji().bearish", parameters={}
    )
    names = [step.node.operation.name for step in formula.plan.steps]
    assert names.count("talib_donchian") == names.count("talib_cdldoji") == 1
