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
from candelabra_server.processing.screen_stack import Stack
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
    chunk = _Chunk(symbols, formula, buffers, watch, load_others)
    stack = Stack(formula)
    begin, check = watch.begin, watch.check
    for position, symbol in enumerate(symbols):
        try:
            begin(position)
            candles = load(symbol)
            if not len(candles.open_time_micros):
                raise SymbolFailure(f"{symbol} has no candles up to that time", reason=Reason.NO_CANDLES)
            check()
            if not stack.add(position, candles):
                chunk.evaluate(position, candles)
            elif stack.is_full:
                chunk.evaluate_stack(stack)
        except ChunkUnwantedError:
            raise
        except BaseException as error:  # noqa: BLE001 - also SystemExit and KeyboardInterrupt of a plugged-in repository
            chunk.fail(symbol, error)
    chunk.evaluate_stack(stack)
    return chunk.answer(filter_column)


class _Chunk:
    """The last rows of a chunk's symbols, by their positions."""

    def __init__(
        self,
        symbols: Sequence[str],
        formula: CompiledFormula,
        buffers: Buffers,
        watch: SymbolWatch,
        load_others: Callable[[Candles], Mapping[str, Candles]] | None,
    ) -> None:
        self._symbols = symbols
        self._formula = formula
        self._buffers = buffers
        self._watch = watch
        self._load_others = load_others if formula.other_symbols else None
        self._values = np.empty((len(formula.columns), len(symbols)))
        self._times = np.zeros(len(symbols), dtype="<i8")
        self._is_done = np.zeros(len(symbols), dtype=np.bool_)
        self._failures: list[ScreenFailure] = []
        self._candles_read = 0

    def evaluate(self, position: int, candles: Candles) -> None:
        """One symbol by itself."""
        others = self._load_others(candles) if self._load_others is not None else None
        table = self._formula.evaluate(candles, others=others, checkpoint=self._watch.check, buffers=self._buffers)
        self._values[:, position] = table[:, -1]
        self._times[position] = candles.open_time_micros[-1]
        self._is_done[position] = True
        self._candles_read += len(candles)

    def evaluate_stack(self, stack: Stack) -> None:
        """All symbols of the stack, which is empty then."""
        positions, stacked = stack.positions, stack.candles
        if not positions:
            return
        try:
            self._values[:, positions] = stack.last_rows(self._watch.check, self._buffers)
            self._times[positions] = [candles.open_time_micros[-1] for candles in stacked]
            self._is_done[positions] = True
            self._candles_read += stack.rows
        except ChunkUnwantedError:
            raise
        except BaseException:  # noqa: BLE001 - whatever it is, each symbol has its own chance
            self._evaluate_each(positions, stacked)
        stack.clear()

    def _evaluate_each(self, positions: Sequence[int], stacked: Sequence[Candles]) -> None:
        for position, candles in zip(positions, stacked, strict=True):
            try:
                self._watch.begin(position)
                self.evaluate(position, candles)
            except ChunkUnwantedError:
                raise
            except BaseException as error:  # noqa: BLE001 - as above
                self.fail(self._symbols[position], error)

    def fail(self, symbol: str, error: BaseException) -> None:
        """A symbol has no row; the text of foreign exceptions goes to the log only."""
        if isinstance(error, CandelabraError):
            failure = error
        elif isinstance(error, MemoryError):
            logger.error("not enough memory to screen %s", symbol, exc_info=error)
            failure = out_of_memory()
        else:
            logger.error("cannot screen %s", symbol, exc_info=error)
            failure = unexpected()
        self._failures.append(screen_failure(symbol, failure))

    def answer(self, filter_column: int | None) -> ScreenedChunk:
        """Those that pass."""
        passes = self._is_done
        if filter_column is not None:
            decisive = self._values[filter_column]
            passes = passes & (decisive != 0.0) & ~np.isnan(decisive)
        positions = np.flatnonzero(passes)
        return ScreenedChunk(
            symbols=[self._symbols[position] for position in positions.tolist()],
            as_of_micros=self._times[positions].tobytes(),
            values=self._values[:, positions].astype("<f8", copy=False).tobytes(),
            failures=self._failures,
            candles_read=self._candles_read,
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
