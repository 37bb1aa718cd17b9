"""Lays screens out as tables: one that is printed at the end, and one that grows while the screen runs."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType

from candelabra_client._commands.tables import Column, laid_out, number_texts, time_texts
from candelabra_client._screen_result import ScreenBatch, joined

__all__ = ["GrowingTable", "print_screen"]

_LINES_BESIDE_ROWS = 6
"""Header, what was left out, the bar, and room for the prompt."""


def print_screen(console: Console, batch: ScreenBatch, *, rows: int) -> None:
    """Prints a row a symbol; nothing when there is none.

    Args:
        console: where to; its width bounds the table.
        batch: in the order in which to print it.
        rows: most rows; 0 for all.
    """
    if batch.symbols:
        console.print(laid_out(_columns(batch), width=console.width, rows=rows, keys=2))


class GrowingTable:
    """A table of what has come so far, never higher than the terminal: its first rows and its last.

    One thread adds; another may ask for the table at any time.
    """

    def __init__(self, console: Console, *, rows: int) -> None:
        """Makes the table; `rows` is the most that it shows, 0 for as many as fit."""
        room = max(console.height - _LINES_BESIDE_ROWS, 3)
        self._console = console
        self._most = min(rows, room) if rows else room
        self._rows: tuple[ScreenBatch, int] | None = None  # those that are kept, and how many are not: read at once

    @property
    def row_count(self) -> int:
        """How many rows were added."""
        return 0 if self._rows is None else len(self._rows[0]) + self._rows[1]

    def add(self, batch: ScreenBatch) -> None:
        """Puts rows at the end."""
        kept, hidden = (
            (batch, 0) if self._rows is None else (joined([self._rows[0], batch], batch.kinds), self._rows[1])
        )
        surplus = len(kept) - self._most
        if surplus > 0:
            head = (self._most + 1) // 2
            kept = kept.rows([*range(head), *range(head + surplus, len(kept))])
            hidden += surplus
        self._rows = kept, hidden

    def __call__(self) -> RenderableType:
        """Returns the table as it is now."""
        rows = self._rows
        if rows is None:
            return Group()
        kept, hidden = rows
        return laid_out(_columns(kept), width=self._console.width, rows=self._most, keys=2, hidden=hidden)


def _columns(batch: ScreenBatch) -> list[Column]:
    columns = [
        Column("symbol", batch.symbols, is_number=False),
        Column("time", time_texts(batch.as_of), is_number=False),
    ]
    return columns + [Column(name, number_texts(batch[name], batch.kinds[name])) for name in batch.columns]
