"""Client: a process that calls servers and counts what comes, so that nothing else takes part in its time."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.delivery.helper_process import HelperProcess

__all__ = ["PROCESS", "SCREEN", "Client", "Streamed"]

PROCESS = "/candelabra.v1.ProcessingService/Process"
SCREEN = "/candelabra.v1.ProcessingService/Screen"
_LONGEST_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Streamed:
    """One stream, read to its end.

    Attributes:
        seconds: from the call to the end of the stream.
        first_seconds: from the call to the first message.
        messages: how many there were.
        bytes: of all messages.
        cpu_seconds: processor time of the client.
        sizes: of every message in order, where they were asked for.
    """

    seconds: float
    first_seconds: float
    messages: int
    bytes: int
    cpu_seconds: float
    sizes: Sequence[int] = ()


class Client(HelperProcess):
    """Does one thing at a time; raw bytes in and out."""

    def __init__(self) -> None:
        super().__init__("benchmarks.delivery.client_program")

    def stream(
        self, address: str, method: str, request: bytes, *, with_sizes: bool = False, only_first: bool = False
    ) -> Streamed:
        """Reads a stream to its end, or its first message only."""
        asked = _call("stream", address, method, request, with_sizes=with_sizes, only_first=only_first)
        return Streamed(**self.ask(asked, seconds=_LONGEST_SECONDS))

    def round_trips(
        self, address: str, method: str, request: bytes, *, count: int, limit_seconds: float
    ) -> Sequence[float]:
        """Seconds of calls one after the other: `count` at most, none begun past the limit. Echo is unary."""
        asked = _call("round_trips", address, method, request, count=count, limit_seconds=limit_seconds)
        seconds: list[float] = self.ask(asked, seconds=_LONGEST_SECONDS)["seconds"]
        return seconds

    def begin_crowd(self, address: str, method: str, request: bytes, *, clients: int, seconds: float) -> None:
        """Lets that many clients call, each on a connection of its own and one call after the other.

        `end_crowd` must come next.
        """
        self.send(_call("crowd", address, method, request, clients=clients, window_seconds=seconds))

    def end_crowd(self) -> float:
        """Messages a second of all of them together, once their time is over."""
        answer = self.answer(seconds=_LONGEST_SECONDS)
        return float(answer["messages"] / answer["seconds"])

    def flight(self, address: str, ticket: bytes) -> Streamed:
        """Reads an Arrow Flight to its end."""
        return Streamed(**self.ask(_call("flight", address, "", ticket), seconds=_LONGEST_SECONDS))

    def open_unread(self, address: str, method: str, request: bytes) -> None:
        """Begins a call, takes its first message and then reads nothing until `close_unread`."""
        self.ask(_call("open_unread", address, method, request), seconds=_LONGEST_SECONDS)

    def close_unread(self) -> None:
        """Cancels that call."""
        self.ask({"call": "close_unread"}, seconds=_LONGEST_SECONDS)

    def columns(self, address: str, request: bytes) -> dict[str, dict[str, list[float]]]:
        """All values of a small job, by symbol and column; fails where a symbol did."""
        answer = self.ask(_call("columns", address, PROCESS, request), seconds=_LONGEST_SECONDS)
        symbols: dict[str, dict[str, list[float]]] = answer["symbols"]
        return symbols

    def screened(self, address: str, request: bytes) -> list[str]:
        """Symbols that passed a screen, sorted; fails where a symbol did."""
        symbols: list[str] = self.ask(_call("screened", address, SCREEN, request), seconds=_LONGEST_SECONDS)["symbols"]
        return symbols


def _call(name: str, address: str, method: str, request: bytes, **arguments: Any) -> dict[str, Any]:
    encoded = base64.b64encode(request).decode()
    return {"call": name, "address": address, "method": method, "request": encoded, **arguments}
