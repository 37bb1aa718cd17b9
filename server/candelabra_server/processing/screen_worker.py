"""What a worker does for a chunk of a screen: each symbol's last row, and those that pass in one message.

This is the hot path of screens: a symbol takes a few microseconds, so nothing is made for it that could be made once
for the chunk, and its values go from the evaluation's table straight to where the message takes them from.

Nothing here raises: what is wrong with a symbol becomes its failure.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from candelabra.v1 import ScreenFailure, SymbolError
from candelabra.worker.v1 import ScreenedChunk
from candelabra_server.candles.repository import ICandleRepository
from candelabra_server.domain.candles import Candles
from candelabra_server.errors import CandelabraError, Reason, SymbolFailure
from candelabra_server.formulas.buffers import Buffers
from candelabra_server.formulas.service import CompiledFormula
from candelabra_server.processing.symbol_watch import ChunkUnwantedError, SymbolWatch
from candelabra_server.processing.worker_failures import out_of_memory, unexpected

__all__ = ["fail_symbols", "last_candles", "screen_failure", "screen_symbols"]

logger = logging.getLogger(__name__)


def last_candles(
    candle_repo: ICandleRepository, *, timeframe: str, end_micros: int, formula: CompiledFormula, snapshot_id: str
) -> Callable[[str], Candles]:
    """What loads of a symbol the last candle up to a time, and the older ones and the fields that a formula needs."""
    load_last = candle_repo.load_last
    warm_up_candles, fields = formula.warm_up_candles, formula.fields_of("")

    def load(symbol: str) -> Candles:
        return load_last(
            symbol,
            timeframe,
            end_micros,
            warm_up_candles=warm_up_candles,
            fields=fields,
            snapshot_id=snapshot_id,
        )

    return load


def screen_symbols(
    symbols: Sequence[str],
    *,
    load: Callable[[str], Candles],
    formula: CompiledFormula,
    filter_column: int | None,
    buffers: Buffers,
    watch: SymbolWatch,
    load_others: Callable[[Candles], Mapping[str, Candles]] | None = None,
) -> ScreenedChunk:
    """Evaluates a formula over each symbol's candles, and keeps the last row of those that pass.

    Args:
        symbols: each one's exact name.
        load: gives a symbol's candles, of which the last one is looked at; see `last_candles`.
        formula: what to compute.
        filter_column: index of the column that decides which symbols pass; None when all do.
        buffers: used for nothing else meanwhile.
        watch: over the chunk.
        load_others: gives the candles of the other symbols that the formula reads, over the time of these; needed when
            it reads any.

    Raises:
        ChunkUnwantedError: nobody wants the answer any more.
    """
    passed: list[str] = []
    times: list[int] = []
    values = np.empty((len(formula.columns), len(symbols)))
    failures: list[ScreenFailure] = []
    candles_read = 0
    evaluate = formula.evaluate
    others: Mapping[str, Candles] | None = None
    begin, checkpoint = watch.begin, watch.check
    for position, symbol in enumerate(symbols):
        try:
            begin(position)
            candles = load(symbol)
            open_times = candles.open_time_micros
            rows = len(open_times)
            if not rows:
                raise SymbolFailure(f"{symbol} has no candles up to that time", reason=Reason.NO_CANDLES)
            if formula.other_symbols and load_others is not None:
                others = load_others(candles)
            checkpoint()
            table = evaluate(candles, others=others, checkpoint=checkpoint, buffers=buffers)
            candles_read += rows
            if filter_column is not None:
                found = table.item(filter_column, -1)
                if found == 0.0 or found != found:  # noqa: PLR0124 - without a value
                    continue
            values[:, len(passed)] = table[:, -1]
            times.append(open_times.item(-1))
            passed.append(symbol)
        except ChunkUnwantedError:
            raise
        except CandelabraError as failure:
            failures.append(screen_failure(symbol, failure))
        except MemoryError:
            logger.exception("not enough memory to screen %s", symbol)
            failures.append(screen_failure(symbol, out_of_memory()))
        except BaseException:  # SystemExit and KeyboardInterrupt of a plugged-in repository included
            logger.exception("cannot screen %s", symbol)
            failures.append(screen_failure(symbol, unexpected()))
    return ScreenedChunk(
        symbols=passed,
        as_of_micros=np.array(times, dtype="<i8").tobytes(),
        values=values[:, : len(passed)].astype("<f8", copy=False).tobytes(),
        failures=failures,
        candles_read=candles_read,
    )


def fail_symbols(symbols: Sequence[str], failure: CandelabraError) -> ScreenedChunk:
    """The answer when all symbols of a chunk fail for the same cause."""
    return ScreenedChunk(failures=[screen_failure(symbol, failure) for symbol in symbols])


def screen_failure(symbol: str, failure: CandelabraError) -> ScreenFailure:
    """A failure as a message; a plug-in's own failure may be one that cannot be told."""
    try:
        error = SymbolError(reason=str(failure.reason), message=failure.message, metadata=dict(failure.metadata))
    except BaseException:  # as in worker_functions.py
        logger.exception("cannot send why %s failed", symbol)
        error = SymbolError(reason=str(Reason.INTERNAL), message=unexpected().message)
    return ScreenFailure(symbol=symbol, error=error)
