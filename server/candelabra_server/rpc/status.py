"""From errors to gRPC statuses: one table, and details that fit into what clients accept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from urllib.parse import quote

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from candelabra_server.errors import (
    CandelabraError,
    ConfigurationError,
    FormulaChangedError,
    FormulaError,
    FormulaExistsError,
    FormulaNotFoundError,
    ImportRefusedError,
    InvalidRequestError,
    JobTimeLimitError,
    OverloadedError,
    Reason,
    StoreError,
    SymbolFailure,
    TimeframeNotStoredError,
    UnavailableError,
    Violation,
)

__all__ = [
    "DOMAIN",
    "STATUS_CODES",
    "code_for",
    "internal_error",
    "status_for",
    "trailer_bytes",
    "trailers_for",
]

DOMAIN = "candelabra"
"""`ErrorInfo.domain`: says whose reasons these are."""
_DETAILS_METADATA_KEY = "grpc-status-details-bin"
_PUSHBACK_METADATA_KEY = "grpc-retry-pushback-ms"

STATUS_CODES: dict[type[CandelabraError], grpc.StatusCode] = {
    InvalidRequestError: grpc.StatusCode.INVALID_ARGUMENT,
    FormulaError: grpc.StatusCode.INVALID_ARGUMENT,
    FormulaNotFoundError: grpc.StatusCode.NOT_FOUND,
    FormulaExistsError: grpc.StatusCode.ALREADY_EXISTS,
    FormulaChangedError: grpc.StatusCode.ABORTED,
    TimeframeNotStoredError: grpc.StatusCode.INVALID_ARGUMENT,
    ImportRefusedError: grpc.StatusCode.INVALID_ARGUMENT,
    UnavailableError: grpc.StatusCode.UNAVAILABLE,
    OverloadedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    JobTimeLimitError: grpc.StatusCode.DEADLINE_EXCEEDED,
    ConfigurationError: grpc.StatusCode.INTERNAL,
    StoreError: grpc.StatusCode.INTERNAL,
    SymbolFailure: grpc.StatusCode.INTERNAL,
    CandelabraError: grpc.StatusCode.INTERNAL,
}
"""The code of an error class holds for its subclasses that have none of their own."""

_MOST_TRAILER_BYTES = 4_096
"""As sent, message and details together: gRPC clients refuse about 8 KiB of metadata."""
_MOST_MESSAGE_BYTES = 900
_MOST_FIELD_BYTES = 120
_MOST_DESCRIPTION_BYTES = 900
_ROOM_FOR_REMARK = 160
_SENT_AS_THEY_ARE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


def code_for(error: CandelabraError) -> grpc.StatusCode:
    """The gRPC code of an error."""
    return next(STATUS_CODES[cls] for cls in type(error).__mro__ if cls in STATUS_CODES)


def status_for(error: CandelabraError) -> Status:
    """The whole status: code, message, one ErrorInfo, every violation that fits, and when to come again."""
    metadata = {name: _cut(text, _MOST_FIELD_BYTES) for name, text in error.metadata.items()}
    status = Status(code=code_for(error).value[0], message=_cut(error.message, _MOST_MESSAGE_BYTES))
    _add_detail(status, ErrorInfo(reason=str(error.reason), domain=DOMAIN, metadata=metadata))
    if isinstance(error, InvalidRequestError):
        _add_violations(status, error.violations)
    if isinstance(error, OverloadedError):
        retry = RetryInfo()
        retry.retry_delay.FromMilliseconds(_retry_millis(error))
        _add_detail(status, retry)
    return status


def trailers_for(error: CandelabraError, status: Status) -> tuple[tuple[str, str | bytes], ...]:
    """What goes with the status: its details, and for gRPC's own retries when to come again."""
    details = _DETAILS_METADATA_KEY, status.SerializeToString()
    if isinstance(error, OverloadedError):
        return details, (_PUSHBACK_METADATA_KEY, str(_retry_millis(error)))
    return (details,)


def trailer_bytes(status: Status) -> int:
    """How many bytes a status takes as metadata: the message percent-encoded, the details in base64."""
    return _sent_bytes(status.message) + 4 * math.ceil(len(bytes(status.SerializeToString())) / 3)


def internal_error() -> CandelabraError:
    """Stands for any exception that was not raised on purpose, whose text no client may see."""
    return CandelabraError("an unexpected error; the server's log has the cause", reason=Reason.INTERNAL)


def _retry_millis(error: OverloadedError) -> int:
    return math.ceil(1_000 * error.retry_seconds)


def _add_violations(status: Status, violations: Sequence[Violation]) -> None:
    bad_request, whole = BadRequest(), Status()
    for index, violation in enumerate(violations):
        bad_request.field_violations.add(
            field=_cut(violation.field, _MOST_FIELD_BYTES),
            description=_cut(violation.description, _MOST_DESCRIPTION_BYTES),
            reason=violation.reason,
        )
        whole.CopyFrom(status)
        _add_detail(whole, bad_request)
        if trailer_bytes(whole) > _MOST_TRAILER_BYTES - _ROOM_FOR_REMARK:
            last = bad_request.field_violations[-1]
            last.description, last.reason = f"and {len(violations) - index} more violations", ""
            break
    _add_detail(status, bad_request)


def _add_detail(status: Status, detail: Message) -> None:
    packed = AnyMessage()
    packed.Pack(detail)
    status.details.append(packed)


def _cut(text: str, most: int) -> str:
    """As much of the text as takes `most` bytes percent-encoded."""
    if _sent_bytes(text) <= most:
        return text
    kept = text[:most]
    while _sent_bytes(kept) > most - 3 * len("…".encode()):
        kept = kept[: len(kept) * 9 // 10]
    return f"{kept}…"


def _sent_bytes(text: str) -> int:
    return len(quote(text, safe=_SENT_AS_THEY_ARE, errors="replace"))
