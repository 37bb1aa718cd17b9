"""Health and reflection: what is no message is refused in words of our own, as everywhere."""

import asyncio
from contextlib import AsyncExitStack

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from support.server import serving

NO_MESSAGE = b"\x0a\x02\xff\xfe"
METHODS = (
    ("/grpc.health.v1.Health/Check", "grpc.health.v1.HealthCheckRequest"),
    ("/grpc.health.v1.Health/List", "grpc.health.v1.HealthListRequest"),
    ("/grpc.health.v1.Health/Watch", "grpc.health.v1.HealthCheckRequest"),
    (
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "grpc.reflection.v1alpha.ServerReflectionRequest",
    ),
)


def run(body):
    return asyncio.run(asyncio.wait_for(body, 90))


@pytest.mark.parametrize(("path", "name"), METHODS, ids=[path for path, _ in METHODS])
def test_bytes_that_are_no_message_are_refused_in_words_of_our_own(path, name, caplog):
    data = b"\x0a\xff" if path.endswith("/List") else NO_MESSAGE  # List has no text that could be wrong

    async def body():
        async with serving("A") as (_, channel, _engine):
            call = channel.stream_stream(path)(iter([data]), timeout=60)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                async for _response in call:
                    pass
            return caught.value

    error = run(body())
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == f"request: is not a {name} message; texts must be UTF-8"
    assert not caplog.records


def test_health_of_all_services_is_listed():
    async def body():
        async with serving("A") as (server, channel, _engine):
            stub = health_pb2_grpc.HealthStub(channel)
            before = await stub.List(health_pb2.HealthListRequest())
            await server.set_serving()
            return before, await stub.List(health_pb2.HealthListRequest())

    before, after = run(body())
    services = {"", *(f"candelabra.v1.{name}Service" for name in ("Processing", "Formula", "Candle"))}
    response = health_pb2.HealthCheckResponse
    assert {name: answer.status for name, answer in before.statuses.items()} == dict.fromkeys(
        services, response.NOT_SERVING
    )
    assert {name: answer.status for name, answer in after.statuses.items()} == dict.fromkeys(services, response.SERVING)


def test_a_watch_tells_every_change_of_health():
    async def body():
        async with serving("A") as (server, channel, _engine):
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
            seen = [(await watch.read()).status]
            for change in (server.set_serving, server.drain):
                await change()
                seen.append((await watch.read()).status)
            watch.cancel()
            return seen

    response = health_pb2.HealthCheckResponse
    assert run(body()) == [response.NOT_SERVING, response.SERVING, response.NOT_SERVING]


def test_reflection_answers_each_request_in_turn_and_describes_a_service():
    names = ("candelabra.v1.ProcessingService", "candelabra.v1.Nothing", "grpc.health.v1.Health")

    async def body():
        async with serving("A") as (_, channel, _engine):
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            requests = [reflection_pb2.ServerReflectionRequest(file_containing_symbol=name) for name in names]
            return [answer async for answer in stub.ServerReflectionInfo(iter(requests), timeout=60)]

    first, second, third = run(body())
    assert any(b"ProcessingJob" in file for file in first.file_descriptor_response.file_descriptor_proto)
    assert second.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert any(b"HealthCheckRequest" in file for file in third.file_descriptor_response.file_descriptor_proto)


def test_calls_that_would_last_for_ever_are_ended_when_the_server_is():
    """grpc trap 6: such a call holds the server's stop for as long as that waits for any call."""

    async def body():
        async with AsyncExitStack() as stack:
            server, _channel, _engine = await stack.enter_async_context(serving("A"))
            async with grpc.aio.insecure_channel(server.address) as channel:
                watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
                described = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(timeout=60)
                await described.write(reflection_pb2.ServerReflectionRequest(list_services=""))
                assert await watch.read()
                assert await described.read()
                await stack.aclose()
                return [(await call.code(), await call.details()) for call in (watch, described)]

    ended = (grpc.StatusCode.UNAVAILABLE, "the server stopped working on this call; send it again")
    assert run(body()) == [ended, ended]
