"""What clients ask for, and what the right answer is: computed here with numpy, from the same candles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from candelabra.v1 import Formula as FormulaMessage
from candelabra.v1 import OutputOptions, Precision, ProcessingJob
from candelabra_server.domain.candles import Candles, FloatColumn, MicrosColumn
from chaos.candles import LARGE, TIMEFRAME, candles_of

__all__ = ["FORMULAS", "SCREENS", "Answer", "Formula", "Request", "answer_of", "end_of", "job_number"]

_END_MICROS = 4_102_444_800_000_000  # 2100-01-01, which is behind all candles
_AVERAGED = 16


@dataclass(frozen=True, eq=False)
class Formula:
    """A formula, as the server and as numpy know it."""

    text: str | None
    compute: Callable[[Candles], Mapping[str, FloatColumn]]


@dataclass(frozen=True, eq=False)
class Answer:
    """The whole result of a symbol."""

    times: MicrosColumn
    columns: Mapping[str, FloatColumn]


@dataclass(frozen=True)
class Request:
    """A job.

    Attributes:
        number: names the job, from 1.
        symbols: what it is about.
        formula: what to compute.
        last_n: only so many rows; 0 for all.
        float32: whether values are wanted in 32 bits.
    """

    number: int
    symbols: tuple[str, ...]
    formula: Formula
    last_n: int = 0
    float32: bool = False

    def message(self, symbols: tuple[str, ...]) -> ProcessingJob:
        """The job for some of its symbols."""
        job = ProcessingJob(symbols=symbols, timeframe=TIMEFRAME, job_id=f"job-{self.number}")
        job.date_range.end = end_of(self.number)
        if self.formula.text is not None:
            job.formula.CopyFrom(FormulaMessage(expression=self.formula.text))
        precision = Precision.PRECISION_FLOAT32 if self.float32 else Precision.PRECISION_FLOAT64
        job.output.CopyFrom(OutputOptions(last_n=self.last_n, precision=precision))
        return job

    def arguments(self) -> dict[str, Any]:
        """The same for `process` of a client, beside the symbols."""
        return {
            "timeframe": TIMEFRAME,
            "end": end_of(self.number),
            "formula": self.formula.text,
            "last_n": self.last_n or None,
            "precision": "float32" if self.float32 else None,
            "job_id": f"job-{self.number}",
        }

    def answer(self, symbol: str) -> Answer:
        """What is right."""
        whole = answer_of(symbol, self.formula)
        if not self.last_n:
            return whole
        rows = slice(-self.last_n, None)
        return Answer(whole.times[rows], {name: column[rows] for name, column in whole.columns.items()})


def end_of(number: int) -> str:
    """The end of a job's range: behind all candles, and by its microseconds the job's number."""
    return f"2100-01-01T00:00:{number // 1_000_000:02}.{number % 1_000_000:06}Z"


def job_number(end_micros: int) -> int:
    """The job whose range ends there; 0 for none."""
    number = end_micros - _END_MICROS
    return number if 0 < number < 60_000_000 else 0


def answer_of(symbol: str, formula: Formula) -> Answer:
    """The whole result of a symbol."""
    return _kept(symbol, formula) if symbol in LARGE else _computed(symbol, formula)


def _computed(symbol: str, formula: Formula) -> Answer:
    candles = candles_of(symbol)
    return Answer(candles.open_time_micros, formula.compute(candles))


_kept = lru_cache(maxsize=4)(_computed)


def _average(column: FloatColumn) -> FloatColumn:
    """Exact: the values are quarters, and their number a power of two."""
    sums = np.concatenate([[0.0], np.cumsum(column)])
    averages = np.full(len(column), np.nan)
    averages[_AVERAGED - 1 :] = (sums[_AVERAGED:] - sums[:-_AVERAGED]) / _AVERAGED
    return averages


FORMULAS = (
    Formula(None, lambda candles: candles.fields),
    Formula("close * 2", lambda candles: {"value": candles.fields["close"] * 2}),
    Formula(
        "spread = high - low; middle = (high + low) / 2",
        lambda candles: {
            "spread": candles.fields["high"] - candles.fields["low"],
            "middle": (candles.fields["high"] + candles.fields["low"]) / 2,
        },
    ),
    Formula(f"sma(close, {_AVERAGED})", lambda candles: {"value": _average(candles.fields["close"])}),
)
SCREENS = (
    Formula("close", lambda candles: {"value": candles.fields["close"]}),
    Formula(
        "up = close > open; average = sma(close, 16)",
        lambda candles: {
            "up": (candles.fields["close"] > candles.fields["open"]).astype(np.float64),
            "average": _average(candles.fields["close"]),
        },
    ),
)
