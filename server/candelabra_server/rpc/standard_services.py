"""The health and the reflection service of grpc's own packages, guarded as ours are.

Served as those packages do it, a request that is no message would end with the text of the exception that it raises.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from candelabra_server.rpc.handlers import Context, guarded, parse

__all__ = ["HealthService", "reflection_handlers"]


class HealthService:
    """Handles grpc.health.v1.Health; all services, and the server as a whole, have one status.

    Args:
        services: their names.
    """

    SERVICE: str = health.SERVICE_NAME

    def __init__(self, services: Iterable[str]) -> None:
        self._services = ("", *services)
        self._servicer = health.aio.HealthServicer()
        self._watches: set[asyncio.Future[None]] = set()

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

    def end_watches(self) -> None:
        """Ends the calls that watch the status with UNAVAILABLE: by themselves they never end."""
        for watch in self._watches:
            watch.cancel()

    async def _check(self, request: bytes, context: Context) -> Message | None:
        async with guarded(context):
            answer: Message = await self._servicer.Check(parse(health_pb2.HealthCheckRequest, request), context)
            return answer
        return None

    async def _watch(self, request: bytes, context: Context) -> None:
        async with guarded(context):
            asked = parse(health_pb2.HealthCheckRequest, request)
            watch = asyncio.ensure_future(self._servicer.Watch(asked, context))
            self._watches.add(watch)
            try:
                await watch
            finally:
                self._watches.discard(watch)

    async def _list(self, request: bytes, context: Context) -> Message | None:
        async with guarded(context):
            parse(health_pb2.HealthListRequest, request)
            asked = {service: health_pb2.HealthCheckRequest(service=service) for service in self._services}
            statuses = {service: await self._servicer.Check(one, context) for service, one in asked.items()}
            answer: Message = health_pb2.HealthListResponse(statuses=statuses)
            return answer
        return None


def reflection_handlers(services: Iterable[str]) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
    """The methods of grpc.reflection.v1alpha.ServerReflection by name, over these services."""
    servicer = reflection.aio.ReflectionServicer(services)

    async def describe(requests: AsyncIterator[bytes], context: Context) -> None:
        async with guarded(context):
            parsed = (parse(reflection_pb2.ServerReflectionRequest, request) async for request in requests)
            async with aclosing(servicer.ServerReflectionInfo(parsed, context)) as answers:
                async for answer in answers:
                    await context.write(answer)

    return {"ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(describe, response_serializer=_encode)}


def _encode(message: Message) -> bytes:
    return bytes(message.SerializeToString())
