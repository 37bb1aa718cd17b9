"""Demo candles: five real symbols from the bokeh-sampledata package and 8,000 synthetic ones, all daily."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from candelabra_server.candles.arrow_store import ArrowCandleRepository
from candelabra_server.candles.candle_batch import CandleBatch
from candelabra_server.candles.importing import ImportSummary, Progress, import_batches
from candelabra_server.candles.problem_log import FileProblems, ProblemLog
from candelabra_server.candles.store_writer import StoreWriter
from candelabra_server.errors import ConfigurationError, TimeframeNotStoredError

__all__ = ["REAL_SYMBOLS", "SYNTHETIC_SYMBOLS", "TIMEFRAME", "demo_is_loaded", "load_demo", "synthetic_batch"]

TIMEFRAME = "1d"
REAL_SYMBOLS = ("AAPL", "FB", "GOOG", "IBM", "MSFT")
SYNTHETIC_SYMBOLS = tuple(f"SYN{number:04d}" for number in range(8_000))

_PACKAGE = "bokeh_sampledata"
_FILE = "stocks.csv.gz"
"""Where the package has the real symbols, since 2026.1."""
_ADJUST_BY = "Adj Close"
_SYNTHETIC_CANDLES = 500
_LAST_DAY = "2013-03-01"
"""The last day of the real symbols, so that ranges have candles of both kinds."""
_SEED = 20130301
_MICROS_A_DAY = 86_400_000_000


def load_demo(store: Path | str, progress: Progress | None = None) -> ImportSummary:
    """Imports the demo candles; what a store has of them already is replaced by the same.

    Raises:
        ConfigurationError: the package with the real candles is not installed.
        StoreError: another import is running, or the store cannot be written.
    """
    from candelabra_server.candles.candle_checks import check_candles  # noqa: PLC0415
    from candelabra_server.candles.file_reading import read_file  # noqa: PLC0415 - imports pyarrow
    from candelabra_server.candles.import_options import ImportOptions  # noqa: PLC0415

    started = time.perf_counter()
    report = progress or (lambda _done, _total: None)
    path = _real_file()
    options = ImportOptions.parse(timeframe=TIMEFRAME, adjust_by=_ADJUST_BY)
    with StoreWriter(Path(store)) as writer:
        log = ProblemLog(limit=20)
        report(0, 3)
        real = read_file(path, options, log)
        report(1, 3)
        synthetic = synthetic_batch()
        problems = FileProblems(log, synthetic.source)
        check_candles(synthetic, problems)
        problems.report()
        log.raise_if_any()
        report(2, 3)
        batches = [batch for batch in (real, synthetic) if batch is not None]
        summary = import_batches(batches, timeframe=TIMEFRAME, writer=writer, log=log, started=started)
    report(3, 3)
    return summary


def demo_is_loaded(store: Path | str) -> bool:
    """Whether a store has all of the demo's symbols; takes milliseconds.

    Raises:
        StoreError: the store cannot be read.
    """
    try:
        with ArrowCandleRepository(store).snapshot(TIMEFRAME) as snapshot:
            return set(snapshot.symbols).issuperset((*REAL_SYMBOLS, *SYNTHETIC_SYMBOLS))
    except TimeframeNotStoredError:
        return False


def synthetic_batch(symbols: Sequence[str] = SYNTHETIC_SYMBOLS, candles: int = _SYNTHETIC_CANDLES) -> CandleBatch:
    """Seeded random walks on weekdays: each symbol with a level, a drift and a volatility of its own.

    A symbol's candles depend on all of the arguments, and on nothing else.
    """
    random = np.random.default_rng(_SEED)
    count = len(symbols)
    shape = (count, candles)
    volatility = random.uniform(0.008, 0.035, (count, 1))
    drift = random.normal(0.0003, 0.0004, (count, 1))
    level = np.exp(random.uniform(np.log(4), np.log(300), (count, 1)))
    steps = random.standard_normal(shape) * volatility + (drift - volatility**2 / 2)
    close = np.maximum(np.round(level * np.exp(np.cumsum(steps, axis=1)), 4), 0.01)
    before = np.concatenate([level, close[:, :-1]], axis=1)
    open_ = np.maximum(np.round(before * np.exp(random.standard_normal(shape) * volatility * 0.3), 4), 0.01)
    reach = np.abs(random.standard_normal((2, *shape))) * volatility * 0.5
    high = np.round(np.maximum(open_, close) * (1 + reach[0]), 4)
    low = np.round(np.minimum(open_, close) / (1 + reach[1]), 4)
    turnover = np.exp(random.uniform(np.log(1e6), np.log(5e8), (count, 1)))
    volume = np.round(turnover / close * np.exp(random.standard_normal(shape) * 0.4))
    days = np.busday_offset(_LAST_DAY, np.arange(1 - candles, 1), roll="backward").astype("datetime64[D]")
    times = days.astype(np.int64) * _MICROS_A_DAY
    columns = {"open": open_, "high": high, "low": low, "close": close, "volume": volume}
    return CandleBatch(
        source="synthetic candles",
        symbols=symbols,
        codes=np.repeat(np.arange(count, dtype=np.int32), candles),
        open_times=np.tile(times, count),
        columns={name: column.reshape(-1) for name, column in columns.items()},
    )


def _real_file() -> Path:
    """The package's file of the real symbols, found without importing it."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is not None and spec.origin is not None:
        path = Path(spec.origin).parent / "_data" / _FILE
        if path.is_file():
            return path
    raise ConfigurationError(
        "the demo's real candles come with the package bokeh-sampledata; install it: pip install 'candelabra[demo]'"
    )
