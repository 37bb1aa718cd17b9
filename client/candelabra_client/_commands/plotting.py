"""`--plot`: gathers a job of few symbols, gets their candles, and draws both.

The candles come from a second job without a formula, over the same symbols, range and rows, instead of from
statements added to the formula: the user's text stays as it was typed, with its columns' names, its places in error
messages and its entry in the server's cache. Rows meet by their open time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import typer
from rich.text import Text

from candelabra_client._commands.exits import error_console
from candelabra_client._job import Job
from candelabra_client._plots import Target, check_symbol_count, lay_out_all
from candelabra_client._result import SymbolResult
from candelabra_client._results import JobResults

__all__ = ["draw", "few", "missing_candles"]


def few(job: Job) -> Iterator[SymbolResult]:
    """Yields the job's results; BadParameter as soon as it turns out to have more symbols than a picture shows."""
    for result in job:
        try:
            check_symbol_count(job.symbols_total)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--plot") from None
        yield result


def missing_candles(results: Sequence[SymbolResult], request: Callable[[list[str]], Job]) -> JobResults | None:
    """Returns the candles of all symbols that have a result; None when there is no such symbol."""
    symbols = [result.symbol for result in results if result.ok]
    if not symbols:
        return None
    with request(symbols) as job:
        return job.results()


def draw(
    results: Sequence[SymbolResult], candles: JobResults | None, *, target: Target, formula: str | None, timeframe: str
) -> None:
    """Draws the symbols that have a result, with the candles that there are; says what was written or left out."""
    charts = lay_out_all(results, candles=candles, formula=formula or "", timeframe=timeframe)
    if not charts:
        return
    omitted = target.draw(charts)
    console = error_console()
    if omitted:
        console.print(Text(f"{len(omitted):,} columns without room: {', '.join(omitted)}", style="dim"))
    if target.path is not None:
        console.print(Text(f"wrote {target.path}"))
