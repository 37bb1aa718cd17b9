"""Screens as a client sees them."""

import asyncio
import math

import grpc
import numpy as np
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo

from candelabra.v1 import ColumnKind, GetServerInfoRequest
from candelabra.v1.processing_pb2_grpc import ProcessingServiceStub
from candelabra_server.formulas.service import FormulaService
from support.jobs import job
from support.memory_repository import MemorySnapshot, candles_of
from support.screens import DAY, FIRST, rows_of, screen, store_of
from support.server import serving
from support.statuses import status_of

SYMBOLS = [f"S{number:03}" for number in range(300)]
CLOSES = {
    "A": [1.0, 2.0, 3.0, 4.0, 5.0],
    "B": [9.0, 8.0, 7.0, 6.0, 5.0],
    "C": [5.0, 5.0, 5.0, 5.0, 5.0],
    "D": [3.0],  # its average over three candles has no value
    "E": [7.0, 7.0, 7.0, 7.0, 8.0],
}


def run(body):
    return asyncio.run(asyncio.wait_for(body, 90))


async def read(call):
    return [message async for message in call]


def screened(request, *symbols, **settings):
    """The messages of a screen, on a server of its own."""

    async def body():
        async with serving(*symbols, **settings) as (_, channel, _engine):
            return await read(ProcessingServiceStub(channel).Screen(request))

    messages = run(body())
    assert [message.last for message in messages] == [False] * (len(messages) - 1) + [True]
    assert MemorySnapshot.open_count == 0
    return messages


def refused(request, *symbols):
    """The violations of a screen that cannot run, and its reason."""

    async def body():
        async with serving(*symbols) as (_, channel, _engine):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await read(ProcessingServiceStub(channel).Screen(request))
            return caught.value

    error = run(body())
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    bad_request, info = BadRequest(), ErrorInfo()
    for detail in status_of(error).details:
        detail.Unpack(bad_request)
        detail.Unpack(info)
    return {violation.field: violation.description for violation in bad_request.field_violations}, info.reason


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return store_of(tmp_path_factory.mktemp("store"), CLOSES, first_days={"C": 2}, vwap={"A": [1.0] * 5})


def names(messages):
    return "".join(row[0] for row in rows_of(messages))


def test_every_symbol_has_one_value_in_each_column_and_its_candles_open_time(repository):
    messages = screened(screen("*", "x = close; up = close > open * 2"), repository=repository)
    rows = {symbol: row for symbol, *row in rows_of(messages)}
    assert {symbol: x for symbol, (_, x, _) in rows.items()} == {
        symbol: closes[-1] for symbol, closes in CLOSES.items()
    }
    days = {"A": 4, "B": 4, "C": 6, "D": 0, "E": 4}
    assert {symbol: (time - FIRST) // DAY for symbol, (time, _, _) in rows.items()} == days
    for message in messages:
        assert [(column.name, column.kind) for column in message.columns] in (
            [],
            [("x", ColumnKind.COLUMN_KIND_NUMBER), ("up", ColumnKind.COLUMN_KIND_SIGNAL)],
        )
    last = messages[-1]
    assert (last.symbols_total, last.symbols_done, last.symbols_passed, last.symbols_failed) == (5, 5, 5, 0)
    assert last.screen_id
    assert last.info.candles_read == 5
    assert last.info.snapshot_id


def test_a_lone_condition_filters_and_so_does_a_named_output(repository):
    assert sorted(names(screened(screen("*", "close >= 5"), repository=repository))) == list("ABCE")
    request = screen("*", "average = sma(close, 3); pick = close > average", filter="pick")
    messages = screened(request, repository=repository)
    assert sorted(names(messages)) == ["A", "E"]
    assert messages[-1].symbols_passed == 2
    assert messages[-1].info.candles_read == 3 * 4 + 1


def test_as_of_is_the_time_that_the_screen_looks_from(repository):
    messages = screened(screen("*", "x = close", as_of="2020-01-02", order_by="symbol"), repository=repository)
    assert rows_of(messages) == [
        ("A", FIRST + DAY, 2.0),
        ("B", FIRST + DAY, 8.0),
        ("D", FIRST, 3.0),
        ("E", FIRST + DAY, 7.0),
    ]
    (failure,) = [failure for message in messages for failure in message.failures]
    assert (failure.symbol, failure.error.reason) == ("C", "NO_CANDLES")
    assert "2020-01-03" in failure.error.message
    assert messages[-1].symbols_failed == 1


@pytest.mark.parametrize(
    ("order_by", "limit", "expected"),
    [
        ("x", 0, "DABCE"),
        ("x desc", 0, "EABCD"),
        ("x desc, symbol desc", 0, "ECBAD"),
        ("average, symbol", 0, "ACBED"),  # D's is missing: last
        ("average desc", 0, "EBCAD"),
        ("x, average desc", 0, "DBCAE"),
        ("symbol desc", 0, "EDCBA"),
        ("", 2, "AB"),
        ("x desc", 2, "EA"),
        ("average desc", 100, "EBCAD"),
    ],
)
def test_rows_come_sorted_and_cut(repository, order_by, limit, expected):
    request = screen("*", "x = close; average = sma(close, 3)", order_by=order_by, limit=limit)
    messages = screened(request, repository=repository)
    assert names(messages) == expected
    assert messages[-1].symbols_passed == 5


def test_values_that_are_missing_are_sent_as_nan(repository):
    ((symbol, _, value),) = rows_of(screened(screen("D", "x = sma(close, 3)"), repository=repository))
    assert symbol == "D"
    assert math.isnan(value)


def test_failures_are_counted_and_listed_and_end_nothing(repository):
    messages = screened(screen(["A", "NOPE", "B"], "x = vwap", order_by="x"), repository=repository)
    reasons = {failure.symbol: failure.error.reason for message in messages for failure in message.failures}
    assert reasons == {"NOPE": "UNKNOWN_SYMBOL", "B": "FIELD_NOT_STORED"}
    assert names(messages) == "A"
    last = messages[-1]
    assert (last.symbols_total, last.symbols_done, last.symbols_passed, last.symbols_failed) == (3, 3, 1, 2)


def test_no_text_of_a_foreign_exception_is_sent():
    messages = screened(screen("*", "x = close"), "A", "RAISES")
    (failure,) = [failure for message in messages for failure in message.failures]
    assert (failure.symbol, failure.error.reason) == ("RAISES", "INTERNAL")
    assert "secret" not in failure.error.message


def test_a_symbol_whose_worker_dies_is_a_failure_and_the_others_are_screened():
    messages = screened(screen("*", "x = close", order_by="symbol"), "KILLS", *SYMBOLS[:40])
    assert [row[0] for row in rows_of(messages)] == SYMBOLS[:40]
    (failure,) = [failure for message in messages for failure in message.failures]
    assert (failure.symbol, failure.error.reason) == ("KILLS", "WORKER_DIED")
    assert messages[-1].symbols_done == 41


def test_counters_never_fall_and_values_are_those_of_the_formula_over_each_symbol():
    messages = screened(screen("*", "x = rsi(close, 14); y = sma(close, 5)"), *SYMBOLS)
    for name in ("symbols_done", "symbols_passed", "symbols_failed"):
        told = [getattr(message, name) for message in messages]
        assert told == sorted(told)
    assert messages[-1].symbols_done == 300
    formula = FormulaService().compile("x = rsi(close, 14); y = sma(close, 5)", parameters={})
    rows = {row[0]: row[2:] for row in rows_of(messages)}
    assert sorted(rows) == SYMBOLS
    for symbol, values in rows.items():
        candles = candles_of(symbol, 100).last(1, warm_up_candles=formula.warm_up_candles)
        np.testing.assert_array_equal(values, formula.evaluate(candles)[:, -1])


def test_a_screen_that_cannot_run_is_refused_with_every_violation_at_once():
    request = screen(
        "A", "pick = close > 1; x = close", timeframe="1h", as_of="now", filter="pic", order_by="y", limit=-1
    )
    violations, reason = refused(request, "A")
    assert set(violations) == {"timeframe", "as_of", "filter", "order_by", "limit"}
    assert "did you mean `pick`?" in violations["filter"]
    assert reason == "INVALID_REQUEST"


def test_a_formula_is_required_and_mistakes_in_it_have_their_own_reason():
    violations, _ = refused(screen("A"), "A")
    assert set(violations) == {"formula"}
    violations, reason = refused(screen("A", "smaa(close, 10)"), "A")
    assert set(violations) == {"formula.expression"}
    assert reason == "INVALID_FORMULA"


def test_a_cancelled_screen_frees_the_server(tmp_path):
    marker = tmp_path / "go"

    async def body():
        async with serving("WAITS", *SYMBOLS, marker=str(marker)) as (server, channel, engine):
            call = ProcessingServiceStub(channel).Screen(screen("*", "x = close"))
            await call.read()
            assert server._processing._active_jobs == 1
            call.cancel()
            await server._processing._idle.wait()
            marker.touch()
            assert await engine.process_batch(job("S001", "close"))
            return await ProcessingServiceStub(channel).GetServerInfo(GetServerInfoRequest())

    assert run(body()).active_jobs == 0
    assert MemorySnapshot.open_count == 0


def test_a_deadline_ends_a_sorted_screen(tmp_path):
    marker = tmp_path / "go"

    async def body():
        async with serving("WAITS", marker=str(marker)) as (server, channel, _engine):
            call = ProcessingServiceStub(channel).Screen(screen("*", "x = close", limit=1), timeout=0.2)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await read(call)
            await server._processing._idle.wait()
            marker.touch()
            return caught.value

    assert run(body()).code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_draining_server_refuses_screens_and_finishes_those_that_run(tmp_path):
    marker = tmp_path / "go"

    async def body():
        async with serving("WAITS", "A", marker=str(marker)) as (server, channel, _engine):
            stub = ProcessingServiceStub(channel)
            running = asyncio.create_task(read(stub.Screen(screen("WAITS", "x = close"))))
            while not server._processing._active_jobs:
                await asyncio.sleep(0)
            draining = asyncio.create_task(server.drain())
            await asyncio.sleep(0)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await read(stub.Screen(screen("A", "x = close")))
            marker.touch()
            return caught.value, await running, await draining

    refused_with, messages, is_drained = run(body())
    assert refused_with.code() is grpc.StatusCode.UNAVAILABLE
    assert [row[0] for row in rows_of(messages)] == ["WAITS"]
    assert is_drained
