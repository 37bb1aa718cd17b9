"""What a server says about itself: `ServerInfo` and `StoredSymbol`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

__all__ = ["ServerInfo", "StoredSymbol"]


@dataclass(frozen=True, slots=True)
class StoredSymbol:
    """One symbol's candles of one timeframe.

    Attributes:
        symbol: the name, as a job must spell it.
        timeframe: canonical, for example `1d`.
        candle_count: how many candles are stored.
        first_open_time: open time of the first candle, in UTC.
        last_open_time: open time of the last candle, in UTC.
        fields: names that a formula may use, sorted.
    """

    symbol: str
    timeframe: str
    candle_count: int
    first_open_time: datetime
    last_open_time: datetime
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """A server's description of itself.

    Attributes:
        version: Candelabra's version there.
        workers: worker processes.
        timeframes: how many symbols are stored, by timeframe, shortest first.
        max_symbols_per_job: most symbols that one job may have.
        max_expression_length: most characters that a formula may have.
        active_jobs: jobs that are running now.
        max_jobs: jobs and screens that may run at once; 0 when the server does not tell.
        symbol_time_limit: most seconds for one symbol; a job may set less.
        job_time_limit: most seconds for one job; the client's own timeout may be less.
        start_time: when the server started, in UTC.
    """

    version: str
    workers: int
    timeframes: Mapping[str, int]
    max_symbols_per_job: int
    max_expression_length: int
    active_jobs: int
    max_jobs: int
    symbol_time_limit: float
    job_time_limit: float
    start_time: datetime
