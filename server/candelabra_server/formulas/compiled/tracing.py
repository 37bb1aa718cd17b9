"""Counting NaN, and tracing each to what it began with; the rules are those of `missing_values.py`."""

from __future__ import annotations

from candelabra_server.formulas.compiled.compiling import compiled
from candelabra_server.formulas.compiled.opcodes import TRACE_FIELDS, TraceKind

__all__ = ["count_missing", "trace_missing"]

_GIVEN, _FIRST_OF, _SHIFT, _CHOOSE = (
    int(TraceKind.GIVEN),
    int(TraceKind.FIRST_OF),
    int(TraceKind.SHIFT),
    int(TraceKind.CHOOSE),
)
_FIELDS = TRACE_FIELDS


@compiled
def count_missing(columns, first, counts):
    """How many NaN every column has from a row on; returns the last row of all that has one, -1 for none.

    Args:
        columns: one row a column.
        first: rows before it are not counted.
        counts: one number a column; overwritten.
    """
    last = -1
    for number in range(columns.shape[0]):
        column = columns[number]
        count = 0
        for row in range(first, len(column)):
            count += column[row] != column[row]
        counts[number] = count
        if count:
            for row in range(len(column) - 1, last, -1):
                if column[row] != column[row]:
                    last = row
                    break
    return last


@compiled
def trace_missing(code, columns, causes, first, counts):
    """The cause of every NaN, and how often each is one.

    Args:
        code: for every column, in their order, TRACE_FIELDS numbers: what it is (TraceKind), how far it looks, the
            cause that it is itself, the cause that a short history is, and up to three columns that it is made of
            (-1: none).
        columns: the values, one row a column; those that a column is made of come before it or are filled in before.
        causes: likewise, a cause a value; overwritten. 0 where there is a value.
        first: rows before it are not counted.
        counts: one row a column, one number a cause; overwritten.
    """
    counts[:] = 0
    for number in range(len(code) // _FIELDS):
        at = number * _FIELDS
        inputs = code[at + 4 : at + _FIELDS]
        _trace_column(code[at], code[at + 1], code[at + 2], code[at + 3], inputs, columns, causes, number)
        for row in range(first, columns.shape[1]):
            counts[number, causes[number, row]] += 1


@compiled
def _trace_column(kind, reach, own, warm_up, inputs, columns, causes, number):
    found, values = causes[number], columns[number]
    rows = len(values)
    if kind == _GIVEN:
        for row in range(rows):
            found[row] = own if values[row] != values[row] else 0
    elif kind == _SHIFT:
        below = causes[inputs[0]]
        for row in range(rows):
            there = row - reach
            found[row] = below[there] if 0 <= there < rows else warm_up
    elif kind == _CHOOSE:
        condition = columns[inputs[0]]
        for row in range(rows):
            taken = causes[inputs[1], row] if condition[row] != 0 else causes[inputs[2], row]
            cause = causes[inputs[0], row]
            found[row] = (cause or taken) if values[row] != values[row] else 0
    elif kind == _FIRST_OF:
        for row in range(rows):
            cause = 0
            if values[row] != values[row]:
                cause = own
                for place in range(len(inputs) - 1, -1, -1):
                    if inputs[place] >= 0 and causes[inputs[place], row]:
                        cause = causes[inputs[place], row]
            found[row] = cause
    else:
        had_value = False
        for row in range(rows):
            missing = values[row] != values[row]
            had_value = had_value or not missing
            found[row] = 0 if not missing else (warm_up if row < reach and not had_value else own)
        for place in range(len(inputs) - 1, -1, -1):
            if inputs[place] < 0:
                continue
            below = causes[inputs[place]]
            newest = -1
            for row in range(rows):
                if below[row]:
                    newest = row
                if newest >= 0 and row - newest <= reach and values[row] != values[row]:
                    found[row] = below[newest]
