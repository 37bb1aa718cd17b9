"""A bare grpc.aio server, which sends what it is asked for: nothing is computed.

A request is JSON, padded with spaces to the size of ours. `Stream` asks for `sizes` of messages, `Echo` for the
`size` of the one that comes back. Messages are made before the first is sent.
"""

from __future__ import annotations

import asyncio
import json
from functools import cache
from typing import Any

import grpc

SERVICE = "benchmarks.Bare"
STREAM = f"/{SERVICE}/Stream"
ECHO = f"/{SERVICE}/Echo"

Context = grpc.aio.ServicerContext[Any, Any]

_OPTIONS = (("grpc.so_reuseport", 0), ("grpc.max_send_message_length", -1))


async def stream(request: bytes, context: Context) -> None:
    """Messages of given sizes, in order, each written when the one before was taken."""
    messages = [_message(size) for size in json.loads(request)["sizes"]]
    for message in messages:
        await context.write(message)


async def echo(request: bytes, _context: Context) -> bytes:
    """One message of a given size."""
    return _message(json.loads(request)["size"])


@cache
def _message(size: int) -> bytes:
    return bytes(range(256)) * (size // 256) + bytes(size % 256)


async def _serve() -> None:
    server = grpc.aio.server(options=_OPTIONS)
    methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Stream": grpc.unary_stream_rpc_method_handler(stream),
        "Echo": grpc.unary_unary_rpc_method_handler(echo),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, methods)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(json.dumps({"address": f"127.0.0.1:{port}"}), flush=True)  # noqa: T201
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(_serve())
