"""The graph of a formula: nodes that are made once, however often the text asks for the same thing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from candelabra_server.domain.periods import most_candles
from candelabra_server.formulas.limits import FormulaLimits
from candelabra_server.formulas.operations import (
    ALIGN,
    ALL_HISTORY,
    CONSTANT,
    FIELD,
    OPERATIONS,
    OUTPUT,
    REDUCE,
    Exactness,
    Operation,
    Setting,
)

__all__ = ["OWN", "Graph", "GraphTooLargeError", "Node", "Source", "other_symbol_need"]


class Source(NamedTuple):
    """Whose candles a value has one row for; empty is what the job itself runs over."""

    symbol: str
    timeframe: str


OWN = Source("", "")
"""The job's symbol in the job's timeframe."""


class GraphTooLargeError(Exception):
    """One more node, or one more step of the check, would pass a limit; the message says which."""


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One value a row. Equal nodes of a graph are the same object.

    Attributes:
        index: counts nodes of the graph; inputs have smaller ones.
        operation: what it does with its inputs.
        inputs: what it is computed from.
        settings: constants of the operation.
        source: whose candles its rows are; None for a constant, which fits any.
        warm_up: candles of the source before a row that its value needs, all the way down to the fields; ALL_HISTORY
            where it needs every one.
        look_ahead: candles after a row that its value needs, likewise.
        exactness: how far its value may depend on where the candles begin, given the warm-up.
    """

    index: int
    operation: Operation
    inputs: tuple[Node, ...]
    settings: tuple[Setting, ...]
    source: Source | None
    warm_up: int
    look_ahead: int
    exactness: Exactness

    @property
    def constant(self) -> float | None:
        """The value of a constant, else None."""
        return float(self.settings[0]) if self.operation is CONSTANT else None


class Graph:
    """Nodes of one formula, interned: asking again for an equal node gives the one that is there.

    Operands of commutative operations are put in one order first, and operations on constants are computed at once
    with the kernel that would compute them later, so that sharing and folding change no bit of any value.
    """

    def __init__(self, limits: FormulaLimits, timeframe: str) -> None:
        """Makes an empty graph for candles of a (canonical) timeframe."""
        self.source = OWN
        """Whose candles are at hand: what is made of constants alone is over them."""
        self._limits = limits
        self._steps = 0
        self._timeframe = timeframe
        self._nodes: dict[tuple[object, ...], Node] = {}
        self._constants = 0

    def count_step(self) -> None:
        """Notes one more step of the check: sharing makes a graph small, not the work of asking for it again.

        Raises:
            GraphTooLargeError: the limit of steps is reached.
        """
        self._steps += 1
        if self._steps > self._limits.max_check_steps:
            raise GraphTooLargeError(
                f"the formula takes more than {self._limits.max_check_steps} steps to check, the limit; fewer "
                "timeframes, symbols and calls of saved formulas take fewer"
            )

    def constant(self, value: float) -> Node:
        """A number."""
        return self._intern(CONSTANT, (), (float(value),))

    def field(self, name: str, source: Source = OWN) -> Node:
        """A candle field."""
        return self._intern(FIELD, (), (name, *source), source)

    def align(self, node: Node, source: Source) -> Node:
        """The node's value for every row of another source: that of its last candle that has closed by then.

        Its settings are that source's symbol and timeframe, and how many candles one of the node's can cover: of that
        timeframe, and of the job's.
        """
        if node.source is None or node.source == source:
            return node
        covered = (self._candles_in(source, node.source), self._candles_in(OWN, node.source))
        return self._intern(ALIGN, (node,), (*source, *covered), source)

    def resample(self, node: Node, timeframe: str, reduction: str) -> Node:
        """The node's values of the last period that has closed, reduced to one, for every row of its own source."""
        here = node.source or self.source
        periods = Source(here.symbol, timeframe)
        settings = (*periods, self._candles_in(here, periods), reduction, here.timeframe)
        return self.align(self._intern(REDUCE, (node,), settings, periods), here)

    def output(self, bundle: Node, index: int) -> Node:
        """One column of an operation that gives several."""
        return self._intern(OUTPUT, (bundle,), (index,), bundle.source)

    def apply(self, operation_name: str, *inputs: Node, settings: Sequence[Setting] = ()) -> Node:
        """An operation by its name in OPERATIONS.

        Raises:
            GraphTooLargeError: the limit of nodes or steps is reached.
        """
        operation = OPERATIONS[operation_name]
        if operation.elementwise:
            values = [node.constant for node in inputs]
            if None not in values:
                with np.errstate(all="ignore"):
                    return self.constant(operation.kernel(*np.array(values, dtype=np.float64)[:, np.newaxis])[0])
        if operation.commutative:
            inputs = tuple(sorted(inputs, key=lambda node: node.index))
        source = next((node.source for node in inputs if node.source is not None), self.source)
        return self._intern(operation, inputs, tuple(settings), source)

    def _intern(
        self,
        operation: Operation,
        inputs: tuple[Node, ...],
        settings: tuple[Setting, ...],
        source: Source | None = None,
    ) -> Node:
        self.count_step()
        # By representation: 0.0 and -0.0 are different, NaN is itself.
        key = (operation.name, tuple(node.index for node in inputs), repr(settings), source)
        if found := self._nodes.get(key):
            return found
        if operation is CONSTANT:
            self._constants += 1  # costs nothing to evaluate, and the text's length bounds how many there are
        elif len(self._nodes) - self._constants >= self._limits.max_nodes:
            raise GraphTooLargeError(f"the formula needs more than {self._limits.max_nodes} operations, the limit")
        own = operation.warm_up(*settings)
        below = max((node.warm_up for node in inputs), default=0)
        ahead = max((node.look_ahead for node in inputs), default=0)
        is_whole = below == ALL_HISTORY
        if operation is ALIGN:
            # The unfinished candle of the other source, the finished one, and what that one needs.
            (there,) = inputs
            is_other = there.source is not None and source is not None and there.source.symbol != source.symbol
            below = 0 if is_other else (below + 2) * int(settings[2])
            ahead, is_whole = ahead * int(settings[2]), is_whole and not is_other
        elif operation is REDUCE:
            below, ahead = -(-below // int(settings[2])), -(-ahead // int(settings[2]))
        node = Node(
            index=len(self._nodes),
            operation=operation,
            inputs=inputs,
            settings=settings,
            source=source,
            warm_up=ALL_HISTORY if is_whole else min(max(0, below + own), ALL_HISTORY),
            look_ahead=max(0, ahead - own if operation.name == "shift" else ahead),
            exactness=max((operation.exactness, *(node.exactness for node in inputs))),
        )
        self._nodes[key] = node
        return node

    def _candles_in(self, source: Source, longer: Source) -> int:
        """Most candles of a source in one of a timeframe that is as long or longer."""
        return most_candles(source.timeframe or self._timeframe, longer.timeframe or self._timeframe)


def other_symbol_need(node: Node) -> int:
    """Candles of another symbol, in the job's timeframe, that an alignment from it needs before the first row.

    0 for all other nodes. Where one other symbol is aligned to another, that one's own warm-up is time that the inner
    one must cover too: it is then read from its first candle.
    """
    if node.operation is not ALIGN or node.source is None:
        return 0
    (there,) = node.inputs
    if there.source is None or there.source.symbol == node.source.symbol:
        return 0
    if node.source.symbol != OWN.symbol or there.warm_up == ALL_HISTORY:
        return ALL_HISTORY
    # The one that has closed; of longer candles the unfinished one too.
    return (there.warm_up + (2 if there.source.timeframe else 1)) * int(node.settings[3])
