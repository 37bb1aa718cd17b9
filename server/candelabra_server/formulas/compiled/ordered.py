"""Quantiles and ranks of many windows; definitions in `kernels/ordered_windows.py`.

A window's values are kept in order while it moves, and all statistics of a window come from its one ordered list. They
select and count, so the bits depend on the window's values alone, and any way to keep the order will do:

1. Short windows without gaps go eight at a time, each over an eighth of the rows: one pass over the lists, without a
   branch, takes out what leaves and puts in what enters. Where there are too few rows, one goes alone in the same way.
2. All others go one by one: both places are found by halving, and what lies between is moved.
"""

from __future__ import annotations

import numpy as np

from candelabra_server.formulas.compiled.compiling import compiled
from candelabra_server.formulas.compiled.opcodes import ENTRY_FIELDS, LANES, LONGEST_SLID, Statistic
from candelabra_server.formulas.compiled.vectors import (
    move,
    slide_alone,
    slide_sorted,
    slide_sorted_counting,
)

__all__ = ["ordered_windows"]

_ENTRY = ENTRY_FIELDS
_RANK = int(Statistic.RANK)
_FEWEST_ROWS_A_LANE = 2
"""In windows: before its first row, a lane must put a whole window in order."""


@compiled
def ordered_windows(code, at, entries, column, columns, scratch, work):
    """`rolling_rank` and `rolling_quantile`."""
    rows = len(column)
    first_present = 0
    while first_present < rows and not np.isfinite(column[first_present]):
        first_present += 1
    gaps = 0
    for row in range(first_present, rows):
        gaps += not np.isfinite(column[row])
    first = 0
    while first < entries:
        after = first + 1
        while after < entries and code[at + after * _ENTRY] == code[at + first * _ENTRY]:
            after += 1
        field, window = at + first * _ENTRY, code[at + first * _ENTRY]
        head = first_present + window
        rows_a_lane = (rows - head) // LANES
        if gaps or window < 1 or window > LONGEST_SLID:
            _one_by_one(code, field, after - first, column, columns, scratch, work)
        elif rows_a_lane < _FEWEST_ROWS_A_LANE * window:
            _alone(code, field, after - first, column, columns, scratch, work, first_present, 0, rows)
        else:
            _alone(code, field, after - first, column, columns, scratch, work, first_present, 0, head)
            _in_lanes(code, field, after - first, column, columns, scratch, work, head, rows_a_lane)
            stop = head + LANES * rows_a_lane
            _alone(code, field, after - first, column, columns, scratch, work, first_present, stop, rows)
        first = after


@compiled
def _alone(code, at, entries, column, columns, scratch, work, first_present, start, stop):
    """All statistics of one window in rows [start, stop), without gaps from `first_present` on."""
    window = code[at]
    length = (window + LANES - 1) // LANES * LANES
    ordered, moved = LANES, 2 * LANES + length + LANES
    counts = moved + length + LANES
    work[:counts] = np.inf
    work[ordered - 1] = work[moved - 1] = -np.inf
    for entry in range(entries):
        columns[code[at + entry * _ENTRY + 3], start : min(first_present, stop)] = np.nan
    first = max(start - window, first_present)
    for row in range(first, stop):
        newest = column[row] + 0.0  # as in _one_by_one
        leaving = column[row - window] + 0.0 if row - window >= first else np.inf
        slide_alone(work, ordered, moved, length, leaving, newest, counts)
        ordered, moved = moved, ordered
        if row < start:
            continue
        count = min(row - first + 1, window)
        for entry in range(entries):
            field = at + entry * _ENTRY
            if code[field + 1] == _RANK:
                less, equal = work[counts], work[counts + 1] + 1
                value = (less + (equal + 1) / 2) / count
            else:
                value = _quantile(work, ordered, count, scratch[-1 - code[field + 2], 0])
            columns[code[field + 3], row] = value


@compiled
def _one_by_one(code, at, entries, column, columns, scratch, work):
    """All statistics of one window."""
    window = code[at]
    count = 0
    for row in range(len(column)):
        newest = column[row] + 0.0  # of the two zeros the positive one: they are equal, but which is found is chance
        present = np.isfinite(newest)
        leaving = column[row - window] + 0.0 if window and row >= window else np.nan
        place = _first_not_less(work, count, newest) if present else 0
        if np.isfinite(leaving):
            gap = _first_not_less(work, count, leaving)
            if not present:
                move(work, gap, gap + 1, count - gap - 1)
                count -= 1
            elif place > gap:
                place -= 1
                move(work, gap, gap + 1, place - gap)
                work[place] = newest
            else:
                move(work, place + 1, place, gap - place)
                work[place] = newest
        elif present:
            move(work, place + 1, place, count - place)
            work[place] = newest
            count += 1
        for entry in range(entries):
            field = at + entry * _ENTRY
            value = np.nan
            if code[field + 1] != _RANK:
                value = _quantile(work, 0, count, scratch[-1 - code[field + 2], 0])
            elif present:
                equal = 1
                while place + equal < count and work[place + equal] == newest:
                    equal += 1
                value = (place + (equal + 1) / 2) / count
            columns[code[field + 3], row] = value


@compiled
def _first_not_less(ordered, count, value):
    """How many of the ordered values are less than `value`."""
    first, left = 0, count
    while left > 0:
        half = (left + 1) >> 1
        first += half if ordered[first + half - 1] < value else 0
        left -= half
    return first


@compiled
def _quantile(work, ordered, count, share):
    if count == 0:
        return np.nan
    place = share * (count - 1)
    below = int(np.floor(place))
    part = place - below
    low = work[ordered + below]
    high = work[ordered + below + (1 if part > 0 else 0)]
    return low + (high - low) * part


@compiled
def _in_lanes(code, at, entries, column, columns, scratch, work, head, rows_a_lane):
    """All statistics of one window; lane l has rows head + l * rows_a_lane and on."""
    window = code[at]
    counts = LANES * window
    values = counts + 2 * LANES  # of every lane, from a window before its first row on
    for lane in range(LANES):
        first = head + lane * rows_a_lane - window
        for row in range(window + rows_a_lane):
            work[values + row * LANES + lane] = column[first + row] + 0.0
        _put_in_order(work, values, window, lane)
    counting = False
    for entry in range(entries):
        counting = counting or code[at + entry * _ENTRY + 1] == _RANK
    for row in range(rows_a_lane):
        leaving = values + row * LANES
        entering = values + (window + row) * LANES
        if counting:
            slide_sorted_counting(work, 0, window, leaving, entering, counts)
        else:
            slide_sorted(work, 0, window, leaving, entering, counts)
        for entry in range(entries):
            field = at + entry * _ENTRY
            out = columns[code[field + 3]]
            if code[field + 1] == _RANK:
                for lane in range(LANES):
                    less, equal = work[counts + lane], work[counts + LANES + lane] + 1
                    out[head + lane * rows_a_lane + row] = (less + (equal + 1) / 2) / window
            else:
                place = scratch[-1 - code[field + 2], 0] * (window - 1)
                below = int(np.floor(place))
                part = place - below
                low, high = below * LANES, (below + (1 if part > 0 else 0)) * LANES
                for lane in range(LANES):
                    value = work[low + lane]
                    out[head + lane * rows_a_lane + row] = value + (work[high + lane] - value) * part


@compiled
def _put_in_order(work, values, window, lane):
    """The first window of a lane, by insertion."""
    for row in range(window):
        value = work[values + row * LANES + lane]
        place = row
        while place > 0 and work[(place - 1) * LANES + lane] > value:
            work[place * LANES + lane] = work[(place - 1) * LANES + lane]
            place -= 1
        work[place * LANES + lane] = value
