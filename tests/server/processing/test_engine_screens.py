"""Screens on the real pool: sorted at the end, with whatever symbol fails."""

import asyncio

import pytest

from candelabra.v1 import ScreenResponse
from candelabra_server.errors import InvalidRequestError
from candelabra_server.formulas.service import FormulaService
from candelabra_server.processing.processing_engine import ProcessingEngine
from support.memory_repository import MemoryRepository, candles_of
from support.screens import screen


def screened(repository, request):
    async def collect(engine):
        return [ScreenResponse.FromString(message) async for message in engine.screen(request)]

    with ProcessingEngine(repository, FormulaService(), max_workers=2) as engine:
        return asyncio.run(collect(engine))


def test_rows_come_sorted_and_cut_after_all_symbols_were_seen():
    symbols = [f"S{number:02}" for number in range(40)]
    request = screen([*symbols, "NOPE"], "price = close", order_by="price desc", limit=5)
    responses = screened(MemoryRepository(symbols), request)
    prices = {symbol: candles_of(symbol, 100).fields["close"][-1] for symbol in symbols}
    best = sorted(symbols, key=lambda symbol: (-prices[symbol], symbol))[:5]
    last = responses[-1]
    assert list(last.symbols) == best
    assert list(last.columns[0].values) == [prices[symbol] for symbol in best]
    assert (last.last, last.symbols_done, last.symbols_passed, last.symbols_failed) == (True, 41, 40, 1)
    failures = [failure for response in responses for failure in response.failures]
    assert [(failure.symbol, failure.error.reason) for failure in failures] == [("NOPE", "UNKNOWN_SYMBOL")]


def test_a_symbol_that_kills_its_worker_is_a_failure_like_others():
    symbols = [*(f"S{number:02}" for number in range(12)), "KILLS"]
    responses = screened(MemoryRepository(symbols), screen(symbols, "close"))
    assert sorted(symbol for response in responses for symbol in response.symbols) == symbols[:-1]
    (failure,) = (failure for response in responses for failure in response.failures)
    assert (failure.symbol, failure.error.reason) == ("KILLS", "WORKER_DIED")


def test_a_screen_that_cannot_run_fails_before_its_first_message():
    with pytest.raises(InvalidRequestError, match="filter"):
        screened(MemoryRepository(["A"]), screen("A", "close", filter="nope"))
