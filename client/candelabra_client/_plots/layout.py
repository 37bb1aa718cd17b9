"""Decides what is drawn where: `lay_out` turns a symbol's columns into a `Chart`.

1. The candles set the rows: values are put at the candle of the same open time, others are left out.
2. Columns are grouped: the outputs of one function (`value.macd`, `value.signal`, `value.hist`) stay together.
3. A signal is marked at the candles where it becomes true.
4. A group that moves like a price, near the price, lies over the candles; every other gets a pane below them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from candelabra_client._plots.chart import Candles, Chart, Numbers, Pane, Series, Signal, Style

if TYPE_CHECKING:
    from candelabra_client._result import SymbolResult

__all__ = ["MOST_PANES", "entering", "group_names", "is_like_price", "lay_out", "lay_out_all"]

MOST_PANES: Final = 8
"""More panes than this are left out of a picture, and named as left out."""

_PRICES = ("open", "high", "low", "close")
_CANDLE_COLUMNS = frozenset({*_PRICES, "volume"})
_NEAR = 1.5  # times the high, or its part of the low
_MOSTLY = 0.8
_LONGEST_LABEL = 40
_BARS = "hist"
_SIGNAL = "signal"  # ColumnKind.SIGNAL, whose module imports this package


def lay_out(
    result: SymbolResult, *, candles: SymbolResult | None = None, formula: str = "", timeframe: str = ""
) -> Chart:
    """Returns the chart of a symbol.

    Args:
        result: the formula's columns, or candles.
        candles: the symbol's candles (`open high low close`, perhaps `volume`). Default: the columns of these
            names in `result`, when it has them.
        formula: labels the columns that it leaves without a name.
        timeframe: for the caption.
    """
    source = candles if candles is not None and _has_prices(candles) else result
    prices = _candles(source) if _has_prices(source) else None
    own = _CANDLE_COLUMNS if prices is not None and source is result else frozenset()
    names = [name for name in result.columns if name not in own]
    columns = {name: _aligned(result, name, source.open_time_micros) for name in names}
    labels = _labels(names, formula)

    overlays: list[Series] = []
    panes: list[Pane] = []
    signals: list[Signal] = []
    for group in group_names(names):
        series = tuple(
            Series(labels[name], columns[name], Style.BARS if name.rpartition(".")[2] == _BARS else Style.LINE)
            for name in group
        )
        if prices is not None and all(result.kinds[name] == _SIGNAL for name in group):
            signals += [Signal(each.label, entering(each.values)) for each in series]
        elif prices is not None and all(is_like_price(each.values, prices) for each in series):
            overlays += series
        else:
            panes.append(Pane(series))
    return Chart(
        symbol=result.symbol,
        caption=_caption(source.open_times, timeframe),
        formula=_in_one_line(formula),
        times=source.open_times,
        candles=prices,
        overlays=tuple(overlays),
        signals=tuple(signals),
        panes=tuple(panes[:MOST_PANES]),
        omitted=tuple(each.label for pane in panes[MOST_PANES:] for each in pane.series),
    )


def lay_out_all(
    results: Iterable[SymbolResult],
    *,
    candles: Iterable[SymbolResult] | None = None,
    formula: str = "",
    timeframe: str = "",
) -> list[Chart]:
    """Returns the charts of all symbols that have a result, each with its symbol's candles."""
    of_symbol = {result.symbol: result for result in candles or () if result.ok}
    return [
        lay_out(result, candles=of_symbol.get(result.symbol), formula=formula, timeframe=timeframe)
        for result in results
        if result.ok
    ]


def group_names(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Returns the names, those of one function's outputs together, in the order in which they are first seen."""
    groups: dict[str, list[str]] = {}
    for name in names:
        base, dot, _ = name.rpartition(".")
        groups.setdefault(base if dot else name, []).append(name)
    return [tuple(group) for group in groups.values()]


def is_like_price(values: Numbers, candles: Candles) -> bool:
    """Whether values belong on the price's scale: mostly near the candle, and moving no faster than it does.

    The second half tells an oscillator, which runs from 0 to 100, from the price of a stock at 50.
    """
    known = np.isfinite(values) & np.isfinite(candles.low) & np.isfinite(candles.high)
    if not known.any():
        return False
    near = (values >= candles.low / _NEAR) & (values <= candles.high * _NEAR)
    if np.mean(near[known]) < _MOSTLY:
        return False
    pace = max(_median_move(candles.close), _median(candles.high - candles.low))
    return _median_move(values) <= pace


def entering(values: Numbers) -> NDArray[np.bool_]:
    """Returns the rows that are true while the row before is false; what follows "unknown" is no change."""
    entered = np.zeros(len(values), bool)
    entered[1:] = (values[1:] == 1) & (values[:-1] == 0)
    return entered


def _has_prices(result: SymbolResult) -> bool:
    return all(name in result for name in _PRICES)


def _candles(result: SymbolResult) -> Candles:
    columns: Mapping[str, Numbers] = {
        name: np.asarray(result[name], np.float64) for name in _CANDLE_COLUMNS if name in result
    }
    return Candles(**columns)


def _aligned(result: SymbolResult, name: str, times: NDArray[np.int64]) -> Numbers:
    """Returns a column with a value for each of the times, NaN where the result has no row."""
    values = np.full(len(times), np.nan)
    own = result.open_time_micros
    if len(own):
        rows = np.minimum(np.searchsorted(own, times), len(own) - 1)
        found = own[rows] == times
        values[found] = result[name][rows[found]]
    return values


def _labels(names: Sequence[str], formula: str) -> dict[str, str]:
    """Returns what to call columns: a lone expression by itself instead of `value`, if it is short."""
    text = _in_one_line(formula)
    value = text if text and len(text) <= _LONGEST_LABEL else "value"
    labels = {}
    for name in names:
        base, dot, output = name.partition(".")
        labels[name] = f"{value if base == 'value' else base}{dot}{output}"
    return labels


def _in_one_line(formula: str) -> str:
    """Returns the statements without comments and line breaks."""
    lines = (" ".join(line.partition("#")[0].split()) for line in formula.splitlines())
    return "; ".join(part for line in lines if (part := line.rstrip("; ")))


def _caption(times: NDArray[np.datetime64], timeframe: str) -> str:
    parts = [timeframe] if timeframe else []
    if len(times):
        first, last = np.datetime_as_string(times[[0, -1]], unit="D").tolist()
        parts.append(first if first == last else f"{first} to {last}")
    return ", ".join(parts)


def _median_move(values: Numbers) -> float:
    return _median(np.abs(np.diff(values)))


def _median(values: Numbers) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else 0.0
