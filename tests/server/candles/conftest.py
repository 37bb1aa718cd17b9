"""Stores that tests fill, and files that they import."""

from pathlib import Path

import numpy as np
import pytest

from candelabra_server.candles.arrow_store import ArrowCandleRepository
from candelabra_server.candles.candle_batch import CandleBatch
from candelabra_server.candles.importing import import_batches, import_files
from candelabra_server.candles.problem_log import ProblemLog
from candelabra_server.candles.store_writer import StoreWriter
from candelabra_server.domain.date_range import DateRange

DAY = 86_400_000_000


class Store:
    """A store in a folder, with short ways to fill and read it; days count from 2020-01-01."""

    first = 18_262 * DAY

    def __init__(self, path: Path):
        self.path = path

    def add(self, symbols, timeframe="1d", **further):
        """Imports candles by symbol: a mapping of day to close."""
        batches = [
            CandleBatch(
                source=symbol,
                symbols=[symbol],
                codes=np.zeros(len(closes), dtype=np.int32),
                open_times=np.array([self.first + day * DAY for day in closes], dtype=np.int64),
                columns=dict.fromkeys(
                    ("open", "high", "low", "close", "volume"), np.array(list(closes.values()), dtype=np.float64)
                )
                | {name: np.full(len(closes), float(value)) for name, value in further.items()},
            )
            for symbol, closes in symbols.items()
        ]
        with StoreWriter(self.path) as writer:
            return import_batches(batches, timeframe=timeframe, writer=writer, log=ProblemLog(20), started=0.0)

    def repository(self):
        return ArrowCandleRepository(self.path)

    def closes(self, repository=None, snapshot_id="", timeframe="1d"):
        """All that a store shows: by symbol, day and close."""
        repository = repository or self.repository()
        found = {}
        for entry in repository.list_symbols(timeframe) if not snapshot_id else ():
            found[entry.symbol] = self.closes_of(repository, entry.symbol, snapshot_id, timeframe)
        return found

    def closes_of(self, repository, symbol, snapshot_id="", timeframe="1d"):
        candles = repository.load(symbol, timeframe, DateRange(), warm_up_candles=0, snapshot_id=snapshot_id)
        days = ((candles.open_time_micros - self.first) // DAY).tolist()
        return dict(zip(days, candles.fields["close"].tolist(), strict=True))

    def files(self, folder="segments"):
        return sorted(path.name for path in (self.path / folder).iterdir())


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def write(tmp_path):
    """Writes a text file and returns its path."""

    def write_file(name, text):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8", newline="")
        return path

    return write_file


@pytest.fixture
def run(store):
    """Imports files into the store."""

    def run_import(*paths, timeframe="1d", **further):
        return import_files(paths, timeframe=timeframe, store=store.path, **further)

    return run_import
