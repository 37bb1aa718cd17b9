"""`candelabra candles list`: what the server stores."""

from __future__ import annotations

import csv
import json
import sys
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table

from candelabra_client._client import Client
from candelabra_client._commands.exits import exit_statuses
from candelabra_client._commands.options import DEFAULT_ADDRESS, ListFormat, Server, TimeoutSeconds
from candelabra_client._commands.tables import OMITTED, counted, head_and_tail, plain_console, time_texts
from candelabra_client._server import StoredSymbol

__all__ = ["list_candles"]

_NAMES = ("symbol", "timeframe", "candles", "first", "last", "fields")


def list_candles(
    *,
    symbols: Annotated[
        list[str] | None, typer.Argument(metavar="[SYMBOL]...", help="Only these names or patterns. Default: all.")
    ] = None,
    timeframe: Annotated[
        str | None, typer.Option("--timeframe", "-t", metavar="TIMEFRAME", help="Only this timeframe. Default: all.")
    ] = None,
    output: Annotated[ListFormat, typer.Option("--output", "-o", help="Format.")] = ListFormat.TABLE,
    rows: Annotated[int, typer.Option(min=0, help="Rows of a table to show; 0 for all.")] = 40,
    server: Server = DEFAULT_ADDRESS,
    timeout: TimeoutSeconds = 30.0,
) -> None:
    """List the stored symbols with their range of candles."""
    with exit_statuses(), Client(server, timeout=timeout) as client:
        stored = client.list_symbols(symbols or None, timeframe=timeframe)
        if output is ListFormat.TABLE:
            _print_table(stored, rows)
        elif output is ListFormat.CSV:
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(_NAMES)
            writer.writerows(
                (*record.values(), " ".join(symbol.fields))
                for symbol, record in ((symbol, _record(symbol)) for symbol in stored)
            )
        else:
            for symbol in stored:
                sys.stdout.write(json.dumps({**_record(symbol), "fields": symbol.fields}) + "\n")


def _record(symbol: StoredSymbol) -> dict[str, str | int]:
    return {
        "symbol": symbol.symbol,
        "timeframe": symbol.timeframe,
        "candles": symbol.candle_count,
        "first": f"{symbol.first_open_time:%Y-%m-%dT%H:%M:%SZ}",
        "last": f"{symbol.last_open_time:%Y-%m-%dT%H:%M:%SZ}",
    }


def _print_table(stored: list[StoredSymbol], rows: int) -> None:
    console = plain_console()
    if not stored:
        console.print("No candles match.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in _NAMES:
        table.add_column(name, justify="right" if name == "candles" else "left", no_wrap=name != "fields")
    head, omitted, tail = head_and_tail(stored, rows)
    for part, is_last in ((head, False), (tail, True)):
        if is_last and omitted:
            table.add_row(OMITTED, *[""] * (len(_NAMES) - 1), style="dim")
        for symbol in part:
            first, last = time_texts(_times(symbol))
            table.add_row(
                symbol.symbol, symbol.timeframe, f"{symbol.candle_count:,}", first, last, " ".join(symbol.fields)
            )
    console.print(table)
    shown = f" ({omitted:,} not shown: --rows 0 shows all)" if omitted else ""
    console.print(counted(len(stored), "row") + shown, style="dim")


def _times(symbol: StoredSymbol) -> NDArray[np.datetime64]:
    moments = (symbol.first_open_time, symbol.last_open_time)
    return np.array([moment.replace(tzinfo=None) for moment in moments], "datetime64[us]")
