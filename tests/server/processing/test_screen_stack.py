"""Candles of many symbols, evaluated at once: which of them, and that nothing of it shows."""

import numpy as np
import pytest

from candelabra_server.domain.candles import Candles
from candelabra_server.errors import Reason, SymbolFailure
from candelabra_server.formulas.buffers import Buffers
from candelabra_server.formulas.service import FormulaService
from candelabra_server.processing.screen_stack import Stack
from candelabra_server.processing.screen_worker import screen_symbols
from candelabra_server.processing.symbol_watch import ChunkUnwantedError, SymbolWatch

SERVICE = FormulaService()
TEXT = "average = sma(close, 4); is_above = close > average"
ROWS = 4


def candles(symbol, rows=ROWS, **fields):
    random = np.random.default_rng(sum(symbol.encode()))
    return Candles(symbol, np.arange(rows) * 60, {"close": random.random(rows)} | fields, max(0, rows - 1))


def stack_of(text=TEXT):
    return Stack(SERVICE.compile(text, parameters={}))


def screened(symbols, *, load=candles, watch=None):
    return screen_symbols(
        symbols, load=load, formula=SERVICE.compile(TEXT, parameters={}), filter_column=None, buffers=Buffers(),
        watch=watch or SymbolWatch(),
    )  # fmt: skip


def reasons(chunk):
    return {failure.symbol: failure.error.reason for failure in chunk.failures}


class Noting(SymbolWatch):
    """Notes which symbols are begun, and at which of them the clock is looked at: after loading, and in evaluations."""

    def __init__(self):
        super().__init__()
        self.begun = []
        self.checks = []

    def begin(self, position):
        self.begun.append(position)

    def check(self):
        self.checks.append(self.begun[-1])


def test_it_takes_symbols_with_just_the_candles_that_the_last_row_needs():
    stack = stack_of()
    assert not stack.add(0, candles("SHORT", ROWS - 1))
    assert not stack.add(1, candles("LONG", ROWS + 1))
    assert not stack.add(2, Candles("OTHER", np.arange(ROWS), {"open": np.ones(ROWS)}))
    assert stack.add(3, candles("A"))
    assert stack.add(4, candles("B"))
    assert (stack.positions, stack.rows) == ([3, 4], 2 * ROWS)


@pytest.mark.parametrize("text", ["rsi(close, 3)", "Mean($close, 0)", "sma(close, 30000)"])
def test_it_takes_none_for_a_formula_that_looks_further_or_too_far_back(text):
    stack = stack_of(text)
    assert stack.is_full
    assert not stack.add(0, candles("A", SERVICE.compile(text, parameters={}).warm_up_candles % 100_000 + 1))


def test_the_last_rows_are_each_symbols_own():
    stack, formula = stack_of(), SERVICE.compile(TEXT, parameters={})
    symbols = [candles(name, close=np.array(values)) for name, values in {
        "A": [1.0, 2, 3, 4], "NAN": [1, np.nan, 3, 4], "INFINITE": [np.inf, 2, 3, 1e308], "B": [4, 3, 2, 1],
    }.items()]  # fmt: skip
    for position, one in enumerate(symbols):
        assert stack.add(position, one)
    rows = stack.last_rows(lambda: None, Buffers())
    assert rows.shape == (2, 4)
    for column, one in zip(rows.T, symbols, strict=True):
        assert column.tobytes() == formula.evaluate(one)[:, -1].tobytes()
    stack.clear()
    assert stack.rows == 0


def test_a_full_stack_is_evaluated_and_goes_on():
    stack = stack_of()
    most = 0
    while stack.add(most, candles("A")):
        most += 1
    assert stack.is_full
    assert most > 1_000
    names = [f"S{number}" for number in range(2 * most + 5)]
    chunk = screened(names)
    assert list(chunk.symbols) == names
    assert chunk.candles_read == len(names) * ROWS
    averages = np.frombuffer(chunk.values, "<f8")[: len(names)]
    expected = [SERVICE.compile(TEXT, parameters={}).evaluate(candles(name))[0, -1] for name in names]
    assert averages.tolist() == expected


def test_symbols_that_are_not_stacked_stand_where_they_were_asked_for():
    names = ["A", "SHORT", "B", "SHORTER", "C"]
    chunk = screened(names, load=lambda name: candles(name, 2 if name.startswith("SHORT") else ROWS))
    assert list(chunk.symbols) == names
    assert np.isnan(np.frombuffer(chunk.values, "<f8")[:5]).tolist() == [False, True, False, True, False]


def test_many_symbols_are_one_evaluation():
    watch = Noting()
    screened(["A", "B", "C"], watch=watch)
    assert watch.begun == [0, 1, 2]
    assert watch.checks[:3] == [0, 1, 2]
    assert set(watch.checks[3:]) == {2}


def test_where_the_stack_fails_each_symbol_is_tried_alone():
    class Late(Noting):
        def check(self):
            super().check()
            if len(self.checks) == 4 or self.begun == [0, 1, 2, 0, 1]:
                raise SymbolFailure("too long", reason=Reason.SYMBOL_TIME_LIMIT)

    watch = Late()
    chunk = screened(["A", "B", "C"], watch=watch)
    assert watch.begun == [0, 1, 2, 0, 1, 2]
    assert list(chunk.symbols) == ["A", "C"]
    assert reasons(chunk) == {"B": "SYMBOL_TIME_LIMIT"}
    assert chunk.candles_read == 2 * ROWS


@pytest.mark.parametrize("unwanted_at", [4, 5])
def test_a_chunk_that_is_not_wanted_any_more_ends_in_the_stack_and_after_it(unwanted_at):
    class Unwanted(Noting):
        def check(self):
            super().check()
            if len(self.checks) == unwanted_at:
                raise ChunkUnwantedError
            if len(self.checks) == 4:
                raise MemoryError

    with pytest.raises(ChunkUnwantedError):
        screened(["A", "B", "C"], watch=Unwanted())
