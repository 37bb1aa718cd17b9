"""How many rows a window covers: `window` of them, or fewer near the first row; 0 stands for all rows so far."""

from __future__ import annotations

import numpy as np

from candelabra_server.domain.candles import FloatColumn

__all__ = ["rows_in_window", "rows_to_fold"]


def rows_to_fold(window: int, rows: int) -> int:
    """The window to fold a column of `rows` rows with.

    All rows so far are a window that is longer than the column and a power of two: what is folded for a row then
    depends on the rows up to it, and not on how many follow.
    """
    return window or 1 << max(rows - 1, 0).bit_length()


def rows_in_window(window: int, rows: int) -> FloatColumn:
    """For every row, how many rows its window covers."""
    so_far = np.arange(1, rows + 1, dtype=np.float64)
    return np.minimum(so_far, window) if window else so_far
