"""The commands on a candle store: demo, import, check-store."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from candelabra_server.candles.demo import demo_is_loaded, load_demo
from candelabra_server.candles.importing import ImportSummary, import_files
from candelabra_server.candles.segment_check import Finding
from candelabra_server.candles.store_check import StoreReport, check_store
from candelabra_server.config import DEFAULT_STORE

__all__ = ["Store", "add_store_commands"]

_DAMAGED = 1
_SHOWN_FILES = 5
_SHOWN_SYMBOLS = 5

_out = Console(highlight=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False, soft_wrap=True)

Store = Annotated[Path, typer.Option(envvar="CANDELABRA_STORE", help="Folder of the candle store.")]


def add_store_commands(app: typer.Typer) -> None:
    """Adds them to the command line, in the order of its help."""
    app.command("demo")(_demo)
    app.command("import")(_import)
    app.command("check-store")(_check_store)


def _demo(
    store: Store = DEFAULT_STORE,
    *,
    if_missing: Annotated[bool, typer.Option("--if-missing", help="Do nothing when they are loaded already.")] = False,
) -> None:
    """Load demo candles: AAPL, FB, GOOG, IBM, MSFT (real, daily) and 8,000 synthetic symbols."""
    if if_missing and demo_is_loaded(store):
        _out.print(f"demo candles are in {store} already", markup=False)
        return
    with _progress("loading demo candles") as progress:
        summary = load_demo(store, progress=progress)
    _print_summary(summary, store)


def _import(
    files: Annotated[
        list[Path], typer.Argument(help="CSV, Parquet or Arrow files (also .gz, .zip, .zst), or folders of them.")
    ],
    *,
    timeframe: Annotated[str, typer.Option(help="Length of a candle, such as 1m or 1d.")],
    store: Store = DEFAULT_STORE,
    adjust_by: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Scale prices by COLUMN/close (such as 'Adj Close'), volume inversely."),
    ] = None,
    symbol: Annotated[
        str | None, typer.Option(help="The symbol, where the file has no such column.", show_default="the file's name")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=COLUMN",
            help="Which column is time, symbol, open, high, low, close or volume: close=last_price. Repeatable.",
        ),
    ] = None,
    header: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Column names, with commas between, of files without a header line."),
    ] = None,
    time_zone: Annotated[
        str | None,
        typer.Option(help="Of times without one, such as America/New_York.", show_default="UTC"),
    ] = None,
    time_format: Annotated[
        str | None,
        typer.Option(
            help="How times are written, as for Python's strptime, such as %d/%m/%Y.", show_default="any usual"
        ),
    ] = None,
    price_scale: Annotated[
        str | None,
        typer.Option(metavar="NUMBER", help="What prices are multiplied by, such as 1e-9.", show_default="1"),
    ] = None,
    drop_damaged: Annotated[
        bool, typer.Option("--drop-damaged", help="Give up the timeframe's damaged files that check-store names.")
    ] = False,
) -> None:
    """Import candles: all of the files, or nothing when anything is wrong with one."""
    for path in files:
        _require_existing(path)
    with _progress("importing") as progress:
        summary = import_files(
            files,
            timeframe=timeframe,
            store=store,
            adjust_by=adjust_by,
            symbol=symbol,
            columns=_columns_by_role(column or ()),
            header=header.split(",") if header else (),
            price_scale=price_scale,
            time_zone=time_zone,
            time_format=time_format,
            drop_damaged=drop_damaged,
            progress=progress,
        )
    _print_summary(summary, store)
    _print_import_details(summary)


def _check_store(store: Store = DEFAULT_STORE) -> None:
    """Look for damaged files in the store, by their checksums, and for what is left over; exits with 1 for damage."""
    with _progress("checking MiB") as progress:
        report = check_store(store, progress)
    for finding in report.findings:
        _print_finding(finding)
    _print_report(report, store)
    if report.is_damaged:
        raise typer.Exit(_DAMAGED)


def _require_existing(path: Path) -> None:
    """Refuses a path that is not there, with the name that it may mean."""
    if path.exists():
        return
    siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    meant = difflib.get_close_matches(path.name, siblings, n=1)
    hint = f"; did you mean {path.parent / meant[0]}?" if meant else ""
    raise typer.BadParameter(f"there is no file or folder {path}{hint}", param_hint="FILES")


def _columns_by_role(options: Sequence[str]) -> Mapping[str, str]:
    columns: dict[str, str] = {}
    for option in options:
        role, separator, name = option.partition("=")
        if not separator or role in columns:
            raise typer.BadParameter(
                f"{option!r} is not ROLE=COLUMN with a role of its own, such as close=last_price", param_hint="--column"
            )
        columns[role] = name
    return columns


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, nothing elsewhere; gives a function to call with what is done and the total."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_err, transient=True, disable=not _err.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _print_summary(summary: ImportSummary, store: Path) -> None:
    replaced = f", {summary.replaced_rows:,} of them in place of older ones" if summary.replaced_rows else ""
    _out.print(f"imported {summary.rows:,} candles of {summary.symbols:,} symbols into {store}{replaced}", markup=False)
    if summary.dropped_columns:
        _out.print(f"left out, not being numbers for formulas: {', '.join(summary.dropped_columns)}", markup=False)


def _print_import_details(summary: ImportSummary) -> None:
    """What a newcomer checks at a glance: which symbols, which times, which files."""
    more = summary.symbols - len(summary.first_symbols)
    names = ", ".join(summary.first_symbols) + (f" and {more:,} more" if more else "")
    first, last = (_moment(micros) for micros in (summary.first_open_time_micros, summary.last_open_time_micros))
    _out.print(f"  symbols  {names}", markup=False)
    _out.print(f"  times    {first} to {last} UTC", markup=False)
    _out.print(f"  files    {summary.files:,}, in {summary.seconds:.1f} s", markup=False)
    if summary.skipped_files:
        shown = ", ".join(str(path) for path in summary.skipped_files[:_SHOWN_FILES])
        more = len(summary.skipped_files) - _SHOWN_FILES
        _out.print(f"  skipped  {shown}{f' and {more:,} more' if more > 0 else ''}", markup=False)
    for name in summary.dropped_segments:
        _out.print(f"  dropped  {name}, which was damaged, with all candles that were in it only", markup=False)
    for file, scale in summary.scaled_files[:_SHOWN_FILES]:
        _out.print(f"  prices   of {file} are fixed-point, multiplied by {scale:e}", markup=False)


def _print_finding(finding: Finding) -> None:
    """One line, however many symbols are touched."""
    kind, style = ("damaged", "red") if finding.is_damage else ("note", None)
    touched = f" ({_touched(finding)})" if finding.is_damage else ""
    _out.print(f"{kind}: {finding.file}{touched}: {finding.problem}; {finding.remedy}", markup=False, style=style)


def _touched(finding: Finding) -> str:
    timeframe = finding.timeframe or "all timeframes"
    if finding.symbols is None:
        return f"{timeframe}: all symbols"
    if not finding.symbols:
        return f"{timeframe}: no symbol"
    more = len(finding.symbols) - _SHOWN_SYMBOLS
    shown = ", ".join(finding.symbols[:_SHOWN_SYMBOLS])
    return f"{timeframe}: {shown}{f' and {more:,} more symbols' if more > 0 else ''}"


def _print_report(report: StoreReport, store: Path) -> None:
    damaged = len({finding.file for finding in report.findings if finding.is_damage})
    result = f"{damaged:,} of its files damaged" if damaged else "sound" if report.state else "empty"
    _out.print(f"{store}: {result}", markup=False, style="bold")
    if report.state:
        _out.print(
            f"  checked  {report.bytes_read / 1e6:,.1f} MB of candles, segments: {report.segments:,}, "
            f"timeframes: {report.timeframes:,}, state: {report.state}",
            markup=False,
        )
    if report.older_states:
        _out.print(f"  older    {report.older_states:,} states, kept for running jobs or until the next import")


def _moment(micros: int) -> str:
    """A time to the second, or to the day."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    return f"{moment:%Y-%m-%d}" if micros % 86_400_000_000 == 0 else f"{moment:%Y-%m-%d %H:%M:%S}"
