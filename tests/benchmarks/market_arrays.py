"""Made-up candles in files: the same arrays for every subject, from a fixed seed.

A folder `.bench/data/SYMBOLSxROWS` has one `.npy` a field, float64, a row a symbol. The numbers are such as 32 bits
hold exactly, all but the amount: what Qlib reads from its files is then the same.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.report import FOLDER
from benchmarks.sizes import Shape

__all__ = ["FIELDS", "market_arrays", "open_field"]

FIELDS = ("open", "high", "low", "close", "volume", "vwap")
"""What formulas read; `amount`, which is vwap × volume, is there for KunQuant."""

_SEED = 20_200_101
_VERSION = 1
"""Part of the folder's name: files that were made otherwise are not used."""


def market_arrays(shape: Shape) -> Path:
    """The folder with the arrays of this shape, made when it is first asked for."""
    folder = FOLDER / "data" / f"{shape.symbols}x{shape.rows}-{_VERSION}"
    if not folder.exists():
        unfinished = folder.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        for name, values in _random_walk(shape).items():
            np.save(unfinished / f"{name}.npy", values)
        unfinished.rename(folder)
    return folder.absolute()


def open_field(folder: Path, name: str) -> npt.NDArray[np.float64]:
    """One field as a read-only map of its file, a row a symbol."""
    mapped = np.load(folder / f"{name}.npy", mmap_mode="r")
    return mapped.view(np.ndarray)


def _random_walk(shape: Shape) -> dict[str, npt.NDArray[np.float64]]:
    generator = np.random.default_rng([_SEED, shape.symbols, shape.rows])
    size = (shape.symbols, shape.rows)
    close = _rounded(20 * np.exp(np.cumsum(generator.normal(0, 0.02, size), axis=1)))
    opened = _rounded(close * np.exp(generator.normal(0, 0.005, size)))
    high = _rounded(np.maximum(opened, close) * np.exp(np.abs(generator.normal(0, 0.005, size))))
    low = _rounded(np.minimum(opened, close) * np.exp(-np.abs(generator.normal(0, 0.005, size))))
    volume = _rounded(np.exp(generator.normal(12, 1, size)))
    vwap = _rounded((high + low + close) / 3)
    return {
        "open": opened,
        "high": high,
        "low": low,
        "close": close,
        "volume": volume,
        "vwap": vwap,
        "amount": vwap * volume,
    }


def _rounded(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return values.astype(np.float32).astype(np.float64)
