"""The line through a window's values, and means weighted by place; definitions in `kernels/regression.py`.

Places are row numbers, so without gaps all that concerns them alone depends on a block's length only: a mean place,
as its distance from the newest row, and the squared deviations are the two scalars of a block.
"""

from __future__ import annotations

import math

import numpy as np

from candelabra_server.formulas.compiled.compiling import compiled
from candelabra_server.formulas.compiled.folds import fold_kernel, quantity
from candelabra_server.formulas.compiled.moments import merge_gapped_means
from candelabra_server.formulas.compiled.opcodes import Statistic
from candelabra_server.formulas.compiled.runs import skipping_fold
from candelabra_server.formulas.compiled.vectors import copy_rows

__all__ = ["skipping_lines"]

_SLOPE, _FIT, _RESIDUAL = int(Statistic.SLOPE), int(Statistic.FIT), int(Statistic.RESIDUAL)
_WEIGHTED_MEAN = int(Statistic.WEIGHTED_MEAN)
_FLAT_DEVIATION = 2e-5


@compiled
def _load(left, right, first, stop, inputs, states):
    copy_rows(inputs[0], left, first)
    for state in states:
        state[:] = 0.0


@compiled
def _places_apart(older, newer, newer_rows):
    """How far the mean places of two blocks are apart; the newest rows are as many apart as the newer block has."""
    return newer_rows + (newer[0] - older[0])


@compiled
def _merge_places(older, newer, older_rows, newer_rows, parameter):
    share = older_rows / (older_rows + newer_rows)
    apart = _places_apart(older, newer, newer_rows)
    return newer[0] - apart * share, older[1] + newer[1] + apart * apart * (newer_rows * share)


@compiled
def _merge(
    work, older_inputs, newer_inputs, older, newer, merged, older_rows, newer_rows, older_scalars, newer_scalars, _p
):
    older_values, newer_values = older_inputs[0], newer_inputs[0]
    older_distances, newer_distances, (distances, _, rows) = older[0], newer[0], merged
    older_squares, newer_squares, squares = quantity(older, 1), quantity(newer, 1), quantity(merged, 1)
    older_products, newer_products, products = quantity(older, 2), quantity(newer, 2), quantity(merged, 2)
    share = older_rows / (older_rows + newer_rows)
    spread = newer_rows * share
    places_apart = _places_apart(older_scalars, newer_scalars, newer_rows)
    for row in range(rows):
        newer_distance = work[newer_distances + row]
        apart = (work[newer_values + row] - work[older_values + row]) + (newer_distance - work[older_distances + row])
        own_squares = work[older_squares + row] + work[newer_squares + row]
        own_products = work[older_products + row] + work[newer_products + row]
        work[distances + row] = newer_distance - apart * share
        work[squares + row] = own_squares + apart * apart * spread
        work[products + row] = own_products + places_apart * apart * spread


@compiled
def _emit(statistic, parameter, window, states, inputs, scalars, out, first, seen):
    distances, squares, products = states
    values = inputs[0]
    place_distance, place_squares = scalars
    count = float(window)
    if statistic == _SLOPE:
        for row in range(len(out)):
            out[row] = products[row] / place_squares if count > 1 else np.nan
    elif statistic == _FIT:
        divisor = count - 1
        for row in range(len(out)):
            square = squares[row]
            slope = products[row] / place_squares
            fit = min(slope * products[row] / square, 1.0)
            varies = square > 0 and math.sqrt(square / divisor) > _FLAT_DEVIATION
            out[row] = fit if varies and count > 1 else np.nan
    elif statistic == _RESIDUAL:
        for row in range(len(out)):
            slope = products[row] / place_squares
            # From 0, which the newest row less itself is: of a flat window the residual is 0, and not its negative.
            residual = (0.0 - distances[row]) - slope * (0.0 - place_distance)
            out[row] = residual if count > 1 else np.nan
    else:
        weight = count * (count + place_distance)
        scale = weight / (count * (count + 1) / 2)
        for row in range(len(out)):
            mean = values[row] + (distances[row] + products[row] / weight)
            out[row] = mean if statistic == _WEIGHTED_MEAN else mean * scale / count


@compiled
def _load_gapped(left, right, first, stop, inputs, states):
    copy_rows(inputs[0], left, first)
    for state in states:
        state[:] = 0.0
    counts, places, values = states[0], states[1], states[3]
    for row in range(len(counts)):
        value = left[first + row]
        if np.isfinite(value):
            counts[row] = 1.0
            places[row] = first + row
            values[row] = value


@compiled
def _merge_gapped(
    work, older_inputs, newer_inputs, older, newer, merged, older_rows, newer_rows, older_scalars, newer_scalars, _p
):
    older_counts, newer_counts, (counts, _, rows) = older[0], newer[0], merged
    older_places, newer_places, places = quantity(older, 1), quantity(newer, 1), quantity(merged, 1)
    older_ways, newer_ways, ways = quantity(older, 2), quantity(newer, 2), quantity(merged, 2)
    older_values, newer_values, values = quantity(older, 3), quantity(newer, 3), quantity(merged, 3)
    older_distances, newer_distances, distances = quantity(older, 4), quantity(newer, 4), quantity(merged, 4)
    older_spans, newer_spans, spans = quantity(older, 5), quantity(newer, 5), quantity(merged, 5)
    older_squares, newer_squares, squares = quantity(older, 6), quantity(newer, 6), quantity(merged, 6)
    older_products, newer_products, products = quantity(older, 7), quantity(newer, 7), quantity(merged, 7)
    for row in range(rows):
        older_count, newer_count = work[older_counts + row], work[newer_counts + row]
        count = older_count + newer_count
        share = older_count / max(count, 1.0)
        place, way, places_apart = merge_gapped_means(
            older_count,
            newer_count,
            share,
            work[older_places + row],
            work[newer_places + row],
            work[older_ways + row],
            work[newer_ways + row],
        )
        value, distance, apart = merge_gapped_means(
            older_count,
            newer_count,
            share,
            work[older_values + row],
            work[newer_values + row],
            work[older_distances + row],
            work[newer_distances + row],
        )
        spread = newer_count * share
        own_spans = work[older_spans + row] + work[newer_spans + row]
        own_squares = work[older_squares + row] + work[newer_squares + row]
        own_products = work[older_products + row] + work[newer_products + row]
        work[counts + row] = count
        work[places + row] = place
        work[ways + row] = way
        work[values + row] = value
        work[distances + row] = distance
        work[spans + row] = own_spans + places_apart * places_apart * spread
        work[squares + row] = own_squares + apart * apart * spread
        work[products + row] = own_products + places_apart * apart * spread


@compiled
def _emit_gapped(statistic, parameter, window, states, inputs, scalars, out, first, seen):
    counts, places, ways, values, distances, spans, squares, products = states
    newest = inputs[0]
    for row in range(len(out)):
        count, square, product = counts[row], squares[row], products[row]
        number = float(first + row)
        place_distance = (number - places[row]) - ways[row]
        slope = product / spans[row]
        if statistic == _SLOPE:
            out[row] = slope if count > 1 else np.nan
        elif statistic == _FIT:
            varies = square > 0 and (window == 0 or math.sqrt(square / (count - 1)) > _FLAT_DEVIATION)
            out[row] = min(slope * product / square, 1.0) if count > 1 and varies else np.nan
        elif statistic == _RESIDUAL:
            residual = ((newest[row] - values[row]) - distances[row]) - slope * place_distance
            out[row] = residual if count > 1 and np.isfinite(newest[row]) else np.nan
        else:
            places_in_window = min(number + 1, float(window)) if window else number + 1
            weight = count * (places_in_window - place_distance)
            mean = values[row] + (distances[row] + product / weight) if count > 0 else np.nan
            if statistic == _WEIGHTED_MEAN:
                out[row] = mean
            else:
                out[row] = mean * (weight / (places_in_window * (places_in_window + 1) / 2)) / count


_fold_whole = fold_kernel(quantities=3, inputs=1, load=_load, merge=_merge, emit=_emit, merge_scalars=_merge_places)
_fold_gapped = fold_kernel(quantities=8, inputs=1, load=_load_gapped, merge=_merge_gapped, emit=_emit_gapped)
_fold_skipping = skipping_fold(_fold_whole, _fold_gapped)


@compiled
def skipping_lines(code, at, entries, column, columns, work):
    """The columns of `rolling_regression`, and the means weighted by place."""
    _fold_skipping(code, at, entries, column, column, columns, work, 0.0)
