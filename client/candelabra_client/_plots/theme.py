"""Colours, told apart by colour-blind readers too and readable on paper.

They are Paul Tol's "vibrant" scheme and two of his "muted" one (SRON/EPS/TN/09-002, Colour schemes).
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "BACKGROUND",
    "DOWN",
    "GRID",
    "INK",
    "LINES",
    "ON_ANY",
    "PALE",
    "SIGNALS",
    "UP",
    "line_colour",
    "signal_colour",
    "terminal_colour",
]

UP: Final = "#009988"
DOWN: Final = "#CC3311"
LINES: Final = ("#0077BB", "#EE7733", "#AA4499", "#332288", "#999933", "#33BBEE")
SIGNALS: Final = ("#EE3377", "#3399DD", "#BB66AA", "#999933")
ON_ANY: Final = ("#3399DD", "#EE7733", "#BB66AA", "#999933", "#33BBEE", "#888888")
"""Lines on a terminal, whose background may be dark or light."""

INK: Final = "#222222"
PALE: Final = "#777777"
GRID: Final = "#E4E4E4"
BACKGROUND: Final = "#FFFFFF"


def line_colour(position: int) -> str:
    """Returns the colour of a pane's series."""
    return LINES[position % len(LINES)]


def signal_colour(position: int) -> str:
    """Returns the colour of a signal's marks."""
    return SIGNALS[position % len(SIGNALS)]


def terminal_colour(position: int) -> str:
    """Returns the colour of a pane's series on a terminal."""
    return ON_ANY[position % len(ON_ANY)]
