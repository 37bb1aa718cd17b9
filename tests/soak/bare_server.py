"""grpc.aio and nothing else, for what the library itself leaves behind: `python -m soak.bare_server`.

`Wait` never answers, `Write` sends messages as large and as many as our server does, `Count` tells how many calls of
both are open.
"""

import asyncio
import signal

import grpc

from support.waiting_server import say

MESSAGES = 3
MESSAGE = bytes(1024 * 1024)


class Service:
    """The methods, all on bytes."""

    def __init__(self):
        self._open = 0

    def handlers(self):
        return {
            "Wait": grpc.unary_stream_rpc_method_handler(self._wait),
            "Write": grpc.unary_stream_rpc_method_handler(self._write),
            "Count": grpc.unary_unary_rpc_method_handler(self._count),
        }

    async def _wait(self, _request, _context):
        self._open += 1
        try:
            await asyncio.Event().wait()
        finally:
            self._open -= 1

    async def _write(self, _request, context):
        self._open += 1
        try:
            for _ in range(MESSAGES):
                await context.write(MESSAGE)
        finally:
            self._open -= 1

    async def _count(self, _request, _context):
        return str(self._open).encode()


async def serve():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("bare.Service", Service().handlers())])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    say(f"127.0.0.1:{port}")
    await stop.wait()
    await server.stop(1)


if __name__ == "__main__":
    asyncio.run(serve())
    say("stopped")
