"""The plan: which nodes are computed, in which order, and when a column that nobody needs any more is let go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from candelabra_server.formulas.checker import Output
from candelabra_server.formulas.graph import Node
from candelabra_server.formulas.operations import FIELD

__all__ = ["Plan", "Step", "make_plan"]


@dataclass(frozen=True, slots=True)
class Step:
    """One node to compute.

    Attributes:
        node: what to compute.
        inputs: numbers of the steps that gave its inputs.
        free: numbers of the steps whose values this step is the last to need.
    """

    node: Node
    inputs: tuple[int, ...]
    free: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything needed to evaluate a formula over any candles.

    Attributes:
        steps: in the order in which they run; inputs come before what uses them.
        outputs: for every output column, the number of its step.
        warm_up_candles: candles before a row that its values need.
        look_ahead_candles: candles after a row that its values need.
        fields: names of the candle fields that are read, sorted.
    """

    steps: tuple[Step, ...]
    outputs: tuple[int, ...]
    warm_up_candles: int
    look_ahead_candles: int
    fields: tuple[str, ...]


def make_plan(outputs: Sequence[Output]) -> Plan:
    """Plans what the outputs need, and nothing else."""
    wanted = [output.series.node for output in outputs]
    nodes = _reachable(wanted)
    numbers = {node.index: number for number, node in enumerate(nodes)}
    last_use: dict[int, int] = {}
    for number, node in enumerate(nodes):
        for below in node.inputs:
            last_use[numbers[below.index]] = number
    kept = {numbers[node.index] for node in wanted}
    free: dict[int, list[int]] = {}
    for unneeded, number in last_use.items():
        if unneeded not in kept:
            free.setdefault(number, []).append(unneeded)
    return Plan(
        steps=tuple(
            Step(node, tuple(numbers[below.index] for below in node.inputs), tuple(free.get(number, ())))
            for number, node in enumerate(nodes)
        ),
        outputs=tuple(numbers[node.index] for node in wanted),
        warm_up_candles=max((node.warm_up for node in wanted), default=0),
        look_ahead_candles=max((node.look_ahead for node in wanted), default=0),
        fields=tuple(sorted(str(node.settings[0]) for node in nodes if node.operation is FIELD)),
    )


def _reachable(wanted: Sequence[Node]) -> list[Node]:
    """All nodes that the wanted ones need, inputs first: a node's index is larger than its inputs'."""
    found: dict[int, Node] = {}
    waiting = list(wanted)
    while waiting:
        node = waiting.pop()
        if node.index not in found:
            found[node.index] = node
            waiting.extend(node.inputs)
    return [found[index] for index in sorted(found)]
