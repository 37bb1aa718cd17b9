"""What a server must not answer, whatever it is sent: an internal error, a stack, a path, an exception's name."""

import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status

from candelabra.v1 import SymbolError
from candelabra_server.errors import Reason

HONEST_CODES = frozenset(
    {
        grpc.StatusCode.OK,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)
"""With which a server that is well ends a call whose client waits for it, if the request is to blame."""
_DETAILS_KEY = "grpc-status-details-bin"
_MOST_TRAILER_BYTES = 8_192
_KINDS_OF_DETAILS = (ErrorInfo, BadRequest)
_OWN = "candelabra"
_FOLDERS = sorted(
    {str(Path(name).resolve()) for name in (sys.prefix, sys.base_prefix, Path.cwd(), tempfile.gettempdir())}
)
_TELLTALES = (
    re.compile(r"Traceback"),
    re.compile(r'File "'),
    re.compile(r"<class |<function | object at 0x"),
    re.compile(r"\b[A-Z]\w*(?:Error|Exception|Warning|Interrupt|Iteration)\b"),
    re.compile(r"(?<![\w/])/(?:bin|dev|etc|home|lib|opt|proc|root|run|sys|tmp|usr|var|work|Users|private)/\S*"),
    *(re.compile(re.escape(folder)) for folder in _FOLDERS if folder != "/"),
)


@dataclass(frozen=True)
class Answer:
    """What came of one call.

    Attributes:
        code: how it ended.
        message: the status's text.
        trailers: trailing metadata.
        responses: encoded messages that were read.
        was_cut: whether the client ended it.
    """

    code: grpc.StatusCode
    message: str
    trailers: Sequence[tuple[str, str | bytes]]
    responses: Sequence[bytes]
    was_cut: bool


def faults_of(answer: Answer, *, method: str, response_type: type[Message], sent: bytes) -> list[str]:
    """What is wrong with an answer, one line each. Texts that the request has itself may be repeated to it."""
    faults = []
    if answer.code not in HONEST_CODES and not (answer.was_cut and answer.code is grpc.StatusCode.CANCELLED):
        faults.append(f"ends with {answer.code.name}: {answer.message[:300]}")
    texts = [answer.message, *(str(value) for key, value in answer.trailers if key != _DETAILS_KEY)]
    details = [bytes(value) for key, value in answer.trailers if key == _DETAILS_KEY and isinstance(value, bytes)]
    if sum(len(key) + len(value) for key, value in answer.trailers) > _MOST_TRAILER_BYTES:
        faults.append("has more trailing metadata than clients take")
    if details:
        faults += _faults_of_details(Status.FromString(details[0]), answer, texts)
    elif method.startswith(f"/{_OWN}.") and answer.code is grpc.StatusCode.INVALID_ARGUMENT:
        faults.append("refuses without details")
    for response in answer.responses:
        try:
            message = response_type.FromString(response)
        except DecodeError:
            faults.append(f"sends what is no {response_type.DESCRIPTOR.full_name}")
            continue
        texts += _texts_of(message)
        faults += [
            f"a symbol fails for no reason that a user can understand: {error.message[:300]}"
            for error in _symbol_errors(message)
            if error.reason not in set(Reason) or error.reason == Reason.INTERNAL
        ]
    given = sent.decode("utf-8", errors="replace")
    for text in texts:
        found = [match[0] for telltale in _TELLTALES for match in telltale.finditer(text)]
        faults += [f"tells {piece!r}: {text[:300]}" for piece in found if piece not in given]
    return faults


def _faults_of_details(status: Status, answer: Answer, texts: list[str]) -> Iterator[str]:
    """What is wrong with the details of a status, whose texts are added to `texts`."""
    if (status.code, status.message) != (answer.code.value[0], answer.message):
        yield f"has details of another status: {status.code} {status.message[:300]}"
    kinds = []
    for packed in status.details:
        for kind in _KINDS_OF_DETAILS:
            message = kind()
            if packed.Unpack(message):
                kinds.append(kind)
                texts.extend(_texts_of(message))
    if kinds.count(ErrorInfo) != 1:
        yield f"has {kinds.count(ErrorInfo)} ErrorInfo, not 1"
    if len(kinds) != len(status.details):
        yield "has details of an unknown kind"


def _texts_of(message: Message) -> Iterator[str]:
    for child in _messages_in(message):
        for field, value in child.ListFields():
            if field.message_type is None or field.message_type.GetOptions().map_entry:
                values = [*value, *value.values()] if hasattr(value, "values") else value
                for one in [values] if isinstance(values, str) else values if field.is_repeated else []:
                    if isinstance(one, str):
                        yield one


def _symbol_errors(message: Message) -> Iterator[SymbolError]:
    return (child for child in _messages_in(message) if isinstance(child, SymbolError))


def _messages_in(message: Message) -> Iterator[Message]:
    """The message and all within it, packed ones too where their kind is known."""
    yield message
    if isinstance(message, AnyMessage):
        kind = GetMessageClass(Default().FindMessageTypeByName(message.TypeName()))()
        message.Unpack(kind)
        yield from _messages_in(kind)
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            yield from (inner for one in value.values() if isinstance(one, Message) for inner in _messages_in(one))
        elif field.is_repeated:
            yield from (inner for one in value for inner in _messages_in(one))
        else:
            yield from _messages_in(value)
