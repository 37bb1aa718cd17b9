"""The health and the reflection service of grpc's own packages, guarded as ours are.

Served as those packages do it, a request that is no message would end with the text of the exception that it raises.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import aclosing
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from candelabra_server.rpc.handlers import Context, guarded, parse

__all__ = ["HealthService", "OpenEndedCalls", "reflection_handlers"]


class OpenEndedCalls:
    """Calls that last until their client leaves, which the server's end must not wait for."""

    def __init__(self) -> None:
        self._work: set[asyncio.Future[None]] = set()

    async def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Does the work of a call; inside the guard, by which `end` gives it the status UNAVAILABLE."""
        task = asyncio.ensure_future(work)
        self._work.add(task)
        try:
            await task
        finally:
            self._work.discard(task)

    def end(self) -> None:
        """Ends all of them."""
        for task in self._work:
            task.cancel()


class HealthService:
    """Handles grpc.health.v1.Health; all services, and the server as a whole, have one status.

    Args:
        services: their names.
        open_ended: where calls are kept that watch the status.
    """

    SERVICE: str = health.SERVICE_NAME

    def __init__(self, services: Iterable[str], open_ended: OpenEndedCalls) -> None:
        self._services = ("", *services)
        self._open_ended = open_ended
        self._servicer = health.aio.HealthServicer()

    def handlers(self) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        """The service's methods by name."""
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "Check": grpc.unary_unary_rpc_method_handler(self._check, response_serializer=_encode),
            "Watch": grpc.unary_stream_rpc_method_handler(self._watch, response_serializer=_encode),
        }
        if hasattr(health_pb2, "HealthListRequest"):  # which older versions of the package have not
            handlers["List"] = grpc.unary_unary_rpc_method_handler(self._list, response_serializer=_encode)
        return handlers

    async def set(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        """Sets the status, unless it is NOT_SERVING for good."""
        for service in self._services:
            await self._servicer.set(service, status)

    async def end_serving(self) -> None:
        """Says NOT_SERVING from now on."""
        await self._servicer.enter_graceful_shutdown()

    async def _check(self, request: bytes, context: Context) -> Message | None:
        async with guarded(context):
            answer: Message = await self._servicer.Check(parse(health_pb2.HealthCheckRequest, request), context)
            return answer
        return None

    async def _watch(self, request: bytes, context: Context) -> None:
        async with guarded(context):
            asked = parse(health_pb2.HealthCheckRequest, request)
            await self._open_ended.run(self._servicer.Watch(asked, context))

    async def _list(self, request: bytes, context: Context) -> Message | None:
        async with guarded(context):
            parse(health_pb2.HealthListRequest, request)
            asked = {service: health_pb2.HealthCheckRequest(service=service) for service in self._services}
            statuses = {service: await self._servicer.Check(one, context) for service, one in asked.items()}
            answer: Message = health_pb2.HealthListResponse(statuses=statuses)
            return answer
        return None


def reflection_handlers(
    services: Iterable[str], open_ended: OpenEndedCalls
) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
    """The methods of grpc.reflection.v1alpha.ServerReflection by name, over these services."""
    servicer = reflection.aio.ReflectionServicer(services)

    async def answer_all(requests: AsyncIterator[bytes], context: Context) -> None:
        parsed = (parse(reflection_pb2.ServerReflectionRequest, request) async for request in requests)
        async with aclosing(servicer.ServerReflectionInfo(parsed, context)) as answers:
            async for answer in answers:
                await context.write(answer)

    async def describe(requests: AsyncIterator[bytes], context: Context) -> None:
        async with guarded(context):
            await open_ended.run(answer_all(requests, context))

    return {"ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(describe, response_serializer=_encode)}


def _encode(message: Message) -> bytes:
    return bytes(message.SerializeToString())
