"""The plan: which nodes are computed, in which order, and when a column that nobody needs any more is let go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from candelabra_server.formulas.checker import Output
from candelabra_server.formulas.graph import Node, Source, other_symbol_need
from candelabra_server.formulas.operations import ALL_HISTORY, FIELD, Exactness
from candelabra_server.formulas.programs import Program, make_program
from candelabra_server.formulas.traces import Trace, make_trace

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
        timeframe: of the job's candles, canonical.
        warm_up_candles: candles before a row that its values need; ALL_HISTORY where they need every one.
        look_ahead_candles: candles after a row that its values need.
        fields: names of the candle fields that are read, by whose candles they are of; sorted.
        program: the same steps for the compiled machine.
        trace: how the machine finds why a value is NaN; None where only the steps can tell.
        other_symbols: symbols that are read beside the job's own, with the candles before the range that they need.
        is_local: whether a row's values are the same bits whatever stands before its warm-up, even another symbol.
    """

    steps: tuple[Step, ...]
    outputs: tuple[int, ...]
    timeframe: str
    warm_up_candles: int
    look_ahead_candles: int
    fields: Mapping[Source, tuple[str, ...]]
    other_symbols: Mapping[str, int]
    program: Program
    trace: Trace | None
    is_local: bool


def make_plan(outputs: Sequence[Output], timeframe: str) -> Plan:
    """Plans what the outputs need over candles of a timeframe, and nothing else."""
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
    steps = tuple(
        Step(node, tuple(numbers[below.index] for below in node.inputs), tuple(free.get(number, ())))
        for number, node in enumerate(nodes)
    )
    wanted_steps = tuple(numbers[node.index] for node in wanted)
    warm_up_candles = max((node.warm_up for node in wanted), default=0)
    look_ahead_candles = max((node.look_ahead for node in wanted), default=0)
    program = make_program(steps, wanted_steps)
    return Plan(
        steps=steps,
        outputs=wanted_steps,
        timeframe=timeframe,
        warm_up_candles=warm_up_candles,
        look_ahead_candles=look_ahead_candles,
        fields=_fields(nodes),
        other_symbols=_other_symbols(nodes),
        program=program,
        trace=make_trace(steps, wanted_steps),
        is_local=(
            program.is_plain  # TA-Lib's own kernels let a NaN reach beyond their windows
            and warm_up_candles < ALL_HISTORY
            and look_ahead_candles == 0
            and all(node.exactness is Exactness.EXACT for node in wanted)
        ),
    )


def _fields(nodes: Sequence[Node]) -> Mapping[Source, tuple[str, ...]]:
    names: dict[Source, set[str]] = {}
    for node in nodes:
        if node.operation is FIELD and node.source is not None:
            names.setdefault(node.source, set()).add(str(node.settings[0]))
    return MappingProxyType({source: tuple(sorted(names[source])) for source in sorted(names)})


def _other_symbols(nodes: Sequence[Node]) -> Mapping[str, int]:
    """What is needed of each other symbol before the first candle of the job's own."""
    needs: dict[str, int] = {}
    for node in nodes:
        need = other_symbol_need(node)
        if need and (source := node.inputs[0].source) is not None:
            needs[source.symbol] = max(needs.get(source.symbol, 0), need)
    return MappingProxyType(needs)


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
