"""The health and the reflection service of grpc's own packages, guarded as ours are.

Served as those packages do it, a request that is no message would end with the text of the exception that it raises.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from candelabra_server.rpc.handlers import Context, guarded, parse

__all__ = ["health_handlers", "reflection_handlers"]


def health_handlers(
    servicer: health.aio.HealthServicer, services: Iterable[str]
) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
    """The methods of grpc.health.v1.Health by name; `services` are those that `List` tells about."""

    async def check(request: bytes, context: Context) -> Message | None:
        async with guarded(context):
            answer: Message = await servicer.Check(parse(health_pb2.HealthCheckRequest, request), context)
            return answer
        return None

    async def watch(request: bytes, context: Context) -> None:
        async with guarded(context):
            await servicer.Watch(parse(health_pb2.HealthCheckRequest, request), context)

    async def list_all(request: bytes, context: Context) -> Message | None:
        async with guarded(context):
            parse(health_pb2.HealthListRequest, request)
            asked = {service: health_pb2.HealthCheckRequest(service=service) for service in services}
            statuses = {service: await servicer.Check(one, context) for service, one in asked.items()}
            answer: Message = health_pb2.HealthListResponse(statuses=statuses)
            return answer
        return None

    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Check": grpc.unary_unary_rpc_method_handler(check, response_serializer=_encode),
        "Watch": grpc.unary_stream_rpc_method_handler(watch, response_serializer=_encode),
    }
    if hasattr(health_pb2, "HealthListRequest"):  # which older versions of the package have not
        handlers["List"] = grpc.unary_unary_rpc_method_handler(list_all, response_serializer=_encode)
    return handlers


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
