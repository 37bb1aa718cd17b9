"""Covariance and correlation of two columns; definitions in `kernels/pair_windows.py` and `kernels/full_pairs.py`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from candelabra_server.formulas.compiled.compiling import compiled, compiled_with_memory
from candelabra_server.formulas.compiled.folds import count_rows, fold_kernel, quantity, short_block, whole_block
from candelabra_server.formulas.compiled.moments import merge_gapped_means, skipping_moments
from candelabra_server.formulas.compiled.opcodes import ENTRY_FIELDS, Statistic
from candelabra_server.formulas.compiled.runs import skipping_fold
from candelabra_server.formulas.compiled.vectors import copy_rows

__all__ = ["full_pairs", "skipping_pairs"]

_ENTRY = ENTRY_FIELDS
_COVARIANCE, _CORRELATION = int(Statistic.COVARIANCE), int(Statistic.CORRELATION)
_FLAT = int(Statistic.FLAT)
_FLAT_DEVIATION = 2e-5
_PAIRS_FLATNESS, _OWN_FLATNESS = 0.0, 1.0
"""What the fold's parameter says: whether a window is flat is told by the pairs, or by each column's own values."""


@compiled
def _load(left, right, first, stop, inputs, states):
    copy_rows(inputs[0], left, first)
    copy_rows(inputs[1], right, first)
    for state in states:
        state[:] = 0.0


def _merging(older_count: Callable[..., float]) -> Any:
    """Merges means, squares and products; `older_count` says how many rows the older block has at each row."""

    @compiled
    def merge(
        work, older_inputs, newer_inputs, older, newer, merged, older_rows, newer_rows, older_scalars, newer_scalars, _p
    ):
        older_lefts, newer_lefts = older_inputs[0], newer_inputs[0]
        older_rights, newer_rights = quantity(older_inputs, 1), quantity(newer_inputs, 1)
        older_left_ways, newer_left_ways, (left_ways, _, rows) = older[0], newer[0], merged
        older_right_ways, newer_right_ways, right_ways = quantity(older, 1), quantity(newer, 1), quantity(merged, 1)
        older_left_squares, newer_left_squares = quantity(older, 2), quantity(newer, 2)
        older_right_squares, newer_right_squares = quantity(older, 3), quantity(newer, 3)
        older_products, newer_products = quantity(older, 4), quantity(newer, 4)
        left_squares, right_squares, products = quantity(merged, 2), quantity(merged, 3), quantity(merged, 4)
        for row in range(rows):
            count = older_count(row, older_rows)
            share = count / (count + newer_rows)
            spread = newer_rows * share
            left_way, right_way = work[newer_left_ways + row], work[newer_right_ways + row]
            left = (work[newer_lefts + row] - work[older_lefts + row]) + (left_way - work[older_left_ways + row])
            right = (work[newer_rights + row] - work[older_rights + row]) + (right_way - work[older_right_ways + row])
            own_left = work[older_left_squares + row] + work[newer_left_squares + row]
            own_right = work[older_right_squares + row] + work[newer_right_squares + row]
            own_products = work[older_products + row] + work[newer_products + row]
            work[left_ways + row] = left_way - left * share
            work[right_ways + row] = right_way - right * share
            work[left_squares + row] = own_left + left * left * spread
            work[right_squares + row] = own_right + right * right * spread
            work[products + row] = own_products + left * right * spread

    return merge


@compiled
def _bounded(value):
    return value if value != value else min(max(value, -1.0), 1.0)


@compiled
def _emit_full(statistic, parameter, window, states, inputs, scalars, out, first, seen):
    _, _, left_squares, right_squares, products = states
    if statistic == _COVARIANCE:
        for row in range(len(out)):
            out[row] = products[row] / (window - 1)
    elif statistic == _CORRELATION:
        for row in range(len(out)):
            out[row] = _bounded(products[row] / (math.sqrt(left_squares[row]) * math.sqrt(right_squares[row])))
    else:
        for row in range(len(out)):
            out[row] = products[row] / right_squares[row]


@compiled
def _is_flat(squares, divisor):
    return math.sqrt(squares / divisor) <= _FLAT_DEVIATION


@compiled
def _largest_flat(divisor):
    """The largest sum of squared deviations that is flat: what `_is_flat` says of one is what it says of all below."""
    flat = _FLAT_DEVIATION * _FLAT_DEVIATION * divisor
    while not _is_flat(flat, divisor):
        flat = np.nextafter(flat, 0.0)
    while _is_flat(np.nextafter(flat, np.inf), divisor):
        flat = np.nextafter(flat, np.inf)
    return flat


@compiled
def _emit(statistic, parameter, window, states, inputs, scalars, out, first, seen):
    _, _, left_squares, right_squares, products = states
    if statistic == _COVARIANCE:
        for row in range(len(out)):
            count = count_rows(window, seen, row)
            out[row] = products[row] / (count - 1 if count > 1 else np.nan)
        return
    short = len(out) if window == 0 else min(max(window - 1 - seen, 0), len(out))
    for row in range(short):
        divisor = count_rows(window, seen, row) - 1
        left, right = left_squares[row], right_squares[row]
        is_flat = left <= 0 or right <= 0
        if parameter != _OWN_FLATNESS and not is_flat:
            is_flat = _is_flat(left, divisor) or _is_flat(right, divisor)
        out[row] = np.nan if is_flat else _bounded(products[row] / math.sqrt(left) / math.sqrt(right))
    if window > 1:
        flat = 0.0 if parameter == _OWN_FLATNESS else _largest_flat(window - 1.0)
        for row in range(short, len(out)):
            left, right = left_squares[row], right_squares[row]
            value = _bounded(products[row] / math.sqrt(left) / math.sqrt(right))
            out[row] = value if (left > flat) & (right > flat) else np.nan
    else:
        out[short:] = np.nan


@compiled
def _load_gapped(left, right, first, stop, inputs, states):
    for state in states:
        state[:] = 0.0
    counts, lefts, rights = states[0], states[1], states[3]
    for row in range(len(counts)):
        if np.isfinite(left[first + row]) and np.isfinite(right[first + row]):
            counts[row] = 1.0
            lefts[row] = left[first + row]
            rights[row] = right[first + row]


@compiled
def _merge_gapped(
    work, older_inputs, newer_inputs, older, newer, merged, older_rows, newer_rows, older_scalars, newer_scalars, _p
):
    older_counts, newer_counts, (counts, _, rows) = older[0], newer[0], merged
    older_lefts, newer_lefts, lefts = quantity(older, 1), quantity(newer, 1), quantity(merged, 1)
    older_left_ways, newer_left_ways, left_ways = quantity(older, 2), quantity(newer, 2), quantity(merged, 2)
    older_rights, newer_rights, rights = quantity(older, 3), quantity(newer, 3), quantity(merged, 3)
    older_right_ways, newer_right_ways, right_ways = quantity(older, 4), quantity(newer, 4), quantity(merged, 4)
    older_left_squares, newer_left_squares = quantity(older, 5), quantity(newer, 5)
    older_right_squares, newer_right_squares = quantity(older, 6), quantity(newer, 6)
    older_products, newer_products = quantity(older, 7), quantity(newer, 7)
    left_squares, right_squares, products = quantity(merged, 5), quantity(merged, 6), quantity(merged, 7)
    for row in range(rows):
        older_count, newer_count = work[older_counts + row], work[newer_counts + row]
        count = older_count + newer_count
        share = older_count / max(count, 1.0)
        left, left_way, left_apart = merge_gapped_means(
            older_count,
            newer_count,
            share,
            work[older_lefts + row],
            work[newer_lefts + row],
            work[older_left_ways + row],
            work[newer_left_ways + row],
        )
        right, right_way, right_apart = merge_gapped_means(
            older_count,
            newer_count,
            share,
            work[older_rights + row],
            work[newer_rights + row],
            work[older_right_ways + row],
            work[newer_right_ways + row],
        )
        spread = newer_count * share
        own_left = work[older_left_squares + row] + work[newer_left_squares + row]
        own_right = work[older_right_squares + row] + work[newer_right_squares + row]
        own_products = work[older_products + row] + work[newer_products + row]
        work[counts + row] = count
        work[lefts + row] = left
        work[left_ways + row] = left_way
        work[rights + row] = right
        work[right_ways + row] = right_way
        work[left_squares + row] = own_left + left_apart * left_apart * spread
        work[right_squares + row] = own_right + right_apart * right_apart * spread
        work[products + row] = own_products + left_apart * right_apart * spread


@compiled
def _emit_gapped(statistic, parameter, window, states, inputs, scalars, out, first, seen):
    counts, left_squares, right_squares, products = states[0], states[5], states[6], states[7]
    for row in range(len(out)):
        divisor = counts[row] - 1 if counts[row] > 1 else np.nan
        left, right = left_squares[row], right_squares[row]
        if statistic == _COVARIANCE:
            out[row] = products[row] / divisor
        elif (
            left <= 0
            or right <= 0
            or (parameter != _OWN_FLATNESS and (_is_flat(left, divisor) or _is_flat(right, divisor)))
        ):
            out[row] = np.nan
        else:
            out[row] = _bounded(products[row] / math.sqrt(left) / math.sqrt(right))


@compiled
def _window_is_not_full(code, at, entries, left, right, columns, work, parameter, first, start, stop):
    columns[code[at + 3], start:stop] = np.nan


_merge = _merging(whole_block)
_fold_whole = fold_kernel(
    quantities=5, inputs=2, load=_load, merge=_merge, emit=_emit, merge_short=_merging(short_block)
)
_fold_gapped = fold_kernel(quantities=8, inputs=0, load=_load_gapped, merge=_merge_gapped, emit=_emit_gapped)
_fold_full_runs = fold_kernel(quantities=5, inputs=2, load=_load, merge=_merge, emit=_emit_full)
_fold_skipping = skipping_fold(_fold_whole, _fold_gapped, begins_whole=True)
_fold_full = skipping_fold(_fold_full_runs, _window_is_not_full)


@compiled
def full_pairs(code, at, entries, left, right, columns, work):
    """`covariance`, `correlation` and `beta`: each entry by itself, since each is full from another row on."""
    for entry in range(entries):
        _fold_full(code, at + entry * _ENTRY, 1, left, right, columns, work, _PAIRS_FLATNESS)


@compiled_with_memory
def skipping_pairs(code, at, entries, left, right, columns, work):
    """`rolling_covariance` and `rolling_correlation`."""
    rows = len(left)
    different = 0
    for row in range(rows):
        different += np.isfinite(left[row]) != np.isfinite(right[row])
    if not different:
        _fold_skipping(code, at, entries, left, right, columns, work, _PAIRS_FLATNESS)
        return
    _fold_skipping(code, at, entries, left, right, columns, work, _OWN_FLATNESS)
    # Each column is flat or not by all of its own values, also those beside which the other has none.
    flat = np.empty((2, rows))
    asked = np.zeros(_ENTRY, dtype=np.int64)
    asked[1] = _FLAT
    for entry in range(entries):
        field = at + entry * _ENTRY
        if code[field + 1] != _CORRELATION:
            continue
        asked[0] = code[field]
        asked[3] = 0
        skipping_moments(asked, 0, 1, left, flat, work)
        asked[3] = 1
        skipping_moments(asked, 0, 1, right, flat, work)
        out = columns[code[field + 3]]
        for row in range(rows):
            if flat[0, row] == 1 or flat[1, row] == 1:
                out[row] = np.nan
