"""Quantiles and ranks of many windows; definitions in `kernels/ordered_windows.py`.

A window's values are kept in order while it moves: the row that leaves is found by halving and taken out, the row that
enters put in, and what lies between is moved by one place. All statistics of a window come from its one ordered list.
They select and count, so the bits depend on the window's values alone.
"""

from __future__ import annotations

import numpy as np

from candelabra_server.formulas.compiled.compiling import compiled
from candelabra_server.formulas.compiled.opcodes import ENTRY_FIELDS, Statistic

__all__ = ["ordered_windows"]

_ENTRY = ENTRY_FIELDS
_RANK = int(Statistic.RANK)


@compiled
def ordered_windows(code, at, entries, column, columns, scratch, work):
    """`rolling_rank` and `rolling_quantile`."""
    first = 0
    while first < entries:
        after = first + 1
        while after < entries and code[at + after * _ENTRY] == code[at + first * _ENTRY]:
            after += 1
        _ordered_window(code, at + first * _ENTRY, after - first, column, columns, scratch, work)
        first = after


@compiled
def _ordered_window(code, at, entries, column, columns, scratch, work):
    """All statistics of one window."""
    rows, window = len(column), code[at]
    ordered = work
    count = 0
    for row in range(rows):
        newest = column[row] + 0.0  # of the two zeros the positive one: they are equal, and which is found would not be
        present = np.isfinite(newest)
        leaving = column[row - window] + 0.0 if window and row >= window else np.nan
        if np.isfinite(leaving):
            place = _first_not_less(ordered, count, leaving)
            if present:
                # The places between the one that leaves and the one that enters move by one.
                if newest > leaving:
                    while place + 1 < count and ordered[place + 1] < newest:
                        ordered[place] = ordered[place + 1]
                        place += 1
                else:
                    while place > 0 and ordered[place - 1] > newest:
                        ordered[place] = ordered[place - 1]
                        place -= 1
                ordered[place] = newest
            else:
                for moved in range(place, count - 1):
                    ordered[moved] = ordered[moved + 1]
                count -= 1
        elif present:
            place = count
            while place > 0 and ordered[place - 1] > newest:
                ordered[place] = ordered[place - 1]
                place -= 1
            ordered[place] = newest
            count += 1
        for entry in range(entries):
            field = at + entry * _ENTRY
            out = columns[code[field + 3]]
            if code[field + 1] == _RANK:
                if present:
                    less = _first_not_less(ordered, count, newest)
                    equal = 1
                    while less + equal < count and ordered[less + equal] == newest:
                        equal += 1
                    out[row] = (less + (equal + 1) / 2) / count
                else:
                    out[row] = np.nan
            else:
                out[row] = _quantile(ordered, count, scratch[-1 - code[field + 2], 0])


@compiled
def _first_not_less(ordered, count, value):
    low, high = 0, count
    while low < high:
        middle = (low + high) >> 1
        if ordered[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _quantile(ordered, count, share):
    if count == 0:
        return np.nan
    place = share * (count - 1)
    below = int(np.floor(place))
    part = place - below
    low = ordered[below]
    high = ordered[below + (1 if part > 0 else 0)]
    return low + (high - low) * part
