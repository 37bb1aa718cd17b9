"""Our subject: the server's own process pool, two workers, timed from the first task to the last answer."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import psutil

from benchmarks.feature_sets import FeatureSet
from benchmarks.market_arrays import market_arrays
from benchmarks.our_workers import Done, Share, columns_of, evaluate_share
from benchmarks.sizes import Shape
from candelabra_server.processing.executors.local_pool import create_pool

__all__ = ["WORKERS", "Measured", "OurPool", "room_bytes", "shared_values"]

WORKERS = 2
_SHARES = 16
"""At least: a worker that is held up for a moment leaves the rest to the other, as in the server."""
_SHARE_ROWS = 170_000
"""At most: what a share has mapped stays small, 8 MB, however many symbols there are."""


_SHARED_MEMORY = Path("/dev/shm")
"""Where Linux keeps it, and bounds it: writing beyond the bound would kill the workers."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the runs of one subject gave.

    Attributes:
        seconds: of every run.
        peak_bytes: most memory, of all processes together.
    """

    seconds: tuple[float, ...]
    peak_bytes: int

    @property
    def median(self) -> float:
        """Seconds of the middle run."""
        return statistics.median(self.seconds)

    def nanos_per_value(self, values: int) -> float:
        """Wall-clock time a value of all workers together."""
        return 1e9 * self.median / values


class OurPool:
    """A pool of the server's workers; a context manager."""

    def __init__(self) -> None:
        self._pool = create_pool(WORKERS)
        self._peaks: dict[int, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    @property
    def peak_bytes(self) -> dict[int, int]:
        """The most memory that each worker has had, by process."""
        return dict(self._peaks)

    def time(
        self,
        work: FeatureSet | str,
        shape: Shape,
        *,
        runs: int,
        float32: bool = False,
        kept: str = "",
        causes: bool = False,
    ) -> Measured:
        """Evaluates all symbols, once for nothing on a few and then `runs` times."""
        self._run(_shares(work, Shape(2 * WORKERS, shape.rows), market_arrays(shape), shares=WORKERS))
        count = max(_SHARES, -(-shape.cells // _SHARE_ROWS))
        shares = [
            replace(share, float32=float32, kept=kept, causes=causes)
            for share in _shares(work, shape, market_arrays(shape), shares=count)
        ]
        seconds = tuple(self._run(shares) for _ in range(runs))
        return Measured(seconds, sum(self._peaks.values()))

    def columns(self, work: FeatureSet | str, shape: Shape) -> npt.NDArray[np.float64]:
        """The values: (columns, symbols, rows)."""
        (share,) = _shares(work, shape, market_arrays(shape), shares=1)
        return self.call(columns_of, share)

    def call(self, function: Any, *arguments: Any) -> Any:
        """What a function returns in one of the workers."""
        return self._pool.submit(function, *arguments).result()

    def _run(self, shares: Sequence[Share]) -> float:
        begin = time.perf_counter()
        futures = [self._pool.submit(evaluate_share, share) for share in shares]
        done: list[Done] = [future.result() for future in futures]
        seconds = time.perf_counter() - begin
        for process, peak in done:
            self._peaks[process] = max(peak, self._peaks.get(process, 0))
        return seconds


@contextmanager
def shared_values(shape: Shape, columns: int, *, float32: bool) -> Iterator[str]:
    """A block of memory for every value, which workers find by its name; gone afterwards."""
    block = SharedMemory(create=True, size=shape.cells * columns * (4 if float32 else 8))
    try:
        yield block.name
    finally:
        block.close()
        block.unlink()


def room_bytes() -> int:
    """How much memory may still be used, shared memory too."""
    available = psutil.virtual_memory().available
    return min(available, shutil.disk_usage(_SHARED_MEMORY).free) if _SHARED_MEMORY.exists() else available


def _shares(work: FeatureSet | str, shape: Shape, folder: object, *, shares: int) -> list[Share]:
    bounds = np.linspace(0, shape.symbols, min(shares, shape.symbols) + 1).astype(int).tolist()
    return [
        Share(
            folder=str(folder),
            first=first,
            end=end,
            work=work,
            symbols=shape.symbols,
        )
        for first, end in pairwise(bounds)
    ]
