"""Variance, skewness and kurtosis of many windows; definitions in `kernels/moments.py` and its users.

A mean is carried as its distance from the block's newest value. Where no row is missing, that value is the newest
row's own, and what a block weighs depends on its length only; with gaps both are part of the state.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from candelabra_server.formulas.compiled.compiling import compiled
from candelabra_server.formulas.compiled.folds import count_rows, fold_kernel, quantity, short_block, whole_block
from candelabra_server.formulas.compiled.opcodes import Statistic
from candelabra_server.formulas.compiled.runs import skipping_fold
from candelabra_server.formulas.compiled.vectors import copy_rows

__all__ = ["full_moments", "merge_gapped_means", "skipping_higher_moments", "skipping_moments"]

_VARIANCE, _DEVIATION, _SCORE, _NEAREST, _DISTANCE = (
    int(Statistic.VARIANCE),
    int(Statistic.DEVIATION),
    int(Statistic.SCORE),
    int(Statistic.NEAREST),
    int(Statistic.DISTANCE),
)
_SKEWNESS, _SKEWNESS_GUARDED = int(Statistic.SKEWNESS), int(Statistic.SKEWNESS_GUARDED)
_KURTOSIS_GUARDED = int(Statistic.KURTOSIS_GUARDED)
_LEAST_VARIANCE = 1e-14
_KURTOSIS_OF_EQUAL_VALUES = -3.0
_FLAT_DEVIATION = 2e-5


@compiled
def _load(left, right, first, stop, inputs, states):
    copy_rows(inputs[0], left, first)
    distances, squares = states
    for row in range(len(distances)):
        nothing = left[first + row] - left[first + row]  # 0, or NaN where the value is NaN or infinite
        distances[row] = nothing
        squares[row] = nothing


def _merging(older_count: Callable[..., float], weighing: Callable[..., float]) -> Any:
    """Merges means and sums of squares; `older_count` says how many rows the older block has at each row."""

    @compiled
    def merge(
        work, older_inputs, newer_inputs, older, newer, merged, older_rows, newer_rows, older_scalars, newer_scalars, _p
    ):
        older_values, newer_values = older_inputs[0], newer_inputs[0]
        older_distances, newer_distances, (distances, _, rows) = older[0], newer[0], merged
        older_squares, newer_squares, squares = quantity(older, 1), quantity(newer, 1), quantity(merged, 1)
        for row in range(rows):
            count = older_count(row, older_rows)
            share = count / (count + newer_rows)
            newer_distance = work[newer_distances + row]
            apart = (work[newer_values + row] - work[older_values + row]) + (
                newer_distance - work[older_distances + row]
            )
            sum_of_both = work[older_squares + row] + work[newer_squares + row]
            work[distances + row] = newer_distance - apart * share
            work[squares + row] = sum_of_both + apart * apart * weighing(count, newer_rows, share)

    return merge


@compiled
def _spread(older_count, newer_rows, share):
    return newer_rows * share


@compiled
def _spread_of_full(older_rows, newer_rows, share):
    return older_rows * newer_rows / (older_rows + newer_rows)


@compiled
def _divisor(window, seen, row):
    count = count_rows(window, seen, row)
    return count - 1.0 if count > 1 else np.nan


@compiled
def _emit(statistic, parameter, window, states, inputs, scalars, out, first, seen):
    squares = states[1]
    if statistic == _NEAREST:
        copy_rows(out, inputs[0], 0)
    elif statistic == _DISTANCE:
        copy_rows(out, states[0], 0)
    elif statistic == _VARIANCE:
        for row in range(len(out)):
            out[row] = squares[row] / _divisor(window, seen, row)
    elif statistic == _DEVIATION:
        for row in range(len(out)):
            out[row] = math.sqrt(squares[row] / _divisor(window, seen, row))
    else:
        for row in range(len(out)):
            out[row] = 1.0 if math.sqrt(squares[row] / _divisor(window, seen, row)) <= _FLAT_DEVIATION else 0.0


@compiled
def _emit_full(statistic, parameter, window, states, inputs, scalars, out, first, seen):
    distances, squares = states
    if statistic == _DEVIATION:
        for row in range(len(out)):
            out[row] = math.sqrt(squares[row] / window)
    elif statistic == _SCORE:
        for row in range(len(out)):
            out[row] = -distances[row] / math.sqrt(squares[row] / window)
    out[: max(window - 1 - first, 0)] = np.nan


@compiled
def _load_gapped(left, right, first, stop, inputs, states):
    counts, values, distances, squares = states
    for row in range(len(counts)):
        value = left[first + row]
        present = np.isfinite(value)
        counts[row] = 1.0 if present else 0.0
        values[row] = value if present else 0.0
        distances[row] = 0.0
        squares[row] = 0.0


@compiled
def merge_gapped_means(older_count, newer_count, share, older_value, newer_value, older_distance, newer_distance):
    """Value, distance and difference of the means, as `moments.merge_means` gives them."""
    apart = (newer_value - older_value) + (newer_distance - older_distance)
    difference = apart if newer_count > 0 and older_count > 0 else 0.0
    value = newer_value if newer_count > 0 else older_value
    distance = newer_distance - difference * share if newer_count > 0 else older_distance
    return value, distance, difference


@compiled
def _merge_gapped(
    work, older_inputs, newer_inputs, older, newer, merged, older_rows, newer_rows, older_scalars, newer_scalars, _p
):
    older_counts, newer_counts, (counts, _, rows) = older[0], newer[0], merged
    older_values, newer_values, values = quantity(older, 1), quantity(newer, 1), quantity(merged, 1)
    older_distances, newer_distances, distances = quantity(older, 2), quantity(newer, 2), quantity(merged, 2)
    older_squares, newer_squares, squares = quantity(older, 3), quantity(newer, 3), quantity(merged, 3)
    for row in range(rows):
        older_count, newer_count = work[older_counts + row], work[newer_counts + row]
        count = older_count + newer_count
        share = older_count / max(count, 1.0)
        value, distance, difference = merge_gapped_means(
            older_count,
            newer_count,
            share,
            work[older_values + row],
            work[newer_values + row],
            work[older_distances + row],
            work[newer_distances + row],
        )
        sum_of_both = work[older_squares + row] + work[newer_squares + row]
        work[counts + row] = count
        work[values + row] = value
        work[distances + row] = distance
        work[squares + row] = sum_of_both + difference * difference * (newer_count * share)


@compiled
def _emit_gapped(statistic, parameter, window, states, inputs, scalars, out, first, seen):
    counts, values, distances, squares = states
    if statistic == _NEAREST:
        copy_rows(out, values, 0)
        return
    if statistic == _DISTANCE:
        copy_rows(out, distances, 0)
        return
    for row in range(len(out)):
        variance = squares[row] / (counts[row] - 1.0 if counts[row] > 1 else np.nan)
        if statistic == _VARIANCE:
            out[row] = variance
        elif statistic == _DEVIATION:
            out[row] = math.sqrt(variance)
        else:
            out[row] = 1.0 if math.sqrt(variance) <= _FLAT_DEVIATION else 0.0


_fold_whole = fold_kernel(
    quantities=2,
    inputs=1,
    load=_load,
    merge=_merging(whole_block, _spread),
    emit=_emit,
    merge_short=_merging(short_block, _spread),
)
_fold_gapped = fold_kernel(quantities=4, inputs=0, load=_load_gapped, merge=_merge_gapped, emit=_emit_gapped)
_fold_full = fold_kernel(
    quantities=2, inputs=1, load=_load, merge=_merging(whole_block, _spread_of_full), emit=_emit_full
)
_fold_skipping = skipping_fold(_fold_whole, _fold_gapped, begins_whole=True)


@compiled
def skipping_moments(code, at, entries, column, columns, work):
    """`rolling_variance` and `rolling_std`; whether a window is flat; the two parts that its mean is carried in."""
    _fold_skipping(code, at, entries, column, column, columns, work, 0.0)


@compiled
def full_moments(code, at, entries, column, columns, work):
    """`standard_deviation` and `standard_score`."""
    _fold_full(code, at, entries, column, column, columns, work, 0.0, 0, 0, len(column))


@compiled
def _load_higher(left, right, first, stop, inputs, states):
    copy_rows(inputs[0], left, first)
    for state in states:
        state[:] = 0.0


@compiled
def _higher(apart, there, here, spread, older_squares, newer_squares, older_cubes, newer_cubes):
    """Sums of third and fourth powers without the older and newer block's own: what merging adds to them."""
    apart_squared = apart * apart
    cubes = (
        older_cubes
        + newer_cubes
        + apart * apart_squared * spread * (there - here)
        + 3 * apart * (there * newer_squares - here * older_squares)
    )
    fourth = apart_squared * apart_squared * spread * (there * there - there * here + here * here)
    from_squares = 6 * apart_squared * (there * there * newer_squares + here * here * older_squares)
    from_cubes = 4 * apart * (there * newer_cubes - here * older_cubes)
    return cubes, fourth, from_squares, from_cubes


def _merging_higher(older_count: Callable[..., float]) -> Any:
    """Merges means and sums of second to fourth powers; see `_merging`."""

    @compiled
    def merge(
        work, older_inputs, newer_inputs, older, newer, merged, older_rows, newer_rows, older_scalars, newer_scalars, _p
    ):
        older_values, newer_values = older_inputs[0], newer_inputs[0]
        older_distances, newer_distances, (distances, _, rows) = older[0], newer[0], merged
        older_squares, newer_squares, squares = quantity(older, 1), quantity(newer, 1), quantity(merged, 1)
        older_cubes, newer_cubes, cubes = quantity(older, 2), quantity(newer, 2), quantity(merged, 2)
        older_fourths, newer_fourths, fourths = quantity(older, 3), quantity(newer, 3), quantity(merged, 3)
        for row in range(rows):
            count = older_count(row, older_rows)
            there = count / (count + newer_rows)
            here = 1 - there
            spread = newer_rows * there
            newer_distance = work[newer_distances + row]
            apart = (work[newer_values + row] - work[older_values + row]) + (
                newer_distance - work[older_distances + row]
            )
            older_square, newer_square = work[older_squares + row], work[newer_squares + row]
            cube, fourth, from_squares, from_cubes = _higher(
                apart,
                there,
                here,
                spread,
                older_square,
                newer_square,
                work[older_cubes + row],
                work[newer_cubes + row],
            )
            own_fourths = work[older_fourths + row] + work[newer_fourths + row]
            work[distances + row] = newer_distance - apart * there
            work[squares + row] = older_square + newer_square + apart * apart * spread
            work[cubes + row] = cube
            work[fourths + row] = own_fourths + fourth + from_squares + from_cubes

    return merge


@compiled
def _load_higher_gapped(left, right, first, stop, inputs, states):
    for state in states:
        state[:] = 0.0
    counts, values = states[0], states[1]
    for row in range(len(counts)):
        value = left[first + row]
        if np.isfinite(value):
            counts[row] = 1.0
            values[row] = value


@compiled
def _merge_higher_gapped(
    work, older_inputs, newer_inputs, older, newer, merged, older_rows, newer_rows, older_scalars, newer_scalars, _p
):
    older_counts, newer_counts, (counts, _, rows) = older[0], newer[0], merged
    older_values, newer_values, values = quantity(older, 1), quantity(newer, 1), quantity(merged, 1)
    older_distances, newer_distances, distances = quantity(older, 2), quantity(newer, 2), quantity(merged, 2)
    older_squares, newer_squares, squares = quantity(older, 3), quantity(newer, 3), quantity(merged, 3)
    older_cubes, newer_cubes, cubes = quantity(older, 4), quantity(newer, 4), quantity(merged, 4)
    older_fourths, newer_fourths, fourths = quantity(older, 5), quantity(newer, 5), quantity(merged, 5)
    for row in range(rows):
        older_count, newer_count = work[older_counts + row], work[newer_counts + row]
        count = older_count + newer_count
        there = older_count / max(count, 1.0)
        here = 1 - there
        value, distance, apart = merge_gapped_means(
            older_count,
            newer_count,
            there,
            work[older_values + row],
            work[newer_values + row],
            work[older_distances + row],
            work[newer_distances + row],
        )
        spread = newer_count * there
        older_square, newer_square = work[older_squares + row], work[newer_squares + row]
        cube, fourth, from_squares, from_cubes = _higher(
            apart,
            there,
            here,
            spread,
            older_square,
            newer_square,
            work[older_cubes + row],
            work[newer_cubes + row],
        )
        own_fourths = work[older_fourths + row] + work[newer_fourths + row]
        work[counts + row] = count
        work[values + row] = value
        work[distances + row] = distance
        work[squares + row] = older_square + newer_square + apart * apart * spread
        work[cubes + row] = cube
        work[fourths + row] = own_fourths + fourth + from_squares + from_cubes


@compiled
def _shape(statistic, count, squares, cubes, fourths):
    """Skewness or kurtosis of one window, as `skipping_windows` defines them."""
    is_skewness = statistic in (_SKEWNESS, _SKEWNESS_GUARDED)
    least = 3.0 if is_skewness else 4.0
    value = np.nan
    if count >= least and squares > 0:
        if is_skewness:
            value = count * math.sqrt(count - 1) / (count - 2) * (cubes / squares / math.sqrt(squares))
        else:
            raw = count * (count + 1) * (count - 1) * (fourths / squares / squares)
            value = (raw - 3 * (count - 1) * (count - 1)) / ((count - 2) * (count - 3))
    if statistic in (_SKEWNESS_GUARDED, _KURTOSIS_GUARDED):
        if squares / count <= _LEAST_VARIANCE:
            value = np.nan
        if count >= least and squares == 0:
            value = 0.0 if is_skewness else _KURTOSIS_OF_EQUAL_VALUES
    return value


@compiled
def _emit_higher(statistic, parameter, window, states, inputs, scalars, out, first, seen):
    _, squares, cubes, fourths = states
    for row in range(len(out)):
        out[row] = _shape(statistic, count_rows(window, seen, row), squares[row], cubes[row], fourths[row])


@compiled
def _emit_higher_gapped(statistic, parameter, window, states, inputs, scalars, out, first, seen):
    counts, _, _, squares, cubes, fourths = states
    for row in range(len(out)):
        out[row] = _shape(statistic, counts[row], squares[row], cubes[row], fourths[row])


_fold_higher = fold_kernel(
    quantities=4,
    inputs=1,
    load=_load_higher,
    merge=_merging_higher(whole_block),
    emit=_emit_higher,
    merge_short=_merging_higher(short_block),
)
_fold_higher_gapped = fold_kernel(
    quantities=6, inputs=0, load=_load_higher_gapped, merge=_merge_higher_gapped, emit=_emit_higher_gapped
)
_fold_higher_skipping = skipping_fold(_fold_higher, _fold_higher_gapped, begins_whole=True)


@compiled
def skipping_higher_moments(code, at, entries, column, columns, work):
    """Skewness and kurtosis, with pandas' old guards or without."""
    _fold_higher_skipping(code, at, entries, column, column, columns, work, 0.0)
