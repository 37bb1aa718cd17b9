"""`candelabra health` and `candelabra info`: about the server itself."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from candelabra_client._client import Client
from candelabra_client._commands.exits import FAILED, exit_statuses
from candelabra_client._commands.options import DEFAULT_ADDRESS, Server, TimeoutSeconds
from candelabra_client._commands.tables import counted, plain_console
from candelabra_client._health import HealthStatus

__all__ = ["health", "info"]


def health(
    server: Server = DEFAULT_ADDRESS,
    service: Annotated[
        str, typer.Option(metavar="NAME", help="A service by its full name. Default: the server as a whole.")
    ] = "",
    timeout: TimeoutSeconds = 5.0,
) -> None:
    """Say whether the server takes requests: exit status 0 when it does, 1 when not."""
    with exit_statuses(), Client(server, timeout=timeout) as client:
        status = client.health(service)
        typer.echo(status.value)
        if status is not HealthStatus.SERVING:
            raise typer.Exit(FAILED)


def info(server: Server = DEFAULT_ADDRESS, timeout: TimeoutSeconds = 30.0) -> None:
    """Describe the server: version, workers, what it stores, limits."""
    with exit_statuses(), Client(server, timeout=timeout) as client:
        described = client.server_info()
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="bold")
        table.add_column()
        stored = [f"{timeframe}: {counted(count, 'symbol')}" for timeframe, count in described.timeframes.items()]
        for name, value in (
            ("address", server),
            ("version", described.version),
            ("started", f"{described.start_time:%Y-%m-%d %H:%M:%S} UTC"),
            ("workers", f"{described.workers:,}"),
            ("running jobs", f"{described.active_jobs:,}, at most {described.max_jobs:,}"),
            (
                "time limits",
                f"{described.symbol_time_limit:g} s for a symbol, {described.job_time_limit:g} s for a job",
            ),
            ("stored candles", "\n".join(stored) or "none"),
            ("symbols per job", f"at most {described.max_symbols_per_job:,}"),
            ("formula length", f"at most {described.max_expression_length:,} characters"),
        ):
            table.add_row(name, value)
        plain_console().print(table)
