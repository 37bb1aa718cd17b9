"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from candelabra_client._connection import DEFAULT_ADDRESS

__all__ = ["DEFAULT_ADDRESS", "ListFormat", "Output", "Server", "TimeoutSeconds"]

Server = Annotated[
    str, typer.Option("--server", envvar="CANDELABRA_SERVER", metavar="ADDRESS", help="Where the server listens.")
]

TimeoutSeconds = Annotated[
    float | None, typer.Option("--timeout", metavar="SECONDS", min=0.001, help="Give up after this time.")
]


class Output(StrEnum):
    """Formats of a job's results."""

    TABLE = "table"
    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"
    ARROW = "arrow"


class ListFormat(StrEnum):
    """Formats of lists."""

    TABLE = "table"
    CSV = "csv"
    JSONL = "jsonl"
