"""Clients of jobs: those that read all, each in its way, and those that do not want it any more.

Each takes the run, what its job must give, and its own random numbers, and tells how the job ended.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from random import Random
from typing import Any

import grpc
import grpc.aio

from candelabra.v1 import ProcessingJob
from candelabra_client import AsyncClient, CallError, Client, DeadlineExceeded, RetryPolicy, SymbolResult
from candelabra_client._decoding import Part, decode_part
from chaos.lab import Lab
from chaos.model import ExpectedJob

__all__ = [
    "cancel",
    "in_thread",
    "miss_deadline",
    "never_read",
    "read_async",
    "read_in_thread",
    "read_raw",
    "until_done",
]

CHANNEL_OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1))
"""A connection of its own for each client, as programs of their own would have."""
RETRY = RetryPolicy(initial_backoff_seconds=0.05, max_backoff_seconds=1.0)
_PROCESS = "/candelabra.v1.ProcessingService/Process"
_SENDS = 10
_SLOWNESS_SECONDS = 4.0


async def read_async(lab: Lab, expected: ExpectedJob, _random: Random, *, address: str = "") -> str:
    """With the asyncio client."""

    async def read(symbols: tuple[str, ...]) -> None:
        async with _async_client(address or lab.server.address) as client:
            async for result in client.process(symbols, **expected.request.arguments()):
                _check(expected, result)

    return await until_done(lab, expected, read)


async def read_through_cuts(lab: Lab, expected: ExpectedJob, random: Random) -> str:
    """With the asyncio client, behind a proxy that cuts its connections."""
    return await read_async(lab, expected, random, address=lab.proxy_address)


async def read_in_thread(lab: Lab, expected: ExpectedJob, _random: Random) -> str:
    """With the client for threads."""

    async def read(symbols: tuple[str, ...]) -> None:
        with _client(lab.server.address) as client:
            await in_thread(lambda: _read_all(client, expected, symbols))

    return await until_done(lab, expected, read)


async def read_raw(lab: Lab, expected: ExpectedJob, _random: Random) -> str:
    """With nothing but grpc, which sees what the clients would put right."""
    return await until_done(lab, expected, partial(_read_wire, lab, expected))


async def read_slowly(lab: Lab, expected: ExpectedJob, random: Random) -> str:
    """The same with pauses, some seconds of them at most."""
    left = _SLOWNESS_SECONDS

    async def pause() -> None:
        nonlocal left
        if left > 0 and random.random() < 0.3:
            seconds = min(left, random.uniform(0, 0.4))
            left -= seconds
            await asyncio.sleep(seconds)
            expected.move()

    return await until_done(lab, expected, partial(_read_wire, lab, expected, pause=pause))


async def cancel(lab: Lab, expected: ExpectedJob, random: Random) -> str:
    """Any of them, which stops at some moment."""
    seconds = random.choice([0.0, random.uniform(0, 0.1), random.uniform(0, 1.0)])
    if random.random() < 0.25:
        return await _close_in_thread(lab, expected, seconds)
    if random.random() < 0.5:
        return await _stop_reading(expected, _read_wire(lab, expected, expected.request.symbols), seconds)
    async with _async_client(lab.server.address) as client:
        job = client.process(expected.request.symbols, **expected.request.arguments())

        async def read() -> None:
            async for result in job:
                _check(expected, result)

        outcome = await _stop_reading(expected, read(), seconds)
        job.close()
        return outcome


async def miss_deadline(lab: Lab, expected: ExpectedJob, random: Random) -> str:
    """The asyncio client, with less time than the job may need."""
    seconds = random.choice([random.uniform(0.001, 0.05), random.uniform(0.02, 1.0)])
    deadline = time.monotonic_ns() + round(seconds * 1e9)
    try:
        async with _async_client(lab.server.address) as client:
            job = client.process(expected.request.symbols, timeout=seconds, **expected.request.arguments())
            async for result in job:
                _check(expected, result)
    except DeadlineExceeded:
        expected.stop_caring("deadline", deadline)
        return "deadline passed"
    except CallError as error:
        return _told(expected, error.code)
    expected.finish()
    return "complete"


async def never_read(lab: Lab, expected: ExpectedJob, random: Random) -> str:
    """Sends the job, reads nothing, and cancels."""
    async with _channel(lab.server.address) as channel:
        call = _send(channel, expected.request.message(expected.request.symbols))
        await asyncio.sleep(random.uniform(0.2, 1.5))
        expected.stop_caring("cancelled")
        call.cancel()
    return "cancelled"


async def until_done(lab: Lab, expected: ExpectedJob, read: Callable[[tuple[str, ...]], Awaitable[None]]) -> str:
    """Reads until nothing is missing; what ended with UNAVAILABLE is sent again, as the server asks for."""
    for attempt in range(_SENDS):
        try:
            await read(expected.missing)
        except (grpc.RpcError, CallError) as error:
            code = error.code if isinstance(error, CallError) else _code(error)
            if code is not grpc.StatusCode.UNAVAILABLE:
                raise
            lab.ledger.unavailable += 1
            expected.move()
            if not expected.missing:
                return "complete"
            await asyncio.sleep(0.1 * (attempt + 1))
        else:
            expected.finish()
            return "complete"
    expected.finish(f"when the job had ended with UNAVAILABLE {_SENDS} times")
    return "unavailable"


async def in_thread(body: Callable[[], None]) -> None:
    """Runs it in a thread that nobody waits for at the end of the program, should it hang."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def tell(error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        failure: BaseException | None = None
        try:
            body()
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is waited for
            failure = error
        loop.call_soon_threadsafe(tell, failure)

    threading.Thread(target=run, daemon=True).start()
    await done


async def _close_in_thread(lab: Lab, expected: ExpectedJob, seconds: float) -> str:
    with _client(lab.server.address) as client:
        job = client.process(expected.request.symbols, **expected.request.arguments())

        def read() -> None:
            for result in job:
                _check(expected, result)

        reading = asyncio.ensure_future(in_thread(read))
        await asyncio.wait([reading], timeout=seconds)
        expected.stop_caring("cancelled")
        job.close()
        try:
            await reading
        except CallError as error:
            return _told(expected, error.code)
        except RuntimeError:  # closed before it was begun
            return "cancelled"
    expected.finish()
    return "complete"


async def _stop_reading(expected: ExpectedJob, reading: Awaitable[None], seconds: float) -> str:
    try:
        async with asyncio.timeout(seconds):
            await reading
    except TimeoutError:
        expected.stop_caring("cancelled")
        return "cancelled"
    except CallError as error:
        return _told(expected, error.code)
    except grpc.RpcError as error:
        return _told(expected, _code(error))
    expected.finish()
    return "complete"


def _told(expected: ExpectedJob, code: grpc.StatusCode) -> str:
    """How a job ended of which the client did not want all."""
    if code not in {grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE}:
        expected.problem("wrong", f"it ended with {code}")
    return code.name.lower()


async def _read_wire(
    lab: Lab, expected: ExpectedJob, symbols: tuple[str, ...], *, pause: Callable[[], Awaitable[None]] | None = None
) -> None:
    order = _WireOrder(expected, len(symbols))
    async with _channel(lab.server.address) as channel:
        async for data in _send(channel, expected.request.message(symbols)):
            order.take(decode_part(data))
            if pause is not None:
                await pause()
    order.end()


class _WireOrder:
    """Checks what the interface promises about the order of a stream's messages."""

    def __init__(self, expected: ExpectedJob, symbols: int) -> None:
        self._expected = expected
        self._symbols = symbols
        self._sequence = 0
        self._done = 0
        self._open = ""
        self._rows = 0

    def take(self, part: Part) -> None:
        header = part.header
        self._sequence += 1
        self._done += header.last_part
        counted = (header.sequence, header.symbols_total, header.symbols_done)
        if counted != (self._sequence, self._symbols, self._done):
            self._problem(f"a message says {counted}, expected {(self._sequence, self._symbols, self._done)}")
        if self._open and header.symbol != self._open:
            self._problem(f"a message of {header.symbol} came within {self._open}")
        if header.HasField("error"):
            self._expected.error(header.symbol, header.error.reason, header.error.message)
        else:
            if header.row_offset != self._rows:
                self._problem(f"{header.symbol} goes on at row {header.row_offset}, expected {self._rows}")
            columns = {column.name: values for column, values in zip(header.columns, part.values, strict=True)}
            self._expected.part(
                header.symbol, header.row_offset, part.open_time_micros, columns, is_last=header.last_part
            )
        self._open = "" if header.last_part else header.symbol
        self._rows = 0 if header.last_part else self._rows + len(part.open_time_micros)

    def end(self) -> None:
        if self._open:
            self._problem(f"the stream ended within {self._open}")

    def _problem(self, text: str) -> None:
        self._expected.problem("wrong", text)


def _read_all(client: Client, expected: ExpectedJob, symbols: tuple[str, ...]) -> None:
    for result in client.process(symbols, **expected.request.arguments()):
        _check(expected, result)


def _check(expected: ExpectedJob, result: SymbolResult) -> None:
    if result.error is None:
        columns = {name: result[name] for name in result.columns}
        expected.result(result.symbol, result.open_time_micros, columns)
    else:
        expected.error(result.symbol, result.error.reason, result.error.message)


def _async_client(address: str) -> AsyncClient:
    return AsyncClient(address, retry=RETRY, channel_options=CHANNEL_OPTIONS)


@contextmanager
def _client(address: str) -> Iterator[Client]:
    with Client(address, retry=RETRY, channel_options=CHANNEL_OPTIONS) as client:
        yield client


def _channel(address: str) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)


def _send(channel: grpc.aio.Channel, job: ProcessingJob) -> Any:
    return channel.unary_stream(_PROCESS, request_serializer=ProcessingJob.SerializeToString)(job)


def _code(error: grpc.RpcError) -> grpc.StatusCode:
    call: Any = error
    code: grpc.StatusCode = call.code()
    return code
