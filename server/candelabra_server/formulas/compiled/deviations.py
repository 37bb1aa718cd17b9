"""Mean distances of windows' values from their means; the definition is in `kernels/skipping_windows.py`.

Every value of every window is looked at, in the order of their age, so time grows with rows times window.
"""

from __future__ import annotations

import numpy as np

from candelabra_server.formulas.compiled.compiling import compiled, compiled_with_memory
from candelabra_server.formulas.compiled.moments import skipping_moments
from candelabra_server.formulas.compiled.opcodes import ENTRY_FIELDS, TILE_ROWS, Statistic

__all__ = ["mean_deviations"]

_ENTRY = ENTRY_FIELDS
_NEAREST, _DISTANCE = int(Statistic.NEAREST), int(Statistic.DISTANCE)


@compiled_with_memory
def mean_deviations(code, at, entries, column, columns, work):
    """`rolling_mean_deviation`."""
    rows = len(column)
    present = np.isfinite(column)
    filled = np.where(present, column, 0.0)
    weights = present.astype(np.float64)
    means = np.empty((2, rows))
    asked = np.zeros(2 * _ENTRY, dtype=np.int64)
    asked[1], asked[_ENTRY + 1], asked[_ENTRY + 3] = _NEAREST, _DISTANCE, 1
    for entry in range(entries):
        field = at + entry * _ENTRY
        window, out = code[field], columns[code[field + 3]]
        asked[0], asked[_ENTRY] = window, window
        skipping_moments(asked, 0, 2, column, means, work)
        for tile in range(0, rows, TILE_ROWS):
            stop = min(tile + TILE_ROWS, rows)
            out[tile:stop] = 0.0
            for age in range(min(window, stop) if window else stop):
                first = max(tile, age)
                _add_distances(
                    filled[first - age : stop - age],
                    weights[first - age : stop - age],
                    means[0, first:stop],
                    means[1, first:stop],
                    out[first:stop],
                )
        count = 0
        for row in range(rows):
            count += present[row]
            if window and row >= window:
                count -= present[row - window]
            out[row] = out[row] / count if count else np.nan


@compiled
def _add_distances(values, weights, nearest, distances, totals):
    # Not from the mean itself, which would round away the differences of large values.
    for row in range(len(totals)):
        totals[row] += abs((values[row] - nearest[row]) - distances[row]) * weights[row]
