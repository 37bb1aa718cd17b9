"""Where in its window the largest or smallest value stands: 1 is the oldest row, as Qlib counts.

A window of 0 is all rows so far; near the first row a window begins there. Rows that hold no value count as places.
Of equal values the oldest is meant. Infinite values are missing.
"""

from __future__ import annotations

import numpy as np

from candelabra_server.domain.candles import FloatColumn
from candelabra_server.formulas.kernels.folding import State, fold_windows
from candelabra_server.formulas.kernels.window_lengths import rows_in_window, rows_to_fold

__all__ = ["index_of_max", "index_of_max_or_gap", "index_of_min", "index_of_min_or_gap"]


def index_of_max(column: FloatColumn, window: int) -> FloatColumn:
    """The place of the largest value that is there; NaN where nothing is."""
    return _index(column, window, missing=-np.inf)


def index_of_min(column: FloatColumn, window: int) -> FloatColumn:
    """The place of the smallest value that is there; NaN where nothing is."""
    return _index(np.negative(column), window, missing=-np.inf)


def index_of_max_or_gap(column: FloatColumn, window: int) -> FloatColumn:
    """As index_of_max, but the oldest missing row wins over every value, as in Qlib."""
    return _index(column, window, missing=np.inf)


def index_of_min_or_gap(column: FloatColumn, window: int) -> FloatColumn:
    """As index_of_min, but the oldest missing row wins over every value, as in Qlib."""
    return _index(np.negative(column), window, missing=np.inf)


def _index(column: FloatColumn, window: int, *, missing: float) -> FloatColumn:
    """Of the largest value; a missing row stands for `missing`."""
    rows = len(column)
    present = np.isfinite(column)
    row_numbers = np.arange(rows, dtype=np.float64)
    single_rows = (np.where(present, column, missing), row_numbers, present.astype(np.float64))
    _, found, any_present = fold_windows(single_rows, rows_to_fold(window, rows), _merge)
    first_rows = row_numbers + 1 - rows_in_window(window, rows)
    return np.where(any_present > 0, found - first_rows + 1, np.nan)


def _merge(older: State, newer: State, _older_rows: int, _newer_rows: int) -> State:
    """Largest value, its oldest row, and whether any value is there."""
    newer_wins = newer[0] > older[0]
    return (
        np.where(newer_wins, newer[0], older[0]),
        np.where(newer_wins, newer[1], older[1]),
        np.maximum(older[2], newer[2]),
    )
