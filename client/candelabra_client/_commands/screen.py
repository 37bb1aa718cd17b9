"""`candelabra screen`: looks at one candle of each of many symbols and shows those that pass."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from candelabra_client._client import Client
from candelabra_client._commands import inputs
from candelabra_client._commands.exits import SYMBOLS_FAILED, error_console, exit_statuses, report_screen
from candelabra_client._commands.options import (
    DEFAULT_ADDRESS,
    Attempts,
    Compat,
    Float32Fields,
    FormulaFile,
    FormulaId,
    FormulaText,
    OutFile,
    Output,
    OutputFormat,
    Parameters,
    Server,
    ShowProgress,
    SomeSymbols,
    SymbolTimeLimit,
    Timeframe,
    TimeoutSeconds,
    Weight,
)
from candelabra_client._commands.output import STREAMED, check_libraries, opened
from candelabra_client._commands.progress import ProgressBar
from candelabra_client._commands.screen_output import SCREEN_WRITERS
from candelabra_client._commands.screen_tables import GrowingTable
from candelabra_client._commands.tables import plain_console
from candelabra_client._retry import RetryPolicy
from candelabra_client._screen import Screen
from candelabra_client._screen_result import ScreenBatch

__all__ = ["screen"]

_ROWS = 20


def screen(
    *,
    formula: FormulaText = None,
    formula_file: FormulaFile = None,
    formula_id: FormulaId = None,
    symbols: SomeSymbols = None,
    timeframe: Timeframe,
    as_of: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Looks at each symbol's last candle up to here. Default: the last stored."),
    ] = None,
    filter_by: Annotated[
        str | None,
        typer.Option("--filter", metavar="NAME", help="Only symbols for which this column is neither 0 nor missing."),
    ] = None,
    order_by: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Columns to sort by, for example 'rsi desc, symbol'.")
    ] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Only the first N symbols.")] = None,
    param: Parameters = None,
    output: OutputFormat = None,
    out: OutFile = None,
    rows: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help=f"Rows of a table to show; 0 for all. Default: {_ROWS}, or the limit."),
    ] = None,
    compat: Compat = None,
    float32_fields: Float32Fields = False,
    symbol_time_limit: SymbolTimeLimit = None,
    weight: Weight = None,
    screen_id: Annotated[str | None, typer.Option(metavar="ID", help="Names the screen in the server's log.")] = None,
    progress: ShowProgress = True,
    timeout: TimeoutSeconds = None,
    attempts: Attempts = 5,
    server: Server = DEFAULT_ADDRESS,
) -> None:
    """Compute a formula for the last candle of many symbols, and show those that pass.

    For example: candelabra screen 'rsi(close, 14) < 30' -t 1d --as-of 2012-06-01
    """
    chosen = inputs.read_output(output, out)
    names, parameters = inputs.read_symbols(symbols or ("*",)), inputs.read_parameters(param or ())
    text = inputs.read_formula(formula, formula_file, formula_id)
    most_rows = max(_ROWS, limit or 0) if rows is None else rows
    owns_terminal = out is None and sys.stdout.isatty()
    grows = owns_terminal and chosen is Output.TABLE
    console = plain_console() if grows else error_console()
    table = GrowingTable(console, rows=most_rows)
    bar = ProgressBar(
        console,
        wanted=progress and not (owns_terminal and chosen in STREAMED),
        label="Screening",
        above=table if grows else None,
    )
    with exit_statuses("screen"):
        check_libraries(chosen)
        with Client(server, retry=RetryPolicy(max_attempts=attempts)) as client, bar:
            try:
                running = client.screen(
                    text,
                    formula_id=formula_id,
                    symbols=names,
                    timeframe=timeframe,
                    as_of=as_of,
                    filter=filter_by,
                    order_by=order_by,
                    limit=limit,
                    parameters=parameters,
                    compat=None if compat is None else "qlib",
                    float32_fields=float32_fields,
                    weight=weight,
                    symbol_time_limit=symbol_time_limit,
                    screen_id=screen_id,
                    timeout=timeout,
                    progress=bar,
                )
            except (TypeError, ValueError) as error:  # a number or a text that its field cannot hold
                raise typer.BadParameter(str(error)) from None
            with running, opened(out, chosen) as stream:
                SCREEN_WRITERS[chosen](_shown(running, table, bar), running, stream, most_rows)
        report_screen(running, given=table.row_count)
        if running.symbols_failed:
            raise typer.Exit(SYMBOLS_FAILED)


def _shown(running: Screen, table: GrowingTable, bar: ProgressBar) -> Iterator[ScreenBatch]:
    """Yields the batches as they are; the table grows by them and goes away with the bar after the last one."""
    for batch in running:
        table.add(batch)
        yield batch
    bar.stop()
