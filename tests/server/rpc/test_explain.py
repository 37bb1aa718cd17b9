"""ExplainJob as a client sees it."""

import asyncio
import threading

import grpc
import pytest

from candelabra.v1 import ExplainJobRequest
from candelabra.v1.processing_pb2_grpc import ProcessingServiceStub
from candelabra_server.errors import StoreError
from support.jobs import job
from support.memory_repository import MemoryRepository, MemorySnapshot
from support.server import serving


def run(body):
    return asyncio.run(asyncio.wait_for(body, 60))


async def explain(channel, request):
    return await ProcessingServiceStub(channel).ExplainJob(ExplainJobRequest(job=request))


def explained(request, *symbols):
    async def body():
        async with serving(*symbols) as (_, channel, _engine):
            return await explain(channel, request)

    return run(body())


def test_a_job_is_explained_over_the_wire():
    request = job("*", "d = sma(close, n) - sma(close, n)[1]", parameters={"n": 20}, start="2020-03-01")
    answer = explained(request, "A", "B")
    assert (answer.symbols_total, answer.timeframe, list(answer.violations)) == (2, "1d", [])
    assert [(node.operation, node.uses) for node in answer.formula.nodes] == [
        ("field", 1),
        ("simple_mean", 2),
        ("shift", 1),
        ("subtract", 1),
    ]
    assert answer.formula.warm_ups[0].candles == 20
    assert answer.estimate.candles_read == 2 * (40 + 20)
    assert answer.estimate.result_rows == 2 * 40


def test_a_job_that_cannot_run_is_answered_not_refused():
    answer = explained(job(["A", "NOPE"], "smaa(close, 10)", start="yesterday"), "A")
    assert [violation.field for violation in answer.violations] == ["date_range.start"]
    (problem,) = answer.formula_problems
    assert (problem.code, problem.suggestion) == ("UNKNOWN_FUNCTION", "sma")
    assert (answer.symbols_total, list(answer.unknown_symbols)) == (2, ["NOPE"])
    assert not answer.HasField("estimate")


def test_explaining_reads_the_store_in_another_thread_and_holds_nothing_after(monkeypatch):
    threads = []
    for name in ("snapshot", "list_symbols"):
        original = getattr(MemoryRepository, name)

        def spy(self, timeframe, original=original):
            threads.append(threading.current_thread())
            return original(self, timeframe)

        monkeypatch.setattr(MemoryRepository, name, spy)
    explained(job("A", "close"), "A")
    assert len(threads) == 2
    assert threading.main_thread() not in threads
    assert MemorySnapshot.open_count == 0


@pytest.mark.parametrize(
    ("raised", "shown"),
    [(StoreError("the store is torn"), "the store is torn"), (RuntimeError("secret"), "an unexpected error")],
)
def test_a_store_that_cannot_be_read_ends_the_call_with_internal(monkeypatch, raised, shown):
    def fail(_self, _timeframe):
        raise raised

    monkeypatch.setattr(MemoryRepository, "snapshot", fail)

    async def body():
        async with serving("A") as (_, channel, _engine):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await explain(channel, job("A", "close"))
            return caught.value

    error = run(body())
    assert error.code() is grpc.StatusCode.INTERNAL
    assert shown in error.details()
    assert "secret" not in error.details()


def test_bytes_that_are_no_message_are_refused():
    async def body():
        async with serving("A") as (_, channel, _engine):
            call = channel.unary_unary("/candelabra.v1.ProcessingService/ExplainJob")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(b"\x0a\x02\xff\xfe")
            return caught.value

    error = run(body())
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "candelabra.v1.ExplainJobRequest" in error.details()


def test_a_draining_server_still_explains():
    async def body():
        async with serving("A") as (server, channel, _engine):
            await server.drain()
            return await explain(channel, job("A", "close"))

    assert run(body()).estimate.result_rows == 100
