"""Recursive indicators, computed by TA-Lib, whose seeding and smoothing is what the field means by their names.

Rows in which an input is NaN or infinite are left out and are NaN: see talib_functions.compacted.
"""

from __future__ import annotations

from candelabra_server.domain.candles import FloatColumn
from candelabra_server.formulas.kernels.talib_functions import compacted
from candelabra_server.formulas.kernels.talib_import import talib

__all__ = [
    "average_true_range",
    "exponential_mean",
    "macd",
    "relative_strength",
]


def exponential_mean(column: FloatColumn, window: int) -> FloatColumn:
    """EMA: alpha = 2 / (window + 1), seeded with the simple mean of the first window."""
    return compacted([column], 1, lambda values: [talib.EMA(values, window)])[0]


def relative_strength(column: FloatColumn, window: int) -> FloatColumn:
    """RSI: Wilder's averages (alpha = 1 / window) of gains and losses."""
    return compacted([column], 1, lambda values: [talib.RSI(values, window)])[0]


def average_true_range(high: FloatColumn, low: FloatColumn, close: FloatColumn, window: int) -> FloatColumn:
    """ATR: Wilder's average of the true range."""
    return compacted([high, low, close], 1, lambda *values: [talib.ATR(*values, window)])[0]


def macd(column: FloatColumn, fast: int, slow: int, signal: int) -> tuple[FloatColumn, ...]:
    """MACD: the difference of two EMAs, its EMA, and the difference of these."""
    return tuple(compacted([column], 3, lambda values: talib.MACD(values, fast, slow, signal)))
