"""Every error that the client raises on purpose.

    CandelabraError
    ├── CallError                    a call did not succeed; has code, reason, metadata, request_id
    │   ├── InvalidRequest           the request cannot run; has violations  INVALID_ARGUMENT, OUT_OF_RANGE
    │   ├── ServerUnavailable        nobody answers, or not now              UNAVAILABLE
    │   ├── Overloaded               too much at once; has retry_after       RESOURCE_EXHAUSTED
    │   ├── MessageTooLarge          larger than this client accepts         RESOURCE_EXHAUSTED, found locally
    │   ├── DeadlineExceeded         the timeout has passed                  DEADLINE_EXCEEDED
    │   ├── Cancelled                the call was cancelled or closed        CANCELLED
    │   ├── Unauthenticated          who is calling is not known             UNAUTHENTICATED
    │   ├── PermissionDenied         the caller may not do this              PERMISSION_DENIED
    │   ├── NotFound                 what was asked for is not there         NOT_FOUND
    │   ├── AlreadyExists            what was to be made is there already    ALREADY_EXISTS
    │   ├── FailedPrecondition       not in this state                       FAILED_PRECONDITION
    │   ├── Aborted                  lost against a concurrent change        ABORTED
    │   ├── Unimplemented            the server does not know the call       UNIMPLEMENTED
    │   └── InternalServerError      the server's fault                      INTERNAL, UNKNOWN, DATA_LOSS
    ├── ProtocolError                the server's answer breaks the contract
    ├── SymbolFailed                 one symbol has no result; has symbol, reason, metadata
    ├── JobConsumed                  a job or screen runs once, and was iterated before
    ├── ClientClosed                 the client was used after it was closed
    └── MissingDependency            an optional library is not installed

`ServerUnavailable` is a `ConnectionError` too, `DeadlineExceeded` a `TimeoutError`, `InvalidRequest` a
`ValueError`, `JobConsumed` and `ClientClosed` are `RuntimeError`s and `MissingDependency` is an
`ImportError`, so that general handlers see them. A call with arguments of the wrong type raises the usual
`TypeError` or `ValueError` before anything is sent.
"""

# ruff: noqa: N818 - the names say what happened, as they do in httpx

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import grpc

__all__ = [
    "Aborted",
    "AlreadyExists",
    "CallError",
    "Cancelled",
    "CandelabraError",
    "ClientClosed",
    "DeadlineExceeded",
    "FailedPrecondition",
    "InternalServerError",
    "InvalidRequest",
    "JobConsumed",
    "MessageTooLarge",
    "MissingDependency",
    "NotFound",
    "Overloaded",
    "PermissionDenied",
    "ProtocolError",
    "ServerUnavailable",
    "SymbolFailed",
    "Unauthenticated",
    "Unimplemented",
    "Violation",
]


class CandelabraError(Exception):
    """Base of all errors that this package raises on purpose."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong with a request.

    Attributes:
        field: path of the field in the request's message, for example `formula.expression`.
        description: what is wrong; for a formula with line, column and a line of carets.
        reason: a stable cause made for programs, for example `UNKNOWN_FUNCTION`; may be empty.
    """

    field: str
    description: str
    reason: str = ""


class CallError(CandelabraError):
    """A call to the server did not succeed.

    Attributes:
        code: the gRPC status.
        message: the status' text, made for people.
        reason: a stable cause made for programs, for example `TIMEFRAME_NOT_STORED`; may be empty.
        metadata: details of the reason.
        violations: everything that is wrong with the request; empty for other errors.
        retry_after: seconds after which the server suggests to try again; None when it does not.
        request_id: what the server calls this request in its log; None when it did not say.
    """

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_after: float | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message or code.name)
        self.message = message
        self.code = code
        self.reason = reason
        self.metadata: Mapping[str, str] = MappingProxyType(dict(metadata or {}))
        self.violations = tuple(violations)
        self.retry_after = retry_after
        self.request_id = request_id


class InvalidRequest(CallError, ValueError):
    """The request cannot run as it is; `violations` has everything that is wrong with it."""


class ServerUnavailable(CallError, ConnectionError):
    """No server answers at the address, or it cannot take the request now; a later attempt may succeed."""


class Overloaded(CallError):
    """The server has too much to do; `retry_after` says when to try again."""


class MessageTooLarge(CallError):
    """The server sent a message that is larger than this client accepts."""


class DeadlineExceeded(CallError, TimeoutError):
    """The timeout passed before the answer was complete. The server has stopped working on it."""


class Cancelled(CallError):
    """The call was cancelled: by closing the job or the client, or by the server."""


class Unauthenticated(CallError):
    """The server does not know who is calling."""


class PermissionDenied(CallError):
    """The caller may not do this."""


class NotFound(CallError):
    """What was asked for is not there."""


class AlreadyExists(CallError):
    """What was to be made is there already."""


class FailedPrecondition(CallError):
    """The server is not in a state in which the request can run."""


class Aborted(CallError):
    """The request lost against a concurrent change; read again and retry."""


class Unimplemented(CallError):
    """The server does not know the call: it is older than this client, or not a Candelabra server."""


class InternalServerError(CallError):
    """Something went wrong in the server; its log says more."""


class ProtocolError(CandelabraError):
    """The server's answer breaks the contract of `candelabra.v1`."""


class SymbolFailed(CandelabraError):
    """One symbol of a job has no result; raised when its values are asked for.

    Attributes:
        symbol: the symbol.
        reason: stable and made for programs, for example `UNKNOWN_SYMBOL`.
        message: made for people.
        metadata: details of the reason.
    """

    def __init__(self, symbol: str, *, reason: str, message: str, metadata: Mapping[str, str]) -> None:
        super().__init__(f"{symbol}: {message} ({reason})")
        self.symbol = symbol
        self.reason = reason
        self.message = message
        self.metadata = metadata


class JobConsumed(CandelabraError, RuntimeError):
    """A job or screen runs once: it was iterated, or it was closed, before."""


class ClientClosed(CandelabraError, RuntimeError):
    """The client was used after it was closed."""


class MissingDependency(CandelabraError, ImportError):
    """A library that is not part of the base install is needed; the message says how to install it."""
