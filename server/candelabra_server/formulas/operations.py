"""Every operation that a node of the graph can be: how far it looks back, and the kernel that computes it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from candelabra_server.formulas.kernels import elementwise, full_windows, recursive, skipping_windows

__all__ = ["CONSTANT", "FIELD", "OPERATIONS", "OUTPUT", "REMAINING_WEIGHT", "Operation", "Setting"]

Setting = int | float | str
"""A constant that belongs to a node: a window, a candle count, a field's name."""
Kernel = Callable[..., Any]
"""Called with the input columns, then the settings; returns a new column, or a tuple of them."""

REMAINING_WEIGHT = 1e-14
"""What candles before the warm-up may still weigh in a recursive average."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One kind of node.

    Attributes:
        name: unique; part of what makes two nodes equal.
        kernel: see Kernel.
        warm_up: from the settings: candles before a row that its value needs, beyond those its inputs need.
            Negative where it needs later candles.
        elementwise: takes single numbers in place of columns, and can be computed ahead where all are constant.
        commutative: its two inputs may change places without a bit changing.
        recursive: the warm-up is where what came before weighs less than REMAINING_WEIGHT; else it is exact.
    """

    name: str
    kernel: Kernel
    warm_up: Callable[..., int] = lambda *_: 0
    elementwise: bool = False
    commutative: bool = False
    recursive: bool = False


def _window(window: int) -> int:
    return window - 1


def _candles(candles: int) -> int:
    return candles


def _decay(alpha: float) -> int:
    """Steps after which a weight that shrinks by 1 - alpha each is below REMAINING_WEIGHT."""
    return math.ceil(math.log(REMAINING_WEIGHT) / math.log1p(-alpha)) if alpha < 1 else 0


def _exponential(window: int) -> int:
    return window - 1 + _decay(2 / (window + 1))


def _wilder(window: int) -> int:
    return window + _decay(1 / window)


def _macd(fast: int, slow: int, signal: int) -> int:
    return _exponential(max(fast, slow)) + _exponential(signal)


def _special(*_: object) -> Any:  # noqa: ANN401 - never called: the evaluator knows these by name
    raise AssertionError


def _output(bundle: tuple[Any, ...], index: int) -> Any:  # noqa: ANN401 - one column of a bundle
    return bundle[index]


CONSTANT = Operation(name="constant", kernel=_special)
"""A number; its setting is the value."""
FIELD = Operation(name="field", kernel=_special)
"""A candle field; its setting is the name."""
OUTPUT = Operation(name="output", kernel=_output)
"""One of several columns that its input gives; its setting is the index."""

_ALL = (
    CONSTANT,
    FIELD,
    OUTPUT,
    Operation(name="add", kernel=elementwise.add, elementwise=True, commutative=True),
    Operation(name="subtract", kernel=elementwise.subtract, elementwise=True),
    Operation(name="multiply", kernel=elementwise.multiply, elementwise=True, commutative=True),
    Operation(name="divide", kernel=elementwise.divide, elementwise=True),
    Operation(name="remainder", kernel=elementwise.remainder, elementwise=True),
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
    Operation(name="shift", kernel=elementwise.shift, warm_up=_candles),
    Operation(name="simple_mean", kernel=full_windows.simple_mean, warm_up=_window),
    Operation(name="weighted_mean", kernel=full_windows.weighted_mean, warm_up=_window),
    Operation(name="standard_deviation", kernel=full_windows.standard_deviation, warm_up=_window),
    Operation(name="highest", kernel=full_windows.highest, warm_up=_window),
    Operation(name="lowest", kernel=full_windows.lowest, warm_up=_window),
    Operation(name="rolling_sum", kernel=skipping_windows.rolling_sum, warm_up=_window),
    Operation(name="rolling_mean", kernel=skipping_windows.rolling_mean, warm_up=_window),
    Operation(name="rolling_std", kernel=skipping_windows.rolling_std, warm_up=_window),
    Operation(name="rolling_max", kernel=skipping_windows.rolling_max, warm_up=_window),
    Operation(name="rolling_min", kernel=skipping_windows.rolling_min, warm_up=_window),
    Operation(name="exponential_mean", kernel=recursive.exponential_mean, warm_up=_exponential, recursive=True),
    Operation(name="relative_strength", kernel=recursive.relative_strength, warm_up=_wilder, recursive=True),
    Operation(name="average_true_range", kernel=recursive.average_true_range, warm_up=_wilder, recursive=True),
    Operation(name="macd", kernel=recursive.macd, warm_up=_macd, recursive=True),
)

OPERATIONS = {operation.name: operation for operation in _ALL}
"""All operations by name."""
