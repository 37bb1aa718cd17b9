"""What a worker does for a screen's chunk, over a real store and with real formulas."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from candelabra_server.domain.candles import Candles
from candelabra_server.domain.date_range import MAX_MICROS, DateRange
from candelabra_server.errors import Reason, SymbolFailure
from candelabra_server.formulas.buffers import Buffers
from candelabra_server.formulas.compile_options import CompileOptions
from candelabra_server.formulas.service import FormulaService
from candelabra_server.processing.screen_worker import fail_symbols, last_candles, screen_symbols
from candelabra_server.processing.symbol_watch import SymbolWatch
from support.memory_repository import MemoryRepository
from support.screens import DAY, FIRST, store_of

SERVICE = FormulaService()
SYMBOLS = [f"S{number:02}" for number in range(12)]
FORMULAS = [
    "close",
    "sma(close, 20) > sma(close, 50)",
    "fast = sma(close, 3); pick = rsi(close, 14) < 50; x = close / 0 * 0",
    "x = ema(close, 10); y = 1",
    "Mean($close, 0)",
    "macd(close)",
]


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    random = np.random.default_rng(3)
    rows = {name: 10 * number + 1 for number, name in enumerate(SYMBOLS)}
    closes = {name: 100 * np.exp(np.cumsum(random.normal(0, 0.02, count))) for name, count in rows.items()}
    return store_of(
        tmp_path_factory.mktemp("store"),
        closes,
        first_days={"S00": 60, "S01": 30},
        vwap={name: values + 1 for name, values in closes.items() if name in {"S03", "S04"}},
    )


def screened(repository, text, symbols=SYMBOLS, *, end=MAX_MICROS, filter_column=None, options=None, **further):
    formula = SERVICE.compile(text, parameters={}, options=options or CompileOptions())
    load = last_candles(repository, timeframe="1d", end_micros=end, formula=formula, snapshot_id="")
    chunk = screen_symbols(
        symbols,
        load=load,
        formula=formula,
        filter_column=filter_column,
        buffers=Buffers(),
        **{"watch": SymbolWatch()} | further,
    )
    times = np.frombuffer(chunk.as_of_micros, "<i8").tolist()
    values = np.frombuffer(chunk.values, "<f8").reshape(len(formula.columns), len(times))
    return chunk, {symbol: (time, *row) for symbol, time, row in zip(chunk.symbols, times, values.T, strict=True)}


def reasons(chunk):
    return {failure.symbol: failure.error.reason for failure in chunk.failures}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(text=st.sampled_from(FORMULAS), days=st.one_of(st.integers(0, 125), st.none()))
def test_values_are_to_the_bit_those_of_a_job_that_wants_the_last_row(repository, text, days):
    end = MAX_MICROS if days is None else FIRST + days * DAY
    chunk, found = screened(repository, text, end=end)
    formula = SERVICE.compile(text, parameters={})
    candles_read, missing = 0, set()
    for symbol in SYMBOLS:
        try:
            whole = repository.load(symbol, "1d", DateRange(end_micros=end), warm_up_candles=0, snapshot_id="")
        except SymbolFailure:
            missing.add(symbol)
            continue
        candles = whole.last(1, warm_up_candles=formula.warm_up_candles)
        candles_read += len(candles)
        expected = formula.evaluate(candles)[:, -1]
        time, *values = found[symbol]
        assert time == candles.open_time_micros[-1]
        assert np.array(values).tobytes() == expected.tobytes()
    assert reasons(chunk) == dict.fromkeys(missing, "NO_CANDLES")
    assert chunk.candles_read == candles_read


def test_only_symbols_whose_filter_is_neither_zero_nor_missing_pass(repository):
    _, everything = screened(repository, "x = sma(close, 30) - sma(close, 20)")
    assert any(math.isnan(value) for _, value in everything.values())
    _, passed = screened(repository, "x = sma(close, 30) - sma(close, 20)", filter_column=0)
    assert list(passed) == [name for name, (_, value) in everything.items() if value and not math.isnan(value)]
    assert 0 < len(passed) < len(everything)
    assert screened(repository, "x = close * 0; y = close", filter_column=0)[1] == {}


def test_no_other_fields_than_the_formulas_are_loaded(repository):
    formula = SERVICE.compile("high - low", parameters={})
    load = last_candles(repository, timeframe="1d", end_micros=MAX_MICROS, formula=formula, snapshot_id="")
    assert set(load("S05").fields) == {"high", "low"}


def test_what_is_wrong_with_a_symbol_is_its_failure_and_the_others_go_on(repository):
    chunk, found = screened(repository, "vwap - close", ["NOPE", "S03", "S05", "S04"])
    assert reasons(chunk) == {"NOPE": "UNKNOWN_SYMBOL", "S05": "FIELD_NOT_STORED"}
    assert list(found) == ["S03", "S04"]
    told = {failure.symbol: failure.error for failure in chunk.failures}
    assert dict(told["NOPE"].metadata) == {"symbol": "NOPE", "timeframe": "1d"}
    assert "stored are: close, high, low, open, volume" in told["S05"].message


def test_a_symbol_without_a_candle_up_to_the_time_says_what_is_stored(repository):
    chunk, found = screened(repository, "close", ["S00", "S02"], end=FIRST + 5 * DAY)
    assert list(found) == ["S02"]
    assert found["S02"][0] == FIRST + 5 * DAY
    assert "S00 has no 1d candles up to 2020-01-06" in chunk.failures[0].error.message


@pytest.mark.parametrize("symbol", ["RAISES", "EXITS", "UNPICKLABLE", "ODD-FAILURE"])
def test_nothing_that_a_repository_raises_leaves_or_is_told(symbol, caplog):
    """Pool traps 3 and 4, rule 5."""
    repository = MemoryRepository(["A", "B", symbol])
    chunk, found = screened(repository, "close", ["A", symbol, "B"])
    assert list(found) == ["A", "B"]
    (failure,) = chunk.failures
    assert (failure.symbol, failure.error.reason) == (symbol, "INTERNAL")
    assert "secret" not in failure.error.message
    assert symbol in caplog.text


def test_a_repository_that_gives_no_rows_is_a_failure():
    def load(symbol):
        return Candles(symbol, np.empty(0, np.int64), {"close": np.empty(0)})

    formula = SERVICE.compile("close", parameters={})
    chunk = screen_symbols(
        ["A"], load=load, formula=formula, filter_column=None, buffers=Buffers(), watch=SymbolWatch()
    )
    assert reasons(chunk) == {"A": "NO_CANDLES"}


def test_the_other_symbols_that_a_formula_reads_come_from_their_own_callable(repository):
    formula = SERVICE.compile('close / symbol("S11").close', parameters={})
    assert formula.other_symbols
    asked = []

    def load_others(candles):
        asked.append(candles.symbol)
        date_range = DateRange(int(candles.open_time_micros[0]), int(candles.open_time_micros[-1]))
        return {
            symbol: repository.load(symbol, "1d", date_range, warm_up_candles=warm_up, snapshot_id="")
            for symbol, warm_up in formula.other_symbols.items()
        }

    load = last_candles(repository, timeframe="1d", end_micros=MAX_MICROS, formula=formula, snapshot_id="")
    chunk = screen_symbols(
        ["S10", "S11"],
        load=load,
        formula=formula,
        filter_column=None,
        buffers=Buffers(),
        watch=SymbolWatch(),
        load_others=load_others,
    )
    assert asked == ["S10", "S11"]
    assert np.frombuffer(chunk.values, "<f8")[1] == 1.0


def test_each_symbol_has_a_time_limit_of_its_own(repository):
    class Watch(SymbolWatch):
        def begin(self, position):
            self.position = position

        def check(self):
            if self.position == 1:
                raise SymbolFailure("too long", reason=Reason.SYMBOL_TIME_LIMIT)

    chunk, found = screened(repository, "close", ["S03", "S04", "S05"], watch=Watch())
    assert list(found) == ["S03", "S05"]
    assert reasons(chunk) == {"S04": "SYMBOL_TIME_LIMIT"}


def test_a_look_ahead_finds_no_candle_after_the_last_one(repository):
    options = CompileOptions(allow_lookahead=True)
    _, found = screened(repository, "Ref($close, -1)", ["S05"], end=FIRST + 9 * DAY, options=options)
    assert math.isnan(found["S05"][1])


def test_a_cause_that_all_symbols_share_fails_all_of_them():
    chunk = fail_symbols(["A", "B"], SymbolFailure("wrong", reason=Reason.INVALID_REQUEST, metadata={"a": "b"}))
    assert reasons(chunk) == {"A": "INVALID_REQUEST", "B": "INVALID_REQUEST"}
    assert dict(chunk.failures[0].error.metadata) == {"a": "b"}
    assert not chunk.symbols
