"""Candle stores for the server, which hold the very arrays that the other subjects read from files."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np

from benchmarks.market_arrays import FIELDS, market_arrays, open_field
from benchmarks.report import FOLDER
from benchmarks.sizes import Shape
from candelabra_server.candles.candle_batch import CandleBatch
from candelabra_server.candles.importing import import_batches
from candelabra_server.candles.problem_log import ProblemLog
from candelabra_server.candles.store_writer import StoreWriter

__all__ = ["TIMEFRAME", "candle_store", "open_days", "symbol_names"]

TIMEFRAME = "1d"
_FIRST_DAY = "2007-01-01"
_MICROS_A_DAY = 86_400_000_000
_VERSION = 1
"""Part of the folder's name: stores that were made otherwise are not used."""


def candle_store(shape: Shape) -> Path:
    """The folder of a store with the arrays of this shape, made when it is first asked for."""
    folder = FOLDER / "data" / f"store-{shape.symbols}x{shape.rows}-{_VERSION}"
    if not folder.exists():
        unfinished = folder.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        with StoreWriter(unfinished) as writer:
            import_batches(
                [_batch(shape)],
                timeframe=TIMEFRAME,
                writer=writer,
                log=ProblemLog(limit=1),
                started=time.perf_counter(),
            )
        unfinished.rename(folder)
    return folder.absolute()


def symbol_names(shape: Shape) -> list[str]:
    """In the order of the arrays' rows, which is that of the alphabet."""
    return [f"S{symbol:05d}" for symbol in range(shape.symbols)]


def open_days(shape: Shape) -> list[str]:
    """The day of every candle, the same for all symbols: weekdays, as ISO 8601 dates."""
    return np.busday_offset(_FIRST_DAY, np.arange(shape.rows), roll="forward").astype(str).tolist()


def _batch(shape: Shape) -> CandleBatch:
    folder = market_arrays(shape)
    days = np.array(open_days(shape), dtype="datetime64[D]").astype(np.int64)
    return CandleBatch(
        source="benchmark",
        symbols=symbol_names(shape),
        codes=np.repeat(np.arange(shape.symbols, dtype=np.int32), shape.rows),
        open_times=np.tile(days * _MICROS_A_DAY, shape.symbols),
        columns={name: np.asarray(open_field(folder, name)).reshape(-1) for name in FIELDS},
    )
