"""What a picture of one symbol has in it, whoever draws it: `Chart` and its parts.

All arrays of a chart are as long as its `times`; NaN means "no value", and is drawn as a gap.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

__all__ = ["Candles", "Chart", "Numbers", "Pane", "Series", "Signal", "Style"]

Numbers = NDArray[np.float64]


class Style(StrEnum):
    """How a series is drawn."""

    LINE = "line"
    BARS = "bars"  # from zero


@dataclass(frozen=True, slots=True)
class Candles:
    """Prices, and the volume where it is known."""

    open: Numbers
    high: Numbers
    low: Numbers
    close: Numbers
    volume: Numbers | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """One column of numbers; `label` is what the reader sees."""

    label: str
    values: Numbers
    style: Style = Style.LINE

    @property
    def last(self) -> float | None:
        """The last value that there is."""
        finite = self.values[np.isfinite(self.values)]
        return float(finite[-1]) if len(finite) else None


@dataclass(frozen=True, slots=True)
class Signal:
    """One column of true and false; `entered` marks the rows where it turns from false to true."""

    label: str
    entered: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Pane:
    """Series that share a scale of their own, below the price."""

    series: tuple[Series, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """One symbol, from top to bottom: price with overlays and signals, panes, volume.

    Attributes:
        symbol: the symbol.
        caption: what else is known: timeframe, first and last day, rows a candle stands for.
        formula: what was computed, in one line; may be empty.
        times: open times in UTC, increasing.
        candles: None when there are no prices to draw; then `overlays` and `signals` are empty.
        overlays: series on the price's scale.
        signals: marked at the candles.
        panes: from top to bottom.
        omitted: labels of what has no room in the picture.
    """

    symbol: str
    caption: str
    formula: str
    times: NDArray[np.datetime64]
    candles: Candles | None
    overlays: tuple[Series, ...] = ()
    signals: tuple[Signal, ...] = ()
    panes: tuple[Pane, ...] = ()
    omitted: tuple[str, ...] = ()

    @property
    def row_count(self) -> int:
        """How many candles there are."""
        return len(self.times)

    @property
    def volume(self) -> Numbers | None:
        """The candles' volume; None where there is none to show."""
        volume = None if self.candles is None else self.candles.volume
        return volume if volume is not None and bool(np.any(volume > 0)) else None
