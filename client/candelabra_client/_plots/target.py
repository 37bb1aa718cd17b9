"""Where a picture goes: a PNG file, an HTML file or the terminal."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Final

from candelabra_client._files import replaced
from candelabra_client._frames import import_optional
from candelabra_client._plots.chart import Chart
from candelabra_client._plots.html import draw_html
from candelabra_client._plots.png import draw_png
from candelabra_client._plots.terminal import print_terminal

__all__ = ["MOST_SYMBOLS", "PlotKind", "Target", "check_symbol_count"]

MOST_SYMBOLS: Final = 6
"""Charts in one picture."""


class PlotKind(StrEnum):
    """Kinds of picture."""

    PNG = "png"
    HTML = "html"
    TERMINAL = "term"


_LIBRARIES: Final[Mapping[PlotKind, tuple[str, str]]] = MappingProxyType(
    {
        PlotKind.PNG: ("matplotlib", "'candelabra[plot]'"),
        PlotKind.HTML: ("plotly", "'candelabra[plot]'"),
        PlotKind.TERMINAL: ("rich", "'candelabra[cli]'"),
    }
)
_FILES: Final[Mapping[PlotKind, Callable[[Sequence[Chart]], bytes]]] = MappingProxyType(
    {PlotKind.PNG: draw_png, PlotKind.HTML: draw_html}
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a picture goes; `path` is None for the terminal."""

    kind: PlotKind
    path: Path | None

    @classmethod
    def of(cls, name: str | os.PathLike[str]) -> Target:
        """Reads `FILE.png`, `FILE.html` or `term`; ValueError for anything else."""
        if name == PlotKind.TERMINAL:
            return cls(PlotKind.TERMINAL, None)
        path = Path(name)
        kinds = {f".{kind}": kind for kind in _FILES}
        if path.suffix.lower() not in kinds:
            raise ValueError(f"{str(name)!r} does not say what to draw; expected FILE.png, FILE.html or term")
        return cls(kinds[path.suffix.lower()], path)

    def check_libraries(self) -> None:
        """Raises MissingDependency when what draws this kind is not installed."""
        name, install = _LIBRARIES[self.kind]
        import_optional(name, install=install)

    def draw(self, charts: Sequence[Chart]) -> tuple[str, ...]:
        """Draws the charts below each other; a file appears, or is replaced, only when it is complete.

        Returns:
            Labels of columns that found no room.

        Raises:
            ValueError: no chart, or more than MOST_SYMBOLS.
            MissingDependency: what draws this kind is not installed.
            OSError: the file cannot be written.
        """
        if not charts:
            raise ValueError("there is nothing to plot: no symbol has a result")
        check_symbol_count(len(charts))
        if self.path is None:
            return print_terminal(charts)
        picture = _FILES[self.kind](charts)
        with replaced(self.path) as stream:
            stream.write(picture)
        return tuple(dict.fromkeys(label for chart in charts for label in chart.omitted))


def check_symbol_count(count: int) -> None:
    """Raises ValueError for more symbols than a picture shows."""
    if count > MOST_SYMBOLS:
        raise ValueError(f"a plot shows at most {MOST_SYMBOLS} symbols, and these are {count:,}: name fewer")
