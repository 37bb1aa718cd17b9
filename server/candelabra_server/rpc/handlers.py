"""Makes RPC handlers of plain functions, guarded so that a call ends with exactly one, honest status."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message

from candelabra_server.errors import (
    CandelabraError,
    ConfigurationError,
    InvalidRequestError,
    JobTimeLimitError,
    UnavailableError,
    Violation,
)
from candelabra_server.rpc.status import code_for, internal_error, status_for, trailers_for

__all__ = ["Context", "guarded", "parse", "stream_bytes", "unary"]

logger = logging.getLogger(__name__)

_CANCELLATION_SECONDS = 1.0
"""How long a call whose write failed waits to be cancelled, which takes far less."""
_LATEST_WORD_SECONDS = 0.5
"""After its time, until a job is ended that has not ended by itself."""

Context = grpc.aio.ServicerContext[Any, Any]
"""What a handler gets beside its request."""


def unary(request_type: type[Message], call: Callable[[Any], Awaitable[Message]]) -> grpc.RpcMethodHandler[Any, Any]:
    """An RPC with one request and one response."""

    async def handle(request: bytes, context: Context) -> bytes | None:
        async with guarded(context):
            return (await call(parse(request_type, request))).SerializeToString()
        return None

    return grpc.unary_unary_rpc_method_handler(handle, request_deserializer=None, response_serializer=None)


def stream_bytes(
    request_type: type[Message],
    call: Callable[[Any, float], AsyncGenerator[bytes, None]],
    *,
    limit_seconds: float,
) -> grpc.RpcMethodHandler[Any, Any]:
    """An RPC with one request that streams messages which are encoded already.

    One write is outstanding at a time and awaited, so a client that reads slowly slows only its own job, and for no
    longer than the limit.

    Args:
        request_type: the request's message.
        call: gives the messages for a request and the seconds that it has: the client's deadline or the limit,
            whichever is earlier.
        limit_seconds: for the whole call.
    """

    async def handle(request: bytes, context: Context) -> None:
        async with guarded(context):
            asked = context.time_remaining()
            seconds = limit_seconds if asked is None else min(asked, limit_seconds)
            with _limited(seconds) as limit:
                async with limit, aclosing(call(parse(request_type, request), seconds)) as messages:
                    async for message in messages:
                        await context.write(message)

    return grpc.unary_stream_rpc_method_handler(handle, request_deserializer=None, response_serializer=None)


def parse(request_type: type[Message], request: bytes) -> Message:
    """A request's message; one that is none is refused. To be called inside the guard."""
    # Here, inside the guard: grpc sends the text of what a deserializer raises to the client.
    try:
        return request_type.FromString(request)
    except DecodeError as error:
        name = request_type.DESCRIPTOR.full_name
        raise InvalidRequestError([Violation("request", f"is not a {name} message; texts must be UTF-8")]) from error


@contextmanager
def _limited(seconds: float) -> Iterator[asyncio.Timeout]:
    """A limit for a call whose client does not read: what is written is waited for, and nothing else ends that."""
    limit = asyncio.timeout(seconds + _LATEST_WORD_SECONDS)
    try:
        yield limit
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise JobTimeLimitError(seconds) from error


@asynccontextmanager
async def guarded(context: Context) -> AsyncIterator[None]:
    """Ends the call with the right status whatever the body raises; no exception text reaches the client."""
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise  # the client cancelled, or its deadline passed
        # Something the body waited for was cancelled. Left alone, the client would never get a status.
        await _abort(context, UnavailableError("the server stopped working on this call; send it again"))
    except ConfigurationError:
        logger.exception("call failed")
        await _abort(context, ConfigurationError("the server cannot work as it is configured; its log has the cause"))
    except CandelabraError as error:
        if code_for(error) is grpc.StatusCode.INTERNAL:
            logger.exception("call failed")
        await _abort(context, error)
    except grpc.aio.InternalError:
        # A write failed, as it does when the client is gone. The cancellation that tells so comes a moment later, and a
        # call that ended before it would be logged as an error of the server.
        with suppress(TimeoutError):
            async with asyncio.timeout(_CANCELLATION_SECONDS):
                await asyncio.Event().wait()
        raise
    except (grpc.aio.AbortError, grpc.aio.BaseError):
        raise
    except Exception:
        if context.done():
            raise  # the status is sent already
        logger.exception("call failed unexpectedly")
        await _abort(context, internal_error())


async def _abort(context: Context, error: CandelabraError) -> None:
    status = status_for(error)
    await context.abort(code_for(error), status.message, trailing_metadata=trailers_for(error, status))
