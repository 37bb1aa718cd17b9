"""The watch over a chunk in its worker: which symbol it is at, and whether there is a reason to stop."""

from __future__ import annotations

from candelabra_server.errors import Reason, SymbolFailure
from candelabra_server.processing.marks import MarkWriter, monotonic_micros

__all__ = ["ChunkUnwantedError", "SymbolWatch"]

_NEVER = 1 << 62


class ChunkUnwantedError(Exception):
    """Nobody waits for the chunk any more: its job was cancelled, or its time is over. Never leaves the worker."""


class SymbolWatch:
    """Begun anew for each symbol; `check` is called between the steps of its computation.

    Args:
        mark: where to write which symbol it is; None for a chunk without a slot.
        limit_millis: for one symbol; 0 for none.
        deadline_micros: of the whole job, by the monotonic clock; 0 for none.
    """

    __slots__ = ("_deadline", "_limit_micros", "_mark", "_until")

    def __init__(self, mark: MarkWriter | None = None, *, limit_millis: int = 0, deadline_micros: int = 0) -> None:
        self._mark = mark
        self._limit_micros = 1_000 * limit_millis
        self._deadline = deadline_micros or _NEVER
        self._until = self._deadline

    def begin(self, position: int) -> None:
        """The worker begins with a symbol of the chunk.

        Raises:
            ChunkUnwantedError: it need not.
        """
        now, mark = monotonic_micros(), self._mark
        if mark is not None:
            mark.move(position, now)
            if mark.is_unwanted:
                raise ChunkUnwantedError
        if now > self._deadline:
            raise ChunkUnwantedError
        self._until = min(now + self._limit_micros, self._deadline) if self._limit_micros else self._deadline

    def check(self) -> None:
        """Returns while the symbol is wanted and has time left.

        Raises:
            ChunkUnwantedError: nobody wants it any more.
            SymbolFailure: reason SYMBOL_TIME_LIMIT.
        """
        if self._mark is not None and self._mark.is_unwanted:
            raise ChunkUnwantedError
        now = monotonic_micros()
        if now > self._until:
            if now > self._deadline:
                raise ChunkUnwantedError
            limit_millis = self._limit_micros // 1_000
            raise SymbolFailure(
                f"not finished within {limit_millis:,} ms, the time limit for a symbol",
                reason=Reason.SYMBOL_TIME_LIMIT,
                metadata={"limit_millis": str(limit_millis)},
            )

    def end(self, position: int) -> None:
        """The worker is behind the last of so many symbols, and only its answer is to be sent."""
        if self._mark is not None:
            self._mark.move(position, monotonic_micros())
