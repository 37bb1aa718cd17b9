"""The graph of a formula: nodes that are made once, however often the text asks for the same thing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from candelabra_server.formulas.operations import CONSTANT, FIELD, OPERATIONS, OUTPUT, Operation, Setting

__all__ = ["Graph", "GraphTooLargeError", "Node"]


class GraphTooLargeError(Exception):
    """One more node would pass the limit."""


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One value a row. Equal nodes of a graph are the same object.

    Attributes:
        index: counts nodes of the graph; inputs have smaller ones.
        operation: what it does with its inputs.
        inputs: what it is computed from.
        settings: constants of the operation.
        warm_up: candles before a row that its value needs, all the way down to the fields.
        look_ahead: candles after a row that its value needs, likewise.
    """

    index: int
    operation: Operation
    inputs: tuple[Node, ...]
    settings: tuple[Setting, ...]
    warm_up: int
    look_ahead: int

    @property
    def constant(self) -> float | None:
        """The value of a constant, else None."""
        return float(self.settings[0]) if self.operation is CONSTANT else None


class Graph:
    """Nodes of one formula, interned: asking again for an equal node gives the one that is there.

    Operands of commutative operations are put in one order first, and operations on constants are computed at once
    with the kernel that would compute them later, so that sharing and folding change no bit of any value.
    """

    def __init__(self, max_nodes: int) -> None:
        self._max_nodes = max_nodes
        self._nodes: dict[tuple[object, ...], Node] = {}
        self._constants = 0

    def constant(self, value: float) -> Node:
        """A number."""
        return self._intern(CONSTANT, (), (float(value),))

    def field(self, name: str) -> Node:
        """A candle field."""
        return self._intern(FIELD, (), (name,))

    def output(self, bundle: Node, index: int) -> Node:
        """One column of an operation that gives several."""
        return self._intern(OUTPUT, (bundle,), (index,))

    def apply(self, operation_name: str, *inputs: Node, settings: Sequence[Setting] = ()) -> Node:
        """An operation by its name in OPERATIONS.

        Raises:
            GraphTooLargeError: the limit of nodes is reached.
        """
        operation = OPERATIONS[operation_name]
        if operation.elementwise:
            values = [node.constant for node in inputs]
            if None not in values:
                with np.errstate(all="ignore"):
                    return self.constant(operation.kernel(*np.array(values, dtype=np.float64)[:, np.newaxis])[0])
        if operation.commutative:
            inputs = tuple(sorted(inputs, key=lambda node: node.index))
        return self._intern(operation, inputs, tuple(settings))

    def _intern(self, operation: Operation, inputs: tuple[Node, ...], settings: tuple[Setting, ...]) -> Node:
        # By representation: 0.0 and -0.0 are different, NaN is itself.
        key = (operation.name, tuple(node.index for node in inputs), repr(settings))
        if found := self._nodes.get(key):
            return found
        if operation is CONSTANT:
            self._constants += 1  # costs nothing to evaluate, and the text's length bounds how many there are
        elif len(self._nodes) - self._constants >= self._max_nodes:
            raise GraphTooLargeError
        own = operation.warm_up(*settings)
        node = Node(
            index=len(self._nodes),
            operation=operation,
            inputs=inputs,
            settings=settings,
            warm_up=max(0, max((node.warm_up for node in inputs), default=0) + own),
            look_ahead=max(0, max((node.look_ahead for node in inputs), default=0) - min(own, 0)),
        )
        self._nodes[key] = node
        return node
