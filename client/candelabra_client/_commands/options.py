"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from candelabra_client._connection import DEFAULT_ADDRESS

__all__ = [
    "DEFAULT_ADDRESS",
    "AllowLookahead",
    "Attempts",
    "Compat",
    "Float32Fields",
    "FormulaFile",
    "FormulaId",
    "FormulaText",
    "ListFormat",
    "OutFile",
    "Output",
    "OutputFormat",
    "Parameters",
    "Server",
    "ShowProgress",
    "SomeSymbols",
    "SymbolTimeLimit",
    "Symbols",
    "Timeframe",
    "TimeoutSeconds",
    "Weight",
]

Server = Annotated[
    str, typer.Option("--server", envvar="CANDELABRA_SERVER", metavar="ADDRESS", help="Where the server listens.")
]

TimeoutSeconds = Annotated[
    float | None, typer.Option("--timeout", metavar="SECONDS", min=0.001, help="Give up after this time.")
]

Attempts = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=1,
        help="Tries in a row that may bring nothing new when the server is away, full or cut off; 1: no second one.",
    ),
]


class Compatibility(StrEnum):
    """Whose values Qlib's operators give where Qlib is wrong."""

    QLIB = "qlib"


Symbols = Annotated[
    list[str],
    typer.Option(
        "--symbol",
        "-s",
        metavar="SYMBOL",
        help="A symbol or pattern such as 'AA*'; repeat it, or separate several by commas.",
    ),
]
SomeSymbols = Annotated[
    list[str] | None,
    typer.Option(
        "--symbol",
        "-s",
        metavar="SYMBOL",
        help="A symbol or pattern; repeat it, or separate several by commas. Default: all.",
    ),
]
Timeframe = Annotated[
    str, typer.Option("--timeframe", "-t", metavar="TIMEFRAME", help="Length of a candle: 1m, 1h, 1d …")
]
FormulaText = Annotated[
    str | None, typer.Argument(metavar="[FORMULA]", help="What to compute; - reads it from standard input.")
]
FormulaFile = Annotated[
    Path | None, typer.Option("--formula-file", "-f", metavar="FILE", help="Reads the formula from a file.")
]
FormulaId = Annotated[
    str | None, typer.Option("--id", metavar="ID", help="A saved or built-in formula: trend, trend@3, qlib/alpha158.")
]
Parameters = Annotated[
    list[str] | None, typer.Option("--param", "-p", metavar="NAME=NUMBER", help="A parameter of the formula.")
]
AllowLookahead = Annotated[bool, typer.Option("--allow-lookahead", help="Allow references to later candles.")]
Compat = Annotated[
    Compatibility | None, typer.Option(help="Whose values Qlib's operators give where Qlib is wrong.", metavar="qlib")
]
Float32Fields = Annotated[
    bool, typer.Option("--float32-fields", help="Round fields to 32 bits first, as Qlib stores them.")
]


SymbolTimeLimit = Annotated[
    float | None, typer.Option(metavar="SECONDS", min=0.001, help="Most time to spend on one symbol.")
]
Weight = Annotated[float | None, typer.Option(metavar="SHARE", help="Share of the workers relative to other jobs.")]
ShowProgress = Annotated[bool, typer.Option("--progress/--no-progress", help="Show a progress bar.")]


class Output(StrEnum):
    """Formats of the results of jobs and screens."""

    TABLE = "table"
    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"
    ARROW = "arrow"


OutputFormat = Annotated[
    Output | None, typer.Option("--output", "-o", help="Format. Default: by the file's name, or table.")
]
OutFile = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write to a file.", dir_okay=False)]


class ListFormat(StrEnum):
    """Formats of lists."""

    TABLE = "table"
    CSV = "csv"
    JSONL = "jsonl"
