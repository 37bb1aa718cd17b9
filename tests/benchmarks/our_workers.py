"""What runs in our worker processes: shares of the symbols, evaluated as the server evaluates them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.feature_sets import FeatureSet
from benchmarks.market_arrays import FIELDS, open_field
from benchmarks.peers.peer_job import process_peak_bytes
from candelabra_server.domain.candles import Candles, FloatColumn, MicrosColumn
from candelabra_server.formulas.buffers import Buffers
from candelabra_server.formulas.limits import FormulaLimits
from candelabra_server.formulas.service import CompiledFormula, FormulaService

__all__ = ["Done", "Share", "columns_of", "evaluate_share", "symbol_candles"]

_DAY_MICROS = 86_400_000_000
_LIMITS = FormulaLimits(max_expression_length=1 << 20, max_total_length=1 << 20)
"""A part of Alpha158 is longer as a text of its own than a client's may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Consecutive symbols of the arrays in a folder, and what to do with them.

    Attributes:
        folder: of market_arrays.
        first: the first symbol.
        end: the symbol after the last one.
        work: a feature set, or the text of a formula.
        float32: values are converted, as for a job in PRECISION_FLOAT32.
        kept: name of a shared block of all symbols' values, (symbols, columns, rows), that they are copied to;
            empty: each symbol's are let go, as when they are streamed out.
        causes: why values are NaN is found too, as for every job.
        symbols: of all shares together.
    """

    folder: str
    first: int
    end: int
    work: FeatureSet | str
    float32: bool = False
    kept: str = ""
    causes: bool = False
    symbols: int = 0


class _Memory:
    """What a worker uses again from symbol to symbol."""

    def __init__(self) -> None:
        self.values = Buffers()
        self.traced = Buffers()


_memory = _Memory()


class Done(NamedTuple):
    """A share is computed."""

    process: int
    peak_bytes: int
    """The most memory that the process has had so far."""


def evaluate_share(share: Share) -> Done:
    """Evaluates one symbol after the other."""
    formula = _compiled(share.work)
    kept = _kept_values(share, len(formula.columns)) if share.kept else None
    for symbol, candles in _each_candles(share):
        columns = formula.evaluate(candles, buffers=_memory.values)
        if share.causes:
            formula.missing_counts(columns, candles, buffers=_memory.traced)
        if kept is not None:
            kept[symbol] = columns
        elif share.float32:
            columns.astype(np.float32)
    return Done(os.getpid(), process_peak_bytes())


def columns_of(share: Share) -> npt.NDArray[np.float64]:
    """The values themselves: (columns, symbols, rows)."""
    formula = _compiled(share.work)
    return np.stack([np.array(formula.evaluate(candles)) for _, candles in _each_candles(share)], axis=1)


def symbol_candles(symbol: int, fields: dict[str, FloatColumn]) -> Candles:
    """One symbol's daily candles."""
    return Candles(f"S{symbol:05d}", _open_times(len(next(iter(fields.values())))), fields)


@cache
def _open_times(rows: int) -> MicrosColumn:
    return np.arange(rows, dtype=np.int64) * _DAY_MICROS


def _each_candles(share: Share) -> Iterator[tuple[int, Candles]]:
    # Mapped anew for every share: what an earlier one has read is no longer this process's memory.
    # Plain arrays over the mapping, as the store's are: every row of numpy's own memmap is an object of its kind.
    fields = {name: np.asarray(open_field(Path(share.folder), name)) for name in FIELDS}
    for symbol in range(share.first, share.end):
        yield symbol, symbol_candles(symbol, {name: values[symbol] for name, values in fields.items()})


@cache
def _compiled(work: FeatureSet | str) -> CompiledFormula:
    service = FormulaService(limits=_LIMITS)
    if isinstance(work, str):
        return service.compile(work, parameters={})
    if work.is_whole_family:
        return service.compile_saved(f"qlib/{work.family}", parameters={})
    return service.compile(work.text, parameters={})


@lru_cache(maxsize=1)  # the one before is let go, and with it its memory
def _attached(name: str) -> SharedMemory:
    return SharedMemory(name)


def _kept_values(share: Share, columns: int) -> npt.NDArray[np.float64] | npt.NDArray[np.float32]:
    rows = open_field(Path(share.folder), FIELDS[0]).shape[1]
    kind = np.float32 if share.float32 else np.float64
    return np.ndarray((share.symbols, columns, rows), kind, buffer=_attached(share.kept).buf)
