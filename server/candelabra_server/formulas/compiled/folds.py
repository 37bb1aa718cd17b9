"""Folds of many windows of one column in one pass, in the order of operations of `kernels/folding.py`.

The blocks of 1, 2, 4, … rows that `folding.py` makes for the whole column are made here for one tile of rows after
the other, all levels of a tile while it is in the cache; each level keeps its last rows for the next tile. Windows
share the blocks, and a window of n rows merges those that the binary digits of n name. So the bits are those of
`folding.py`, at a cost of about 2 log2(n) vector instructions a row.

What is folded is told by three functions: `load` makes the state of single rows, `merge` that of two neighbouring
blocks, `emit` the values of a window's state. Numbers that are the same for all blocks of a length ("scalars": two of
them) are merged once a block length by `merge_scalars`.

Where the rows begin, a newer block may have no older one before it, and stays as it is; or one that is cut short,
which `merge_short` merges by the rows that it has.

Work memory, in this order: inputs (kept rows, then a tile), the levels' states (likewise), two accumulators an
entry, scalars. Work memory begins at a multiple of 64 bytes, and so does every tile: a vector that lies across two
cache lines costs twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from candelabra_server.formulas.compiled.compiling import compiled
from candelabra_server.formulas.compiled.opcodes import ENTRY_FIELDS, TILE_ROWS
from candelabra_server.formulas.compiled.vectors import copy_rows, move

__all__ = [
    "count_rows",
    "effective_window",
    "fold_kernel",
    "places",
    "quantity",
    "rows_to_double",
    "short_block",
    "whole_block",
]

_ENTRY = ENTRY_FIELDS


@compiled
def whole_block(row, older_rows):
    """How many rows the older block of a merge has: the same for every row."""
    return float(older_rows)


@compiled
def short_block(row, older_rows):
    """How many rows it has where it is cut short: one more with every row, from `older_rows` on."""
    return float(older_rows) + row


@compiled
def count_rows(window, seen, row):
    """How many rows a window (0: of all rows) has that ends `row` rows after `seen` others."""
    rows = seen + row + 1
    return float(min(rows, window) if window else rows)


@compiled
def rows_to_double(rows):
    """The smallest power of two that is not less than `rows`."""
    power = 1
    while power < rows:
        power *= 2
    return power


@compiled
def effective_window(window, whole):
    """A window that folds a column in the same way, and is less than twice `whole`.

    `whole` is the smallest power of two that is not less than the column's rows. Blocks of so many rows or more are
    all the same block, and what lies before the column changes nothing.
    """
    if window == 0:
        return whole
    return window if window < whole else (window & (whole - 1)) + whole


@compiled
def _no_scalars(older, newer, older_rows, newer_rows, parameter):
    return newer


@compiled
def kept_rows(block_rows):
    """How many rows of a level are kept: those of its block, and as many that tiles begin where vectors may."""
    return max(block_rows, 8)


@compiled
def places(base, stride, rows):
    """Where in work memory a block's quantities begin, how far apart they are, and how many rows each has.

    Unsigned: numba takes a signed index for one that may count from the end, and then vectorizes nothing.
    """
    return np.uint64(base), np.uint64(stride), np.uint64(rows)


@compiled
def quantity(block, number):
    """Where a quantity begins, by its number from 0."""
    base, stride, _ = block
    return base + stride * np.uint64(number)


@compiled
def _views_1(work, base, stride, rows):
    return (work[base : base + rows],)


@compiled
def _views_2(work, base, stride, rows):
    return (work[base : base + rows], work[base + stride : base + stride + rows])


@compiled
def _views_3(work, base, stride, rows):
    second, third = base + stride, base + 2 * stride
    return (work[base : base + rows], work[second : second + rows], work[third : third + rows])


@compiled
def _views_4(work, base, stride, rows):
    second, third, fourth = base + stride, base + 2 * stride, base + 3 * stride
    return (
        work[base : base + rows],
        work[second : second + rows],
        work[third : third + rows],
        work[fourth : fourth + rows],
    )


@compiled
def _views_5(work, base, stride, rows):
    second, third, fourth, fifth = base + stride, base + 2 * stride, base + 3 * stride, base + 4 * stride
    return (
        work[base : base + rows],
        work[second : second + rows],
        work[third : third + rows],
        work[fourth : fourth + rows],
        work[fifth : fifth + rows],
    )


@compiled
def _views_6(work, base, stride, rows):
    head, tail = _views_3(work, base, stride, rows), _views_3(work, base + 3 * stride, stride, rows)
    return (head[0], head[1], head[2], tail[0], tail[1], tail[2])


@compiled
def _views_8(work, base, stride, rows):
    head, tail = _views_4(work, base, stride, rows), _views_4(work, base + 4 * stride, stride, rows)
    return (head[0], head[1], head[2], head[3], tail[0], tail[1], tail[2], tail[3])


_VIEWS = {1: _views_1, 2: _views_2, 3: _views_3, 4: _views_4, 5: _views_5, 6: _views_6, 8: _views_8}


def fold_kernel(
    *,
    quantities: int,
    inputs: int,
    load: Callable[..., Any],
    merge: Callable[..., Any],
    emit: Callable[..., Any],
    merge_scalars: Callable[..., Any] = _no_scalars,
    scalars: tuple[float, float] = (0.0, 0.0),
    merge_short: Callable[..., Any] | None = None,
) -> Any:
    """A compiled function that folds the windows of an instruction's entries over some rows of its columns.

    Args:
        quantities: numbers that the state of a block has.
        inputs: 0 to 2: columns that `merge` and `emit` see beside the states, because a block's value is its newest
            row's.
        load: (left, right, first, stop, inputs' rows, states' rows): fills them for rows [first, stop).
        merge: (work memory, places of older inputs, of newer inputs, of older states, of newer states, of the merged
            states, older rows, newer rows, older scalars, newer scalars, parameter).
        emit: (statistic, parameter, window, states, inputs, scalars, column's rows, number of its first row, rows
            that were seen before it).
        merge_scalars: (older, newer, older rows, newer rows, parameter).
        scalars: those of a single row.
        merge_short: as `merge`, where the older block has `older rows` at the first row and one more at each next; None
            where windows that are not full are not looked at.
    """
    views, input_views = _VIEWS[quantities], _VIEWS[max(inputs, 1)]
    first_scalar, second_scalar = scalars
    join = _joining(quantities, merge, merge_short)

    @compiled
    def fold(code, at, entries, left, right, columns, work, parameter, first, start, stop):
        """Rows [start, stop), from blocks that begin at `first` at the earliest."""
        whole = rows_to_double(len(left))
        largest = 1
        for entry in range(entries):
            largest = max(largest, effective_window(code[at + entry * _ENTRY], whole))
        lag, levels = 1, 1
        while lag * 2 <= largest:
            lag *= 2
            levels += 1
        input_stride = kept_rows(lag) + TILE_ROWS
        states = inputs * input_stride
        accumulators = states
        block_rows = 1
        for _ in range(levels):
            accumulators += quantities * (kept_rows(block_rows) + TILE_ROWS)
            block_rows *= 2
        scalars_of_levels = accumulators + 2 * entries * quantities * TILE_ROWS
        scalars_of_entries = scalars_of_levels + 2 * levels
        work[scalars_of_levels], work[scalars_of_levels + 1] = first_scalar, second_scalar
        for tile in range(first, stop, TILE_ROWS):
            rows = min(TILE_ROWS, stop - tile)
            load(
                left,
                right,
                tile,
                tile + rows,
                input_views(work, kept_rows(lag), input_stride, rows),
                views(work, states + kept_rows(1), kept_rows(1) + TILE_ROWS, rows),
            )
            block_rows, level_base = 1, states
            level = 0
            while True:
                stride = kept_rows(block_rows) + TILE_ROWS
                here = level_base + kept_rows(block_rows)
                scalar = scalars_of_levels + 2 * level
                for entry in range(entries):
                    if entry > 0 and code[at + entry * _ENTRY] == code[at + (entry - 1) * _ENTRY]:
                        continue
                    window = effective_window(code[at + entry * _ENTRY], whole)
                    if not window & block_rows:
                        continue
                    done = window & (block_rows - 1)
                    turn = _ones(done) & 1
                    there = accumulators + (2 * entry + turn) * quantities * TILE_ROWS
                    other = accumulators + (2 * entry + 1 - turn) * quantities * TILE_ROWS
                    kept = scalars_of_entries + 2 * entry
                    if done == 0:
                        for quantity in range(quantities):
                            source = here + quantity * stride
                            target = other + quantity * TILE_ROWS
                            copy_rows(work[target : target + rows], work, source)
                        work[kept], work[kept + 1] = work[scalar], work[scalar + 1]
                    else:
                        join(
                            tile - first,
                            work,
                            places(kept_rows(lag) - done, input_stride, rows),
                            places(kept_rows(lag), input_stride, rows),
                            places(here - done, stride, rows),
                            places(there, TILE_ROWS, rows),
                            places(other, TILE_ROWS, rows),
                            block_rows,
                            done,
                            (work[scalar], work[scalar + 1]),
                            (work[kept], work[kept + 1]),
                            parameter,
                        )
                        work[kept], work[kept + 1] = merge_scalars(
                            (work[scalar], work[scalar + 1]),
                            (work[kept], work[kept + 1]),
                            block_rows,
                            done,
                            parameter,
                        )
                if block_rows == lag:
                    _keep(work, level_base, quantities, kept_rows(block_rows), stride, rows)
                    break
                next_base = level_base + quantities * stride
                join(
                    tile - first,
                    work,
                    places(kept_rows(lag) - block_rows, input_stride, rows),
                    places(kept_rows(lag), input_stride, rows),
                    places(here - block_rows, stride, rows),
                    places(here, stride, rows),
                    places(next_base + kept_rows(2 * block_rows), kept_rows(2 * block_rows) + TILE_ROWS, rows),
                    block_rows,
                    block_rows,
                    (work[scalar], work[scalar + 1]),
                    (work[scalar], work[scalar + 1]),
                    parameter,
                )
                work[scalar + 2], work[scalar + 3] = merge_scalars(
                    (work[scalar], work[scalar + 1]),
                    (work[scalar], work[scalar + 1]),
                    block_rows,
                    block_rows,
                    parameter,
                )
                _keep(work, level_base, quantities, kept_rows(block_rows), stride, rows)
                level_base = next_base
                block_rows *= 2
                level += 1
            skipped = min(max(start - tile, 0), rows)
            if skipped < rows:
                leader = 0
                for entry in range(entries):
                    field = at + entry * _ENTRY
                    if entry == 0 or code[field] != code[field - _ENTRY]:
                        leader = entry
                    window = effective_window(code[field], whole)
                    turn = _ones(window) & 1
                    there = accumulators + (2 * leader + turn) * quantities * TILE_ROWS + skipped
                    kept = scalars_of_entries + 2 * leader
                    emit(
                        code[field + 1],
                        parameter,
                        code[field],
                        views(work, there, TILE_ROWS, rows - skipped),
                        input_views(work, kept_rows(lag) + skipped, input_stride, rows - skipped),
                        (work[kept], work[kept + 1]),
                        columns[code[field + 3], tile + skipped : tile + rows],
                        tile + skipped,
                        tile + skipped - first,
                    )
            _keep(work, 0, inputs, kept_rows(lag), input_stride, rows)

    return fold


def _joining(quantities: int, merge: Callable[..., Any], merge_short: Callable[..., Any] | None) -> Any:
    """A compiled function that merges a tile's newer blocks with the older ones that are there.

    `seen` is how many rows there are before the tile; the other arguments are those of `merge`.
    """
    are_short_looked_at = merge_short is not None
    merge_some = merge_short or merge

    @compiled
    def join(
        seen,
        work,
        older_inputs,
        newer_inputs,
        older,
        newer,
        merged,
        older_rows,
        newer_rows,
        older_scalars,
        newer_scalars,
        p,
    ):
        rows = int(merged[2])
        alone = min(max(newer_rows - seen, 0), rows)
        for number in range(quantities):
            source, target = quantity(newer, number), quantity(merged, number)
            for row in range(alone):
                work[target + row] = work[source + row]
        whole = alone
        if are_short_looked_at:
            whole = min(max(newer_rows + older_rows - 1 - seen, alone), rows)
        if whole > alone:
            merge_some(
                work,
                _some(older_inputs, alone, whole),
                _some(newer_inputs, alone, whole),
                _some(older, alone, whole),
                _some(newer, alone, whole),
                _some(merged, alone, whole),
                seen + alone - newer_rows + 1,
                newer_rows,
                older_scalars,
                newer_scalars,
                p,
            )
        if whole < rows:
            merge(
                work,
                _some(older_inputs, whole, rows),
                _some(newer_inputs, whole, rows),
                _some(older, whole, rows),
                _some(newer, whole, rows),
                _some(merged, whole, rows),
                older_rows,
                newer_rows,
                older_scalars,
                newer_scalars,
                p,
            )

    return join


@compiled
def _some(block, start, stop):
    """The places of rows [start, stop) of a block."""
    base, stride, _ = block
    return base + np.uint64(start), stride, np.uint64(stop - start)


@compiled
def _keep(work, base, quantities, kept, stride, rows):
    """Moves the last `kept` rows before the next tile."""
    for number in range(quantities):
        target = base + number * stride
        move(work, target, target + rows, kept)


@compiled
def _ones(number):
    """How many binary digits are 1."""
    ones = 0
    while number:
        number &= number - 1
        ones += 1
    return ones
