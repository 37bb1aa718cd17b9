"""All results of a job, gathered."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, overload

from candelabra_client import _frames, _plots
from candelabra_client._result import SymbolError, SymbolResult

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

__all__ = ["JobResults"]


class JobResults(Sequence[SymbolResult]):
    """Every symbol's result, in the order in which the job named the symbols; matches of a pattern sorted.

    A sequence that never changes: `results[0]` is the first result and `results["AAPL"]` that symbol's.
    Frames have the symbols that have a result; the others are in `errors`.
    """

    def __init__(self, results: Iterable[SymbolResult], *, symbols: Sequence[str]) -> None:
        """Sorts the results by `symbols`, the names and patterns of the job."""
        rank = _Ranking(symbols)
        self._results = sorted(results, key=lambda result: (rank(result.symbol), result.symbol))

    @cached_property
    def _by_symbol(self) -> dict[str, SymbolResult]:
        return {result.symbol: result for result in self._results}

    @property
    def symbols(self) -> tuple[str, ...]:
        """Names of all symbols, failed ones included."""
        return tuple(result.symbol for result in self._results)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that any symbol has."""
        return _frames.column_names(self._results)

    @property
    def errors(self) -> Mapping[str, SymbolError]:
        """Why symbols have no result, by symbol; empty when all is well."""
        return MappingProxyType({result.symbol: result.error for result in self._results if result.error is not None})

    def raise_for_errors(self) -> None:
        """Does nothing when every symbol has a result; raises SymbolFailed for the first that has none."""
        for result in self._results:
            result.raise_for_error()

    def to_pandas(self, *, wide: bool | str = False) -> pd.DataFrame:
        """Returns one DataFrame of all symbols that have a result.

        Args:
            wide: False for the long form: columns `symbol` (categorical), `time` (UTC) and the job's
                columns, symbol by symbol. True for times by symbols: the index is every time that any
                symbol has, the columns are pairs of column and symbol, and NaN stands where a symbol has no
                candle. A column's name for that column alone, its columns being the symbols.

        Raises:
            KeyError: `wide` names a column that no symbol has.
            MissingDependency: pandas is not installed.
        """
        return _frames.job_to_pandas(self._results, wide=wide)

    def to_polars(self, *, wide: bool | str = False) -> pl.DataFrame:
        """Returns one DataFrame of all symbols that have a result.

        Args:
            wide: False for the long form: `symbol` (categorical), `time` (UTC) and the job's columns. A
                column's name for times by symbols: `time` and one column a symbol, NaN where a symbol has
                no candle. True is the same for the only column of the job.

        Raises:
            KeyError: `wide` names a column that no symbol has.
            ValueError: `wide` is True and the job has several columns.
            MissingDependency: polars is not installed.
        """
        return _frames.job_to_polars(self._results, wide=wide)

    def to_arrow(self, *, wide: bool | str = False) -> pa.Table:
        """Returns one Table of all symbols that have a result, as `to_polars` does.

        Long symbols share memory with their results; `symbol` is dictionary-encoded.
        """
        return _frames.job_to_arrow(self._results, wide=wide)

    def plot(
        self,
        target: str | os.PathLike[str],
        *,
        candles: JobResults | None = None,
        formula: str = "",
        timeframe: str = "",
    ) -> None:
        """Draws all symbols that have a result below each other, at most six; see `SymbolResult.plot`.

        Raises:
            ValueError: no symbol has a result, or more have one than a picture shows.
        """
        charts = _plots.lay_out_all(self, candles=candles, formula=formula, timeframe=timeframe)
        _plots.Target.of(target).draw(charts)

    def __len__(self) -> int:
        return len(self._results)

    @overload
    def __getitem__(self, key: int | str) -> SymbolResult: ...
    @overload
    def __getitem__(self, key: slice) -> list[SymbolResult]: ...
    def __getitem__(self, key: int | str | slice) -> SymbolResult | list[SymbolResult]:
        """Returns the result of a symbol or at a position; KeyError or IndexError when there is none."""
        return self._by_symbol[key] if isinstance(key, str) else self._results[key]

    def __contains__(self, value: object) -> bool:
        """Whether there is a result of this symbol; a result itself may be asked for too."""
        return value in self._by_symbol if isinstance(value, str) else value in self._results

    def __repr__(self) -> str:
        failed = len(self.errors)
        return f"<JobResults: {len(self)} symbols" + (f", {failed} failed>" if failed else ">")


class _Ranking:
    """Position of the first name or pattern that a symbol matches; names win over patterns."""

    def __init__(self, symbols: Sequence[str]) -> None:
        self._names: dict[str, int] = {}
        self._patterns: list[tuple[int, re.Pattern[str]]] = []
        for position, symbol in enumerate(symbols):
            if "*" in symbol or "?" in symbol:
                pattern = re.escape(symbol).replace(r"\*", ".*").replace(r"\?", ".")
                self._patterns.append((position, re.compile(pattern, re.DOTALL)))
            else:
                self._names.setdefault(symbol, position)
        self._last = len(symbols)

    def __call__(self, symbol: str) -> int:
        if symbol in self._names:
            return self._names[symbol]
        return next((position for position, pattern in self._patterns if pattern.fullmatch(symbol)), self._last)
