"""The largest and smallest of many windows, and where they stand; `kernels/extremes_index.py` and others define them.

Blocks of 1, 2, 4, … rows by doubling, as in folds.py; two blocks that may overlap make up any window. Everything here
selects, so the bits depend on the window's values alone. The smallest is the largest of the negated column.
"""

from __future__ import annotations

import numpy as np

from candelabra_server.formulas.compiled.compiling import compiled
from candelabra_server.formulas.compiled.folds import effective_window, rows_to_double
from candelabra_server.formulas.compiled.opcodes import ENTRY_FIELDS, TILE_ROWS, Statistic

__all__ = ["full_extremes", "skipping_extremes"]

_ENTRY = ENTRY_FIELDS
_VALUE, _BARS = int(Statistic.VALUE), int(Statistic.BARS)


@compiled
def _largest_blocks(work, older, newer, merged, rows):
    """Larger values of two blocks a row; NaN where either is NaN."""
    for row in range(rows):
        a, b = work[older + row], work[newer + row]
        work[merged + row] = a if a >= b or a != a else b


@compiled
def _largest_blocks_with_rows(work, older, newer, merged, older_rows, newer_rows, merged_rows, rows):
    """The same with the rows where they stand, of equal values the older; no value may be NaN."""
    for row in range(rows):
        a, b = work[older + row], work[newer + row]
        is_newer = b > a
        work[merged + row] = b if is_newer else a
        work[merged_rows + row] = work[newer_rows + row] if is_newer else work[older_rows + row]


@compiled
def _extremes(code, at, entries, column, columns, work, sign, missing, full):
    """All entries in one pass over the column: the largest values, or the smallest where `sign` is -1.

    What is not finite is `missing`; but where windows must be `full`, infinities are values, and NaN is seen to after.
    """
    rows_in_all = len(column)
    whole = rows_to_double(rows_in_all)
    largest, with_rows = 1, False
    for entry in range(entries):
        largest = max(largest, effective_window(code[at + entry * _ENTRY], whole))
        with_rows = with_rows or code[at + entry * _ENTRY + 1] != _VALUE
    lag, levels = 1, 1
    while lag * 2 <= largest:
        lag *= 2
        levels += 1
    room = 2 * lag + levels * TILE_ROWS
    result = room
    numbers, result_rows = room + TILE_ROWS, 2 * room + TILE_ROWS
    nothing = -np.inf
    work[:room] = nothing
    work[numbers : numbers + room] = -1.0
    for tile in range(0, rows_in_all, TILE_ROWS):
        rows = min(TILE_ROWS, rows_in_all - tile)
        values = work[1 : 1 + rows]
        for row in range(rows):
            value = column[tile + row]
            if not full and not np.isfinite(value):
                values[row] = missing
            elif with_rows and value != value:
                values[row] = nothing
            else:
                values[row] = sign * value
        if with_rows:
            places = work[numbers + 1 : numbers + 1 + rows]
            for row in range(rows):
                places[row] = tile + row
        block_rows, base = 1, 0
        while True:
            here = base + block_rows
            for entry in range(entries):
                field = at + entry * _ENTRY
                window = effective_window(code[field], whole)
                if window < block_rows or window >= 2 * block_rows:
                    continue
                statistic, out = code[field + 1], columns[code[field + 3], tile : tile + rows]
                shift = window - block_rows
                if statistic == _VALUE:
                    _largest_blocks(work, np.uint64(here - shift), np.uint64(here), np.uint64(result), np.uint64(rows))
                    found = work[result : result + rows]
                    for row in range(rows):
                        out[row] = sign * found[row]
                else:
                    _largest_blocks_with_rows(
                        work,
                        np.uint64(here - shift),
                        np.uint64(here),
                        np.uint64(result),
                        np.uint64(numbers + here - shift),
                        np.uint64(numbers + here),
                        np.uint64(result_rows),
                        np.uint64(rows),
                    )
                    found = work[result_rows : result_rows + rows]
                    if statistic == _BARS:
                        for row in range(rows):
                            out[row] = found[row] - (tile + row)
                    elif code[field] == 0:
                        for row in range(rows):
                            out[row] = found[row] + 1
                    else:
                        for row in range(rows):
                            first = max(tile + row + 1 - code[field], 0)
                            out[row] = found[row] - first + 1
            if block_rows == lag:
                break
            above = base + block_rows + TILE_ROWS
            if with_rows:
                _largest_blocks_with_rows(
                    work,
                    np.uint64(base),
                    np.uint64(here),
                    np.uint64(above + 2 * block_rows),
                    np.uint64(numbers + base),
                    np.uint64(numbers + here),
                    np.uint64(numbers + above + 2 * block_rows),
                    np.uint64(rows),
                )
            else:
                _largest_blocks(
                    work, np.uint64(base), np.uint64(here), np.uint64(above + 2 * block_rows), np.uint64(rows)
                )
            base = above
            block_rows *= 2
        block_rows, base = 1, 0
        for _ in range(levels):
            for row in range(block_rows):
                work[base + row] = work[base + rows + row]
            if with_rows:
                for row in range(block_rows):
                    work[numbers + base + row] = work[numbers + base + rows + row]
            base += block_rows + TILE_ROWS
            block_rows *= 2


@compiled
def skipping_extremes(code, at, entries, column, columns, work, sign, gaps_win):
    """`rolling_max` or `rolling_min`, and the indices of both; with `gaps_win`, a missing row is beyond every value."""
    rows = len(column)
    _extremes(code, at, entries, column, columns, work, sign, np.inf if gaps_win else -np.inf, False)
    missing = 0
    for row in range(rows):
        missing += not np.isfinite(column[row])
    if missing:
        for entry in range(entries):
            field = at + entry * _ENTRY
            _blank_where_nothing_is(columns[code[field + 3]], column, code[field])


@compiled
def _blank_where_nothing_is(out, column, window):
    count = 0
    for row in range(len(column)):
        count += np.isfinite(column[row])
        if window and row >= window:
            count -= np.isfinite(column[row - window])
        if count == 0:
            out[row] = np.nan


@compiled
def full_extremes(code, at, entries, column, columns, work, sign):
    """`highest` or `lowest`, and how many bars ago they were."""
    _extremes(code, at, entries, column, columns, work, sign, 0.0, True)
    rows = len(column)
    missing = 0
    for row in range(rows):
        missing += column[row] != column[row]
    for entry in range(entries):
        field = at + entry * _ENTRY
        window, out = code[field], columns[code[field + 3]]
        if missing:
            last = -1
            for row in range(rows):
                if column[row] != column[row]:
                    last = row
                if last >= 0 and row - last < window:
                    out[row] = np.nan
        out[: window - 1] = np.nan
