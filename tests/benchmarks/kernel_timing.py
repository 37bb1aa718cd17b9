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
from candelabra_server.formulas.service import FormulaService

__all__ = ["OURS", "KernelTiming", "kernel_names", "time_kernel"]

OURS = "candelabra"
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
        peers = {name: nanos for name, nanos in self.nanos.items() if name != OURS and name not in self.differing}
        return min(peers, key=peers.__getitem__, default="")

    @property
    def ratio(self) -> float:
        """The best peer's time over ours: below 1 we are slower. Infinite when there is no peer."""
        return self.nanos[self.best_peer] / self.nanos[OURS] if self.best_peer else float("inf")


def time_kernel(name: str, window: int, folder: str, seconds: float) -> KernelTiming:
    """Times a kernel over the first symbol of the arrays in a folder, each subject for `seconds` a round.

    Ours is the whole of `CompiledFormula.evaluate` for a formula of this one operation.
    """
    (kernel,) = (kernel for kernel in KERNELS if kernel.name == name)
    columns = {field: np.array(open_field(Path(folder), field)[0]) for field in FIELDS}
    formula = FormulaService().compile(kernel.formula.format(n=window), parameters={})
    candles = symbol_candles(0, columns)
    ours = np.array(formula.evaluate(candles)[0])
    subjects: dict[str, Callable[[], Any]] = {OURS: lambda: formula.evaluate(candles)}
    differing = []
    for peer, call in kernel.peers.items():
        bound = _bound(peer, call, columns, window)
        if bound is None:
            continue
        subjects[peer] = bound
        values = call.as_ours(np.asarray(bound(), dtype=np.float64).ravel(), window)
        if not _agree(values, ours):
            differing.append(peer)
    return KernelTiming(name, window, _nanos(subjects, len(ours), seconds), tuple(differing))


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
