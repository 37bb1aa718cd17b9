"""Recursive indicators, computed by TA-Lib, whose seeding and smoothing is what the field means by their names.

One missing value would poison every later one, and so would an infinity. Rows in which an input is NaN or infinite
are left out, the rest is computed as if it stood together, and the results go back to their rows; the rows left out
are NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from candelabra_server.domain.candles import FloatColumn
from candelabra_server.formulas.kernels.talib_import import talib

__all__ = [
    "average_true_range",
    "exponential_mean",
    "macd",
    "relative_strength",
]


def exponential_mean(column: FloatColumn, window: int) -> FloatColumn:
    """EMA: alpha = 2 / (window + 1), seeded with the simple mean of the first window."""
    return _compacted([column], 1, lambda values: [talib.EMA(values, window)])[0]


def relative_strength(column: FloatColumn, window: int) -> FloatColumn:
    """RSI: Wilder's averages (alpha = 1 / window) of gains and losses."""
    return _compacted([column], 1, lambda values: [talib.RSI(values, window)])[0]


def average_true_range(high: FloatColumn, low: FloatColumn, close: FloatColumn, window: int) -> FloatColumn:
    """ATR: Wilder's average of the true range."""
    return _compacted([high, low, close], 1, lambda *values: [talib.ATR(*values, window)])[0]


def macd(column: FloatColumn, fast: int, slow: int, signal: int) -> tuple[FloatColumn, ...]:
    """MACD: the difference of two EMAs, its EMA, and the difference of these."""
    return tuple(_compacted([column], 3, lambda values: talib.MACD(values, fast, slow, signal)))


def _compacted(
    columns: Sequence[FloatColumn], outputs: int, compute: Callable[..., Sequence[FloatColumn]]
) -> Sequence[FloatColumn]:
    """Runs `compute` over the rows where every column is finite; new columns."""
    present = np.logical_and.reduce([np.isfinite(column) for column in columns])
    if present.all():
        return compute(*columns) if len(present) else [np.empty(0) for _ in range(outputs)]
    scattered = [np.full(len(present), np.nan) for _ in range(outputs)]
    if present.any():
        compacted = compute(*(np.ascontiguousarray(column[present]) for column in columns))
        for target, values in zip(scattered, compacted, strict=True):
            target[present] = values
    return scattered
