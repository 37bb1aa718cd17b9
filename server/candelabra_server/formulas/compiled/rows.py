"""Elementwise instructions, run in blocks of rows that stay in the processor's cache.

A group of instructions goes over one block of rows after the other: what one writes, the next finds in the cache, and
what no other group needs is a row of the scratch table, never a column.

The arithmetic is that of `kernels/elementwise.py`, which has the definitions.
"""

from __future__ import annotations

import numpy as np

from candelabra_server.formulas.compiled.compiling import compiled, inlined
from candelabra_server.formulas.compiled.opcodes import BLOCK_ROWS, ROWS_FIELDS, RowOp
from candelabra_server.formulas.compiled.vectors import copy_rows

__all__ = ["run_rows"]

_ADD, _SUBTRACT, _MULTIPLY, _DIVIDE = int(RowOp.ADD), int(RowOp.SUBTRACT), int(RowOp.MULTIPLY), int(RowOp.DIVIDE)
_NEGATE, _ABSOLUTE, _SIGN, _ROUND = int(RowOp.NEGATE), int(RowOp.ABSOLUTE), int(RowOp.SIGN), int(RowOp.ROUND)
_GREATEST, _LEAST, _FLOAT32 = int(RowOp.GREATEST), int(RowOp.LEAST), int(RowOp.ROUND_TO_FLOAT32)
_LESS, _LESS_EQUAL, _EQUAL, _NOT_EQUAL = (
    int(RowOp.LESS),
    int(RowOp.LESS_EQUAL),
    int(RowOp.EQUAL),
    int(RowOp.NOT_EQUAL),
)
_AND, _OR, _NOT, _CHOOSE = int(RowOp.AND), int(RowOp.OR), int(RowOp.NOT), int(RowOp.CHOOSE)
_IS_MISSING, _SIGNAL_OR_ZERO, _SHIFT = int(RowOp.IS_MISSING), int(RowOp.SIGNAL_OR_ZERO), int(RowOp.SHIFT)
_FIELDS = ROWS_FIELDS


@compiled
def run_rows(code, first, count, columns, scratch, rows):
    """Runs `count` instructions of ROWS_FIELDS numbers each, from code[first] on, over all rows."""
    for start in range(0, rows, BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, rows)
        for number in range(count):
            at = first + number * _FIELDS
            op = code[at]
            out = _operand(code[at + 1], columns, scratch, start, stop)
            left = _operand(code[at + 2], columns, scratch, start, stop)
            right = _operand(code[at + 3], columns, scratch, start, stop)
            if op == _DIVIDE:
                for row in range(len(out)):
                    out[row] = left[row] / right[row]
            elif op == _SUBTRACT:
                for row in range(len(out)):
                    out[row] = left[row] - right[row]
            elif op == _ADD:
                for row in range(len(out)):
                    out[row] = left[row] + right[row]
            elif op == _MULTIPLY:
                for row in range(len(out)):
                    out[row] = left[row] * right[row]
            elif op == _SHIFT:
                _shift(columns[code[at + 2]], code[at + 5], start, out)
            elif op < _LESS:
                _run_number(op, out, left, right)
            else:
                _run_signal(op, out, left, right, _operand(code[at + 4], columns, scratch, start, stop))


@inlined
def _operand(number, columns, scratch, start, stop):
    """A block of a column; of the scratch table, where the number is negative."""
    return columns[number, start:stop] if number >= 0 else scratch[-1 - number, : stop - start]


@compiled
def _shift(column, candles, start, out):
    """The block of the column `candles` rows before; the column's rows up to there are finished."""
    missing = min(max(candles - start, 0), len(out))
    out[:missing] = np.nan
    first = start + missing - candles
    copy_rows(out[missing:], column, first)


@compiled
def _run_number(op, out, left, right):
    if op == _NEGATE:
        for row in range(len(out)):
            out[row] = -left[row]
    elif op == _ABSOLUTE:
        for row in range(len(out)):
            out[row] = abs(left[row])
    elif op == _SIGN:
        for row in range(len(out)):
            value = left[row]
            out[row] = 1.0 if value > 0 else (-1.0 if value < 0 else (0.0 if value == 0 else np.nan))
    elif op == _ROUND:
        for row in range(len(out)):
            whole = np.floor(left[row])
            out[row] = whole + 1.0 if left[row] - whole >= 0.5 else whole
    elif op == _GREATEST:
        for row in range(len(out)):
            a, b = left[row], right[row]
            out[row] = a if a >= b or a != a else b
    elif op == _LEAST:
        for row in range(len(out)):
            a, b = left[row], right[row]
            out[row] = a if a <= b or a != a else b
    elif op == _FLOAT32:
        for row in range(len(out)):
            out[row] = np.float64(np.float32(left[row]))


@compiled
def _run_signal(op, out, left, right, third):
    if op == _LESS:
        for row in range(len(out)):
            a, b = left[row], right[row]
            out[row] = np.nan if a != a or b != b else (1.0 if a < b else 0.0)
    elif op == _LESS_EQUAL:
        for row in range(len(out)):
            a, b = left[row], right[row]
            out[row] = np.nan if a != a or b != b else (1.0 if a <= b else 0.0)
    elif op == _EQUAL:
        for row in range(len(out)):
            a, b = left[row], right[row]
            out[row] = np.nan if a != a or b != b else (1.0 if a == b else 0.0)
    elif op == _NOT_EQUAL:
        for row in range(len(out)):
            a, b = left[row], right[row]
            out[row] = np.nan if a != a or b != b else (1.0 if a != b else 0.0)
    elif op == _AND:
        for row in range(len(out)):
            a, b = left[row], right[row]
            out[row] = 0.0 if a == 0 or b == 0 else (np.nan if a != a or b != b else 1.0)
    elif op == _OR:
        for row in range(len(out)):
            a, b = left[row], right[row]
            true = (a != 0 and a == a) or (b != 0 and b == b)
            out[row] = 1.0 if true else (np.nan if a != a or b != b else 0.0)
    elif op == _NOT:
        for row in range(len(out)):
            value = left[row]
            out[row] = np.nan if value != value else (1.0 if value == 0 else 0.0)
    elif op == _CHOOSE:
        for row in range(len(out)):
            value = left[row]
            out[row] = np.nan if value != value else (right[row] if value != 0 else third[row])
    elif op == _IS_MISSING:
        for row in range(len(out)):
            out[row] = 1.0 if left[row] != left[row] else 0.0
    elif op == _SIGNAL_OR_ZERO:
        for row in range(len(out)):
            out[row] = 0.0 if left[row] != left[row] else left[row]
