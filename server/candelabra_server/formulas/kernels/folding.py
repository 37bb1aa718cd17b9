"""Folding every window of a column with an associative operation, the same way at every position.

The fold of a window is put together from folds of blocks of 1, 2, 4, … rows, which are made by doubling:

1. the block of 2k rows that ends at row i is the block of k rows that ends at i - k, merged with the one at i;
2. the binary digits of the window's length say which blocks make it up, newest first.

So a window costs about 2 log2(length) passes over the column. No term is ever subtracted, so an infinity, a NaN or a
huge value leaves with its candle, and the tree of operations depends on distances only: the fold at a row is the
same bits wherever the column begins. Where the column begins inside a window, the missing rows count as the
operation's identity.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from candelabra_server.domain.candles import FloatColumn

__all__ = ["Merge", "State", "fold_extremes", "fold_sums", "fold_windows"]

State = tuple[FloatColumn, ...]
"""What a fold carries for the block that ends at each row, one column a quantity."""
Merge = Callable[[State, State, int, int], State]
"""Merges an older block with a newer: (older, newer, rows of the older, rows of the newer)."""


def fold_windows(single_rows: State, window: int, merge: Merge) -> State:
    """The fold of the last `window` rows at every row.

    Args:
        single_rows: the state of every row by itself.
        window: rows, 1 or more; may be longer than the column.
        merge: associative; need not be commutative.
    """
    block, block_rows = single_rows, 1
    folded: State | None = None
    folded_rows = 0
    while True:
        if window & block_rows:
            folded = block if folded is None else _prepend(block, folded, block_rows, folded_rows, merge)
            folded_rows += block_rows
        if folded is not None and folded_rows == window:
            return folded
        block = _prepend(block, block, block_rows, block_rows, merge)
        block_rows *= 2


def fold_sums(column: FloatColumn, window: int) -> FloatColumn:
    """The sum of the last `window` rows at every row."""
    return fold_windows((column,), window, _add)[0]


def fold_extremes(column: FloatColumn, window: int, pick: np.ufunc) -> FloatColumn:
    """The largest or smallest (`pick` is np.maximum or np.minimum) of the last `window` rows at every row.

    Blocks may overlap here, so the largest block and one more merge are enough.
    """
    block, block_rows = column, 1
    while block_rows * 2 <= window:
        block = _pick(block, block_rows, pick)
        block_rows *= 2
    return _pick(block, window - block_rows, pick) if window > block_rows else block


def _prepend(older: State, newer: State, older_rows: int, newer_rows: int, merge: Merge) -> State:
    """Every newer block with the older one just before it; rows that have none keep the newer alone."""
    if newer_rows >= len(newer[0]):
        return newer
    merged = merge(
        tuple(column[:-newer_rows] for column in older),
        tuple(column[newer_rows:] for column in newer),
        older_rows,
        newer_rows,
    )
    return tuple(np.concatenate((column[:newer_rows], rest)) for column, rest in zip(newer, merged, strict=True))


def _add(older: State, newer: State, _older_rows: int, _newer_rows: int) -> State:
    return (older[0] + newer[0],)


def _pick(block: FloatColumn, rows: int, pick: np.ufunc) -> FloatColumn:
    if rows >= len(block):
        return block
    picked = np.empty_like(block)
    picked[:rows] = block[:rows]
    pick(block[:-rows], block[rows:], out=picked[rows:])
    return picked
