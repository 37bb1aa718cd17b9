"""Reads what users type: symbols, parameters, formulas, where to write and to draw."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import typer

from candelabra_client._commands.options import Output
from candelabra_client._plots import PlotKind, Target, check_symbol_count

__all__ = ["read_formula", "read_output", "read_parameters", "read_plot", "read_symbols"]

_BY_SUFFIX = {
    ".csv": Output.CSV,
    ".jsonl": Output.JSONL,
    ".ndjson": Output.JSONL,
    ".parquet": Output.PARQUET,
    ".arrow": Output.ARROW,
    ".feather": Output.ARROW,
    ".txt": Output.TABLE,
}


def read_symbols(values: Iterable[str]) -> list[str]:
    """Returns the symbols; each value may be several, separated by commas."""
    symbols = [symbol.strip() for value in values for symbol in value.split(",") if symbol.strip()]
    if not symbols:
        raise typer.BadParameter("expected a symbol, such as AAPL, or a pattern, such as 'AA*'", param_hint="--symbol")
    return symbols


def read_parameters(values: Iterable[str]) -> dict[str, float]:
    """Returns the parameters of `NAME=VALUE` texts."""
    parameters: dict[str, float] = {}
    for value in values:
        name, separator, number = value.partition("=")
        name = name.strip()
        try:
            if not (separator and name):
                raise ValueError
            parameters[name] = float(number)
        except ValueError:
            raise typer.BadParameter(
                f"{value!r} is not NAME=NUMBER, for example fast=10", param_hint="--param"
            ) from None
    return parameters


def read_formula(argument: str | None, file: Path | None, formula_id: str | None = None) -> str | None:
    """Returns the formula from the argument (`-` is standard input) or a file; None when there is none."""
    if formula_id is not None and (argument is not None or file is not None):
        raise typer.BadParameter("give the formula or the id of one, not both", param_hint="--id")
    if argument is not None and file is not None:
        raise typer.BadParameter("give the formula as an argument or as a file, not both", param_hint="--formula-file")
    if argument == "-" or (file is not None and str(file) == "-"):
        return sys.stdin.read()
    if file is None:
        return argument
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"cannot read {file}: {error}", param_hint="--formula-file") from None


def read_output(output: Output | None, out: Path | None) -> Output:
    """Returns the format: as asked for, or by the file's name; tables when there is neither."""
    if output is not None:
        chosen = output
    elif out is None:
        chosen = Output.TABLE
    elif out.suffix.lower() in _BY_SUFFIX:
        chosen = _BY_SUFFIX[out.suffix.lower()]
    else:
        raise typer.BadParameter(
            f"{out.name} does not say its format; expected {', '.join(_BY_SUFFIX)}, or --output", param_hint="--out"
        )
    if out is None and chosen in {Output.PARQUET, Output.ARROW} and sys.stdout.isatty():
        raise typer.BadParameter(f"{chosen} is not for a terminal: add --out FILE", param_hint="--output")
    if out is not None and not out.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {out.parent}", param_hint="--out")
    return chosen


def read_plot(plot: str | None, symbols: Sequence[str], *, output: Output | None, out: Path | None) -> Target | None:
    """Returns where to draw, checked against what is to be drawn and written; None when nothing is."""
    if plot is None:
        return None
    try:
        target = Target.of(plot)
        if not any(wildcard in symbol for symbol in symbols for wildcard in "*?"):
            check_symbol_count(len(set(symbols)))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--plot") from None
    if target.path is not None and not target.path.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {target.path.parent}", param_hint="--plot")
    if target.kind is PlotKind.TERMINAL and out is None and output not in {None, Output.TABLE}:
        raise typer.BadParameter(
            f"the plot and {output} would mix on standard output: add --out FILE", param_hint="--plot"
        )
    return target
