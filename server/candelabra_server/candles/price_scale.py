"""What prices are multiplied by: 1, but for fixed-point prices, which are told by how they are written.

Databento writes a price as a whole number of 1e-9, or as a decimal number with its point, also where that
is whole (databento.com/docs: the examples of `map_symbols_csv`, the parameter `pretty_px` of `to_csv`).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from candelabra_server.candles.number_column import is_text, read_numbers
from candelabra_server.domain.candles import FloatColumn

__all__ = ["FIXED_POINT", "find_price_scale", "scaled"]

FIXED_POINT = Decimal("1e-9")
_LEAST_FIXED_POINT = 1_000_000
"""Whole numbers from here on are taken for fixed point: 0.001. Below, they may as well be prices."""


def find_price_scale(columns: Sequence[pa.Array]) -> Decimal | None:
    """The scale of open, high, low and close of a file that may have fixed-point prices.

    Returns:
        1 when a price has a decimal point, FIXED_POINT when all are whole and large, None when they are
        whole and some are small: that can be either.
    """
    if not all(_is_whole(column) for column in columns):
        return Decimal(1)
    prices = np.concatenate([read_numbers(column).values for column in columns])
    prices = prices[prices > 0]
    return FIXED_POINT if len(prices) and prices.min() >= _LEAST_FIXED_POINT else None


def scaled(prices: FloatColumn, scale: Decimal) -> FloatColumn:
    """Prices times scale; exact to the last digit where the scale is one over a whole number."""
    if scale == 1:
        return prices
    inverse = 1 / scale
    return prices / float(inverse) if inverse == inverse.to_integral_value() else prices * float(scale)


def _is_whole(column: pa.Array) -> bool:
    if is_text(column):
        return not pc.any(pc.match_substring_regex(column, "[.eE]")).as_py()
    return bool(types.is_integer(column.type))
