"""The candles as a user's own repository, in which a worker reaches the stages where orders may wait for it.

Which job a worker is at, it is told by the end of the job's range: see `requests.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from candelabra_server.candles.repository import ICandleRepository, Snapshot, StoredSymbol
from candelabra_server.domain.candles import Candles
from candelabra_server.domain.date_range import DateRange
from candelabra_server.errors import TimeframeNotStoredError
from chaos.candles import SYMBOLS, TIMEFRAME, candles_of, is_poison, rows_of
from chaos.loads import LoadLog
from chaos.orders import STAGES, OrderBook
from chaos.requests import job_number

__all__ = ["ChaosRepository", "create"]

_POISONS = {"P0": ("load", "kill"), "P1": ("compute", "exit"), "P2": ("encode", "segfault"), "P3": ("load", "abort")}
"""Where and how a worker dies of them; without a formula, nothing is computed, and it dies when it encodes."""


class Attention:
    """What this worker is at, and whom it tells."""

    def __init__(self, folder: Path) -> None:
        self._orders = OrderBook(folder)
        self._loads = LoadLog(folder / "loads")
        self._job = 0
        self._symbol = ""
        self._messages = 0
        self._is_computing = False

    def start(self) -> None:
        """The repository is being made."""
        self._orders.reach("start")

    def load(self, job: int, symbol: str) -> None:
        """A symbol is being loaded."""
        self._job, self._symbol, self._messages, self._is_computing = job, symbol, 0, False
        self._reach("load")

    def compute(self) -> None:
        """The formula is being evaluated; said several times a symbol."""
        if not self._is_computing:
            self._is_computing = True
            self._reach("compute")

    def encode(self) -> None:
        """A message is being written."""
        self._messages += 1
        self._reach("encode" if self._messages == 1 else "write")

    def _reach(self, stage: str) -> None:
        job, symbol = self._job, self._symbol
        self._loads.add(job, symbol)
        self._orders.reach(stage, job=job, symbol=symbol)
        if is_poison(symbol):
            fatal_stage, kind = _POISONS[symbol]
            if STAGES.index(stage) >= STAGES.index(fatal_stage):
                self._orders.obey(kind, stage, job=job, symbol=symbol)


class WatchedTimes(np.ndarray[Any, np.dtype[np.int64]]):
    """Open times that notice when they are counted by the evaluation and copied by the encoding."""

    attention: ClassVar[Attention]

    def __len__(self) -> int:
        asking = sys._getframe(2)  # the frame between is that of Candles.__len__
        if asking.f_code.co_filename.endswith("evaluator.py"):
            self.attention.compute()
        return super().__len__()

    def astype(self, *args: Any, **kwargs: Any) -> Any:
        self.attention.encode()
        return super().astype(*args, **kwargs)


class UnchangingSnapshot(Snapshot):
    """Nothing to hold: the candles never change."""

    id = "chaos-1"
    symbols = SYMBOLS

    def close(self) -> None:
        """Nothing to let go of."""

    def __exit__(self, *_: object) -> None:
        self.close()


class ChaosRepository(ICandleRepository):
    """Candles of one timeframe.

    Args:
        folder: of the run.
        attention: of a worker; None in the server, which loads nothing.
    """

    def __init__(self, folder: Path, attention: Attention | None = None) -> None:
        self._folder = folder
        self._attention = attention

    def worker_config(self) -> Mapping[str, Any]:
        """What `create` needs."""
        return {"type": "chaos.repository:create", "folder": str(self._folder)}

    def timeframes(self) -> Mapping[str, int]:
        """The only one."""
        return {TIMEFRAME: len(SYMBOLS)}

    def snapshot(self, timeframe: str) -> Snapshot:
        """The only state."""
        if timeframe != TIMEFRAME:
            raise TimeframeNotStoredError(timeframe, [TIMEFRAME])
        return UnchangingSnapshot()

    def list_symbols(self, timeframe: str) -> Sequence[StoredSymbol]:
        """All of them; their times are never asked for here."""
        del timeframe
        return [StoredSymbol(symbol, rows_of(symbol), 0, 0, ("close",)) for symbol in SYMBOLS]

    def load(
        self, symbol: str, timeframe: str, date_range: DateRange, *, warm_up_candles: int, snapshot_id: str
    ) -> Candles:
        """All candles of a symbol, whatever the range begins with; its end names the job."""
        del timeframe, warm_up_candles, snapshot_id
        if self._attention is not None:
            self._attention.load(job_number(date_range.end_micros), symbol)
        whole = candles_of(symbol)
        return Candles(symbol, whole.open_time_micros.view(WatchedTimes), whole.fields)


def create(config: Mapping[str, Any]) -> ChaosRepository:
    """The factory that the configuration names, called in workers."""
    folder = Path(config["folder"])
    WatchedTimes.attention = attention = Attention(folder)
    attention.start()
    return ChaosRepository(folder, attention)
