"""How our cost a value grows with symbols, history, windows and columns, and how a worker's memory does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.table import Table

from benchmarks.feature_sets import ALPHA158, FeatureSet, every_nth
from benchmarks.market_arrays import FIELDS
from benchmarks.our_pool import WORKERS, OurPool
from benchmarks.promises import Promise, flat
from benchmarks.report import Figure, console, versions_of
from benchmarks.sizes import Shape, Sizes

__all__ = ["Scaling", "measure_scaling"]

OURS = "candelabra"
NANOS = "ns/value"
_MOMENTS = ("Mean", "Std")
_EXTREMES = ("Max", "Min", "IdxMax")
_COST_WITHIN = 1.5
_MEMORY_WITHIN = 1.1
_COLUMN_STEPS = (8, 2, 1)


@dataclass(slots=True)
class Scaling:
    """What was measured, and the promises about it."""

    figures: list[Figure] = field(default_factory=list)
    promises: list[Promise] = field(default_factory=list)


def measure_scaling(sizes: Sizes, *, runs: int) -> Scaling:
    """Measures all four directions, with the same pool for all but memory; prints a table of each."""
    scaling = Scaling()
    with OurPool() as pool:
        _measure_symbols(scaling, pool, sizes.by_symbols, runs)
    with OurPool() as pool:
        _measure_history(scaling, pool, sizes.by_history, runs)
        for title, operators in (("moments", _MOMENTS), ("extremes", _EXTREMES)):
            _measure_windows(scaling, pool, sizes, title, operators, runs)
        features = (every_nth(ALPHA158, step) for step in _COLUMN_STEPS)
        _measure_rows(
            scaling,
            "columns",
            (
                (f"{work.title}, {sizes.by_window}", _nanos(pool, work, sizes.by_window, len(work.columns), runs))
                for work in features
            ),
        )
    return scaling


def _measure_symbols(scaling: Scaling, pool: OurPool, shapes: tuple[Shape, ...], runs: int) -> None:
    """Memory as well: the pool is new, and a process's peak only grows."""
    peaks: list[float] = []

    def measured(shape: Shape) -> float:
        nanos = _nanos(pool, ALPHA158, shape, len(ALPHA158.columns), runs)
        peaks.append(max(pool.peak_bytes.values()) / 1e6)
        return nanos

    _measure_rows(scaling, "symbols", ((f"Alpha158, {shape}", measured(shape)) for shape in shapes))
    table = Table("after", "MB", title="Peak memory of the larger worker")
    for shape, peak in zip(shapes, peaks, strict=True):
        work = f"peak memory of a worker, Alpha158, {shape}"
        scaling.figures.append(Figure(work, OURS, peak, "MB", 1.0, versions_of("candelabra")))
        table.add_row(f"{shape}", f"{peak:,.1f}")
    console().print(table)
    text = f"a worker's peak memory does not grow from {shapes[0].symbols:,} to {shapes[-1].symbols:,} symbols"
    scaling.promises.append(flat(text, [peaks[0], peaks[-1]], within=_MEMORY_WITHIN, unit="MB"))


def _measure_history(scaling: Scaling, pool: OurPool, shapes: tuple[Shape, ...], runs: int) -> None:
    columns = len(ALPHA158.columns)
    nanos = _measure_rows(
        scaling,
        "history",
        ((f"Alpha158, {shape}", _nanos(pool, ALPHA158, shape, columns, runs)) for shape in shapes),
    )
    text = f"cost a value is flat from {shapes[0].rows:,} to {shapes[-1].rows:,} candles"
    scaling.promises.append(flat(text, nanos, within=_COST_WITHIN, unit=NANOS))


def _measure_windows(
    scaling: Scaling, pool: OurPool, sizes: Sizes, title: str, operators: tuple[str, ...], runs: int
) -> None:
    calls = [(operator, name) for operator in operators for name in FIELDS]

    def measured(window: int) -> float:
        text = "\n".join(f"{operator}_{name} = {operator}(${name}, {window})" for operator, name in calls)
        return _nanos(pool, text, sizes.by_window, len(calls), runs)

    what = f"{title} ({', '.join(operators)} of {len(FIELDS)} fields), {sizes.by_window}"
    nanos = _measure_rows(
        scaling, f"windows, {title}", ((f"{what}, window {window:,}", measured(window)) for window in sizes.windows)
    )
    text = f"cost a value of {title} is flat from window {sizes.windows[0]:,} to {sizes.windows[-1]:,}"
    scaling.promises.append(flat(text, nanos, within=_COST_WITHIN, unit=NANOS))


def _measure_rows(scaling: Scaling, title: str, rows: Iterable[tuple[str, float]]) -> list[float]:
    """Prints a table of works and their cost, and keeps the figures."""
    measured = list(rows)
    table = Table("work", NANOS, "to the first", title=f"By {title}: wall-clock time of {WORKERS} workers")
    for work, nanos in measured:
        scaling.figures.append(Figure(work, OURS, nanos, NANOS, 1.0, versions_of("candelabra", "numpy")))
        table.add_row(work, f"{nanos:,.2f}", f"{nanos / measured[0][1]:.2f}×")
    console().print(table)
    return [nanos for _, nanos in measured]


def _nanos(pool: OurPool, work: FeatureSet | str, shape: Shape, columns: int, runs: int) -> float:
    return pool.time(work, shape, runs=runs).nanos_per_value(shape.cells * columns)
