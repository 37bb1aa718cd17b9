"""How much the compute suite measures: all of it, or just enough to see that it works (`--quick`)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FULL", "QUICK", "Shape", "Sizes"]


@dataclass(frozen=True, slots=True)
class Shape:
    """Symbols and candles of each."""

    symbols: int
    rows: int

    @property
    def cells(self) -> int:
        """Values of one column over all symbols."""
        return self.symbols * self.rows

    def __str__(self) -> str:
        return f"{self.symbols:,} × {self.rows:,}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What each part of the suite is measured on.

    Attributes:
        checked: where values are compared before anything is timed; symbols in whole SIMD blocks of KunQuant.
        headline: beside KunQuant, Qlib, polars and pandas; likewise.
        by_symbols: a growing number of symbols of the same history; memory is looked at after the first and the last.
        by_history: a growing history, about as many rows in all.
        by_window: one set of symbols for growing windows, and for more and more columns.
        windows: of the kernels and of `by_window`.
        kernel_rows: candles of the column that single kernels run over.
        kernel_seconds: how long one kernel is run for one timing.
        peer_seconds: a peer gets no further run once its runs took this long.
    """

    checked: Shape
    headline: Shape
    by_symbols: tuple[Shape, ...]
    by_history: tuple[Shape, ...]
    by_window: Shape
    windows: tuple[int, ...]
    kernel_rows: int
    kernel_seconds: float
    peer_seconds: float


FULL = Sizes(
    checked=Shape(16, 600),
    headline=Shape(800, 3_400),
    by_symbols=(Shape(100, 500), Shape(800, 500), Shape(8_000, 500)),
    by_history=(Shape(2_000, 250), Shape(500, 1_000), Shape(148, 3_400), Shape(50, 10_000), Shape(20, 25_000)),
    by_window=Shape(200, 3_400),
    windows=(5, 20, 60, 250, 1_000),
    kernel_rows=3_400,
    kernel_seconds=0.004,
    peer_seconds=150.0,
)

QUICK = Sizes(
    checked=Shape(16, 600),
    headline=Shape(32, 400),
    by_symbols=(Shape(10, 100), Shape(20, 100), Shape(80, 100)),
    by_history=(Shape(16, 250), Shape(4, 1_000)),
    by_window=Shape(4, 1_500),
    windows=(5, 60, 1_000),
    kernel_rows=1_500,
    kernel_seconds=0.000_5,
    peer_seconds=20.0,
)
