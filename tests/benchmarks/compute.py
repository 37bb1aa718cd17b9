"""The compute suite: formulas over whole universes and single kernels, beside every peer in one run.

1. headline.py: whole feature sets beside KunQuant, Qlib, polars and pandas, each compared with ours first.
2. scaling.py: our cost a value by symbols, history, windows and columns, and a worker's memory.
3. kernel_table.py: single kernels beside bottleneck, TA-Lib and polars.

Arrays are made once (market_arrays.py); ours is the server's own pool of two workers (our_pool.py, our_workers.py).
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil

from benchmarks.headline import measure_headline
from benchmarks.kernel_table import kernel_figures, kernel_promise, measure_kernels
from benchmarks.promises import broken
from benchmarks.report import versions_of, write
from benchmarks.scaling import measure_scaling
from benchmarks.sizes import FULL, QUICK

_SCALING_RUNS = 3
"""At most: there only the growth is looked at."""


def main(*, runs: int, quick: bool) -> int:
    """Measures everything; 1 when what is promised beside KunQuant or Qlib is not kept.

    Args:
        runs: of every subject; the median is reported.
        quick: a few symbols only, to see that all subjects work; promises are told but not judged.
    """
    sizes = QUICK if quick else FULL
    print(_machine(), flush=True)  # noqa: T201
    headline = measure_headline(sizes, runs=runs)
    scaling = measure_scaling(sizes, runs=min(runs, _SCALING_RUNS))
    timings = measure_kernels(sizes)
    promises = [*headline.promises(sizes.headline), *scaling.promises, kernel_promise(timings)]
    write("compute", [*headline.figures, *scaling.figures, *kernel_figures(timings, sizes)])
    for promise in promises:
        print(promise)  # noqa: T201
    if quick:
        print("--quick: nothing of this says how fast anything is")  # noqa: T201
        return 0
    return 1 if broken(promises) else 0


def _machine() -> str:
    """What it was measured on."""
    memory = psutil.virtual_memory().total / 1e9
    installed = versions_of("candelabra", "numpy", "numba", "Bottleneck", "TA-Lib", "polars", "pandas")
    told = ", ".join(f"{name} {number}" for name, number in installed.items() if name != "cpus")
    return f"{os.cpu_count()} cores ({_processor()}), {memory:.0f} GB, {platform.system()}; {told}"


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    if described.exists():
        for line in described.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
