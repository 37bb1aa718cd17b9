"""Puts the commands together."""

from __future__ import annotations

from importlib import metadata
from typing import Annotated

import typer

from candelabra_client._commands import candles, check, explain, formulas, functions, process, screen, server

__all__ = ["app"]

app = typer.Typer(
    help="Formulas over the candles of many symbols, computed by a Candelabra server.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # what is not an expected error is a bug, and is reported with its traceback
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 all well, 1 the job or call failed, 2 wrong usage, 3 some symbols failed, 130 interrupted.",
)
_formulas = typer.Typer(help="Formulas under a name, kept by the server.", no_args_is_help=True)
_candles = typer.Typer(help="The candles that the server holds.", no_args_is_help=True)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer's callbacks get their value by position
    if wanted:
        typer.echo(f"candelabra {metadata.version('candelabra')}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[  # noqa: FBT002 - an option of the command line
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    del version  # its callback has done it


app.command(no_args_is_help=True)(process.process)
app.command(no_args_is_help=True)(screen.screen)
app.command(no_args_is_help=True)(check.check)
app.command(no_args_is_help=True)(explain.explain)
app.command()(functions.functions)
app.command()(server.health)
app.command()(server.info)
app.add_typer(_candles, name="candles")
_candles.command("list")(candles.list_candles)
app.add_typer(_formulas, name="formulas")
_formulas.command("list")(formulas.list_formulas)
_formulas.command("show")(formulas.show)
_formulas.command("create", no_args_is_help=True)(formulas.create)
_formulas.command("update", no_args_is_help=True)(formulas.update)
_formulas.command("delete", no_args_is_help=True)(formulas.delete)
