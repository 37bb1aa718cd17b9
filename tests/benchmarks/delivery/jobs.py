"""Jobs that are sent to the server, as encoded messages."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.delivery.stores import TIMEFRAME
from candelabra.v1 import DateRange, Formula, OutputOptions, Precision, ProcessingJob, ScreenRequest

__all__ = ["CLOSE", "SCALED", "SCALED_COLUMNS", "SCREENED", "alpha158_job", "formula_job", "scale", "screen_request"]

CLOSE = "close"
"""The least that a formula can be."""
SCREENED = "sma(close, 20) > sma(close, 50)"
SCALED_COLUMNS = 37
"""Which with the open times of 3,400 candles are a message of just under 1 MiB."""
_ALPHA158 = "qlib/alpha158"


def scale(column: int) -> float:
    """What a column of SCALED is close times: a number that floating point has exactly."""
    return 1 + column / 64


SCALED = "\n".join(f"scaled_{column} = close * {scale(column)}" for column in range(SCALED_COLUMNS))
"""Many columns that cost next to nothing to compute."""


def formula_job(expression: str, *, symbols: Sequence[str] = ("*",), last_n: int = 0, start: str = "") -> ProcessingJob:
    """A job with a formula."""
    return ProcessingJob(
        symbols=symbols,
        timeframe=TIMEFRAME,
        date_range=DateRange(start=start),
        formula=Formula(expression=expression),
        output=OutputOptions(last_n=last_n),
    )


def alpha158_job(*, symbols: Sequence[str] = ("*",), float32: bool = False) -> ProcessingJob:
    """A job with the saved formula of Qlib's 158 features."""
    precision = Precision.PRECISION_FLOAT32 if float32 else Precision.PRECISION_FLOAT64
    return ProcessingJob(
        symbols=symbols,
        timeframe=TIMEFRAME,
        formula=Formula(id=_ALPHA158),
        output=OutputOptions(precision=precision),
    )


def screen_request() -> ScreenRequest:
    """A screen of all symbols."""
    return ScreenRequest(symbols=["*"], timeframe=TIMEFRAME, formula=Formula(expression=SCREENED))
