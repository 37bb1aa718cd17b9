"""The `candelabra-server` command: serve, warm-up, check-config here; store_commands.py has those on the store."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console

from candelabra_server import __version__
from candelabra_server.candles.repository import ICandleRepository
from candelabra_server.config import ServerConfig
from candelabra_server.errors import CandelabraError, ConfigurationError, ImportRefusedError
from candelabra_server.formulas.compiled.loading import cache_folder, is_warm, make_cache_folder, warm_up
from candelabra_server.serve_settings import SETTINGS, with_settings
from candelabra_server.store_commands import add_store_commands

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
@with_settings
def serve(config: ServerConfig) -> None:
    """Serve jobs until SIGTERM or Ctrl-C, then finish what runs.

    Exits with 0 when all jobs had ended, 3 when some were cut since --drain-seconds had passed, 4 when a second signal
    cut them.
    """
    from candelabra_server import app  # noqa: PLC0415 - only this command needs it

    with _filling_kernel_cache() as filling:
        ending = app.run(config, on_ready=lambda address, repo: _banner(config, address, repo, filling))
    _out.print("stopped")
    sys.exit(ending)


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
@with_settings
def check_config(config: ServerConfig) -> None:
    """Check the settings that `serve` would use and print them."""
    for setting in SETTINGS:
        _out.print(f"{setting.name} = {setting.value_in(config)}", markup=False)


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
