"""The order of a job's results: the parts of a symbol that is done in ranges of rows come one after the other.

Whatever else of the job is done meanwhile is held, so that no other symbol's messages come between. That is what was
in flight when the symbol turned out to be so large, and no more: its job does nothing else until it is complete.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from candelabra_server.errors import CandelabraError
from candelabra_server.processing.result_encoding import joined_info
from candelabra_server.processing.result_transport import Outcome

__all__ = ["Done", "ResultOrder"]


class Done(NamedTuple):
    """What became of a symbol, or of some of its rows."""

    symbol: str
    messages: Sequence[bytes | memoryview]
    """ProcessingResult parts without the server's fields, in order; those of a screen: see ScreenedChunk."""
    attempts: int
    outcome: Outcome | None
    """What its worker says of it; None when none does."""
    failure: CandelabraError | None
    """Why there is no worker's answer."""

    @property
    def next_row(self) -> int | None:
        """The first row that is still to be done; None when the symbol is complete."""
        outcome = self.outcome
        return outcome.next_row if outcome is not None and outcome.next_row < outcome.rows else None


class ResultOrder:
    """Puts one job's results in order. Not safe for concurrent use.

    Attributes:
        completed: symbols that are complete, all of their results given out.
        open_piece: the symbol that is done in ranges of rows now, and its next row; None when there is none.
    """

    def __init__(self) -> None:
        self.completed = 0
        self.open_piece: tuple[str, int] | None = None
        self._infos: list[tuple[int, bytes]] = []
        """Of the open symbol's ranges: the first row, and the encoded ResultInfo."""
        self._held: list[Done] = []

    def add(self, done: Sequence[Done]) -> list[Done]:
        """Takes results, symbols in any order and the rows of one in theirs; gives those that may be sent now."""
        ready: list[Done] = []
        queue = deque(done)
        while queue:
            item = queue.popleft()
            if self.open_piece is not None and item.symbol != self.open_piece[0]:
                # What it refers to is used again when this returns.
                self._held.append(item._replace(messages=[bytes(message) for message in item.messages]))
                continue
            ready.append(self._sent(item))
            if self.open_piece is None and self._held:
                queue.extendleft(reversed(self._held))
                self._held.clear()
        return ready

    def _sent(self, item: Done) -> Done:
        outcome = item.outcome
        if outcome is not None and outcome.rows:
            first_row = 0 if self.open_piece is None else self.open_piece[1]
            self._infos.append((first_row, outcome.info))
            if item.next_row is not None:
                self.open_piece = item.symbol, item.next_row
                return item
            last = bytes(item.messages[-1]) + joined_info(self._infos)
            item = item._replace(messages=[*item.messages[:-1], last])
        self.open_piece = None
        self._infos.clear()
        self.completed += 1
        return item
