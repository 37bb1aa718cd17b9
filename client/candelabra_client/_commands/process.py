"""`candelabra process`: runs a job and writes its results."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Annotated, Literal

import typer

from candelabra_client._client import Client
from candelabra_client._commands import inputs, plotting
from candelabra_client._commands.exits import SYMBOLS_FAILED, error_console, exit_statuses, report_symbols
from candelabra_client._commands.options import (
    DEFAULT_ADDRESS,
    AllowLookahead,
    Attempts,
    Compat,
    Float32Fields,
    FormulaFile,
    FormulaId,
    FormulaText,
    OutFile,
    OutputFormat,
    Parameters,
    Server,
    ShowProgress,
    Symbols,
    SymbolTimeLimit,
    Timeframe,
    TimeoutSeconds,
    Weight,
)
from candelabra_client._commands.output import STREAMED, WRITERS, check_libraries, opened
from candelabra_client._commands.progress import ProgressBar
from candelabra_client._result import SymbolError, SymbolResult
from candelabra_client._results import JobResults
from candelabra_client._retry import RetryPolicy

__all__ = ["process"]


class _Precision(StrEnum):
    FLOAT64 = "float64"
    FLOAT32 = "float32"


@dataclass(slots=True)
class _Tally:
    """What is said about a job at its end; filled while results pass through."""

    total: int = 0
    errors: dict[str, SymbolError] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def counting(self, results: Iterable[SymbolResult]) -> Iterator[SymbolResult]:
        """Yields the results as they are."""
        for result in results:
            self.total += 1
            self.warnings.extend(result.info.warnings)
            if result.error is not None:
                self.errors[result.symbol] = result.error
            yield result


def process(
    *,
    symbols: Symbols,
    timeframe: Timeframe,
    formula: FormulaText = None,
    formula_file: FormulaFile = None,
    formula_id: FormulaId = None,
    start: Annotated[
        str | None, typer.Option(metavar="TIME", help="First open time: 2012-01-31 or 2012-01-31T09:30:00Z.")
    ] = None,
    end: Annotated[str | None, typer.Option(metavar="TIME", help="Last open time; a date is its whole day.")] = None,
    param: Parameters = None,
    last: Annotated[int | None, typer.Option(metavar="N", min=1, help="Only the last N rows of each symbol.")] = None,
    output: OutputFormat = None,
    out: OutFile = None,
    plot: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.png|FILE.html|term",
            help="Draw candles and columns. Results are written too only where --output or --out asks for them.",
        ),
    ] = None,
    rows: Annotated[int, typer.Option(metavar="N", min=0, help="Rows of a table to show; 0 for all.")] = 20,
    precision: Annotated[_Precision, typer.Option(help="Width of the values.")] = _Precision.FLOAT64,
    allow_lookahead: AllowLookahead = False,
    compat: Compat = None,
    float32_fields: Float32Fields = False,
    symbol_time_limit: SymbolTimeLimit = None,
    weight: Weight = None,
    job_id: Annotated[str | None, typer.Option(metavar="ID", help="Names the job in the server's log.")] = None,
    progress: ShowProgress = True,
    timeout: TimeoutSeconds = None,
    attempts: Attempts = 5,
    server: Server = DEFAULT_ADDRESS,
) -> None:
    """Compute a formula over the candles of symbols.

    For example: candelabra process 'sma(close, n)' -s 'AAPL,MS*' -t 1d --param n=10 --last 1
    """
    chosen = inputs.read_output(output, out)
    names, parameters = inputs.read_symbols(symbols), inputs.read_parameters(param or ())
    text = inputs.read_formula(formula, formula_file, formula_id)
    has_formula = text is not None or formula_id is not None
    target = inputs.read_plot(plot, names, output=output, out=out)
    is_written = target is None or output is not None or out is not None
    width: Literal["float64", "float32"] = "float32" if precision is _Precision.FLOAT32 else "float64"
    tally = _Tally()
    with exit_statuses():
        if is_written:
            check_libraries(chosen)
        if target is not None:
            target.check_libraries()
        # Candles of different symbols may have different fields, which a header must know beforehand.
        is_streamed = chosen in STREAMED and has_formula and target is None
        shares_terminal = is_streamed and out is None and sys.stdout.isatty()
        with (
            Client(server, retry=RetryPolicy(max_attempts=attempts)) as client,
            ProgressBar(error_console(), wanted=progress and not shares_terminal) as bar,
        ):
            request = partial(
                client.process,
                timeframe=timeframe,
                start=start,
                end=end,
                last_n=last,
                symbol_time_limit=symbol_time_limit,
                weight=weight,
                timeout=timeout,
                progress=bar,
            )
            try:
                job = request(
                    names,
                    formula=text,
                    formula_id=formula_id,
                    parameters=parameters,
                    compat=None if compat is None else "qlib",
                    float32_fields=float32_fields,
                    precision=width,
                    allow_lookahead=allow_lookahead,
                    job_id=job_id,
                )
            except (TypeError, ValueError) as error:  # a number or a text that its field cannot hold
                raise typer.BadParameter(str(error)) from None
            with job:
                if is_streamed:
                    with opened(out, chosen) as stream:
                        WRITERS[chosen](tally.counting(job), stream, rows)
                else:
                    gathered = job.results() if target is None else JobResults(plotting.few(job), symbols=names)
                    results = list(tally.counting(gathered))
                    candles = plotting.missing_candles(results, request) if target and has_formula else None
                    bar.stop()
                    tally.errors.update(candles.errors if candles is not None else {})
                    if target is not None:
                        plotting.draw(results, candles, target=target, formula=formula_id or text, timeframe=timeframe)
                    if is_written:
                        with opened(out, chosen) as stream:
                            WRITERS[chosen](results, stream, rows)
        report_symbols(tally.errors, total=tally.total, warnings=tally.warnings)
        if tally.errors:
            raise typer.Exit(SYMBOLS_FAILED)
