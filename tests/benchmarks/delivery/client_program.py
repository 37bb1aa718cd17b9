"""The client's process: a JSON object a line on standard input is a call, the answer is one on standard output."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import grpc

from candelabra_client import keep_freed_memory

_CONNECT_SECONDS = 30.0
_CALL_SECONDS = 280.0
_OPTIONS = (("grpc.use_local_subchannel_pool", 1),)
"""Each channel has a connection of its own, as clients in different programs have."""

_unread: list[tuple[grpc.aio.Channel, grpc.aio.UnaryStreamCall[bytes, bytes]]] = []
"""The call that is not read, until it is closed."""


async def _stream(*, address: str, method: str, request: bytes, with_sizes: bool, only_first: bool) -> dict[str, Any]:
    async with _connected(address) as channel:
        sizes: list[int] = []
        total = count = 0
        first = 0.0
        cpu, begin = time.process_time(), time.perf_counter()
        call = _streaming(channel, method)(request, timeout=_CALL_SECONDS)
        async for message in call:
            if not count:
                first = time.perf_counter() - begin
            count += 1
            total += len(message)
            if with_sizes:
                sizes.append(len(message))
            if only_first:
                call.cancel()
                break
        seconds = time.perf_counter() - begin
    return {
        "seconds": seconds,
        "first_seconds": first,
        "messages": count,
        "bytes": total,
        "cpu_seconds": time.process_time() - cpu,
        "sizes": sizes,
    }


async def _round_trips(
    *, address: str, method: str, request: bytes, count: int, limit_seconds: float
) -> dict[str, Any]:
    seconds: list[float] = []
    async with _connected(address) as channel:
        call = _caller(channel, method)
        await call(request)
        end = time.perf_counter() + limit_seconds
        while len(seconds) < count and (begin := time.perf_counter()) < end:
            await call(request)
            seconds.append(time.perf_counter() - begin)
    return {"seconds": seconds}


async def _crowd(*, address: str, method: str, request: bytes, clients: int, window_seconds: float) -> dict[str, Any]:
    """Messages that came in a window of time, which begins when every client has had one."""
    messages = 0
    waiting = clients

    async def keep_calling(channel: grpc.aio.Channel) -> None:
        nonlocal messages, waiting
        is_new = True
        stream = _streaming(channel, method)
        while True:
            async for _ in stream(request, timeout=_CALL_SECONDS):
                messages += 1
                waiting -= is_new
                is_new = False

    async with contextlib.AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(_connected(address)) for _ in range(clients)]
        tasks = [asyncio.create_task(keep_calling(channel)) for channel in channels]
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                while waiting and not any(task.done() for task in tasks):
                    await asyncio.sleep(0.01)
            before, begin = messages, time.perf_counter()
            await asyncio.wait(tasks, timeout=window_seconds, return_when=asyncio.FIRST_COMPLETED)
            counted, seconds = messages - before, time.perf_counter() - begin
            for task in tasks:
                if task.done():
                    task.result()  # which only ever ends by failing
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return {"messages": counted, "seconds": seconds}


async def _flight(*, address: str, method: str, request: bytes) -> dict[str, Any]:
    from pyarrow import flight

    total = count = 0
    first = 0.0
    with flight.connect(address) as client:
        client.wait_for_available()
        cpu, begin = time.process_time(), time.perf_counter()
        for chunk in client.do_get(flight.Ticket(request)):
            if not count:
                first = time.perf_counter() - begin
            count += 1
            total += chunk.data.nbytes
        seconds = time.perf_counter() - begin
    return {
        "seconds": seconds,
        "first_seconds": first,
        "messages": count,
        "bytes": total,
        "cpu_seconds": time.process_time() - cpu,
    }


async def _open_unread(*, address: str, method: str, request: bytes) -> dict[str, Any]:
    channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
    call = _streaming(channel, method)(request, timeout=_CALL_SECONDS)
    _unread.append((channel, call))
    await call.read()
    return {}


async def _close_unread() -> dict[str, Any]:
    channel, call = _unread.pop()
    call.cancel()
    await channel.close()
    return {}


async def _columns(*, address: str, method: str, request: bytes) -> dict[str, Any]:
    from candelabra.v1 import ProcessingResult

    symbols: dict[str, dict[str, list[float]]] = {}
    async with _connected(address) as channel:
        async for message in _streaming(channel, method)(request, timeout=_CALL_SECONDS):
            result = ProcessingResult.FromString(message)
            if result.HasField("error"):
                raise ValueError(f"{result.symbol} failed: {result.error.message}")
            columns = symbols.setdefault(result.symbol, {column.name: [] for column in result.columns})
            for column in result.columns:
                columns[column.name].extend(column.values or column.values_f32)
    return {"symbols": symbols}


async def _screened(*, address: str, method: str, request: bytes) -> dict[str, Any]:
    from candelabra.v1 import ScreenResponse

    symbols: list[str] = []
    async with _connected(address) as channel:
        async for message in _streaming(channel, method)(request, timeout=_CALL_SECONDS):
            batch = ScreenResponse.FromString(message)
            if batch.symbols_failed:
                raise ValueError(f"{batch.symbols_failed} symbols failed")
            symbols.extend(batch.symbols)
    return {"symbols": sorted(symbols)}


@contextlib.asynccontextmanager
async def _connected(address: str) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(address, options=_OPTIONS) as channel:
        async with asyncio.timeout(_CONNECT_SECONDS):
            await channel.channel_ready()
        yield channel


def _streaming(channel: grpc.aio.Channel, method: str) -> grpc.aio.UnaryStreamMultiCallable[bytes, bytes]:
    """Without serializers: bytes come as they are."""
    return channel.unary_stream(method)


def _caller(channel: grpc.aio.Channel, method: str) -> Callable[[bytes], Awaitable[None]]:
    """One whole call: a stream to its end, or an echo, which is unary."""
    stream = _streaming(channel, method)
    unary: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)

    async def read_stream(request: bytes) -> None:
        async for _ in stream(request, timeout=_CALL_SECONDS):
            pass

    async def read_echo(request: bytes) -> None:
        await unary(request, timeout=_CALL_SECONDS)

    return read_echo if method.endswith("/Echo") else read_stream


CALLS: dict[str, Callable[..., Coroutine[Any, Any, dict[str, Any]]]] = {
    "stream": _stream,
    "round_trips": _round_trips,
    "crowd": _crowd,
    "flight": _flight,
    "open_unread": _open_unread,
    "close_unread": _close_unread,
    "columns": _columns,
    "screened": _screened,
}


def _main() -> None:
    keep_freed_memory()  # or most of the time would be the client's page faults, whoever it reads from
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            arguments = json.loads(line)
            if "request" in arguments:
                arguments["request"] = base64.b64decode(arguments["request"])
            try:
                answer = runner.run(CALLS[arguments.pop("call")](**arguments))
            except grpc.aio.AioRpcError as error:
                answer = {"failed": f"{error.code().name}: {error.details()}"}
            except Exception as error:  # noqa: BLE001 - whatever it is, who asked is told
                answer = {"failed": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), flush=True)  # noqa: T201


if __name__ == "__main__":
    _main()
