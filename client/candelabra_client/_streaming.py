"""What users iterate over, whatever arrives: `Stream` and, with `async`, `AsyncStream`, each driven by a `Run`.

`Job` (`_job.py`) and `Screen` (`_screen.py`) are streams; their runs (`_run.py`, `_screen_run.py`) do no I/O.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterable, Iterator
from contextlib import aclosing, closing
from types import TracebackType
from typing import Any, ClassVar, Generic, Protocol, Self, TypeAlias, TypeVar

import grpc
from google.protobuf.message import Message

from candelabra_client._exceptions import Cancelled, JobConsumed
from candelabra_client._exchange import Exchange

__all__ = ["AsyncStream", "OpenStream", "Run", "Stream", "StreamState"]

_RunT = TypeVar("_RunT", bound="Run")
_ItemT = TypeVar("_ItemT")

OpenStream: TypeAlias = Callable[[str, Message, float | None], Any]
"""Sends a request to a method, within so many seconds; returns grpc's call, which gives encoded messages."""


class Run(Protocol):
    """The state of one job or screen, without any I/O. One thread or task drives it, in these steps.

    1. `next_request` says what to send.
    2. `receive` takes each message and returns what to hand out, if anything.
    3. `fail` takes the error that ended a stream; it says how long to wait before step 1, or raises.
    4. `finish` takes the regular end of a stream and checks that nothing is missing.
    """

    @property
    def method(self) -> str:
        """The full gRPC method path."""

    def next_request(self) -> Exchange[Any]:
        """Returns what to send next, or None when nothing is missing."""

    def remaining_seconds(self) -> float | None:
        """Returns how much of the timeout is left, at least 0; None when there is none."""

    def receive(self, data: bytes) -> Any:  # noqa: ANN401 - each run has its own
        """Takes one message; returns what is handed out now, or None. Raises ProtocolError."""

    def fail(self, error: grpc.RpcError) -> float:
        """Returns how many seconds to wait before sending again; raises CallError when that would not help."""

    def finish(self) -> None:
        """Raises ProtocolError when something is missing."""


class StreamState(ABC, Generic[_RunT]):
    """What both kinds of stream know about themselves."""

    _noun: ClassVar[str]  # what messages call it
    _made_by: ClassVar[str]  # the client's method that makes another one

    def __init__(self, run: _RunT, *, wake: threading.Event | asyncio.Event) -> None:
        self._run = run
        self._wake = wake  # set by close(), so that it also ends a wait between two streams
        self._call: Any = None  # grpc's call object of the stream that is open; its type differs per client
        self._begun = False
        self._closed = False

    def close(self) -> None:
        """Cancels the work when it is running; a second call does nothing. What was gathered stays."""
        self._closed = True
        call = self._call  # which the iterating thread may let go of at any moment
        if call is not None:
            call.cancel()
        self._wake.set()

    @abstractmethod
    def _gathered(self) -> Iterable[Any] | None:
        """Returns what another iteration gives; None when nothing was gathered."""

    def _begin(self) -> None:
        if self._begun or self._closed:
            raise JobConsumed(
                f"a {self._noun} runs once, and this one was iterated or closed before: call {self._made_by}() again"
            )
        self._begun = True

    def _check_open(self) -> None:
        """Ends the iteration of a stream that was closed between two calls."""
        if self._closed:
            raise Cancelled(f"the {self._noun} was closed", code=grpc.StatusCode.CANCELLED)


class Stream(StreamState[_RunT], Generic[_RunT, _ItemT]):
    """For ordinary code. One thread iterates; `close` may be called from any."""

    def __init__(
        self, run: _RunT, *, open_stream: OpenStream, carry_out: Callable[[Exchange[Any], float | None], Any]
    ) -> None:
        self._closing = threading.Event()
        super().__init__(run, wake=self._closing)
        self._open_stream = open_stream
        self._carry_out = carry_out

    def __iter__(self) -> Iterator[_ItemT]:
        gathered = self._gathered()
        if gathered is not None:
            return iter(gathered)
        self._begin()
        return self._stream()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _stream(self) -> Iterator[_ItemT]:
        # What `receive` calls, and whoever iterates, may use gRPC too: their errors must not look like this stream's.
        with closing(self._messages()) as messages:
            for message in messages:
                if (item := self._run.receive(message)) is not None:
                    yield item

    def _messages(self) -> Generator[bytes, None, None]:
        """Yields the messages of every attempt."""
        run = self._run
        while True:
            try:
                request = self._carry_out(run.next_request(), run.remaining_seconds())
                if request is None:
                    return
                self._call = self._open_stream(run.method, request, run.remaining_seconds())
                self._check_open()
                for message in self._call:  # noqa: UP028 - `yield from` may hand close() and throw() to grpc's call
                    yield message
            except grpc.RpcError as error:
                delay = run.fail(error)
            else:
                run.finish()
                return
            finally:
                if self._call is not None:
                    self._call.cancel()
                    self._call = None
            self._closing.wait(delay)
            self._check_open()


class AsyncStream(StreamState[_RunT], Generic[_RunT, _ItemT]):
    """The same as `Stream`, for `async for`, `async with` and `await`; used within one event loop."""

    def __init__(
        self, run: _RunT, *, open_stream: OpenStream, carry_out: Callable[[Exchange[Any], float | None], Awaitable[Any]]
    ) -> None:
        self._closing = asyncio.Event()
        super().__init__(run, wake=self._closing)
        self._open_stream = open_stream
        self._carry_out = carry_out

    def __aiter__(self) -> AsyncIterator[_ItemT]:
        gathered = self._gathered()
        if gathered is not None:
            return _replay(gathered)
        self._begin()
        return self._stream()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def _stream(self) -> AsyncIterator[_ItemT]:
        # As in `Stream`, errors of `receive` and of whoever iterates are not this stream's.
        async with aclosing(self._messages()) as messages:
            async for message in messages:
                if (item := self._run.receive(message)) is not None:
                    yield item

    async def _messages(self) -> AsyncGenerator[bytes, None]:
        """Yields the messages of every attempt."""
        run = self._run
        while True:
            try:
                request = await self._carry_out(run.next_request(), run.remaining_seconds())
                if request is None:
                    return
                self._call = self._open_stream(run.method, request, run.remaining_seconds())
                self._check_open()
                async for message in self._call:
                    yield message
            except grpc.RpcError as error:
                delay = run.fail(error)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                # grpc.aio says so too when the stream or the client was closed, which must not end the task.
                raise Cancelled(f"the {self._noun} or its client was closed", code=grpc.StatusCode.CANCELLED) from None
            else:
                run.finish()
                return
            finally:
                if self._call is not None:
                    self._call.cancel()
                    self._call = None
            await _wait(self._closing, delay)
            self._check_open()


async def _replay(items: Iterable[_ItemT]) -> AsyncIterator[_ItemT]:
    for item in items:
        yield item


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
