"""Screens: requests as users write them, what workers answer, and a store for them to run over."""

import numpy as np

from candelabra.v1 import Formula, JobOptions, ScreenRequest
from candelabra.worker.v1 import ScreenedChunk
from candelabra_server.candles.arrow_store import ArrowCandleRepository
from candelabra_server.candles.candle_batch import CandleBatch
from candelabra_server.candles.importing import import_batches
from candelabra_server.candles.problem_log import ProblemLog
from candelabra_server.candles.store_writer import StoreWriter

DAY = 86_400_000_000
FIRST = 18_262 * DAY  # 2020-01-01


def screen(symbols="*", expression=None, *, timeframe="1d", weight=0.0, **fields):
    """A request; `symbols` is one name or several."""
    return ScreenRequest(
        symbols=[symbols] if isinstance(symbols, str) else symbols,
        timeframe=timeframe,
        formula=None if expression is None else Formula(expression=expression),
        options=JobOptions(weight=weight) if weight else None,
        **fields,
    )


def answered(rows, *, failures=(), candles_read=0):
    """What a worker answers: rows are (symbol, open time, value, value, …)."""
    columns = list(zip(*(row[2:] for row in rows), strict=True))
    return ScreenedChunk(
        symbols=[row[0] for row in rows],
        as_of_micros=np.array([row[1] for row in rows], "<i8").tobytes(),
        values=np.array(columns, "<f8").tobytes(),
        failures=failures,
        candles_read=candles_read,
    )


def rows_of(responses):
    """Rows of messages, in their order: (symbol, open time, value, value, …)."""
    return [
        row
        for response in responses
        for row in zip(
            response.symbols, response.as_of_micros, *(column.values for column in response.columns), strict=True
        )
    ]


def store_of(folder, closes, *, first_days=None, **further):
    """A repository with daily candles from 2020-01-01, or from a later day; further columns are by name and symbol."""
    batches = []
    for symbol, values in closes.items():
        first = FIRST + (first_days or {}).get(symbol, 0) * DAY
        columns = dict.fromkeys(("open", "high", "low", "close", "volume"), np.array(values, dtype=np.float64))
        columns |= {
            name: np.array(of_symbol[symbol], dtype=np.float64)
            for name, of_symbol in further.items()
            if symbol in of_symbol
        }
        batches.append(
            CandleBatch(
                source=symbol,
                symbols=[symbol],
                codes=np.zeros(len(values), dtype=np.int32),
                open_times=first + DAY * np.arange(len(values), dtype=np.int64),
                columns=columns,
            )
        )
    with StoreWriter(folder) as writer:
        import_batches(batches, timeframe="1d", writer=writer, log=ProblemLog(20), started=0.0)
    return ArrowCandleRepository(folder)
