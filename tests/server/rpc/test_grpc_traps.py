"""What grpc does that one would not expect, each trap with the guard that we have against it.

Traps that are guarded elsewhere: 1, 9 and 10 in test_server.py (and here), 6 in tests/server/test_app.py, 7 in
tests/server/processing/executors/test_start_method.py.
"""

import asyncio
import inspect
import re
import socket
import struct
from contextlib import asynccontextmanager

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc

from candelabra.v1 import ExplainJobRequest, GetServerInfoRequest, ListSymbolsRequest, ProcessingJob
from candelabra.v1.candles_pb2_grpc import CandleServiceStub
from candelabra.v1.processing_pb2_grpc import ProcessingServiceStub
from candelabra_server.rpc import handlers
from candelabra_server.rpc import server as rpc_server
from candelabra_server.rpc.handlers import stream_bytes, unary
from candelabra_server.rpc.standard_services import HealthService, OpenEndedCalls, reflection_handlers
from support.jobs import job
from support.server import serving

MEBIBYTE = 1024 * 1024
MORE_THAN_ALL_BUFFERS = 16 * MEBIBYTE
CANCELLED = 8
JOBS = 24
VIOLATIONS = 1_000
PINGS = 20
PING, GOAWAY, ACK = 6, 7, 1


def run(body):
    return asyncio.run(asyncio.wait_for(body, 90))


async def read(call):
    return [message async for message in call]


@asynccontextmanager
async def served(handler):
    """A channel to a server whose only method is `/test.Service/Call`."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Service", {"Call": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    options = [("grpc.max_receive_message_length", -1)]
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            yield channel
    finally:
        await server.stop(0)


class Watched:
    """A stream's handler that tells how each call left it, and how many writes were outstanding at most."""

    def __init__(self, call):
        self._handle = stream_bytes(ProcessingJob, call, limit_seconds=60).unary_stream
        self.left = asyncio.Queue()
        self.most_outstanding = 0

    def handler(self):
        return grpc.unary_stream_rpc_method_handler(self.handle)

    async def handle(self, request, context):
        try:
            await self._handle(request, _CountingContext(context, self))
        except BaseException as error:
            self.left.put_nowait(error)
            raise
        self.left.put_nowait(None)


class _CountingContext:
    def __init__(self, context, watched):
        self._context, self._watched, self._outstanding = context, watched, 0

    def __getattr__(self, name):
        return getattr(self._context, name)

    async def write(self, message):
        self._outstanding += 1
        self._watched.most_outstanding = max(self._watched.most_outstanding, self._outstanding)
        try:
            await self._context.write(message)
        finally:
            self._outstanding -= 1


async def cancelled(call):
    """What became of handlers, and how often their work was cleaned up, when the clients of some calls cancel."""
    begun, cleaned_up = asyncio.Semaphore(0), []

    async def work(_request, _seconds):
        try:
            async for message in call(begun):
                yield message
        finally:
            cleaned_up.append(True)

    watched = Watched(work)
    async with served(watched.handler()) as channel:
        streams = [channel.unary_stream("/test.Service/Call")(b"", timeout=60) for _ in range(CANCELLED)]
        for _ in streams:
            await begun.acquire()
        for stream in streams:
            stream.cancel()
        return {type(await watched.left.get()).__name__ for _ in streams}, len(cleaned_up)


def test_a_client_that_cancels_while_there_is_nothing_to_write_cancels_the_handler(caplog):
    """grpc traps 2 and 3: the first face is CancelledError, and whoever swallows it leaks the batch that then fails."""

    async def waits(begun):
        begun.release()
        await asyncio.Event().wait()
        yield b""

    left, cleanups = run(cancelled(waits))
    assert left == {"CancelledError"}
    assert cleanups == CANCELLED
    assert not caplog.records


def test_a_client_that_cancels_during_a_blocked_write_cancels_the_handler_too(caplog):
    """grpc traps 2 and 3: the second face is a write that fails, often before grpc knows that the client is gone.

    A handler that ended with that exception would be logged as an error of the server, with its stack.
    """

    async def writes(begun):
        begun.release()
        yield bytes(MORE_THAN_ALL_BUFFERS)

    left, cleanups = run(cancelled(writes))
    assert left == {"CancelledError"}
    assert cleanups == CANCELLED
    assert not caplog.records


class FailingContext:
    """One whose writes fail as grpc's do when the client is gone, with an error that grpc does not export."""

    async def write(self, _message):
        raise WriteError

    def done(self):
        return False

    def time_remaining(self):
        return None


class WriteError(grpc.aio.InternalError):
    pass


@pytest.mark.parametrize("is_cancelled", [True, False])
def test_a_write_that_fails_waits_for_the_cancellation_and_is_no_failure_of_the_job(is_cancelled, caplog, monkeypatch):
    """grpc trap 2: one cleanup for both faces, at once; without a cancellation the write's error stays what it is."""
    monkeypatch.setattr(handlers, "_CANCELLATION_SECONDS", 3_600.0 if is_cancelled else 0.0)

    async def body():
        cleaned_up = asyncio.Event()

        async def writes(_request, _seconds):
            try:
                yield b""
            finally:
                cleaned_up.set()

        handler = stream_bytes(ProcessingJob, writes, limit_seconds=60)
        call = asyncio.create_task(handler.unary_stream(b"", FailingContext()))
        await cleaned_up.wait()
        if is_cancelled:
            call.cancel()
        await asyncio.wait([call])
        return call

    call = run(body())
    assert call.cancelled() if is_cancelled else isinstance(call.exception(), WriteError)
    assert not caplog.records


def test_one_write_of_a_call_is_outstanding_at_a_time():
    """grpc trap 4: one outstanding write per RPC; a second one fails."""
    messages = [bytes([number]) * MEBIBYTE for number in range(12)]

    async def has_all_at_once(_request, _seconds):
        for message in messages:
            yield message

    async def body():
        watched = Watched(has_all_at_once)
        async with served(watched.handler()) as channel:
            return await read(channel.unary_stream("/test.Service/Call")(b"", timeout=60)), watched.most_outstanding

    assert run(body()) == (messages, 1)


def test_health_is_answered_while_many_jobs_run(tmp_path):
    """grpc trap 5: `maximum_concurrent_rpcs` would count health checks and refuse them; it is not used."""
    marker = tmp_path / "go"

    async def body():
        async with serving("WAITS", marker=str(marker)) as (server, channel, _engine):
            await server.set_serving()
            stub = ProcessingServiceStub(channel)
            calls = [stub.Process(job("WAITS", "close")) for _ in range(JOBS)]
            while (await stub.GetServerInfo(GetServerInfoRequest())).active_jobs < JOBS:
                pass
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60)
            marker.touch()
            return answer.status, [len(await read(call)) for call in calls]

    assert run(body()) == (health_pb2.HealthCheckResponse.SERVING, [1] * JOBS)


def test_a_client_of_default_settings_can_read_a_symbol_of_any_size():
    """grpc trap 8: a message of more than 4 MiB ends a client's call with RESOURCE_EXHAUSTED."""

    async def body():
        async with serving("BIG", rows=200_000) as (_, channel, _engine):
            call = channel.unary_stream("/candelabra.v1.ProcessingService/Process")
            return await read(call(job("BIG").SerializeToString(), timeout=60))

    parts = run(body())
    assert sum(map(len, parts)) > 4 * MEBIBYTE
    assert max(map(len, parts)) <= MEBIBYTE


def test_a_thousand_violations_reach_the_client_as_what_they_are():
    """grpc trap 8: details of more than 8 KiB turn INVALID_ARGUMENT into RESOURCE_EXHAUSTED at the client."""
    request = job([f"{number:04}{'x' * 100}" for number in range(VIOLATIONS)], "close")

    async def body():
        async with serving("A") as (_, channel, _engine):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await read(ProcessingServiceStub(channel).Process(request, timeout=60))
            return caught.value

    error = run(body())
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    bad_request = BadRequest()
    details = Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"]).details
    assert any(detail.Unpack(bad_request) for detail in details)
    assert len(bad_request.field_violations) > 10
    assert re.fullmatch(r"and \d+ more violations", bad_request.field_violations[-1].description)


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (RuntimeError("the secret is in /a/path"), grpc.StatusCode.INTERNAL),
        (asyncio.CancelledError(), grpc.StatusCode.UNAVAILABLE),
    ],
)
def test_a_call_with_one_answer_ends_with_a_status_of_ours_whatever_is_raised(raised, code):
    """grpc traps 1 and 9: a stray CancelledError sends no status at all, any other exception its class and text."""

    async def fails(_request):
        raise raised

    async def body():
        async with served(unary(ProcessingJob, fails)) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary("/test.Service/Call")(b"", timeout=30)
            return caught.value

    error = run(body())
    assert error.code() is code
    assert "secret" not in error.details()
    assert "Error" not in error.details()


def test_a_call_that_is_aborted_on_purpose_is_not_taken_for_one_that_failed(caplog):
    """grpc trap 9: `except Exception` catches the AbortError that ends a call."""

    async def body():
        async with serving("A") as (_, channel, _engine):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="none"))
            return caught.value

    assert run(body()).code() is grpc.StatusCode.NOT_FOUND
    assert not caplog.records


def test_pings_of_clients_are_allowed_on_a_connection_without_calls(monkeypatch):
    """grpc, also: by default a server ends connections that are pinged more often than every five minutes.

    Ours allows a ping every 10 s, which no quick test can wait for: the interval alone is made shorter here, to show
    that the option is known to grpc by this name and reaches the connection, as the permission without calls does.
    """
    interval = "grpc.http2.min_ping_interval_without_data_ms"
    options = dict(rpc_server._CHANNEL_OPTIONS)
    assert options[interval] == 10_000
    monkeypatch.setattr(rpc_server, "_CHANNEL_OPTIONS", tuple((options | {interval: 0}).items()))

    async def body():
        async with serving("A") as (server, _channel, _engine):
            return await asyncio.to_thread(acknowledged_pings, server.address)

    assert run(body()) == PINGS


def acknowledged_pings(address):
    """How many pings in a row a server answers before it ends the connection."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection, connection.makefile("rb") as frames:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4))
        answered = 0
        for number in range(PINGS):
            connection.sendall(frame(PING, struct.pack(">Q", number)))
            while True:
                header = frames.read(9)
                if len(header) < 9:
                    return answered
                length, kind, flags = int.from_bytes(header[:3], "big"), header[3], header[4]
                frames.read(length)
                if kind == GOAWAY:
                    return answered
                if kind == PING and flags & ACK:
                    answered += 1
                    break
        return answered


def frame(kind, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, 0]) + bytes(4) + payload


def test_every_handler_is_a_coroutine():
    """grpc, also: an interceptor must wrap handlers that are generators apart from those that are coroutines."""
    made = []

    async def body():
        async with serving("A") as (server, _channel, _engine):
            made.extend(server._processing.handlers().values())
        made.extend(HealthService([], OpenEndedCalls()).handlers().values())
        made.extend(reflection_handlers([], OpenEndedCalls()).values())

    run(body())
    kinds = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
    behaviours = [next(filter(None, (getattr(handler, kind) for kind in kinds))) for handler in made]
    assert len(behaviours) == 8
    assert all(map(inspect.iscoroutinefunction, behaviours))


def test_no_second_event_loop_is_made_in_the_servers_process(monkeypatch):
    """grpc, also: grpc.aio works on one event loop of a process; with several it fails now and then."""
    made = []
    new_event_loop = asyncio.new_event_loop

    async def body():
        for module in (asyncio, asyncio.events):  # asyncio.run has it from the second
            monkeypatch.setattr(module, "new_event_loop", lambda: made.append(True) or new_event_loop())
        async with serving("A") as (_, channel, _engine):
            await read(ProcessingServiceStub(channel).Process(job("A", "close")))
            await ProcessingServiceStub(channel).ExplainJob(ExplainJobRequest(job=job("A", "close")))
            await CandleServiceStub(channel).ListSymbols(ListSymbolsRequest())

    run(body())
    assert made == []
