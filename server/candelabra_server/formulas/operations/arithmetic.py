"""Operations on one row at a time, and the shift along the rows."""

from __future__ import annotations

from candelabra_server.formulas.kernels import elementwise
from candelabra_server.formulas.operations.operation import MissingCause, Operation, candles

__all__ = ["ARITHMETIC_OPERATIONS"]

ARITHMETIC_OPERATIONS = (
    Operation(name="add", kernel=elementwise.add, elementwise=True, commutative=True),
    Operation(name="subtract", kernel=elementwise.subtract, elementwise=True),
    Operation(name="multiply", kernel=elementwise.multiply, elementwise=True, commutative=True),
    Operation(name="divide", kernel=elementwise.divide, elementwise=True, missing=MissingCause.DIVISION_BY_ZERO),
    Operation(
        name="remainder",
        kernel=elementwise.remainder,
        elementwise=True,
        missing=MissingCause.DIVISION_BY_ZERO,
        nanos=lambda *_: 14.0,
    ),
    Operation(name="power", kernel=elementwise.power, elementwise=True, nanos=lambda *_: 16.0),
    Operation(name="round_to_float32", kernel=elementwise.round_to_float32, elementwise=True),
    Operation(name="negate", kernel=elementwise.negate, elementwise=True),
    Operation(name="absolute", kernel=elementwise.absolute, elementwise=True),
    Operation(name="sign", kernel=elementwise.sign, elementwise=True),
    Operation(name="round", kernel=elementwise.round_half_up, elementwise=True),
    Operation(name="logarithm", kernel=elementwise.logarithm, elementwise=True, nanos=lambda *_: 8.0),
    # Not commutative: which of 0 and -0 comes out depends on the order.
    Operation(name="greatest", kernel=elementwise.greatest, elementwise=True),
    Operation(name="least", kernel=elementwise.least, elementwise=True),
    Operation(name="less", kernel=elementwise.less, elementwise=True),
    Operation(name="less_equal", kernel=elementwise.less_equal, elementwise=True),
    Operation(name="equal", kernel=elementwise.equal, elementwise=True, commutative=True),
    Operation(name="not_equal", kernel=elementwise.not_equal, elementwise=True, commutative=True),
    Operation(name="and", kernel=elementwise.logical_and, elementwise=True, commutative=True),
    Operation(name="or", kernel=elementwise.logical_or, elementwise=True, commutative=True),
    Operation(name="not", kernel=elementwise.logical_not, elementwise=True),
    Operation(name="is_missing", kernel=elementwise.is_missing, elementwise=True),
    Operation(name="choose", kernel=elementwise.choose, elementwise=True),
    Operation(name="signal_or_zero", kernel=elementwise.signal_or_zero, elementwise=True),
    Operation(name="shift", kernel=elementwise.shift, warm_up=candles),
)
