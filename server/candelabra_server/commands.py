"""The `candelabra-server` command: serve, warm-up, check-config here; store_commands.py has those on the store."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from candelabra_server import __version__
from candelabra_server.candles.repository import ICandleRepository
from candelabra_server.config import DEFAULT_LISTEN, DEFAULT_STORE, ServerConfig, available_cpus
from candelabra_server.errors import CandelabraError, ConfigurationError, ImportRefusedError
from candelabra_server.formulas.compiled.loading import cache_folder, is_warm, make_cache_folder, warm_up
from candelabra_server.store_commands import Store, add_store_commands

__all__ = ["run"]

_FAILED = 1
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


add_store_commands(_app)


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
