"""Exponentially weighted means; the definition is that of `kernels/exponential.py`."""

from __future__ import annotations

import math

import numpy as np

from candelabra_server.formulas.compiled.compiling import compiled
from candelabra_server.formulas.compiled.folds import fold_kernel, quantity
from candelabra_server.formulas.compiled.opcodes import ENTRY_FIELDS, Statistic
from candelabra_server.formulas.compiled.runs import skipping_fold
from candelabra_server.formulas.compiled.vectors import copy_rows

__all__ = ["decaying_means"]

_FROM_START = int(Statistic.MEAN_FROM_START)


@compiled
def _faded(weight, newer_rows, alpha):
    return weight * math.pow(1 - alpha, float(newer_rows))


@compiled
def _load(left, right, first, stop, inputs, states):
    copy_rows(states[0], left, first)


@compiled
def _merge_weights(older, newer, older_rows, newer_rows, alpha):
    return _faded(older[0], newer_rows, alpha) + newer[0], 0.0


@compiled
def _merge(
    work, older_inputs, newer_inputs, older, newer, merged, older_rows, newer_rows, older_scalars, newer_scalars, alpha
):
    older_means, newer_means, (means, _, rows) = older[0], newer[0], merged
    faded = _faded(older_scalars[0], newer_rows, alpha)
    share = faded / (faded + newer_scalars[0])
    for row in range(rows):
        newer_mean = work[newer_means + row]
        work[means + row] = newer_mean + (work[older_means + row] - newer_mean) * share


@compiled
def _emit(statistic, parameter, window, states, inputs, scalars, out, first, seen):
    copy_rows(out, states[0], 0)


@compiled
def _load_gapped(left, right, first, stop, inputs, states):
    weights, means = states
    for row in range(len(weights)):
        value = left[first + row]
        present = np.isfinite(value)
        weights[row] = 1.0 if present else 0.0
        means[row] = value if present else 0.0


@compiled
def _merge_gapped(
    work, older_inputs, newer_inputs, older, newer, merged, older_rows, newer_rows, older_scalars, newer_scalars, alpha
):
    older_weights, newer_weights, (weights, _, rows) = older[0], newer[0], merged
    older_means, newer_means, means = quantity(older, 1), quantity(newer, 1), quantity(merged, 1)
    fading = math.pow(1 - alpha, float(newer_rows))
    for row in range(rows):
        faded = work[older_weights + row] * fading
        weight = faded + work[newer_weights + row]
        share = faded / (weight if weight > 0 else 1.0)
        newer_mean = work[newer_means + row]
        work[means + row] = newer_mean + (work[older_means + row] - newer_mean) * share
        work[weights + row] = weight


@compiled
def _emit_gapped(statistic, parameter, window, states, inputs, scalars, out, first, seen):
    weights, means = states
    for row in range(len(out)):
        out[row] = means[row] if weights[row] > 0 else np.nan


_fold_whole = fold_kernel(
    quantities=1, inputs=0, load=_load, merge=_merge, emit=_emit, merge_scalars=_merge_weights, scalars=(1.0, 0.0)
)
_fold_gapped = fold_kernel(quantities=2, inputs=0, load=_load_gapped, merge=_merge_gapped, emit=_emit_gapped)
_fold_skipping = skipping_fold(_fold_whole, _fold_gapped)


@compiled
def decaying_means(code, at, entries, column, columns, work, alpha):
    """`decaying_mean`, and `decaying_mean_from_start`, which stays what it was while nothing comes."""
    _fold_skipping(code, at, entries, column, column, columns, work, alpha)
    for entry in range(entries):
        field = at + entry * ENTRY_FIELDS
        if code[field + 1] == _FROM_START:
            out = columns[code[field + 3]]
            for row in range(1, len(out)):
                if out[row] != out[row]:
                    out[row] = out[row - 1]
