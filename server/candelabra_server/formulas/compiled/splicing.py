"""Puts columns and what stands before each of them one behind the other, as encoded messages have them."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from candelabra_server.formulas.compiled.compiling import compiled

__all__ = ["splice", "splice_float32"]

_INT = ir.IntType(64)
_BLOCK = 1_024
"""Rows that are counted and then copied, while the first level of cache has them."""


@intrinsic
def _copy_bytes(typing_context: Any, target: Any, at: Any, source: Any, first: Any, count: Any) -> Any:
    """Copies `count` numbers of one array as they are to byte `at` of another; they do not overlap."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target_type, _, source_type, _, _ = signature.args
        target, at, source, first, count = arguments
        target_data = context.make_array(target_type)(context, builder, target).data
        source_data = context.make_array(source_type)(context, builder, source).data
        item_bytes = ir.Constant(_INT, context.get_abi_sizeof(context.get_data_type(source_type.dtype)))
        cgutils.raw_memcpy(
            builder,
            builder.gep(target_data, [at]),
            builder.gep(source_data, [first]),
            builder.mul(count, item_bytes),
            ir.Constant(_INT, 1),
        )
        return context.get_dummy_value()

    return types.void(target, types.int64, source, types.int64, types.int64), generate


@compiled
def splice(room, at, prefixes, ends, values, stride, first, stop, counts, firsts):
    """Writes each column's prefix and its rows [first, stop), and counts what is missing.

    Args:
        room: bytes that are written.
        at: the first of them.
        prefixes: of all columns, one behind the other.
        ends: where in `prefixes` that of each column ends.
        values: of all columns.
        stride: how many each has.
        first: the first row.
        stop: the row behind the last.
        counts: how many rows of each column are NaN; added to.
        firsts: the first row of each that is not; set where it is negative, and there is one.

    Returns:
        The last of the rows in which any column is NaN; -1 for none.
    """
    return _splice(room, at, prefixes, ends, values, stride, first, stop, counts, firsts)


@compiled
def splice_float32(room, at, prefixes, ends, values, stride, first, stop, counts, firsts):
    """The same for 32-bit values."""
    return _splice(room, at, prefixes, ends, values, stride, first, stop, counts, firsts)


@compiled
def _splice(room, at, prefixes, ends, values, stride, first, stop, counts, firsts):
    rows = stop - first
    row_bytes = values.itemsize
    begin, last = 0, -1
    for number in range(len(ends)):
        end = ends[number]
        for place in range(begin, end):
            room[at + place - begin] = prefixes[place]
        at += end - begin
        begin = end
        base = number * stride
        count = 0
        for start in range(base + first, base + stop, _BLOCK):
            block = values[start : min(start + _BLOCK, base + stop)]
            for row in range(len(block)):  # from 0 on, or the compiler makes no vectors of it
                count += block[row] != block[row]
            _copy_bytes(room, at, values, start, len(block))
            at += len(block) * row_bytes
        counts[number] += count
        if count:
            row = stop - 1
            while values[base + row] == values[base + row]:
                row -= 1
            last = max(last, row)
        if firsts[number] < 0 and count < rows:
            row = first
            while values[base + row] != values[base + row]:
                row += 1
            firsts[number] = row
    return last
