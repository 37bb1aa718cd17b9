"""Percent rank: how a value stands among those just before it.

A short window is compared lag by lag. A long one is put together from sorted blocks of 1, 2, 4, … rows that begin at
whole multiples of their length, at most two of each length, and each is searched: about log2(window) searches a row,
instead of one comparison for every row of the window. Both count, so they agree exactly.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from candelabra_server.domain.candles import FloatColumn
from candelabra_server.formulas.kernels.folding import fold_extremes

__all__ = ["LONGEST_BY_LAG", "percent_rank"]

_Integers = npt.NDArray[np.int64]

LONGEST_BY_LAG = 800
"""Beyond this window, sorted blocks are faster."""


def percent_rank(column: FloatColumn, window: int) -> FloatColumn:
    """The percentage of the `window` values before this one that are less than or equal to it, 0 to 100.

    NaN where there are fewer values before, and where any of them or the value itself is NaN.
    """
    if window >= len(column):
        return np.full(len(column), np.nan)
    counts = _count_by_lag(column, window) if window <= LONGEST_BY_LAG else _count_in_blocks(column, window)
    missing = fold_extremes(np.isnan(column).astype(np.float64), window + 1, np.maximum) > 0
    percents = np.where(missing, np.nan, counts * 100.0 / window)
    percents[:window] = np.nan
    return percents


def _count_by_lag(column: FloatColumn, window: int) -> _Integers:
    counts = np.zeros(len(column), dtype=np.int64)
    for lag in range(1, window + 1):
        counts[lag:] += column[:-lag] <= column[lag:]
    return counts


def _count_in_blocks(column: FloatColumn, window: int) -> _Integers:
    """The same, by searching blocks of the rows [first, stop) before each row; see above."""
    rows = len(column)
    ranks = np.unique(column, return_inverse=True)[1].astype(np.int64)
    depth = (rows - 1).bit_length()
    # Beyond the last row stands what is larger than everything, so that all blocks are equally long.
    blocks = np.full(1 << depth, rows, dtype=np.int64)
    blocks[:rows] = ranks
    counts = np.zeros(rows, dtype=np.int64)
    stop = np.arange(rows, dtype=np.int64)
    first = np.maximum(stop - window, 0)
    for level in range(depth + 1):
        searching = first < stop
        length = 1 << level
        blocks = np.sort(blocks.reshape(-1, length), axis=1).ravel()
        # Ordered over the whole column, because every block's keys are larger than those of the block before.
        keys = blocks + (np.arange(len(blocks)) >> level) * (rows + 1)
        for chosen, block in ((searching & (first % 2 == 1), first), (searching & (stop % 2 == 1), stop - 1)):
            wanted = block[chosen]
            found = np.searchsorted(keys, ranks[chosen] + wanted * (rows + 1), side="right")
            counts[chosen] += found - wanted * length
        first, stop = (first + 1) // 2, stop // 2
    return counts
