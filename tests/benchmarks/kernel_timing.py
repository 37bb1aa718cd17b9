"""Times one kernel and its peers in turns, in one worker process; values are compared first."""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.kernels import KERNELS, MODULES, Call, Column
from benchmarks.market_arrays import FIELDS, open_field
from benchmarks.our_workers import symbol_candles
from candelabra_server.domain.candles import Candles
from candelabra_server.formulas.buffers import Buffers
from candelabra_server.formulas.compiled.loading import loaded_machine
from candelabra_server.formulas.graph import OWN
from candelabra_server.formulas.programs import Run
from candelabra_server.formulas.service import CompiledFormula, FormulaService

__all__ = ["FIVE_WINDOWS", "OURS", "WHOLE_CALL", "KernelTiming", "kernel_names", "time_kernel"]

OURS = "candelabra"
WHOLE_CALL = "with its call"
FIVE_WINDOWS = "five windows"
_ROUNDS = 5
_TOLERANCE = 1e-6
_COMPARED_ROWS = 100


class KernelTiming(NamedTuple):
    """One kernel at one window."""

    kernel: str
    window: int
    nanos: dict[str, float]
    """Nanoseconds a value, by subject."""
    differing: tuple[str, ...]
    """Peers that give other values."""

    @property
    def best_peer(self) -> str:
        """The fastest of those that give our values; empty when there is none."""
        peers = {name: nanos for name, nanos in self.nanos.items() if name in MODULES and name not in self.differing}
        return min(peers, key=peers.__getitem__, default="")

    @property
    def ratio(self) -> float:
        """The best peer's time over ours: below 1 we are slower. Infinite when there is no peer."""
        return self.nanos[self.best_peer] / self.nanos[OURS] if self.best_peer else float("inf")


def time_kernel(name: str, window: int, folder: str, seconds: float) -> KernelTiming:
    """Times a kernel over the first symbol of the arrays in a folder, each subject for `seconds` a round.

    Ours is the compiled kernel, called as the evaluator calls it; beside it the whole of `CompiledFormula.evaluate`
    for a formula of this one operation, and the kernel for five windows in one pass: this one and the next longer ones.
    """
    (kernel,) = (kernel for kernel in KERNELS if kernel.name == name)
    columns = {field: np.array(open_field(Path(folder), field)[0]) for field in FIELDS}
    candles = symbol_candles(0, columns)
    service, buffers = FormulaService(), Buffers()
    formula = service.compile(kernel.formula.format(n=window), parameters={})
    windows = range(window, window + 5)
    several = service.compile(
        "; ".join(f"v{number} = {kernel.formula.format(n=near)}" for number, near in enumerate(windows)), parameters={}
    )
    ours = np.array(formula.evaluate(candles)[0])
    whole: Callable[[], Any] = lambda: formula.evaluate(candles, buffers=buffers)  # noqa: E731 - as the peers' calls
    subjects: dict[str, Callable[[], Any]] = {
        OURS: _compiled_call(formula, candles) or whole,
        WHOLE_CALL: whole,
        FIVE_WINDOWS: _compiled_call(several, candles) or (lambda: several.evaluate(candles, buffers=buffers)),
    }
    differing = []
    for peer, call in kernel.peers.items():
        bound = _bound(peer, call, columns, window)
        if bound is None:
            continue
        subjects[peer] = bound
        values = call.as_ours(np.asarray(bound(), dtype=np.float64).ravel(), window)
        if not _agree(values, ours):
            differing.append(peer)
    nanos = _nanos(subjects, len(ours), seconds)
    nanos[FIVE_WINDOWS] /= len(windows)
    return KernelTiming(name, window, nanos, tuple(differing))


def _compiled_call(formula: CompiledFormula, candles: Candles) -> Callable[[], None] | None:
    """The machine's one call for a formula, its columns ready; None where the kernel is numpy's or TA-Lib's."""
    program, machine, buffers = formula.plan.program, loaded_machine(), Buffers()
    parts = [part for part in program.parts if isinstance(part, Run)]
    if machine is None or len(parts) != len(program.parts):
        return None
    (part,) = parts
    formula.evaluate(candles, buffers=buffers)
    table = buffers.table(OWN, program.columns[OWN], len(candles))
    work, scratch = buffers.work(program, len(candles)), buffers.scratch(program)
    return lambda: machine.run(part.code, table, scratch, work)


def kernel_names() -> list[str]:
    """Of all kernels, in the order of the table."""
    return [kernel.name for kernel in KERNELS]


def _bound(peer: str, call: Call, columns: Mapping[str, Column], window: int) -> Callable[[], Any] | None:
    """The call with its arguments; None when the peer is not installed."""
    try:
        library = importlib.import_module(MODULES[peer])
    except ImportError:
        return None
    given: Mapping[str, Any] = columns
    if peer == "polars":
        given = {name: library.Series(name, values) for name, values in columns.items()}
    return lambda: call.run(library, given, window)


def _agree(values: Column, ours: Column) -> bool:
    last = slice(-_COMPARED_ROWS, None)
    return bool(np.allclose(values[last], ours[last], rtol=_TOLERANCE, atol=_TOLERANCE * np.nanmean(np.abs(ours))))


def _nanos(subjects: Mapping[str, Callable[[], Any]], rows: int, seconds: float) -> dict[str, float]:
    """The median round of each; rounds in turns, so that a slow moment of the machine hits all."""
    calls = {name: max(1, int(seconds / _seconds_of(run, 1))) for name, run in subjects.items()}
    rounds: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(_ROUNDS):
        for name, run in subjects.items():
            rounds[name].append(_seconds_of(run, calls[name]) / calls[name])
    return {name: 1e9 * statistics.median(times) / rows for name, times in rounds.items()}


def _seconds_of(run: Callable[[], Any], calls: int) -> float:
    begin = time.perf_counter()
    for _ in range(calls):
        run()
    return time.perf_counter() - begin
