"""The machine: runs a program over the columns of one symbol, in one call, without a step in Python.

Columns are rows of one table; a program (programs.py) says which instruction reads and writes which. Instructions run
one after the other: groups of elementwise ones by rows.py, bundles of windows by the module of their kind.
"""

from __future__ import annotations

import numpy as np

from candelabra_server.formulas.compiled.compiling import compiled
from candelabra_server.formulas.compiled.decaying import decaying_means
from candelabra_server.formulas.compiled.deviations import mean_deviations
from candelabra_server.formulas.compiled.extremes import full_extremes, skipping_extremes
from candelabra_server.formulas.compiled.lines import skipping_lines
from candelabra_server.formulas.compiled.moments import full_moments, skipping_higher_moments, skipping_moments
from candelabra_server.formulas.compiled.opcodes import HEADER_FIELDS, Opcode
from candelabra_server.formulas.compiled.ordered import ordered_windows
from candelabra_server.formulas.compiled.pairs import full_pairs, skipping_pairs
from candelabra_server.formulas.compiled.rows import run_rows
from candelabra_server.formulas.compiled.sums import count_windows, full_sums, full_weighted_means, skipping_sums
from candelabra_server.formulas.compiled.vectors import copy_rows

__all__ = ["run_program"]

_ROWS, _SUMS, _FULL_SUMS, _MOMENTS, _FULL_MOMENTS = (
    int(Opcode.ROWS),
    int(Opcode.SUMS),
    int(Opcode.FULL_SUMS),
    int(Opcode.MOMENTS),
    int(Opcode.FULL_MOMENTS),
)
_HIGHER_MOMENTS, _LINES, _PAIRS, _FULL_PAIRS, _DECAYING = (
    int(Opcode.HIGHER_MOMENTS),
    int(Opcode.LINES),
    int(Opcode.PAIRS),
    int(Opcode.FULL_PAIRS),
    int(Opcode.DECAYING),
)
_HIGHEST, _HIGHEST_OR_GAP, _LOWEST_OR_GAP, _FULL_HIGHEST, _FULL_LOWEST = (
    int(Opcode.HIGHEST),
    int(Opcode.HIGHEST_OR_GAP),
    int(Opcode.LOWEST_OR_GAP),
    int(Opcode.FULL_HIGHEST),
    int(Opcode.FULL_LOWEST),
)
_ORDERED, _FULL_WEIGHTED, _COUNTS, _SHIFT, _MEAN_DEVIATIONS = (
    int(Opcode.ORDERED),
    int(Opcode.FULL_WEIGHTED),
    int(Opcode.COUNTS),
    int(Opcode.SHIFT),
    int(Opcode.MEAN_DEVIATIONS),
)
_HEADER = HEADER_FIELDS


@compiled
def run_program(code, columns, scratch, work):
    """Runs a program to its end.

    Args:
        code: the instructions, as opcodes.py lays them out.
        columns: one row a column; those that the program writes are overwritten.
        scratch: rows of a block, of which the last hold the program's constants.
        work: room for the kernels, as much as `programs.work_room` says.
    """
    at = 0
    while at < len(code):
        op, length = code[at], code[at + 1]
        at += 2
        if op == _ROWS:
            run_rows(code, at + 1, code[at], columns, scratch, columns.shape[1])
        else:
            _run_bundle(code, at, op, columns, scratch, work)
        at += length


@compiled
def _run_bundle(code, at, op, columns, scratch, work):
    column, right = columns[code[at]], columns[code[at + 1]]
    entries = code[at + 3]
    first = at + _HEADER
    if op == _SUMS:
        skipping_sums(code, first, entries, column, columns, work)
    elif op == _FULL_SUMS:
        full_sums(code, first, entries, column, columns, work)
    elif op == _FULL_WEIGHTED:
        full_weighted_means(code, first, entries, column, columns, work)
    elif op == _COUNTS:
        count_windows(code, first, entries, column, columns)
    elif op == _MOMENTS:
        skipping_moments(code, first, entries, column, columns, work)
    elif op == _FULL_MOMENTS:
        full_moments(code, first, entries, column, columns, work)
    elif op == _HIGHER_MOMENTS:
        skipping_higher_moments(code, first, entries, column, columns, work)
    elif op == _LINES:
        skipping_lines(code, first, entries, column, columns, work)
    elif op == _PAIRS:
        skipping_pairs(code, first, entries, column, right, columns, work)
    elif op == _FULL_PAIRS:
        full_pairs(code, first, entries, column, right, columns, work)
    elif op == _DECAYING:
        decaying_means(code, first, entries, column, columns, work, scratch[-1 - code[at + 2], 0])
    elif op == _ORDERED:
        ordered_windows(code, first, entries, column, columns, scratch, work)
    elif op == _MEAN_DEVIATIONS:
        mean_deviations(code, first, entries, column, columns, work)
    elif op == _SHIFT:
        _shift(column, code[first], columns[code[first + 3]])
    elif op in (_FULL_HIGHEST, _FULL_LOWEST):
        full_extremes(code, first, entries, column, columns, work, 1.0 if op == _FULL_HIGHEST else -1.0)
    else:
        sign = 1.0 if op in (_HIGHEST, _HIGHEST_OR_GAP) else -1.0
        gaps_win = op in (_HIGHEST_OR_GAP, _LOWEST_OR_GAP)
        skipping_extremes(code, first, entries, column, columns, work, sign, gaps_win)


@compiled
def _shift(column, candles, out):
    """The value `candles` rows later."""
    rows = max(len(column) - candles, 0)
    copy_rows(out[:rows], column, candles)
    out[rows:] = np.nan
