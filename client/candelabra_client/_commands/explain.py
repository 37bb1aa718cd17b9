"""`candelabra explain`: what a job would do."""

from __future__ import annotations

from typing import Annotated

import typer

from candelabra import v1
from candelabra_client._client import Client
from candelabra_client._commands import inputs
from candelabra_client._commands.descriptions import print_formula, print_graph, print_problems, value_table
from candelabra_client._commands.exits import FAILED, error_text, exit_statuses
from candelabra_client._commands.options import (
    DEFAULT_ADDRESS,
    AllowLookahead,
    Compat,
    Float32Fields,
    FormulaFile,
    FormulaId,
    FormulaText,
    Parameters,
    Server,
    Symbols,
    Timeframe,
    TimeoutSeconds,
)
from candelabra_client._commands.tables import counted, plain_console

__all__ = ["explain"]

_BYTE_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def explain(
    *,
    symbols: Symbols,
    timeframe: Timeframe,
    formula: FormulaText = None,
    formula_file: FormulaFile = None,
    formula_id: FormulaId = None,
    start: Annotated[str | None, typer.Option(metavar="TIME", help="First open time.")] = None,
    end: Annotated[str | None, typer.Option(metavar="TIME", help="Last open time; a date is its whole day.")] = None,
    param: Parameters = None,
    last: Annotated[int | None, typer.Option(metavar="N", min=1, help="Only the last N rows of each symbol.")] = None,
    allow_lookahead: AllowLookahead = False,
    compat: Compat = None,
    float32_fields: Float32Fields = False,
    graph: Annotated[bool, typer.Option("--graph/--no-graph", help="Show every node of the computation.")] = True,
    timeout: TimeoutSeconds = 30.0,
    server: Server = DEFAULT_ADDRESS,
) -> None:
    """Say what a job would do and cost, without running it.

    For example: candelabra explain 'macd(close)' -s 'AA*' -t 1d
    """
    names, parameters = inputs.read_symbols(symbols), inputs.read_parameters(param or ())
    text = inputs.read_formula(formula, formula_file, formula_id)
    with exit_statuses(), Client(server, timeout=timeout) as client:
        explained = client.explain(
            names,
            timeframe=timeframe,
            start=start,
            end=end,
            formula=text,
            formula_id=formula_id,
            parameters=parameters,
            last_n=last,
            allow_lookahead=allow_lookahead,
            compat=None if compat is None else "qlib",
            float32_fields=float32_fields,
        )
        for violation in explained.violations:
            error_text(violation.description, field=violation.field)
        print_problems(explained.formula_problems)
        if explained.violations or explained.formula_problems:
            raise typer.Exit(FAILED)
        console = plain_console()
        if explained.HasField("formula"):
            print_formula(console, explained.formula)
            if graph:
                console.print()
                print_graph(console, explained.formula)
            console.print()
        console.print(value_table(_estimate(explained)))


def _estimate(explained: v1.ExplainJobResponse) -> list[tuple[str, str]]:
    estimate = explained.estimate
    rows = [("symbols", f"{explained.symbols_total:,} of {explained.timeframe} candles")]
    if explained.unknown_symbols:
        rows.append(("not stored", ", ".join(explained.unknown_symbols)))
    return [
        *rows,
        ("candles to read", f"about {estimate.candles_read:,}"),
        ("results", f"about {counted(estimate.result_rows, 'row')}, {_bytes(estimate.result_bytes)}"),
        ("processor time", f"about {estimate.cpu_micros / 1e6:,.3g} s of all workers together"),
    ]


def _bytes(size: float) -> str:
    unit = 0
    while size >= 1_000 and unit < len(_BYTE_UNITS) - 1:
        size, unit = size / 1_000, unit + 1
    return f"{size:,.3g} {_BYTE_UNITS[unit]}"
