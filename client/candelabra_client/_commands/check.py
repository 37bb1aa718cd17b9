"""`candelabra check`: whether a formula is right, and whether its values can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.text import Text

from candelabra import v1
from candelabra_client._client import Client
from candelabra_client._commands import inputs
from candelabra_client._commands.descriptions import print_formula, print_problems
from candelabra_client._commands.exits import FAILED, exit_statuses
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
    TimeoutSeconds,
)
from candelabra_client._commands.tables import counted, plain_console
from candelabra_client._result import SymbolResult

__all__ = ["check"]

_MOST_SYMBOLS = 3
_FEWEST_CANDLES = 50
_TOLERANCE = 1e-9
_CUTS = (1 / 3, 1 / 2, 9 / 10)
"""Where the candles are cut, as shares of them."""

_Results = Mapping[str, SymbolResult]
_Run = Callable[..., _Results]


def check(
    *,
    formula: FormulaText = None,
    formula_file: FormulaFile = None,
    formula_id: FormulaId = None,
    param: Parameters = None,
    symbols: Annotated[
        list[str] | None,
        typer.Option("--symbol", "-s", metavar="SYMBOL", help="Candles to test on. Default: a few that are stored."),
    ] = None,
    timeframe: Annotated[
        str, typer.Option("--timeframe", "-t", metavar="TIMEFRAME", help="Default: the shortest that is stored.")
    ] = "",
    candles: Annotated[
        bool, typer.Option("--candles/--no-candles", help="Test on stored candles for look-ahead and start dependence.")
    ] = True,
    allow_lookahead: AllowLookahead = False,
    compat: Compat = None,
    float32_fields: Float32Fields = False,
    timeout: TimeoutSeconds = 60.0,
    server: Server = DEFAULT_ADDRESS,
) -> None:
    """Say what a formula gives and needs, or what is wrong with it; then test it on stored candles.

    Two tests: values must not change when later candles are added, nor with where the range starts.
    """
    text = inputs.read_formula(formula, formula_file, formula_id)
    if text is None and formula_id is None:
        raise typer.BadParameter("expected a formula, - for standard input, --formula-file or --id")
    meaning: dict[str, Any] = {
        "formula_id": formula_id,
        "parameters": inputs.read_parameters(param or ()),
        "allow_lookahead": allow_lookahead,
        "compat": None if compat is None else "qlib",
        "float32_fields": float32_fields,
    }
    with exit_statuses(), Client(server, timeout=timeout) as client:
        timeframe = timeframe or next(iter(client.server_info().timeframes), "")
        checked = client.check_formula(text, timeframe=timeframe, **meaning)
        print_problems(checked.problems)
        if checked.problems:
            raise typer.Exit(FAILED)
        print_formula(plain_console(), checked.formula)
        names = inputs.read_symbols(symbols) if symbols else _some_symbols(client, timeframe)
        if candles and names:
            plain_console().print()
            run = partial(_results, client, names, {**meaning, "formula": text, "timeframe": timeframe})
            if not all([_look_ahead_test(run), _start_test(run, checked.formula)]):
                raise typer.Exit(FAILED)


@dataclass(slots=True)
class _Comparison:
    """What two runs of a formula differ in."""

    compared: int = 0
    worst: float = 0.0
    where: str = ""
    symbols: set[str] = field(default_factory=set)

    def add(self, part: SymbolResult, whole: SymbolResult, tolerances: Mapping[str, float]) -> None:
        """Compares the rows of a part with the same rows of the whole."""
        first = int(np.searchsorted(whole.open_times, part.open_times[0]))
        self.symbols.add(part.symbol)
        for name in part.columns:
            wanted = whole[name][first : first + part.row_count]
            apart = _difference(part[name], wanted)
            self.compared += len(apart)
            wrong = np.flatnonzero(apart > tolerances.get(name, 0.0))
            if len(wrong) and apart[wrong].max() >= self.worst:
                row = int(wrong[np.argmax(apart[wrong])])
                self.worst = float(apart[row])
                self.where = (
                    f"{part.symbol} {part.open_times[row]}, {name}: {part[name][row]:g} instead of {wanted[row]:g}"
                )

    def report(self, what: str, *, wrong: str) -> bool:
        """Prints one line, and another where something differs; says whether nothing does."""
        good = not self.where
        tested = f"  {counted(self.compared, 'value')} of {', '.join(sorted(self.symbols))}"
        mark = ("✓ ", "bold green") if good else ("✗ ", "bold red")
        plain_console().print(Text.assemble(mark, what if good else wrong, (tested, "dim")))
        if not good:
            plain_console().print(f"  most at {self.where}")
        return good


def _look_ahead_test(run: _Run) -> bool:
    whole, found = run(), _Comparison()
    for moment in _cuts(whole):
        for symbol, part in run(end=moment).items():
            found.add(part, whole[symbol], {})
    return found.report(
        "no value changes when later candles are added", wrong="values change when later candles are added"
    )


def _start_test(run: _Run, formula: v1.FormulaDescription) -> bool:
    whole, found = run(), _Comparison()
    tolerances = {
        output.name: _TOLERANCE for output in formula.outputs if output.exactness == v1.Exactness.EXACTNESS_CLOSE
    }
    for moment in _cuts(whole):
        for symbol, part in run(start=moment).items():
            found.add(part, whole[symbol], tolerances)
    return found.report("no value depends on where the range starts", wrong="values depend on where the range starts")


def _difference(actual: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.float64]:
    """0 for the same bits and for NaN on both sides, relative above 1, infinite where only one is a number."""
    with np.errstate(invalid="ignore"):
        apart = np.abs(actual - wanted) / np.maximum(1, np.abs(wanted))
    same = (actual == wanted) | (np.isnan(actual) & np.isnan(wanted))
    return np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))


def _cuts(whole: _Results) -> list[np.datetime64]:
    """A few moments within the candles."""
    if not whole:
        return []
    times = max((result.open_times for result in whole.values()), key=len)
    return [times[int(share * (len(times) - 1))] for share in _CUTS]


def _results(client: Client, names: Sequence[str], job: Mapping[str, Any], **dates: Any) -> _Results:  # noqa: ANN401 - what numpy has in place of a DateLike
    """The symbols that have values in a range, given as `start` or `end`."""
    results = client.process(names, **job, **dates)
    return {result.symbol: result for result in results if result.ok and result.row_count}


def _some_symbols(client: Client, timeframe: str) -> list[str]:
    stored = client.list_symbols(timeframe=timeframe) if timeframe else []
    long_enough = [symbol.symbol for symbol in stored if symbol.candle_count >= _FEWEST_CANDLES]
    return long_enough[:_MOST_SYMBOLS]
