"""Files of candles for polars and DuckDB: the arrays of the store as one Arrow and one Parquet file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

from benchmarks.delivery.stores import open_days, symbol_names
from benchmarks.market_arrays import market_arrays, open_field
from benchmarks.report import FOLDER
from benchmarks.sizes import Shape

__all__ = ["arrow_file", "parquet_file"]

_FIELDS = ("open", "high", "low", "close", "volume")
_VERSION = 1
"""Part of the names: files that were made otherwise are not used."""


def arrow_file(shape: Shape) -> Path:
    """Not packed, so that it can be mapped into memory; made when it is first asked for."""
    path = _path(shape, "arrow")
    if not path.exists():
        unfinished = path.with_suffix(".unfinished")
        pyarrow.feather.write_feather(_table(shape), str(unfinished), compression="uncompressed")
        unfinished.rename(path)
    return path.absolute()


def parquet_file(shape: Shape) -> Path:
    """As pyarrow writes it unasked; made when it is first asked for."""
    path = _path(shape, "parquet")
    if not path.exists():
        unfinished = path.with_suffix(".unfinished")
        pyarrow.parquet.write_table(_table(shape), str(unfinished))
        unfinished.rename(path)
    return path.absolute()


def _path(shape: Shape, ending: str) -> Path:
    return FOLDER / "data" / f"candles-{shape.symbols}x{shape.rows}-{_VERSION}.{ending}"


def _table(shape: Shape) -> pa.Table:
    """Sorted by symbol and time. Symbols are numbers into a dictionary, with which the peers are fastest."""
    folder = market_arrays(shape)
    codes = np.repeat(np.arange(shape.symbols, dtype=np.int32), shape.rows)
    times = np.tile(np.array(open_days(shape), dtype="datetime64[us]"), shape.symbols)
    return pa.table(
        {
            "symbol": pa.DictionaryArray.from_arrays(codes, symbol_names(shape)),
            "time": times,
            **{name: open_field(folder, name).reshape(-1) for name in _FIELDS},
        }
    )
