"""A grid of characters with colours, on which the terminal's charts are drawn."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Final

__all__ = ["Canvas"]

_BRAILLE = 0x2800
_DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # by row and column within a cell


class Canvas:
    """Rows count from the top, columns from the left; what lies outside is not drawn."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self._characters = [[" "] * width for _ in range(height)]
        self._styles = [[""] * width for _ in range(height)]

    def put(self, row: int, column: int, character: str, style: str = "") -> None:
        """Sets one cell."""
        if 0 <= row < self.height and 0 <= column < self.width:
            self._characters[row][column] = character
            self._styles[row][column] = style

    def fill(self, row: int, column: int, character: str, style: str = "") -> None:
        """Sets one cell if it is empty."""
        if 0 <= row < self.height and 0 <= column < self.width and self._characters[row][column] == " ":
            self.put(row, column, character, style)

    def write(self, row: int, column: int, text: str, style: str = "", *, end: int | None = None) -> int:
        """Writes a text, cut short where it would pass `end`; returns the column after it."""
        end = self.width if end is None else min(end, self.width)
        if len(text) > end - column:
            text = text[: max(end - column - 1, 0)] + "…" if end > column else ""
        for offset, character in enumerate(text):
            self.put(row, column + offset, character if character.isprintable() else " ", style)
        return column + len(text)

    def dot(self, row: int, column: int, style: str) -> None:
        """Sets a dot, of which a cell has 2 by 4, in a cell that is empty or has dots already."""
        cell_row, cell_column = row // 4, column // 2
        if not (0 <= cell_row < self.height and 0 <= cell_column < self.width):
            return
        before = self._characters[cell_row][cell_column]
        if before != " " and not _BRAILLE <= ord(before) < _BRAILLE + 256:
            return
        dots = 0 if before == " " else ord(before) - _BRAILLE
        self.put(cell_row, cell_column, chr(_BRAILLE + (dots | _DOTS[row % 4][column % 2])), style)

    def rows(self) -> Iterator[list[tuple[str, str]]]:
        """Yields each row as pieces of text with one style each."""
        for characters, styles in zip(self._characters, self._styles, strict=True):
            cells = zip(characters, styles, strict=True)
            yield [
                ("".join(character for character, _ in piece), style)
                for style, piece in groupby(cells, key=lambda cell: cell[1])
            ]
