"""From errors to gRPC statuses: one table, and details that fit into what clients accept."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status

from candelabra_server.errors import (
    CandelabraError,
    ConfigurationError,
    FormulaError,
    ImportRefusedError,
    InvalidRequestError,
    Reason,
    StoreError,
    SymbolFailure,
    TimeframeNotStoredError,
    UnavailableError,
)

__all__ = ["DETAILS_METADATA_KEY", "DOMAIN", "STATUS_CODES", "code_for", "status_for"]

DOMAIN = "candelabra"
"""`ErrorInfo.domain`: says whose reasons these are."""
DETAILS_METADATA_KEY = "grpc-status-details-bin"

STATUS_CODES: dict[type[CandelabraError], grpc.StatusCode] = {
    InvalidRequestError: grpc.StatusCode.INVALID_ARGUMENT,
    FormulaError: grpc.StatusCode.INVALID_ARGUMENT,
    TimeframeNotStoredError: grpc.StatusCode.INVALID_ARGUMENT,
    ImportRefusedError: grpc.StatusCode.INVALID_ARGUMENT,
    UnavailableError: grpc.StatusCode.UNAVAILABLE,
    ConfigurationError: grpc.StatusCode.INTERNAL,
    StoreError: grpc.StatusCode.INTERNAL,
    SymbolFailure: grpc.StatusCode.INTERNAL,
    CandelabraError: grpc.StatusCode.INTERNAL,
}
"""The code of an error class holds for its subclasses that have none of their own."""

_MOST_DETAIL_BYTES = 4_096
"""gRPC clients turn a status with more than about 8 KiB of details into RESOURCE_EXHAUSTED."""
_MOST_MESSAGE_CHARACTERS = 600


def code_for(error: CandelabraError) -> grpc.StatusCode:
    """The gRPC code of an error."""
    return next(STATUS_CODES[cls] for cls in type(error).__mro__ if cls in STATUS_CODES)


def status_for(error: CandelabraError) -> Status:
    """The whole status: code, message, one ErrorInfo and, for a bad request, every violation that fits."""
    message = error.message
    details: list[Any] = [ErrorInfo(reason=str(error.reason), domain=DOMAIN, metadata=dict(error.metadata))]
    if isinstance(error, InvalidRequestError):
        details.append(_bad_request(error))
    status = Status(code=code_for(error).value[0], message=_cut(message, _MOST_MESSAGE_CHARACTERS))
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def internal_error() -> CandelabraError:
    """Stands for any exception that was not raised on purpose, whose text no client may see."""
    return CandelabraError("an unexpected error; the server's log has the cause", reason=Reason.INTERNAL)


def _bad_request(error: InvalidRequestError) -> BadRequest:
    bad_request = BadRequest()
    room = _MOST_DETAIL_BYTES - 512  # for the message, the ErrorInfo and the remark below
    for index, violation in enumerate(error.violations):
        one = BadRequest.FieldViolation(
            field=_cut(violation.field, 200), description=_cut(violation.description, 1_000), reason=violation.reason
        )
        room -= one.ByteSize() + 4
        if room < 0:
            left = len(error.violations) - index
            bad_request.field_violations.add(field=violation.field[:200], description=f"and {left} more violations")
            break
        bad_request.field_violations.append(one)
    return bad_request


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
