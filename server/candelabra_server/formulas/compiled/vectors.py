"""Moving numbers about: in numba's words where it has any, else in LLVM's, as one step of eight sorted windows."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from candelabra_server.formulas.compiled.compiling import compiled
from candelabra_server.formulas.compiled.opcodes import LANES

__all__ = ["copy_rows", "move", "slide_alone", "slide_sorted", "slide_sorted_counting"]

_FLOATS = ir.VectorType(ir.DoubleType(), LANES)
_COUNTS = ir.VectorType(ir.IntType(64), LANES)
_INT = ir.IntType(64)
_PLACE = ir.IntType(32)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> Any:
    """To the element of a one-dimensional, contiguous array."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [offset])


@compiled
def copy_rows(target, source, first):
    """Fills the target from a row of the source on. They do not overlap: an assignment would make room to be sure."""
    for row in range(len(target)):
        target[row] = source[first + row]


@intrinsic
def move(typing_context: Any, array: Any, target: Any, source: Any, count: Any) -> Any:
    """Moves `count` numbers of a float64 array from one place to another; the places may overlap."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target_pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1])
        source_pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[2])
        size = builder.mul(arguments[3], ir.Constant(_INT, np.dtype(np.float64).itemsize))
        cgutils.raw_memmove(builder, target_pointer, source_pointer, size, ir.Constant(_INT, 1))
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64, types.int64), generate


def _slide(counting: bool) -> Any:  # noqa: FBT001 - numba's
    """See slide_sorted."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array_type = signature.args[0]
        array, ordered, window, leaving, entering, counts = arguments

        def vector_at(offset: Any, kind: Any = _FLOATS) -> Any:
            return builder.bitcast(_pointer(context, builder, array_type, array, offset), kind.as_pointer())

        def load(offset: Any) -> Any:
            return builder.load(vector_at(offset), align=8)

        def store(value: Any, offset: Any) -> None:
            builder.store(value, vector_at(offset, value.type), align=8)

        lanes, one = ir.Constant(_INT, LANES), ir.Constant(_INT, 1)
        leaves, enters = load(leaving), load(entering)
        lowest = ir.Constant(_FLOATS, [float("-inf")] * LANES)
        nothing = ir.Constant(_COUNTS, [0] * LANES)
        before, head = builder.block, builder.append_basic_block("slide")
        after = builder.append_basic_block("slid")
        last = builder.sub(window, one)
        first_values = load(ordered)
        builder.cbranch(builder.icmp_signed(">", last, ir.Constant(_INT, 0)), head, after)

        builder.position_at_end(head)
        place, values = builder.phi(_INT), builder.phi(_FLOATS)
        previous, less, equal = builder.phi(_FLOATS), builder.phi(_COUNTS), builder.phi(_COUNTS)
        here = builder.add(ordered, builder.mul(place, lanes))
        next_values = load(builder.add(here, lanes))
        # Without the value that leaves: from its place on, every value moves down by one.
        remaining = builder.select(builder.fcmp_ordered("<", values, leaves), values, next_values)
        # With the one that enters: from its place on, every value moves up by one.
        smaller = builder.select(builder.fcmp_ordered("<", remaining, enters), remaining, enters)
        store(builder.select(builder.fcmp_ordered(">", previous, smaller), previous, smaller), here)
        next_place = builder.add(place, one)
        next_less, next_equal = less, equal
        if counting:
            is_less, is_equal = (builder.fcmp_ordered(sign, remaining, enters) for sign in ("<", "=="))
            next_less = builder.add(less, builder.zext(is_less, _COUNTS))
            next_equal = builder.add(equal, builder.zext(is_equal, _COUNTS))
        builder.cbranch(builder.icmp_signed("<", next_place, last), head, after)
        for phi, start, following in (
            (place, ir.Constant(_INT, 0), next_place),
            (values, first_values, next_values),
            (previous, lowest, remaining),
            (less, nothing, next_less),
            (equal, nothing, next_equal),
        ):
            phi.add_incoming(start, before)
            phi.add_incoming(following, head)

        builder.position_at_end(after)
        final, final_less, final_equal = builder.phi(_FLOATS), builder.phi(_COUNTS), builder.phi(_COUNTS)
        for phi, start, following in (
            (final, lowest, remaining),
            (final_less, nothing, next_less),
            (final_equal, nothing, next_equal),
        ):
            phi.add_incoming(start, before)
            phi.add_incoming(following, head)
        is_larger = builder.fcmp_ordered(">", final, enters)
        store(builder.select(is_larger, final, enters), builder.add(ordered, builder.mul(last, lanes)))
        if counting:
            store(builder.sitofp(final_less, _FLOATS), counts)
            store(builder.sitofp(final_equal, _FLOATS), builder.add(counts, lanes))
        return context.get_dummy_value()

    return generate


@intrinsic
def slide_sorted(
    typing_context: Any, array: Any, ordered: Any, window: Any, leaving: Any, entering: Any, counts: Any
) -> Any:
    """Moves LANES sorted windows on by one row.

    All are places in one float64 array, in which number i of lane l stands at place + i * LANES + l: `ordered` of the
    windows' values, `window` of each, in ascending order and none NaN; `leaving` of the values that leave, each of
    which is in its window; `entering` of those that enter. `counts` is for slide_sorted_counting.
    """
    return types.void(array, *[types.int64] * 5), _slide(counting=False)


@intrinsic
def slide_sorted_counting(
    typing_context: Any, array: Any, ordered: Any, window: Any, leaving: Any, entering: Any, counts: Any
) -> Any:
    """The same; leaves at `counts` how many other values of each window are less than the entering one, then equal."""
    return types.void(array, *[types.int64] * 5), _slide(counting=True)


@intrinsic
def slide_alone(
    typing_context: Any,
    array: Any,
    ordered: Any,
    moved: Any,
    length: Any,
    leaving: Any,
    entering: Any,
    counts: Any,
) -> Any:
    """Moves one sorted window on by one row, from one place in a float64 array to another.

    `ordered` and `moved` are places of `length` numbers, a multiple of LANES: the window's values in ascending order,
    then infinities, one more of them behind the last; -inf stands before the first. `leaving` is one of the values,
    or infinity where none leaves; `entering` is finite. Leaves at `counts` how many other values of the window are less
    than the entering one, then how many are equal.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array_type = signature.args[0]
        array, ordered, moved, length, leaving, entering, counts = arguments

        def vector_at(offset: Any) -> Any:
            return builder.bitcast(_pointer(context, builder, array_type, array, offset), _FLOATS.as_pointer())

        def load(offset: Any) -> Any:
            return builder.load(vector_at(offset), align=8)

        def everywhere(value: Any) -> Any:
            one_lane = builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), value, ir.Constant(_PLACE, 0))
            return builder.shuffle_vector(
                one_lane, ir.Constant(_FLOATS, ir.Undefined), ir.Constant(ir.VectorType(_PLACE, LANES), [0] * LANES)
            )

        def found(sign: str, values: Any) -> Any:
            lanes = builder.bitcast(builder.fcmp_ordered(sign, values, enters), ir.IntType(LANES))
            return builder.zext(builder.ctpop(lanes), _INT)

        one, none = ir.Constant(_INT, 1), ir.Constant(_INT, 0)
        leaves, enters = everywhere(leaving), everywhere(entering)
        before, head = builder.block, builder.append_basic_block("slide")
        after = builder.append_basic_block("slid")
        builder.branch(head)

        builder.position_at_end(head)
        place, less, equal = builder.phi(_INT), builder.phi(_INT), builder.phi(_INT)
        here = builder.add(ordered, place)
        below, values, above = load(builder.sub(here, one)), load(here), load(builder.add(here, one))
        # As _slide does, but each vector is eight places of one window.
        previous = builder.select(builder.fcmp_ordered("<", below, leaves), below, values)
        remaining = builder.select(builder.fcmp_ordered("<", values, leaves), values, above)
        smaller = builder.select(builder.fcmp_ordered("<", remaining, enters), remaining, enters)
        builder.store(
            builder.select(builder.fcmp_ordered(">", previous, smaller), previous, smaller),
            vector_at(builder.add(moved, place)),
            align=8,
        )
        next_place = builder.add(place, ir.Constant(_INT, LANES))
        next_less, next_equal = builder.add(less, found("<", remaining)), builder.add(equal, found("==", remaining))
        builder.cbranch(builder.icmp_signed("<", next_place, length), head, after)
        for phi, following in ((place, next_place), (less, next_less), (equal, next_equal)):
            phi.add_incoming(none, before)
            phi.add_incoming(following, head)

        builder.position_at_end(after)
        for number, count in enumerate((next_less, next_equal)):
            pointer = _pointer(context, builder, array_type, array, builder.add(counts, ir.Constant(_INT, number)))
            builder.store(builder.sitofp(count, ir.DoubleType()), pointer)
        return context.get_dummy_value()

    return types.void(array, *[types.int64] * 3, types.float64, types.float64, types.int64), generate
