"""import_files: from files of candles to a new state of the store, all of them or none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from candelabra_server.candles.file_search import find_files
from candelabra_server.candles.problem_log import ProblemLog
from candelabra_server.candles.store_writer import StoreWriter
from candelabra_server.domain.timeframe import Timeframe
from candelabra_server.errors import InvalidRequestError, Violation

if TYPE_CHECKING:
    from candelabra_server.candles.candle_batch import CandleBatch

__all__ = ["ImportSummary", "Progress", "import_batches", "import_files"]

Progress = Callable[[int, int], None]
"""Called with the steps done and how many there are."""

_FIRST_SYMBOLS = 5


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What an import did.

    Attributes:
        rows: candles imported.
        symbols: how many symbols they are of.
        replaced_rows: how many of the candles took the place of stored ones of equal symbol and time.
        first_open_time_micros: of the earliest candle imported.
        last_open_time_micros: of the latest candle imported.
        files: how many files were read.
        dropped_columns: names of columns that were left out because they do not hold numbers for formulas, sorted.
        seconds: how long it took.
        first_symbols: the first few of the symbols, sorted.
        skipped_files: files in the folders imported that have no known ending.
        scaled_files: files whose prices were found to be fixed-point numbers, with what they were multiplied by.
        dropped_segments: names of damaged segments that were given up.
    """

    rows: int
    symbols: int
    replaced_rows: int
    first_open_time_micros: int
    last_open_time_micros: int
    files: int
    dropped_columns: tuple[str, ...]
    seconds: float
    first_symbols: tuple[str, ...] = ()
    skipped_files: tuple[Path, ...] = ()
    scaled_files: tuple[tuple[str, Decimal], ...] = ()
    dropped_segments: tuple[str, ...] = ()


def import_files(
    paths: Iterable[Path | str],
    *,
    timeframe: str,
    store: Path | str,
    adjust_by: str | None = None,
    symbol: str | None = None,
    columns: Mapping[str, str] | None = None,
    header: Sequence[str] = (),
    price_scale: str | None = None,
    time_zone: str | None = None,
    time_format: str | None = None,
    drop_damaged: bool = False,
    progress: Progress | None = None,
    max_problems: int = 20,
) -> ImportSummary:
    """Imports files as one new state of the store; when anything is wrong with any file, nothing of them.

    Candles of a symbol and time that are stored already are replaced, whole; the others are added.

    Args:
        paths: CSV, Parquet or Arrow files, also packed, recognised by their content; of folders, all files
            below with a known ending, but for hidden ones.
        timeframe: of all candles, in any spelling.
        store: the store's folder, made when there is none.
        adjust_by: a column that every file has, in any case: open, high, low and close are multiplied by
            it over close, and volume is divided by the same.
        symbol: of all candles of files without a symbol column; None is the one in each file's name.
        columns: which column of the files is `time`, `symbol`, `open`, `high`, `low`, `close` or `volume`, where
            its name does not tell; an empty name for a volume that they do not have.
        header: names of the columns of files without a header line, in their order.
        price_scale: what prices are multiplied by, a decimal number; None is 1, but for fixed-point prices.
        time_zone: of times of day without a zone, such as `America/New_York`; None is UTC.
        time_format: how times are written, in the directives of `datetime.strptime`; None is found out.
        drop_damaged: give up the segments of this timeframe that are damaged in any way, with all that they have.
        progress: told what is done.
        max_problems: how many problems the report describes; all are counted.

    Raises:
        InvalidRequestError: no files, or an option that cannot be.
        ImportRefusedError: what is wrong with the files.
        StoreError: another import is running, or the store is damaged or cannot be written.
    """
    from candelabra_server.candles.file_reading import read_file  # noqa: PLC0415 - imports pyarrow
    from candelabra_server.candles.import_options import ImportOptions  # noqa: PLC0415

    started = time.perf_counter()
    options = ImportOptions.parse(
        timeframe=timeframe,
        symbol=symbol,
        adjust_by=adjust_by,
        columns=columns,
        header=header,
        price_scale=price_scale,
        time_zone=time_zone,
        time_format=time_format,
    )
    named = [Path(path) for path in paths]
    if not named:
        raise InvalidRequestError([Violation("files", "there is no file to import")])
    report = progress or (lambda _done, _total: None)
    with StoreWriter(Path(store)) as writer:
        log = ProblemLog(max_problems)
        found = find_files(named, Path(store), log)
        files = found.files
        batches = []
        for number, path in enumerate(files):
            report(number, len(files) + 1)
            batch = read_file(path, options, log)
            if batch is not None:
                batches.append(batch)
        log.raise_if_any()
        report(len(files), len(files) + 1)
        summary = import_batches(
            batches,
            timeframe=Timeframe.parse(timeframe).text,
            writer=writer,
            log=log,
            started=started,
            drop_damaged=drop_damaged,
        )
    report(len(files) + 1, len(files) + 1)
    is_found = price_scale is None
    return replace(
        summary,
        skipped_files=tuple(found.skipped),
        scaled_files=tuple(
            (batch.source, batch.price_scale) for batch in batches if is_found and batch.price_scale != 1
        ),
    )


def import_batches(
    batches: Sequence[CandleBatch],
    *,
    timeframe: str,
    writer: StoreWriter,
    log: ProblemLog,
    started: float,
    drop_damaged: bool = False,
) -> ImportSummary:
    """Stores checked batches, at least one, as one new state.

    Args:
        batches: what to store.
        timeframe: canonical.
        writer: an entered writer of the store.
        log: where candles that come in two batches are logged; raised from here.
        started: `time.perf_counter` at the start of the import.
        drop_damaged: as `import_files`.
    """
    from candelabra_server.candles.candle_batch import combine  # noqa: PLC0415

    content = combine(batches, log)
    log.raise_if_any()
    committed = writer.commit(timeframe, content, drop_damaged=drop_damaged)
    return ImportSummary(
        rows=len(content.open_times),
        symbols=len(content.symbols),
        replaced_rows=committed.replaced_rows,
        first_open_time_micros=int(content.open_times.min()),
        last_open_time_micros=int(content.open_times.max()),
        files=len({batch.source for batch in batches}),
        dropped_columns=tuple(sorted({name for batch in batches for name in batch.dropped_columns})),
        seconds=time.perf_counter() - started,
        first_symbols=tuple(content.symbols[:_FIRST_SYMBOLS]),
        dropped_segments=committed.dropped,
    )
