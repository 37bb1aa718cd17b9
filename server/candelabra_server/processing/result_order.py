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
from candelabra_server.processing.result_transport import Rows

__all__ = ["Done", "ResultOrder"]


class Done(NamedTuple):
    """What became of a symbol, of some of its rows, or of several symbols at once."""

    symbol: str
    """The first of them."""
    symbols: int
    messages: list[bytes | memoryview]
    """ProcessingResult parts without the server's fields, in order; those of a screen: see ScreenedChunk. Views of a
    slot may be replaced by copies at any time."""
    attempts: int
    rows: Rows | None = None
    """Which of the symbol's rows the messages have; None for all."""
    failure: CandelabraError | None = None
    """Why there is no worker's answer."""

    @property
    def is_complete(self) -> bool:
        """Whether nothing of the symbol is still to be done."""
        return self.rows is None or self.rows.next_row >= self.rows.total


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
        if self.open_piece is None and all(item.rows is None for item in done):
            self.completed += sum([item.symbols for item in done])
            return list(done)
        ready: list[Done] = []
        queue = deque(done)
        while queue:
            item = queue.popleft()
            if self.open_piece is not None and item.symbol != self.open_piece[0]:
                # What it refers to is used again when this returns.
                self._held.append(item._replace(messages=[bytes(message) for message in item.messages]))
                continue
            if item.rows is not None:
                item = self._joined(item, item.rows)
            if item.is_complete:
                self.completed += item.symbols
                if self.open_piece is not None:
                    self.open_piece = None
                    self._infos.clear()
            ready.append(item)
            if self.open_piece is None and self._held:
                queue.extendleft(reversed(self._held))
                self._held.clear()
        return ready

    def _joined(self, item: Done, rows: Rows) -> Done:
        """Some of a symbol's rows; the last of them with the info of all."""
        first_row = 0 if self.open_piece is None else self.open_piece[1]
        self._infos.append((first_row, rows.info))
        self.open_piece = item.symbol, rows.next_row
        if not item.is_complete:
            return item
        last = bytes(item.messages[-1]) + joined_info(self._infos)
        return item._replace(messages=[*item.messages[:-1], last])
