"""An HTTP/2 server whose every frame a test writes down, for what no gRPC server says: `with answering([...])`.

It takes one request a stream and answers it with frames; it knows no more of HTTP/2 than that needs (RFC 9113, 7541).
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from google.protobuf.message import Message

__all__ = ["ERROR_CODES", "answering", "data", "end_of_connection", "going_away", "headers", "reset", "trailers"]

WAIT_SECONDS = 20
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY = 0, 1, 3, 4, 6, 7
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_PREFIX_BYTES = 5
"""Before each message of gRPC: whether it is compressed, and its size."""
_PREFACE_BYTES = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

ERROR_CODES = {
    "NO_ERROR": 0,
    "PROTOCOL_ERROR": 1,
    "INTERNAL_ERROR": 2,
    "FLOW_CONTROL_ERROR": 3,
    "REFUSED_STREAM": 7,
    "CANCEL": 8,
    "ENHANCE_YOUR_CALM": 11,
}
"""Of RFC 9113, section 7."""

Frame = Callable[[int], bytes]
"""Makes a frame for the stream of this number; no bytes close the connection."""
Answer = Sequence[Frame] | Callable[[bytes], Sequence[Frame]]
"""The frames for a request, or what makes them from the request's message."""


def headers(status: int = 200, content_type: str = "application/grpc") -> Frame:
    """The headers of an answer."""
    return _fields([(":status", str(status)), ("content-type", content_type)])


def data(payload: Message | bytes, *, ends: bool = False) -> Frame:
    """A message of gRPC, or bytes that are none; `ends` leaves the stream without trailers."""
    if isinstance(payload, Message):
        encoded = payload.SerializeToString()
        payload = struct.pack(">BI", 0, len(encoded)) + encoded
    body = payload
    return lambda stream: _frame(_DATA, _END_STREAM if ends else 0, stream, body)


def trailers(code: int, message: str = "", *further: tuple[str, str]) -> Frame:
    """The end of an answer, with a gRPC status."""
    return _fields([("grpc-status", str(code)), ("grpc-message", message), *further], ends=True)


def reset(error: str) -> Frame:
    """RST_STREAM with one of the ERROR_CODES."""
    return lambda stream: _frame(_RST_STREAM, 0, stream, struct.pack(">I", ERROR_CODES[error]))


def going_away(error: str = "NO_ERROR", *, last: int | None = None) -> Frame:
    """GOAWAY; the streams up to this one, or up to `last`, may go on."""
    return lambda stream: _frame(
        _GOAWAY, 0, 0, struct.pack(">II", stream if last is None else last, ERROR_CODES[error])
    )


def end_of_connection(stream: int) -> bytes:
    """Closes the connection."""
    del stream
    return b""


@contextmanager
def answering(answers: Sequence[Answer]) -> Iterator[str]:
    """Runs the server; gives its address. Each request takes the next answer, the last one is used from then on."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(WAIT_SECONDS)
    left = list(answers)
    connections: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connection.settimeout(WAIT_SECONDS)
                connections.append(connection)
                threads.append(threading.Thread(target=_serve, args=(connection, left)))
                threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        accepting.join(WAIT_SECONDS)
        listener.close()
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(WAIT_SECONDS)


def _serve(connection: socket.socket, answers: list[Answer]) -> None:
    with connection, suppress(OSError), connection.makefile("rb") as incoming:
        incoming.read(_PREFACE_BYTES)
        connection.sendall(_frame(_SETTINGS, 0, 0, b""))
        while len(head := incoming.read(9)) == 9:
            size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            stream = int.from_bytes(head[5:], "big")
            payload = incoming.read(size)
            if kind in {_SETTINGS, _PING} and not flags & _ACK:
                connection.sendall(_frame(kind, _ACK, 0, payload if kind == _PING else b""))
            if kind == _DATA and flags & _END_STREAM:
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                for make in answer(payload[_PREFIX_BYTES:]) if callable(answer) else answer:
                    frame = make(stream)
                    if not frame:
                        connection.shutdown(socket.SHUT_WR)
                        while incoming.read(1):  # closed with bytes unread, it would be reset
                            pass
                        return
                    connection.sendall(frame)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _fields(fields: Sequence[tuple[str, str]], *, ends: bool = False) -> Frame:
    """HEADERS with every field a literal that is not indexed and not Huffman-coded; texts up to 126 bytes."""
    block = b""
    for name, value in fields:
        for text in (name.encode(), value.encode()):
            assert len(text) < 127
        block += bytes([0, len(name)]) + name.encode() + bytes([len(value.encode())]) + value.encode()
    return lambda stream: _frame(_HEADERS, _END_HEADERS | (_END_STREAM if ends else 0), stream, block)
