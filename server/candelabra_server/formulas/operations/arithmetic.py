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
    Operation(name="remainder", kernel=elementwise.remainder, elementwise=True, missing=MissingCause.DIVISION_BY_ZERO),
    Operation(name="power", kernel=elementwise.power, elementwise=True),
    Operation(name="negate", kernel=elementwise.negate, elementwise=True),
    Operation(name="less", kernel=elementwise.less, elementwise=True),
    Operation(name="less_equal", kernel=elementwise.less_equal, elementwise=True),
    Operation(name="equal", kernel=elementwise.equal, elementwise=True, commutative=True),
    Operation(name="not_equal", kernel=elementwise.not_equal, elementwise=True, commutative=True),
    Operation(name="and", kernel=elementwise.logical_and, elementwise=True, commutative=True),
    Operation(name="or", kernel=elementwise.logical_or, elementwise=True, commutative=True),
    Operation(name="not", kernel=elementwise.logical_not, elementwise=True),
    Operation(name="choose", kernel=elementwise.choose, elementwise=True),
    Operation(name="signal_or_zero", kernel=elementwise.signal_or_zero, elementwise=True),
    Operation(name="shift", kernel=elementwise.shift, warm_up=candles),
)
