"""A bare grpc.aio server, which sends what it is asked for: nothing is computed.

A request is JSON, padded with spaces to the size of ours. `Stream` asks for `sizes` of messages, `Echo` for the
`size` of the one that comes back. Messages are made before the first is sent, and kept for the next request of equal
sizes.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from functools import cache
from typing import Any

import grpc

SERVICE = "benchmarks.Bare"
STREAM = f"/{SERVICE}/Stream"
ECHO = f"/{SERVICE}/Echo"

Context = grpc.aio.ServicerContext[Any, Any]

_DISTINCT_BYTES = 512 * 1024 * 1024
"""Of distinct messages of one size, at most."""
_OPTIONS = (("grpc.so_reuseport", 0), ("grpc.max_send_message_length", -1))


async def stream(request: bytes, context: Context) -> None:
    """Messages of given sizes, in order, each written when the one before was taken."""
    made = _Messages()
    messages = [made.next(size) for size in json.loads(request)["sizes"]]
    for message in messages:
        await context.write(message)


async def echo(request: bytes, _context: Context) -> bytes:
    """One message of a given size."""
    return _message(json.loads(request)["size"], 0)


class _Messages:
    """Messages in memory of their own, as a server's results are: one that is sent again and again is in the cache."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def next(self, size: int) -> bytes:
        """A message that was not given before, unless that would need too much memory."""
        self._counts[size] += 1
        return _message(size, self._counts[size] % max(1, _DISTINCT_BYTES // size))


@cache
def _message(size: int, number: int) -> bytes:
    return (number.to_bytes(8, "little") * (size // 8 + 1))[:size]


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
