"""Sums, means and counts of many windows; definitions in `kernels/skipping_windows.py` and `kernels/full_windows.py`.

A sum is a fold: nothing is ever subtracted, so it has no error that grows along the column. Counts are whole numbers,
which running sums keep exactly.
"""

from __future__ import annotations

import numpy as np

from candelabra_server.formulas.compiled.compiling import compiled
from candelabra_server.formulas.compiled.folds import fold_kernel, quantity
from candelabra_server.formulas.compiled.opcodes import ENTRY_FIELDS, Statistic
from candelabra_server.formulas.compiled.vectors import copy_rows

__all__ = ["count_windows", "full_sums", "full_weighted_means", "skipping_sums"]

_ENTRY = ENTRY_FIELDS
_MEAN, _COUNT_TRUE = int(Statistic.MEAN), int(Statistic.COUNT_TRUE)


@compiled
def _load(left, right, first, stop, inputs, states):
    copy_rows(states[0], left, first)


@compiled
def _load_present(left, right, first, stop, inputs, states):
    state = states[0]
    for row in range(len(state)):
        value = left[first + row]
        state[row] = value if np.isfinite(value) else 0.0


@compiled
def _merge(
    work, older_inputs, newer_inputs, older, newer, merged, older_rows, newer_rows, older_scalars, newer_scalars, _p
):
    older_sums, newer_sums, (sums, _, rows) = older[0], newer[0], merged
    for row in range(rows):
        work[sums + row] = work[older_sums + row] + work[newer_sums + row]


@compiled
def _emit_present(statistic, first_present, window, states, inputs, scalars, out, first, seen):
    """The sums or means; where there are gaps (`first_present` is negative), sums that are yet to be divided."""
    sums = states[0]
    if first_present < 0 or statistic != _MEAN:
        copy_rows(out, sums, 0)
        return
    partial = len(out) if window == 0 else min(max(int(first_present) + window - first, 0), len(out))
    for row in range(partial):
        out[row] = sums[row] / (first + row + 1 - first_present)
    full, full_sums = out[partial:], sums[partial:]
    for row in range(len(full)):
        full[row] = full_sums[row] / window


@compiled
def _emit_full_mean(statistic, parameter, window, states, inputs, scalars, out, first, seen):
    sums = states[0]
    for row in range(len(out)):
        out[row] = sums[row] / window
    out[: max(window - 1 - first, 0)] = np.nan


_fold_present = fold_kernel(quantities=1, inputs=0, load=_load_present, merge=_merge, emit=_emit_present)
_fold_full = fold_kernel(quantities=1, inputs=0, load=_load, merge=_merge, emit=_emit_full_mean)


@compiled
def full_sums(code, at, entries, column, columns, work):
    """`simple_mean`."""
    _fold_full(code, at, entries, column, column, columns, work, 0.0, 0, 0, len(column))


@compiled
def skipping_sums(code, at, entries, column, columns, work):
    """`rolling_sum` and `rolling_mean`."""
    rows = len(column)
    first_present = 0
    while first_present < rows and not np.isfinite(column[first_present]):
        first_present += 1
    gaps = 0
    for row in range(first_present, rows):
        gaps += not np.isfinite(column[row])
    parameter = -1.0 if gaps else float(first_present)
    _fold_present(code, at, entries, column, column, columns, work, parameter, 0, 0, rows)
    for entry in range(entries):
        field = at + entry * _ENTRY
        out = columns[code[field + 3]]
        if gaps:
            _divide_by_counts(out, column, code[field], code[field + 1] == _MEAN)
        else:
            out[:first_present] = np.nan


@compiled
def _divide_by_counts(sums, column, window, is_mean):
    count = 0
    for row in range(len(sums)):
        count += np.isfinite(column[row])
        if window and row >= window:
            count -= np.isfinite(column[row - window])
        if count == 0:
            sums[row] = np.nan
        elif is_mean:
            sums[row] /= count


@compiled
def count_windows(code, at, entries, column, columns):
    """`rolling_count` and `count_if`."""
    for entry in range(entries):
        field = at + entry * _ENTRY
        window, counts_true = code[field], code[field + 1] == _COUNT_TRUE
        out = columns[code[field + 3]]
        count = 0
        for row in range(len(column)):
            count += _counts(column[row], counts_true)
            if window and row >= window:
                count -= _counts(column[row - window], counts_true)
            out[row] = count
        if counts_true:
            out[: window - 1] = np.nan


@compiled
def _counts(value, counts_true):
    return value == value and (value != 0 or not counts_true)


@compiled
def _load_weighted(left, right, first, stop, inputs, states):
    copy_rows(states[0], left, first)
    copy_rows(states[1], left, first)


@compiled
def _merge_weighted(
    work, older_inputs, newer_inputs, older, newer, merged, older_rows, newer_rows, older_scalars, newer_scalars, _p
):
    older_sums, newer_sums, (sums, _, rows) = older[0], newer[0], merged
    older_weighted, newer_weighted, weighted = quantity(older, 1), quantity(newer, 1), quantity(merged, 1)
    shift = float(older_rows)
    for row in range(rows):
        newer_sum = work[newer_sums + row]
        work[weighted + row] = work[older_weighted + row] + work[newer_weighted + row] + shift * newer_sum
        work[sums + row] = work[older_sums + row] + newer_sum


@compiled
def _emit_weighted_mean(statistic, parameter, window, states, inputs, scalars, out, first, seen):
    weighted = states[1]
    weights = window * (window + 1) / 2
    for row in range(len(out)):
        out[row] = weighted[row] / weights
    out[: max(window - 1 - first, 0)] = np.nan


_fold_weighted = fold_kernel(
    quantities=2, inputs=0, load=_load_weighted, merge=_merge_weighted, emit=_emit_weighted_mean
)


@compiled
def full_weighted_means(code, at, entries, column, columns, work):
    """`weighted_mean`."""
    _fold_weighted(code, at, entries, column, column, columns, work, 0.0, 0, 0, len(column))
