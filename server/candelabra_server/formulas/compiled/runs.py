"""Where a column has all its values, and where it has gaps: each kind of rows gets the fold that suits it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from candelabra_server.formulas.compiled.compiling import compiled
from candelabra_server.formulas.compiled.opcodes import ENTRY_FIELDS

__all__ = ["longest_window", "skipping_fold"]

_AT_ONCE = 64
"""Rows that are looked at without a branch."""


@compiled
def longest_window(code, at, entries, rows):
    """The longest window of the entries, but not more than `rows` + 1: no window of a column is that full."""
    longest = 1
    for entry in range(entries):
        window = code[at + entry * ENTRY_FIELDS]
        longest = max(longest, min(window, rows + 1) if window else rows + 1)
    return longest


@compiled
def _is_present(left, right, row):
    return np.isfinite(left[row]) and np.isfinite(right[row])


@compiled
def _next_gap(left, right, row):
    """The first row from `row` on in which a value is missing; the number of rows where there is none."""
    rows = len(left)
    while row + _AT_ONCE <= rows:
        missing = 0
        for near in range(_AT_ONCE):
            missing += not (np.isfinite(left[row + near]) & np.isfinite(right[row + near]))
        if missing:
            break
        row += _AT_ONCE
    while row < rows and _is_present(left, right, row):
        row += 1
    return row


def skipping_fold(whole: Callable[..., Any], gapped: Callable[..., Any], *, begins_whole: bool = False) -> Any:
    """A compiled function that folds rows without a gap in their longest window with `whole`, all others with `gapped`.

    A window's bits depend on its rows only, so each run of rows is folded by itself, from the first row that any of
    its windows sees.

    Args:
        whole: folds rows behind which there is no gap.
        gapped: folds any rows.
        begins_whole: `whole` also folds windows that are cut short by the beginning, up to the first gap.
    """

    @compiled
    def fold(code, at, entries, left, right, columns, work, parameter):
        rows = len(left)
        longest = longest_window(code, at, entries, rows)
        start, last_gap = 0, -1  # before the first row there is nothing: a gap
        if begins_whole:
            begin = 0
            while begin < rows and not _is_present(left, right, begin):
                begin += 1
            start = last_gap = _next_gap(left, right, begin)
            if begin:
                gapped(code, at, entries, left, right, columns, work, parameter, 0, 0, begin)
            if begin < start:
                whole(code, at, entries, left, right, columns, work, parameter, begin, begin, start)
        while start < rows:
            row = max(start, last_gap + 1)
            while row < rows and row < last_gap + longest:
                if not _is_present(left, right, row):
                    last_gap = row
                row += 1
            first_whole = row
            row = _next_gap(left, right, row)
            if row == first_whole and row < rows:
                # A gap just where the windows would have been full: the run with gaps goes on.
                last_gap = row
                continue
            if first_whole > start:
                first = max(start - longest + 1, 0)
                gapped(code, at, entries, left, right, columns, work, parameter, first, start, first_whole)
            if row > first_whole:
                first = first_whole - longest + 1
                whole(code, at, entries, left, right, columns, work, parameter, first, first_whole, row)
            start, last_gap = row, row

    return fold
