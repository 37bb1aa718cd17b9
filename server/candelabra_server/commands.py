"""The `candelabra-server` command: serve, demo, import, check-config, warm-up."""

from __future__ import annotations

import asyncio
import difflib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from candelabra_server import __version__
from candelabra_server.candles.demo import demo_is_loaded, load_demo
from candelabra_server.candles.importing import ImportSummary, import_files
from candelabra_server.candles.repository import ICandleRepository
from candelabra_server.config import DEFAULT_LISTEN, DEFAULT_STORE, ServerConfig, available_cpus
from candelabra_server.errors import CandelabraError, ConfigurationError, ImportRefusedError
from candelabra_server.formulas.compiled.loading import cache_folder, is_warm, make_cache_folder, warm_up

__all__ = ["run"]

_FAILED = 1
_SHOWN_FILES = 5
_POLITE = 10
"""How much compiling yields to whatever else the machine does."""

_app = typer.Typer(
    name="candelabra-server",
    help="Candelabra's server: formulas over the candles of thousands of symbols, streamed over gRPC.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
_out = Console(highlight=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False, soft_wrap=True)

Store = Annotated[Path, typer.Option(envvar="CANDELABRA_STORE", help="Folder of the candle store.")]
Listen = Annotated[
    str, typer.Option(envvar="CANDELABRA_LISTEN", help="HOST:PORT (port 0: the system chooses) or unix:PATH.")
]
Workers = Annotated[
    int | None,
    typer.Option(envvar="CANDELABRA_WORKERS", min=1, help="Worker processes.", show_default="CPUs it may use"),
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Allow an address other than this machine's own without encryption.")
]
DrainSeconds = Annotated[float, typer.Option(min=0, help="After SIGTERM: how long running jobs may go on.")]
ResultsFolder = Annotated[
    Path | None,
    typer.Option(
        envvar="CANDELABRA_RESULTS_FOLDER",
        help="Folder for results on their way from workers, best one in memory.",
        show_default="shared memory, or that for temporary files",
    ),
]
ResultSlot = Annotated[
    int,
    typer.Option(
        envvar="CANDELABRA_RESULT_SLOT",
        metavar="MIB",
        min=1,
        help="Most results of one chunk of work; the folder has 2 × (workers + 1) times this.",
    ),
]
JobBuffer = Annotated[
    int,
    typer.Option(
        envvar="CANDELABRA_JOB_BUFFER",
        metavar="MIB",
        min=1,
        help="Results of a job that may wait for its client before no more are computed.",
    ),
]


def run() -> None:
    """Runs the command line; the only place that turns errors into exit statuses."""
    try:
        _app()
    except ImportRefusedError as error:
        for problem in error.problems:
            _err.print(str(problem), markup=False, style="red")
        if error.problem_count > len(error.problems):
            _err.print(f"and {error.problem_count - len(error.problems)} more problems")
        _err.print("nothing was imported", style="bold")
        sys.exit(_FAILED)
    except CandelabraError as error:
        _err.print(error.message, markup=False, style="red")
        sys.exit(_FAILED)


@_app.callback(invoke_without_command=True)
def _main(
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    log_level: Annotated[
        str, typer.Option(envvar="CANDELABRA_LOG_LEVEL", help="debug, info, warning or error.")
    ] = "warning",
) -> None:
    if version:
        _out.print(f"candelabra-server {__version__}")
        raise typer.Exit
    level = logging.getLevelNamesMapping().get(log_level.upper())
    if level is None:
        raise typer.BadParameter(f"{log_level!r} is not one of debug, info, warning, error", param_hint="--log-level")
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s[%(process)d] %(message)s")


@_app.command()
def serve(
    listen: Listen = DEFAULT_LISTEN,
    store: Store = DEFAULT_STORE,
    workers: Workers = None,
    drain_seconds: DrainSeconds = 30.0,
    *,
    insecure: Insecure = False,
    results_folder: ResultsFolder = None,
    result_slot: ResultSlot = 16,
    job_buffer: JobBuffer = 8,
) -> None:
    """Serve jobs until SIGTERM or Ctrl-C, then finish what runs."""
    from candelabra_server.app import serve as serve_until_stopped  # noqa: PLC0415 - only this command needs it

    config = ServerConfig(
        listen=listen,
        store=store,
        workers=workers or available_cpus(),
        insecure=insecure,
        drain_seconds=drain_seconds,
        results_folder=results_folder,
        result_slot_mebibytes=result_slot,
        job_buffer_mebibytes=job_buffer,
    )
    with _filling_kernel_cache() as filling:
        asyncio.run(serve_until_stopped(config, on_ready=lambda address, repo: _banner(config, address, repo, filling)))
    _out.print("stopped")


@_app.command("warm-up")
def warm_up_command() -> None:
    """Compile the kernels of formulas into the cache: once a version and machine, about a minute."""
    if is_warm():
        _out.print(f"the kernels are compiled already, in {cache_folder()}", markup=False)
        return
    if hasattr(os, "nice"):
        os.nice(_POLITE)
    started = time.monotonic()
    with _err.status("compiling the kernels of formulas, about a minute"):
        warm_up()
    _out.print(f"compiled the kernels in {time.monotonic() - started:.0f} s, into {cache_folder()}", markup=False)


@_app.command("check-config")
def check_config(
    listen: Listen = DEFAULT_LISTEN,
    store: Store = DEFAULT_STORE,
    workers: Workers = None,
    drain_seconds: DrainSeconds = 30.0,
    *,
    insecure: Insecure = False,
    results_folder: ResultsFolder = None,
    result_slot: ResultSlot = 16,
    job_buffer: JobBuffer = 8,
) -> None:
    """Check the settings that `serve` would use and print them."""
    config = ServerConfig(
        listen=listen,
        store=store,
        workers=workers or available_cpus(),
        insecure=insecure,
        drain_seconds=drain_seconds,
        results_folder=results_folder,
        result_slot_mebibytes=result_slot,
        job_buffer_mebibytes=job_buffer,
    )
    for setting in fields(config):
        if setting.name != "limits":
            _out.print(f"{setting.name} = {getattr(config, setting.name)}", markup=False)


@_app.command()
def demo(
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


@_app.command("import")
def import_command(
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
            progress=progress,
        )
    _print_summary(summary, store)
    _print_import_details(summary)


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


def _banner(
    config: ServerConfig, address: str, candle_repo: ICandleRepository, filling: subprocess.Popen[bytes] | None
) -> None:
    stored = ", ".join(f"{count:,} symbols of {name}" for name, count in candle_repo.timeframes().items())
    _out.print(f"Candelabra {__version__}")
    _out.print(f"  listening on  {address}", markup=False)
    _out.print(f"  store         {config.store}: {stored or 'empty, try `candelabra-server demo`'}", markup=False)
    _out.print(f"  workers       {config.workers}")
    if filling is not None and not is_warm():
        state = (
            "being compiled, about a minute; until then" if filling.poll() is None else "not compiled, as told above;"
        )
        _out.print(f"  kernels       {state} formulas are several times slower")
    sys.stdout.flush()  # whoever started the server may be waiting for the address


@contextmanager
def _filling_kernel_cache() -> Iterator[subprocess.Popen[bytes] | None]:
    """Meanwhile compiles the kernels in a process of its own, where they are not in the cache; workers take them then.

    What keeps it from it is told by that process, on the standard error that it shares.
    """
    if is_warm():
        yield None
        return
    try:
        make_cache_folder()
    except ConfigurationError as error:
        _err.print(f"{error.message}; formulas are several times slower without compiled kernels", markup=False)
        yield None
        return
    command = [sys.executable, "-m", "candelabra_server.cli", "warm-up"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as filling:  # noqa: S603 - ours
        try:
            yield filling
        finally:
            filling.terminate()


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
    for file, scale in summary.scaled_files[:_SHOWN_FILES]:
        _out.print(f"  prices   of {file} are fixed-point, multiplied by {scale:e}", markup=False)


def _moment(micros: int) -> str:
    """A time to the second, or to the day."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    return f"{moment:%Y-%m-%d}" if micros % 86_400_000_000 == 0 else f"{moment:%Y-%m-%d %H:%M:%S}"
