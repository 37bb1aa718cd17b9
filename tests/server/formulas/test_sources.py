"""Longer timeframes and other symbols: only candles that have closed are seen, whatever is loaded."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from candelabra_server.domain.candles import Candles
from candelabra_server.domain.periods import period_ends
from candelabra_server.errors import FormulaError
from candelabra_server.formulas.compile_options import CompileOptions
from candelabra_server.formulas.service import CompiledFormula, FormulaService

SERVICE = FormulaService()
DAY = 86_400_000_000
HOUR = DAY // 24


def made(symbol: str, times: pd.DatetimeIndex, *, seed: int = 5, without: float = 0.0) -> Candles:
    """Random candles at these times, some of which are left out."""
    random = np.random.default_rng(seed)
    kept = random.random(len(times)) >= without
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, len(times))))
    fields = {
        "open": close * (1 + random.normal(0, 0.002, len(times))),
        "high": close * 1.01,
        "low": close * 0.99,
        "close": close,
        "volume": random.integers(1, 1000, len(times)).astype(np.float64),
        "vwap": close * 1.001,
        "trades": random.integers(1, 50, len(times)).astype(np.float64),
    }
    micros = times.to_numpy().astype("datetime64[us]").astype(np.int64)
    return Candles(symbol, micros[kept], {name: column[kept] for name, column in fields.items()})


def cut(candles: Candles, start: int, stop: int | None = None) -> Candles:
    fields = {name: column[start:stop] for name, column in candles.fields.items()}
    return Candles(candles.symbol, candles.open_time_micros[start:stop], fields)


def between(candles: Candles, first: int, last: int, warm_up: int) -> Candles:
    """What a repository gives for a range and its warm-up."""
    start, stop = np.searchsorted(candles.open_time_micros, [first, last + 1])
    return cut(candles, max(0, int(start) - warm_up), int(stop))


DAILY = made("OWN", pd.date_range("2020-01-01", periods=500, freq="D"), without=0.2)
HOURLY = made("OWN", pd.date_range("2021-03-01", periods=900, freq="h"), without=0.3)
MONTHS = made("OWN", pd.date_range("2010-01-01", periods=60, freq="MS"))
OTHER = made("SPY", pd.date_range("2019-06-01", periods=800, freq="D"), seed=9, without=0.3)


def frame(candles: Candles) -> pd.DataFrame:
    times = pd.to_datetime(candles.open_time_micros, unit="us")
    return pd.DataFrame(dict(candles.fields), index=times)


def values(text: str, candles: Candles, timeframe: str = "1d", others: Mapping[str, Candles] | None = None):
    formula = SERVICE.compile(text, parameters={}, options=CompileOptions(timeframe=timeframe))
    return formula.evaluate(candles, others=others)[0]


def closed_before(longer: pd.Series, ends: pd.DatetimeIndex, rows: pd.DatetimeIndex, length: pd.Timedelta):
    """Row by row, as the definition says it: the last longer candle whose end is not after this candle's."""
    found = []
    for row in rows:
        closed = longer[ends <= row + length]
        found.append(closed.iloc[-1] if len(closed) else np.nan)
    return np.array(found)


HOW = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum", "trades": "last"}


@pytest.mark.parametrize("field", HOW)
def test_a_week_of_days_is_seen_when_it_has_closed(field):
    data = frame(DAILY)
    weeks = data[field].resample("W-MON", label="left", closed="left").agg(HOW[field]).dropna()
    expected = closed_before(weeks, weeks.index + pd.Timedelta(days=7), data.index, pd.Timedelta(days=1))
    np.testing.assert_allclose(values(f"${field}@1w", DAILY), expected, rtol=1e-12)


def test_the_sunday_candle_closes_its_week_and_the_friday_candle_does_not():
    first = pd.Timestamp("2024-01-01")  # a Monday
    week = made("OWN", pd.date_range(first, periods=14, freq="D"))
    seen = values("close@1w", week)
    assert np.isnan(seen[:6]).all()
    assert (seen[6:13] == week.fields["close"][6]).all()
    assert seen[13] == week.fields["close"][13]


def test_months_of_hours_and_quarters_of_months():
    data = frame(HOURLY)
    months = data["high"].resample("MS").max()
    expected = closed_before(months, months.index + pd.offsets.MonthBegin(1), data.index, pd.Timedelta(hours=1))
    np.testing.assert_array_equal(values("high@1M", HOURLY, "1h"), expected)
    quarters = frame(MONTHS)["close"].resample("QS").last()
    wanted = [quarters.iloc[(row + 1) // 3 - 1] if row >= 2 else np.nan for row in range(60)]
    np.testing.assert_array_equal(values("close@3M", MONTHS, "1M"), wanted)


def test_the_price_of_a_week_is_weighted_by_volume():
    data = frame(DAILY)
    groups = pd.Grouper(freq="W-MON", label="left", closed="left")
    weeks = (data["vwap"] * data["volume"]).groupby(groups).sum() / data["volume"].groupby(groups).sum()
    expected = closed_before(weeks, weeks.index + pd.Timedelta(days=7), data.index, pd.Timedelta(days=1))
    np.testing.assert_allclose(values("vwap@1w", DAILY), expected, rtol=1e-12)


def test_a_whole_expression_is_computed_over_the_longer_candles():
    data = frame(DAILY)
    weeks = data["close"].resample("W-MON", label="left", closed="left").last().dropna().rolling(5).mean()
    expected = closed_before(weeks, weeks.index + pd.Timedelta(days=7), data.index, pd.Timedelta(days=1))
    np.testing.assert_allclose(values("sma(close, 5)@1w", DAILY), expected, rtol=1e-12)
    np.testing.assert_array_equal(values("_a = sma(close, 5); b = _a@1w", DAILY), values("sma(close, 5)@1w", DAILY))
    np.testing.assert_array_equal(
        values("_a = close; _b = sma(_a, 5); c = _b@1w", DAILY), values("sma(close, 5)@1w", DAILY)
    )


def test_a_bundle_is_taken_to_the_longer_candles_whole():
    formula = SERVICE.compile("m = macd(close, 3, 5, 2)@1w", parameters={})
    assert [column.name for column in formula.columns] == ["m.macd", "m.signal", "m.hist"]
    single = values("macd(close, 3, 5, 2).hist@1w", DAILY)
    np.testing.assert_array_equal(formula.evaluate(DAILY)[2], single)


def test_the_own_timeframe_changes_nothing_and_constants_have_none():
    np.testing.assert_array_equal(values("close@1d", DAILY), DAILY.fields["close"])
    assert (values("(1 + 2)@1w + close * 0", DAILY) == 3).all()


REDUCTIONS = ["last", "first", "sum", "mean", "max", "min", "std", "count"]


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_resampled_series_is_that_of_the_last_closed_period(reduction):
    data = frame(DAILY)
    column = DAILY.fields["close"].copy()
    column[[3, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 200]] = np.nan
    given = Candles("OWN", DAILY.open_time_micros, {**DAILY.fields, "close": column})
    data["close"] = column
    groups = data["close"].resample("W-MON", label="left", closed="left")
    weeks = groups.sum(min_count=1) if reduction == "sum" else getattr(groups, reduction)()
    weeks = weeks[data["open"].resample("W-MON", label="left", closed="left").count() > 0]
    expected = closed_before(weeks, weeks.index + pd.Timedelta(days=7), data.index, pd.Timedelta(days=1))
    actual = values(f'TResample($close, "1w", "{reduction}")', given)
    np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-10)


def test_another_symbol_is_seen_as_it_had_closed():
    own, other = frame(DAILY), frame(OTHER)
    expected = [other["close"][:row].iloc[-1] for row in own.index]
    for text in ('symbol("SPY").close', "ChangeInstrument('SPY', $close)", "Mask($close, 'SPY')"):
        np.testing.assert_array_equal(values(text, DAILY, others={"SPY": OTHER}), expected)


def test_an_expression_over_another_symbol_is_computed_over_its_own_candles():
    own = frame(DAILY)
    average = frame(OTHER)["close"].rolling(10).mean()
    expected = [average[:row].iloc[-1] for row in own.index]
    actual = values("ChangeInstrument('SPY', sma($close, 10))", DAILY, others={"SPY": OTHER})
    np.testing.assert_allclose(actual, expected, rtol=1e-12)
    mixed = values('sma(symbol("SPY").close, 10)', DAILY, others={"SPY": OTHER})
    wanted = pd.Series([frame(OTHER)["close"][:row].iloc[-1] for row in own.index]).rolling(10).mean()
    np.testing.assert_allclose(mixed, wanted, rtol=1e-12)


def test_a_longer_candle_of_another_symbol():
    """Seen by the own weeks that have closed, which this symbol has from its first on."""
    own = frame(DAILY)
    weeks = frame(OTHER)["high"].resample("W-MON", label="left", closed="left").max().dropna()
    expected = closed_before(weeks, weeks.index + pd.Timedelta(days=7), own.index, pd.Timedelta(days=1))
    expected[own.index + pd.Timedelta(days=1) < pd.Timestamp("2020-01-06")] = np.nan
    np.testing.assert_array_equal(values('symbol("SPY").high@1w', DAILY, others={"SPY": OTHER}), expected)


def test_another_symbol_without_candles_has_no_values():
    nothing = cut(OTHER, 0, 0)
    assert np.isnan(values('symbol("SPY").close@1w', DAILY, others={"SPY": nothing})).all()
    assert np.isnan(values('symbol("SPY").close', DAILY, others={"SPY": nothing})).all()
    assert len(values("close@1w", cut(DAILY, 0, 0))) == 0
    assert len(values('TResample($close, "1w", "std")', cut(DAILY, 0, 0))) == 0


ACROSS = [
    "close@1w",
    "sma(close, 4)@1w - close",
    "highest(high@1M, 30)",
    "sma(sma(close, 3)@2w, 9)@1w",
    "close[2]@1w[3]",
    'TResample(Mean($close, 5), "1w", "mean")',
    'sma(symbol("SPY").close - close, 7)',
    "ChangeInstrument('SPY', sma($close, 10))[5]",
    'sma(symbol("SPY").high, 3)@1w',
    "ChangeInstrument('SPY', close@1w - sma(close, 4))",
    'correlation(close, symbol("SPY").close, 20)',
    "ChangeInstrument('SPY', ChangeInstrument('QQQ', sma(close, 3)) - sma(close, 5))",
]


@pytest.mark.parametrize("text", ACROSS)
def test_values_are_the_same_bits_wherever_the_range_begins_and_ends(text):
    stored = {"SPY": OTHER, "QQQ": made("QQQ", pd.date_range("2019-09-01", periods=700, freq="D"), seed=3)}
    formula = SERVICE.compile(text, parameters={})

    def over(start: int, stop: int) -> np.ndarray:
        """As a worker does it."""
        first = max(0, start - formula.warm_up_candles)
        own = cut(DAILY, first, stop)
        begin, end = int(own.open_time_micros[0]), int(own.open_time_micros[-1])
        others = {name: between(stored[name], begin, end, need) for name, need in formula.other_symbols.items()}
        return formula.evaluate(own, others=others)[0][start - first :]

    rows = len(DAILY)
    whole = over(0, rows)
    assert not np.isnan(whole[-1])
    for start in (1, 5, 6, 17, 60, 133, 250, rows - 1):
        np.testing.assert_array_equal(over(start, rows), whole[start:])
    for stop in (3, 50, 51, 52, 53, 54, 55, 56, 57, 200, rows - 1):
        np.testing.assert_array_equal(over(0, stop), whole[:stop])


def warm_up(text: str, timeframe: str = "1d") -> CompiledFormula:
    return SERVICE.compile(text, parameters={}, options=CompileOptions(timeframe=timeframe))


def test_the_warm_up_covers_the_unfinished_the_finished_and_the_needed_longer_candles():
    assert warm_up("close@1w").warm_up_candles == 2 * 7
    assert warm_up("sma(close, 20)@1w").warm_up_candles == (19 + 2) * 7
    assert warm_up("sma(close, 20)@1d", "1h").warm_up_candles == (19 + 2) * 24
    assert warm_up("close@1M", "1d").warm_up_candles == 2 * 31
    assert warm_up("sma(close@1w, 20)").warm_up_candles == 19 + 2 * 7
    assert dict(warm_up('sma(symbol("SPY").close, 20)').other_symbols) == {"SPY": 1}
    assert dict(warm_up("ChangeInstrument('SPY', sma($close, 20))").other_symbols) == {"SPY": 20}
    assert dict(warm_up("ChangeInstrument('SPY', sma($close, 20))@1w").other_symbols) == {"SPY": 21 * 7}
    assert warm_up("close@2w@1w").warm_up_candles == (2 * 2 + 2) * 7


def test_fields_of_other_sources_are_told_apart():
    fields = SERVICE.compile('a = close + open@1w; b = symbol("SPY").high@1w', parameters={}).plan.fields
    assert {tuple(source): names for source, names in fields.items()} == {
        ("", ""): ("close",),
        ("", "1w"): ("open",),
        ("SPY", "1w"): ("high",),
    }


def test_fields_are_rounded_to_32_bits_where_the_job_says_so():
    formula = SERVICE.compile("close * 2", parameters={}, options=CompileOptions(float32_fields=True))
    rounded = DAILY.fields["close"].astype(np.float32).astype(np.float64)
    np.testing.assert_array_equal(formula.evaluate(DAILY)[0], rounded * 2)
    assert (rounded != DAILY.fields["close"]).any()


def shifted_candles(symbol: str, first: str, frequency: str, rows: int, seed: int) -> Candles:
    return made(symbol, pd.date_range(first, periods=rows, freq=frequency), seed=seed)


@pytest.mark.parametrize(
    ("own", "other", "timeframe", "longer"),
    [
        (("2021-03-01 00:00", "h"), ("2021-02-20 00:45", "h"), "1h", "4h"),
        (("2021-03-01", "D"), ("2021-01-01 14:30", "D"), "1d", "1M"),
        (("2021-03-01", "D"), ("2021-01-01 14:30", "D"), "1d", "1w"),
        (("2021-03-01 23:00", "D"), ("2021-01-01", "D"), "1d", "1w"),
        (("2021-03-31", "ME"), ("2020-01-01", "MS"), "1M", "3M"),
        (("2021-03-01", "MS"), ("2020-01-31", "ME"), "1M", "3M"),
    ],
)
def test_a_candle_that_closes_later_is_never_seen_whenever_others_open(own, other, timeframe, longer):
    mine = shifted_candles("OWN", own[0], own[1], 60, 1)
    spy = shifted_candles("SPY", other[0], other[1], 400, 2)
    text = f'a = symbol("SPY").close@{longer}; b = symbol("SPY").high; c = close@{longer}'
    formula = SERVICE.compile(text, parameters={}, options=CompileOptions(timeframe=timeframe))
    whole = formula.evaluate(mine, others={"SPY": spy})
    for row in range(len(mine)):
        closes = period_ends(mine.open_time_micros[row : row + 1], timeframe)
        known = cut(spy, 0, int((period_ends(spy.open_time_micros, timeframe) <= closes).sum()))
        part = formula.evaluate(cut(mine, 0, row + 1), others={"SPY": known})
        for column, expected in zip(part, whole, strict=True):
            np.testing.assert_array_equal(column[row], expected[row])


def test_constants_are_over_the_candles_at_hand():
    assert values("streak(close > 0 and 1 > 0)@1w - streak(1 > 0)@1w", DAILY)[-1] == 0
    assert values("(close + sma(5, 3))@1w - close@1w", DAILY)[-1] == pytest.approx(5)
    other = values('ChangeInstrument("SPY", $close + TResample(1, "1w", "count"))', DAILY, others={"SPY": OTHER})
    alone = values('ChangeInstrument("SPY", $close)', DAILY, others={"SPY": OTHER})
    assert set((other - alone)[20:].round(9)) <= {2, 3, 4, 5, 6, 7, 1}
    nested = 'ChangeInstrument("SPY", $close + ChangeInstrument("QQQ", sma(1, 5) + $close * 0))'
    assert values(nested, DAILY, others={"SPY": OTHER, "QQQ": OTHER})[-1] == pytest.approx(alone[-1] + 1)


def test_a_look_ahead_is_reported_in_the_jobs_candles_wherever_it_is():
    def ahead(text: str) -> int:
        options = CompileOptions(allow_lookahead=True)
        return SERVICE.compile(text, parameters={}, options=options).plan.look_ahead_candles

    assert ahead("Ref($close, -3)") == 3
    assert ahead("Ref(Ref($close, -5), 5)") == 0
    assert ahead("Ref(Ref($close, -5), 2)") == 3
    assert ahead("sma(Ref($close, -5), 7)") == 5
    assert ahead("Ref($close, -1)@1w") == 7
    assert ahead("ChangeInstrument('SPY', Ref($close, -5))") == 5
    assert ahead("ChangeInstrument('SPY', Ref($close, -1))@1w") == 7


def test_an_unfinished_longer_candle_is_not_shown_as_a_whole_one():
    days = made("OWN", pd.date_range("2024-01-01", periods=10, freq="D"))  # to a Wednesday
    options = CompileOptions(allow_lookahead=True)
    seen = SERVICE.compile("Ref($close, -1)@1w", parameters={}, options=options).evaluate(days)[0]
    assert np.isnan(seen).all()


def test_weeks_are_not_put_together_to_days():
    for longer in ("7d", "14d", "1M"):
        with pytest.raises(FormulaError, match="does not consist of whole candles"):
            SERVICE.compile(f"close@{longer}", parameters={}, options=CompileOptions(timeframe="1w"))


def test_a_timeframe_stands_behind_a_field_of_another_symbol():
    with pytest.raises(FormulaError, match=r'stands behind a field: `symbol\("SPY"\).close@1w`'):
        SERVICE.compile('symbol("SPY")@1w.close', parameters={})


def test_the_warm_up_of_another_symbol_has_a_limit_too():
    with pytest.raises(FormulaError, match=r"needs .* candles of warm-up; the limit is 1000000"):
        SERVICE.compile(
            "ChangeInstrument('SPY', sma(close, 100000))@1M", parameters={}, options=CompileOptions(timeframe="1m")
        )


def test_what_a_mistake_of_a_longer_expression_is_is_told_beside_that_of_its_timeframe():
    with pytest.raises(FormulaError) as caught:
        SERVICE.compile("smaa(close, 5)@1x", parameters={})
    assert [problem.code for problem in caught.value.problems] == ["UNKNOWN_FUNCTION", "TIMEFRAME"]
