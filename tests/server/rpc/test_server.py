"""The server as a client sees it."""

import asyncio
import logging
from contextlib import asynccontextmanager

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from candelabra.v1 import GetServerInfoRequest, ListSymbolsRequest, ProcessingJob
from candelabra.v1.candles_pb2_grpc import CandleServiceStub
from candelabra.v1.processing_pb2_grpc import ProcessingServiceStub
from candelabra_server import __version__
from candelabra_server.errors import ConfigurationError
from candelabra_server.rpc.handlers import stream_bytes
from support.jobs import job
from support.memory_repository import MemoryRepository
from support.server import serving
from support.statuses import status_of

SERVICES = ("candelabra.v1.ProcessingService", "candelabra.v1.FormulaService", "candelabra.v1.CandleService")
SYMBOLS = [f"S{index:03}" for index in range(300)]


def run(body):
    return asyncio.run(asyncio.wait_for(body, 90))


async def read(call):
    return [message async for message in call]


async def failure_of(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await read(call)
    return caught.value


def details_of(error, kind):
    found = []
    for detail in status_of(error).details:
        message = kind()
        if detail.Unpack(message):
            found.append(message)
    return found


def test_each_symbols_result_is_streamed_and_decoded_by_the_generated_client():
    async def body():
        async with serving(*SYMBOLS) as (_, channel, _engine):
            return await read(ProcessingServiceStub(channel).Process(job("*", "sma(close, 5)")))

    results = run(body())
    assert sorted(result.symbol for result in results) == SYMBOLS
    assert [result.sequence for result in results] == list(range(1, 301))
    assert len({result.job_id for result in results}) == 1
    assert results[-1].symbols_done == results[-1].symbols_total == 300


def test_one_bad_symbol_is_an_error_of_its_own_and_the_stream_ends_well():
    async def body():
        async with serving("A", "RAISES") as (_, channel, _engine):
            call = ProcessingServiceStub(channel).Process(job(["A", "NOPE", "RAISES"], "close"))
            return {result.symbol: result for result in await read(call)}, await call.code()

    results, code = run(body())
    assert code is grpc.StatusCode.OK
    assert results["NOPE"].error.reason == "UNKNOWN_SYMBOL"
    assert results["RAISES"].error.reason == "INTERNAL"
    assert "secret" not in results["RAISES"].error.message
    assert not results["A"].HasField("error")


def test_a_job_that_cannot_run_is_refused_with_every_violation_before_anything_is_sent():
    async def body():
        async with serving("A") as (_, channel, _engine):
            request = job("A", "smaa(close, 10)", timeframe="1h", start="yesterday")
            return await failure_of(ProcessingServiceStub(channel).Process(request))

    error = run(body())
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    (info,) = details_of(error, ErrorInfo)
    assert info.domain == "candelabra"
    (bad_request,) = details_of(error, BadRequest)
    violations = {violation.field: violation.description for violation in bad_request.field_violations}
    assert set(violations) == {"date_range.start", "formula.expression", "timeframe"}
    assert "line 1, column 1" in violations["formula.expression"]
    assert "`sma`" in violations["formula.expression"]
    assert "stored are: 1d" in violations["timeframe"]


def test_the_message_alone_names_line_column_and_suggestion():
    async def body():
        async with serving("A") as (_, channel, _engine):
            return await failure_of(ProcessingServiceStub(channel).Process(job("A", "smaa(close, 10)")))

    details = run(body()).details()
    assert "line 1, column 1" in details
    assert "sma" in details.replace("smaa", "")


def test_a_job_with_an_unknown_saved_formula_is_refused():
    request = job("A")
    request.formula.id = "mine"

    async def body():
        async with serving("A") as (_, channel, _engine):
            return await failure_of(ProcessingServiceStub(channel).Process(request))

    error = run(body())
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == "formula.id: there is no formula `mine`"
    assert details_of(error, ErrorInfo)[0].reason == "FORMULA_NOT_FOUND"


def test_a_cancelled_job_is_dropped(tmp_path):
    """grpc trap 2, the first face: the client cancels while the job waits."""
    marker = tmp_path / "go"

    async def body():
        async with serving("WAITS", *SYMBOLS, marker=str(marker)) as (server, channel, engine):
            call = ProcessingServiceStub(channel).Process(job("*", "close"))
            await call.read()
            call.cancel()
            await server._processing._idle.wait()
            marker.touch()
            assert await engine.process_batch(job("S001", "close"))

    run(body())


def test_a_client_that_vanishes_during_a_write_leaves_no_job_behind(caplog):
    """grpc trap 2, the second face: the client cancels while results are written."""

    async def body():
        async with serving("BIG", rows=400_000) as (server, channel, _engine):
            call = ProcessingServiceStub(channel).Process(job("BIG"))
            await call.read()
            call.cancel()
            await server._processing._idle.wait()

    run(body())
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_deadline_ends_the_job(tmp_path):
    marker = tmp_path / "go"

    async def body():
        async with serving("WAITS", marker=str(marker)) as (server, channel, _engine):
            error = await failure_of(ProcessingServiceStub(channel).Process(job("WAITS", "close"), timeout=0.2))
            await server._processing._idle.wait()
            marker.touch()
            return error

    assert run(body()).code() is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (RuntimeError("the secret is in /a/path"), grpc.StatusCode.INTERNAL),
        (asyncio.CancelledError(), grpc.StatusCode.UNAVAILABLE),
    ],
)
def test_no_exception_leaves_a_client_without_a_status_or_with_its_text(raised, code):
    """grpc traps 1 and 9: a stray CancelledError sends no status at all, any other exception its class and text."""

    async def fails(_request, _seconds):
        raise raised
        yield b""

    async def body():
        async with served({"Fail": stream_bytes(ProcessingJob, fails, limit_seconds=60)}) as channel:
            call = channel.unary_stream("/test.Service/Fail", request_serializer=ProcessingJob.SerializeToString)
            return await failure_of(call(ProcessingJob(), timeout=30))

    error = run(body())
    assert error.code() is code
    assert "secret" not in error.details()


def test_bytes_that_are_no_message_are_refused_in_words_of_our_own():
    async def body():
        async with serving("A") as (_, channel, _engine):
            call = channel.unary_stream("/candelabra.v1.ProcessingService/Process")
            return await failure_of(call(b"\x0a\x02\xff\xfe"))

    error = run(body())
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == "request: is not a candelabra.v1.ProcessingJob message; texts must be UTF-8"


@asynccontextmanager
async def served(methods):
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Service", methods)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(0)


def test_health_is_serving_only_once_the_workers_are_warm_and_not_while_draining():
    async def body():
        async with serving("A") as (server, channel, _engine):
            stub = health_pb2_grpc.HealthStub(channel)
            seen = []
            for step in (asyncio.sleep, server.set_serving, server.drain):
                await (step(0) if step is asyncio.sleep else step())
                answers = [await stub.Check(health_pb2.HealthCheckRequest(service=s)) for s in ("", *SERVICES)]
                seen.append({answer.status for answer in answers})
            return seen

    response = health_pb2.HealthCheckResponse
    assert run(body()) == [{response.NOT_SERVING}, {response.SERVING}, {response.NOT_SERVING}]


def test_a_draining_server_refuses_jobs_and_finishes_those_that_run(tmp_path):
    marker = tmp_path / "go"

    async def body():
        async with serving("WAITS", "A", marker=str(marker)) as (server, channel, _engine):
            running = asyncio.create_task(read(ProcessingServiceStub(channel).Process(job("WAITS", "close"))))
            while not server._processing._active_jobs:
                await asyncio.sleep(0)
            draining = asyncio.create_task(server.drain())
            await asyncio.sleep(0)
            refused = await failure_of(ProcessingServiceStub(channel).Process(job("A", "close")))
            marker.touch()
            return refused, await running, await draining

    refused, results, is_drained = run(body())
    assert refused.code() is grpc.StatusCode.UNAVAILABLE
    assert [result.symbol for result in results] == ["WAITS"]
    assert is_drained


def test_a_drain_does_not_wait_for_ever(tmp_path):
    marker = tmp_path / "go"

    async def body():
        async with serving("WAITS", marker=str(marker), drain_seconds=0.05) as (server, channel, _engine):
            call = ProcessingServiceStub(channel).Process(job("WAITS", "close"))
            while not server._processing._active_jobs:
                await asyncio.sleep(0)
            is_drained = await server.drain()
            marker.touch()
            call.cancel()
            return is_drained

    assert run(body()) is False


def test_a_server_without_jobs_drains_in_no_time_and_refuses_them_after():
    async def body():
        async with serving("A", drain_seconds=0) as (server, channel, _engine):
            is_drained = await server.drain()
            return is_drained, await failure_of(ProcessingServiceStub(channel).Process(job("A")))

    is_drained, refusal = run(body())
    assert is_drained
    assert refusal.code() is grpc.StatusCode.UNAVAILABLE


def test_reflection_lists_the_services():
    async def body():
        async with serving("A") as (_, channel, _engine):
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            request = reflection_pb2.ServerReflectionRequest(list_services="")
            (answer,) = await read(stub.ServerReflectionInfo(iter([request])))
            return {service.name for service in answer.list_services_response.service}

    assert run(body()) >= {*SERVICES, "grpc.health.v1.Health"}


def test_server_info_describes_the_server():
    async def body():
        async with serving("A", "B") as (_, channel, _engine):
            return await ProcessingServiceStub(channel).GetServerInfo(GetServerInfoRequest())

    info = run(body())
    assert (info.version, info.workers, info.active_jobs) == (__version__, 2, 0)
    assert [(stored.timeframe, stored.symbol_count) for stored in info.timeframes] == [("1d", 2)]
    assert (info.max_symbols_per_job, info.max_jobs) == (100_000, 100)
    assert (info.symbol_time_limit_millis, info.job_time_limit_millis) == (60_000, 3_600_000)
    assert info.start_time_micros > 0


def test_symbols_are_listed_page_by_page():
    async def body():
        async with serving(*SYMBOLS) as (_, channel, _engine):
            stub, listed, token = CandleServiceStub(channel), [], ""
            while True:
                page = await stub.ListSymbols(ListSymbolsRequest(timeframe="day", page_size=70, page_token=token))
                assert len(page.symbols) <= 70
                listed += page.symbols
                token = page.next_page_token
                if not token:
                    return listed

    listed = run(body())
    assert [entry.symbol for entry in listed] == SYMBOLS
    assert {entry.timeframe for entry in listed} == {"1d"}
    assert {entry.candle_count for entry in listed} == {100}


@pytest.mark.parametrize(
    ("request_fields", "field"),
    [
        ({"timeframe": "fortnight"}, "timeframe"),
        ({"page_token": "&&&"}, "page_token"),
        ({"page_size": -1}, "page_size"),
        ({"symbols": [f"A{number}*" for number in range(101)]}, "symbols"),
    ],
)
def test_a_wrong_listing_is_refused(request_fields, field):
    async def body():
        async with serving("A") as (_, channel, _engine):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await CandleServiceStub(channel).ListSymbols(ListSymbolsRequest(**request_fields))
            return caught.value

    error = run(body())
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert details_of(error, BadRequest)[0].field_violations[0].field == field


def test_symbols_are_listed_by_pattern():
    async def body():
        async with serving("AA", "AB", "B[C]") as (_, channel, _engine):
            request = ListSymbolsRequest(symbols=["A*", "B[C]", "NOPE"])
            return [entry.symbol for entry in (await CandleServiceStub(channel).ListSymbols(request)).symbols]

    assert run(body()) == ["AA", "AB", "B[C]"]


def test_a_port_that_is_taken_is_said_clearly():
    """grpc trap 10: by default a second server on the same port gets half of the connections, without a word."""

    async def body():
        async with serving("A") as (server, _channel, _engine):
            with pytest.raises(ConfigurationError, match=r"cannot listen on 127\.0\.0\.1:\d+: the port is taken"):
                async with serving("A", listen=server.address):
                    pass

    run(body())


def test_a_unix_socket_is_served(tmp_path):
    async def body():
        async with serving("A", listen=f"unix:{tmp_path}/s") as (_, channel, _engine):
            return await read(ProcessingServiceStub(channel).Process(job("A", "close")))

    assert len(run(body())) == 1


def test_a_unix_socket_is_not_taken_from_the_server_that_has_it(tmp_path):
    async def body():
        async with serving("A", listen=f"unix:{tmp_path}/s") as (server, channel, _engine):
            with pytest.raises(ConfigurationError, match="another server does"):
                async with serving("A", listen=server.address):
                    pass
            return await read(ProcessingServiceStub(channel).Process(job("A", "close")))

    assert len(run(body())) == 1


def test_nothing_that_blocks_runs_on_the_event_loop(monkeypatch):
    """Planning, listing and describing read files or parse text: each happens in another thread."""
    import threading

    threads = []
    for name in ("snapshot", "list_symbols", "timeframes"):
        original = getattr(MemoryRepository, name)

        def spy(self, *arguments, original=original):
            threads.append(threading.current_thread())
            return original(self, *arguments)

        monkeypatch.setattr(MemoryRepository, name, spy)

    async def body():
        async with serving("A") as (_, channel, _engine):
            await read(ProcessingServiceStub(channel).Process(job("A", "close")))
            await ProcessingServiceStub(channel).GetServerInfo(GetServerInfoRequest())
            await CandleServiceStub(channel).ListSymbols(ListSymbolsRequest())

    run(body())
    assert len(threads) >= 3
    assert threading.main_thread() not in threads
