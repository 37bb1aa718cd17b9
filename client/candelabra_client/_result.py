"""What comes back for one symbol: `SymbolResult`, and what it is made of."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from candelabra import v1
from candelabra_client import _frames, _plots
from candelabra_client._decoding import FloatArray
from candelabra_client._exceptions import SymbolFailed

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

__all__ = ["ColumnInfo", "ColumnKind", "ResultInfo", "SymbolError", "SymbolResult"]


class ColumnKind(StrEnum):
    """What a column's values mean."""

    NUMBER = "number"
    """A number; NaN means "no value"."""
    SIGNAL = "signal"
    """The outcome of a comparison: 1 is true, 0 false, NaN unknown."""
    UNKNOWN = "unknown"
    """A kind that is newer than this client."""

    @classmethod
    def of(cls, column: v1.Column) -> ColumnKind:
        """Returns the kind of a column on the wire."""
        return _KINDS.get(column.kind, cls.UNKNOWN)


_KINDS: dict[int, ColumnKind] = {
    v1.ColumnKind.COLUMN_KIND_NUMBER: ColumnKind.NUMBER,
    v1.ColumnKind.COLUMN_KIND_SIGNAL: ColumnKind.SIGNAL,
}


@dataclass(frozen=True, slots=True)
class SymbolError:
    """Why a symbol has no result; a value, not an exception.

    Attributes:
        reason: stable and made for programs, for example `UNKNOWN_SYMBOL`.
        message: made for people: what was wrong, what was expected, what to do.
        metadata: details of the reason.
    """

    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, error: v1.SymbolError) -> SymbolError:
        """Returns what the message says."""
        return cls(error.reason, error.message, MappingProxyType(dict(error.metadata)))

    def __str__(self) -> str:
        return f"{self.message} ({self.reason})"


@dataclass(frozen=True, slots=True)
class ColumnInfo:
    """About one column of a symbol's whole result.

    Attributes:
        first_valid_row: first row that has a value, counted from 0; None when there is none.
        nan_count: how many rows have no value.
        nan_reasons: how many of them for which reason: `warm_up`, `missing_input`, `division_by_zero`,
            `flat_window`, `domain_error`. Empty where all have one, and where there was no formula.
    """

    first_valid_row: int | None
    nan_count: int
    nan_reasons: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class ResultInfo:
    """How a symbol's result came about.

    Attributes:
        candles_read: candles that were read, warm-up included.
        warm_up_candles_used: candles before the range that were read so that the first row has its history.
        columns: by name, in the order of the result's columns.
        load_micros: time spent on reading candles, in microseconds.
        compute_micros: time spent on evaluating the formula, in microseconds.
        snapshot_id: the state of the store that the whole job has read.
        warnings: what a user should know.
    """

    candles_read: int
    warm_up_candles_used: int
    columns: Mapping[str, ColumnInfo]
    load_micros: int
    compute_micros: int
    snapshot_id: str
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, info: v1.ResultInfo) -> ResultInfo:
        """Returns what the message says."""
        return cls(
            candles_read=info.candles_read,
            warm_up_candles_used=info.warm_up_candles_used,
            columns=MappingProxyType(
                {
                    column.name: ColumnInfo(
                        column.first_valid_row if column.first_valid_row >= 0 else None,
                        column.nan_count,
                        MappingProxyType({reason.name: count for reason, count in column.nan_reasons.ListFields()}),
                    )
                    for column in info.columns
                }
            ),
            load_micros=info.load_micros,
            compute_micros=info.compute_micros,
            snapshot_id=info.snapshot_id,
            warnings=tuple(info.warnings),
        )


class SymbolResult:
    """One symbol's rows, or the error that it has instead. Never changes; safe to share between threads.

    `result["name"]` is a column as a numpy array, float64 or, when the job asked for it, float32. Arrays are
    read-only where they are views of the received bytes: copy one before you write to it.

    Attributes:
        symbol: the symbol.
        error: why there are no rows; None when all is well.
        open_time_micros: open time of each row's candle, UTC microseconds since 1970-01-01, increasing.
        kinds: what each column's values mean, by name, in the order of the formula's statements.
        attempts: how many times the server tried: more than 1 when a worker process died while it had it.
    """

    __slots__ = ("_info", "_values", "attempts", "error", "kinds", "open_time_micros", "symbol")

    def __init__(
        self,
        symbol: str,
        *,
        open_time_micros: NDArray[np.int64],
        values: Mapping[str, FloatArray],
        kinds: Mapping[str, ColumnKind],
        error: SymbolError | None = None,
        attempts: int = 1,
        info: ResultInfo | bytes = b"",
    ) -> None:
        self.symbol = symbol
        self.error = error
        self.open_time_micros = open_time_micros
        self.kinds = kinds
        self.attempts = attempts
        self._values = values
        self._info = info  # as bytes until somebody asks: a message would keep all that it came with alive

    @property
    def ok(self) -> bool:
        """Whether the symbol has a result."""
        return self.error is None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in the order of the formula's statements; empty for a failed symbol."""
        return tuple(self._values)

    @property
    def row_count(self) -> int:
        """How many rows there are."""
        return len(self.open_time_micros)

    @property
    def open_times(self) -> NDArray[np.datetime64]:
        """Open time of each row's candle as `datetime64[us]`, in UTC; a view of `open_time_micros`."""
        return self.open_time_micros.view("datetime64[us]")

    @property
    def info(self) -> ResultInfo:
        """How the result came about."""
        if isinstance(self._info, bytes):
            self._info = ResultInfo.of(v1.ResultInfo.FromString(self._info))
        return self._info

    def __getitem__(self, column: str) -> FloatArray:
        """Returns a column.

        Raises:
            SymbolFailed: the symbol has no result.
            KeyError: no column of this name; the message names those that there are.
        """
        try:
            return self._values[column]
        except KeyError:
            self.raise_for_error()
            have = ", ".join(self._values) or "none"
            raise KeyError(f"{self.symbol} has no column {column!r}; it has {have}") from None

    def __contains__(self, column: object) -> bool:
        return column in self._values

    def __repr__(self) -> str:
        if self.error is not None:
            return f"<SymbolResult {self.symbol}: {self.error.reason}>"
        return f"<SymbolResult {self.symbol}: {self.row_count} rows of {', '.join(self._values)}>"

    def raise_for_error(self) -> None:
        """Does nothing for a symbol that has a result.

        Raises:
            SymbolFailed: the symbol has none.
        """
        if self.error is not None:
            raise SymbolFailed(
                self.symbol, reason=self.error.reason, message=self.error.message, metadata=self.error.metadata
            )

    def to_pandas(self) -> pd.DataFrame:
        """Returns the columns as a DataFrame with an index `time` in UTC; SymbolFailed without a result."""
        self.raise_for_error()
        return _frames.symbol_to_pandas(self)

    def to_polars(self) -> pl.DataFrame:
        """Returns a DataFrame of `time` and the columns; SymbolFailed without a result."""
        self.raise_for_error()
        return _frames.symbol_to_polars(self)

    def to_arrow(self) -> pa.Table:
        """Returns a Table of `time` and the columns, which share memory; SymbolFailed without a result."""
        self.raise_for_error()
        return _frames.symbol_to_arrow(self)

    def plot(
        self,
        target: str | os.PathLike[str],
        *,
        candles: SymbolResult | None = None,
        formula: str = "",
        timeframe: str = "",
    ) -> None:
        """Draws the candles with the columns over and under them.

        Args:
            target: `FILE.png`, `FILE.html` (self-contained) or `term`, which prints to the terminal.
            candles: the symbol's candles, a result without a formula. Default: this result's own `open high low
                close volume`; without them all columns lie below each other.
            formula: what was computed, for the captions.
            timeframe: for the captions.

        Raises:
            SymbolFailed: this symbol, or its candles, have no result.
            ValueError: another target.
            MissingDependency: matplotlib, plotly or rich is not installed, whichever draws the target.
            OSError: the file cannot be written.
        """
        for result in (self, candles):
            if result is not None:
                result.raise_for_error()
        _plots.Target.of(target).draw([_plots.lay_out(self, candles=candles, formula=formula, timeframe=timeframe)])
