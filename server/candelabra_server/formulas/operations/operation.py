"""What a node of the graph can be: how far it looks back, how exact it is, and the kernel that computes it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any

__all__ = [
    "ALIGN",
    "ALL_HISTORY",
    "CONSTANT",
    "FIELD",
    "OUTPUT",
    "REDUCE",
    "REMAINING_WEIGHT",
    "Exactness",
    "MissingCause",
    "Operation",
    "Setting",
    "candles",
    "decay",
    "exponential",
    "whole_history",
    "wilder",
    "window",
]

Setting = int | float | str
"""A constant that belongs to a node: a window, a candle count, a field's name."""
Kernel = Callable[..., Any]
"""Called with the input columns, then the settings; returns a new column, or a tuple of them.

A timed operation's kernel is called with the candles' open times (UTC microseconds) first.
"""

ALL_HISTORY = 2**40
"""Warm-up of what depends on every candle since the first: more than any store holds, and sums of it fit in 64 bits."""
REMAINING_WEIGHT = 1e-14
"""What candles before the warm-up may still weigh in a recursive average."""


class Exactness(IntEnum):
    """How far a value may depend on where the range starts, given its warm-up. The larger, the less exact."""

    EXACT = 0
    """The same bits from every start."""
    CLOSE = 1
    """Within 1e-9 of the value, relative where that is above 1: what came before the warm-up has almost no weight."""


class MissingCause(Enum):
    """Why an operation gives NaN in a row where all it looks at is there."""

    WARM_UP = "warm_up"
    """Too few candles stand before the row."""
    MISSING_INPUT = "missing_input"
    """A stored value is NaN."""
    DIVISION_BY_ZERO = "division_by_zero"
    FLAT_WINDOW = "flat_window"
    """Nothing varies in the window, so a correlation, a slope's fit or a score has no value."""
    DOMAIN_ERROR = "domain_error"
    """A root or logarithm of a negative number, the difference of infinities, and the like."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One kind of node.

    Attributes:
        name: unique; part of what makes two nodes equal.
        kernel: see Kernel.
        warm_up: from the settings: candles before a row that its value needs, beyond those its inputs need.
            Negative where it needs later candles; ALL_HISTORY where it needs every candle since the first.
        elementwise: takes single numbers in place of columns, and can be computed ahead where all are constant.
        commutative: its two inputs may change places without a bit changing.
        exactness: how far the value depends on the start of the candles, given the warm-up.
        timed: the kernel needs the candles' open times.
        missing: why it gives NaN where what it looks at is there and the warm-up is full.
        nanos: from the settings: about how long one row takes the kernel, in nanoseconds; for estimates only. Compiled
            kernels have their own (instruction_table.py).
    """

    name: str
    kernel: Kernel
    warm_up: Callable[..., int] = lambda *_: 0
    elementwise: bool = False
    commutative: bool = False
    exactness: Exactness = Exactness.EXACT
    timed: bool = False
    missing: MissingCause = MissingCause.DOMAIN_ERROR
    nanos: Callable[..., float] = lambda *_: 2.0


def window(rows: int, *_: object) -> int:
    """Warm-up of a window whose length is the first setting."""
    return rows - 1


def candles(count: int, *_: object) -> int:
    """Warm-up of a look back over as many candles as the first setting says."""
    return count


def whole_history(*_: object) -> int:
    """Warm-up of what depends on every candle since the first."""
    return ALL_HISTORY


def decay(alpha: float) -> int:
    """Steps after which a weight that shrinks by 1 - alpha each is below REMAINING_WEIGHT."""
    return math.ceil(math.log(REMAINING_WEIGHT) / math.log1p(-alpha)) if alpha < 1 else 0


def exponential(rows: int) -> int:
    """Warm-up of an exponential average with alpha = 2 / (rows + 1), seeded with the mean of a full window."""
    return rows - 1 + decay(2 / (rows + 1))


def wilder(rows: int) -> int:
    """Warm-up of Wilder's average, alpha = 1 / rows, over differences of candles."""
    return rows + decay(1 / rows)


def _special(*_: object) -> Any:  # noqa: ANN401 - never called: the evaluator knows these by name
    raise AssertionError


def _output(bundle: tuple[Any, ...], index: int) -> Any:  # noqa: ANN401 - one column of a bundle
    return bundle[index]


CONSTANT = Operation(name="constant", kernel=_special, nanos=lambda *_: 0.0)
"""A number; its setting is the value."""
FIELD = Operation(name="field", kernel=_special, missing=MissingCause.MISSING_INPUT, nanos=lambda *_: 0.5)
"""A candle field; its settings are its name, and the symbol and timeframe it is of where they are not the job's."""
OUTPUT = Operation(name="output", kernel=_output, nanos=lambda *_: 0.0)
"""One of several columns that its input gives; its setting is the index."""
ALIGN = Operation(name="align", kernel=_special, missing=MissingCause.WARM_UP)
"""Its input, which is over candles of another timeframe or symbol, for the rows of this one; settings as in Graph."""
REDUCE = Operation(name="reduce", kernel=_special, missing=MissingCause.MISSING_INPUT)
"""Its input's values of every period of a longer timeframe, reduced to one; settings as in Graph."""
