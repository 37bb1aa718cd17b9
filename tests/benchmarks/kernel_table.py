"""The table of single kernels: ours beside the best of bottleneck, TA-Lib and polars, at every window."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from benchmarks.kernel_timing import FIVE_WINDOWS, OURS, WHOLE_CALL, KernelTiming, kernel_names, time_kernel
from benchmarks.kernels import MODULES, SLOWER_BECAUSE
from benchmarks.market_arrays import market_arrays
from benchmarks.our_pool import OurPool
from benchmarks.promises import Promise
from benchmarks.report import Figure, console, versions_of
from benchmarks.sizes import Shape, Sizes

__all__ = ["kernel_figures", "kernel_promise", "measure_kernels"]

_OURS = (OURS, WHOLE_CALL, FIVE_WINDOWS)
_EQUAL_WITHIN = 0.95
"""A ratio nearer to 1 than this is the noise of a run."""


def measure_kernels(sizes: Sizes) -> list[KernelTiming]:
    """Times every kernel at every window inside one worker, where ours are loaded; prints the table."""
    folder = str(market_arrays(Shape(1, sizes.kernel_rows)))
    with OurPool() as pool:
        timings: list[KernelTiming] = [
            pool.call(time_kernel, name, window, folder, sizes.kernel_seconds)
            for name in kernel_names()
            for window in sizes.windows
        ]
    title = f"Kernels: ns a value, one process, a column of {sizes.kernel_rows:,} rows"
    table = Table("kernel", "window", *_OURS, *MODULES, "best peer", "its time to ours", title=title)
    for timing in timings:
        table.add_row(
            timing.kernel,
            f"{timing.window:,}",
            *(_cell(timing, subject) for subject in (*_OURS, *MODULES)),
            timing.best_peer or "–",
            f"{timing.ratio:.2f}×" if timing.best_peer else "–",
        )
    console().print(table)
    for timing in timings:
        if timing.differing:
            print(f"{timing.kernel} at {timing.window}: other values from {', '.join(timing.differing)}")  # noqa: T201
    return timings


def kernel_figures(timings: Sequence[KernelTiming], sizes: Sizes) -> list[Figure]:
    """All of them as figures."""
    versions = versions_of("candelabra", "numpy", "Bottleneck", "TA-Lib", "polars")
    return [
        Figure(
            f"{timing.kernel}, window {timing.window:,}, {sizes.kernel_rows:,} rows",
            subject,
            nanos,
            "ns/value",
            nanos / timing.nanos[OURS],
            versions,
        )
        for timing in timings
        for subject, nanos in timing.nanos.items()
        if subject not in timing.differing
    ]


def kernel_promise(timings: Sequence[KernelTiming]) -> Promise:
    """No kernel is slower than the best peer, or there is a reason; prints which are and by how much."""
    slower = [timing for timing in timings if timing.ratio < _EQUAL_WITHIN]
    unexplained = 0
    for timing in slower:
        reason = SLOWER_BECAUSE.get(timing.kernel, "")
        unexplained += not reason
        print(  # noqa: T201
            f"slower: {timing.kernel} at {timing.window:,} takes {1 / timing.ratio:.2f}× "
            f"the time of {timing.best_peer}: {reason or 'no reason known'}"
        )
    return Promise(
        "no kernel is slower a value than the best of bottleneck, TA-Lib and polars, or it is said why",
        not unexplained,
        f"{len(slower)} of {len(timings)} are slower by more than 5%, {unexplained} without a reason",
    )


def _cell(timing: KernelTiming, subject: str) -> str:
    if subject not in timing.nanos:
        return "–"
    return f"{timing.nanos[subject]:,.2f}" + (" (other values)" if subject in timing.differing else "")
