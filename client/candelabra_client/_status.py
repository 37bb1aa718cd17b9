"""Turns a failed gRPC call into the client's own exception: one table from status to class."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from candelabra_client import _exceptions as errors

__all__ = ["EXCEPTIONS", "to_exception"]

EXCEPTIONS: Final[Mapping[grpc.StatusCode, type[errors.CallError]]] = MappingProxyType(
    {
        grpc.StatusCode.OK: errors.InternalServerError,  # an error without an error: nobody else's fault
        grpc.StatusCode.CANCELLED: errors.Cancelled,
        grpc.StatusCode.UNKNOWN: errors.InternalServerError,
        grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidRequest,
        grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
        grpc.StatusCode.NOT_FOUND: errors.NotFound,
        grpc.StatusCode.ALREADY_EXISTS: errors.AlreadyExists,
        grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDenied,
        grpc.StatusCode.RESOURCE_EXHAUSTED: errors.Overloaded,
        grpc.StatusCode.FAILED_PRECONDITION: errors.FailedPrecondition,
        grpc.StatusCode.ABORTED: errors.Aborted,
        grpc.StatusCode.OUT_OF_RANGE: errors.InvalidRequest,
        grpc.StatusCode.UNIMPLEMENTED: errors.Unimplemented,
        grpc.StatusCode.INTERNAL: errors.InternalServerError,
        grpc.StatusCode.UNAVAILABLE: errors.ServerUnavailable,
        grpc.StatusCode.DATA_LOSS: errors.InternalServerError,
        grpc.StatusCode.UNAUTHENTICATED: errors.Unauthenticated,
    }
)

_REQUEST_ID_KEY = "x-request-id"
_TOO_LARGE = "Received message larger than max"
"""How grpc's core words its own refusal; no server of ours uses the words."""

_NOBODY = "failed to connect to all addresses"
"""The same, when nothing listens; the reason of the last address follows after the last colon."""


def to_exception(error: grpc.RpcError, *, address: str = "") -> errors.CallError:
    """Returns the exception for a failed call, with the details that came in its trailing metadata.

    Details that cannot be read are left out: the status itself always gets through.
    """
    call: Any = error  # grpc's errors are calls at the same time, which its types do not say
    code: grpc.StatusCode = call.code()
    message: str = call.details() or ""
    kind = EXCEPTIONS[code]
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and _TOO_LARGE in message:
        kind = errors.MessageTooLarge
        message += "; ask for smaller parts with max_message_bytes, or raise the client's max_receive_bytes"
    if code is grpc.StatusCode.UNAVAILABLE and address:
        silent = message.startswith(_NOBODY)
        message = (
            f"no server answers at {address}: {message.rpartition(': ')[2]}" if silent else f"{address}: {message}"
        )
    return kind(message, code=code, request_id=_request_id(call), **_details(_status(call)))


def _status(call: Any) -> status_pb2.Status:  # noqa: ANN401 - see above
    try:
        return rpc_status.from_call(call) or status_pb2.Status()
    except Exception:  # noqa: BLE001 - whatever a proxy put there, the call's own error matters more
        return status_pb2.Status()


def _details(status: status_pb2.Status) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for detail in status.details:
        if detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad_request = error_details_pb2.BadRequest.FromString(detail.value)
            found["violations"] = [
                errors.Violation(violation.field, violation.description, violation.reason)
                for violation in bad_request.field_violations
            ]
        elif detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo.FromString(detail.value)
            found |= {"reason": info.reason, "metadata": info.metadata}
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            delay = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay
            found["retry_after"] = delay.seconds + delay.nanos / 1e9
    return found


def _request_id(call: Any) -> str | None:  # noqa: ANN401 - see above
    for key, value in (*(call.trailing_metadata() or ()), *(call.initial_metadata() or ())):
        if key == _REQUEST_ID_KEY:
            return str(value)
    return None
