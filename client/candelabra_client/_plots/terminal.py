"""Draws charts as text that fits a terminal: box-drawing candles, dotted lines, block bars."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import IO, Final

import numpy as np

from candelabra_client._frames import import_optional
from candelabra_client._plots import theme
from candelabra_client._plots.aggregation import aggregated
from candelabra_client._plots.canvas import Canvas
from candelabra_client._plots.chart import Candles, Chart, Numbers, Series, Style
from candelabra_client._plots.scales import bounds, compact, nice_ticks, tick_labels, time_ticks

__all__ = ["LEAST_HEIGHT", "LEAST_WIDTH", "draw_terminal", "print_terminal", "wanted_heights"]

INSTALL: Final = "'candelabra[cli]'"
LEAST_WIDTH: Final = 40
LEAST_HEIGHT: Final = 12

_AXIS = 9  # columns of the labels at the right
_LEAST_PRICE, _LEAST_PANE = 5, 3
_WIDEST_CANDLE = 3  # columns from one candle to the next, at most

_NOTHING, _WICK, _BODY = 0, 1, 2
_CANDLE_CELLS: Final = (" ╷╻", "╵│╽", "╹╿┃")  # by what the upper and the lower half of a cell show
_EIGHTHS = " ▁▂▃▄▅▆▇█"
_MUTED = "dim"


def print_terminal(charts: Sequence[Chart], stream: IO[str] | None = None) -> tuple[str, ...]:
    """Prints charts below each other, together as high as the terminal where that leaves each legible.

    Returns the labels of columns that found no room. MissingDependency without rich.
    """
    consoles = import_optional("rich.console", install=INSTALL)
    texts = import_optional("rich.text", install=INSTALL)
    console = consoles.Console(file=stream or sys.stdout, highlight=False, markup=False, emoji=False)
    width, height = max(console.width, LEAST_WIDTH), console.height - 1  # a line for the prompt
    omitted: dict[str, None] = {}
    for chart in charts:
        canvas, left_out = draw_terminal(chart, width, max(height // len(charts), LEAST_HEIGHT))
        omitted.update(dict.fromkeys(left_out))
        for row in canvas.rows():
            console.print(texts.Text.assemble(*row), no_wrap=True, overflow="crop", crop=True)
    return tuple(omitted)


def draw_terminal(chart: Chart, width: int, height: int) -> tuple[Canvas, tuple[str, ...]]:
    """Draws a chart of exactly this size; also returns the labels of columns that found no room."""
    canvas = Canvas(width, height)
    heights = wanted_heights(chart, height)
    shown, left_out = chart.panes[: len(heights.panes)], chart.panes[len(heights.panes) :]
    chart = aggregated(replace(chart, panes=shown), width - _AXIS)
    _write_captions(canvas, chart)
    top = 2
    if chart.candles is not None:
        _Strip(canvas, chart, top, heights.price).draw_price(chart.candles)
        top += heights.price
    for pane, pane_height in zip(chart.panes, heights.panes, strict=True):
        _write_rule(canvas, top, pane.series)
        _Strip(canvas, chart, top + 1, pane_height).draw_pane(pane.series)
        top += 1 + pane_height
    if heights.volume and chart.candles is not None and chart.volume is not None:
        _Strip(canvas, chart, top, heights.volume).draw_volume(chart.candles, chart.volume)
    _write_times(canvas, chart)
    return canvas, (*(series.label for pane in left_out for series in pane.series), *chart.omitted)


@dataclass(frozen=True, slots=True)
class Heights:
    """Rows of each part; a pane's rule comes on top of its rows."""

    price: int
    panes: tuple[int, ...]
    volume: int


def wanted_heights(chart: Chart, height: int) -> Heights:
    """Shares rows out: two go to captions and one to times; the price gets about half of the rest.

    Where room is short, first the volume goes, then panes from the last.
    """
    room = height - 3
    least_price = _LEAST_PRICE if chart.candles is not None else 0
    count = min(len(chart.panes), max((room - least_price) // (1 + _LEAST_PANE), 0))
    volume = 0 if chart.volume is None else max(room // 8, 2)
    if chart.candles is not None and room - count * (1 + _LEAST_PANE) - volume < least_price:
        volume = 0
    if chart.candles is None:
        rows, extra = divmod(room, max(count, 1))
        return Heights(0, tuple(rows - 1 + (position < extra) for position in range(count)), 0)
    each = max((room - volume) // (count * 2 + 2) if count > 1 else (room - volume) // 3, _LEAST_PANE + 1)
    while count and room - volume - count * each < max(least_price, each) and each > _LEAST_PANE + 1:
        each -= 1
    return Heights(room - volume - count * each, (each - 1,) * count, volume)


class _Strip:
    """Some rows of the canvas with a scale of their own."""

    def __init__(self, canvas: Canvas, chart: Chart, top: int, height: int) -> None:
        self._canvas = canvas
        self._chart = chart
        self._top = top
        self._height = height
        self._low, self._high = 0.0, 1.0

    def draw_price(self, candles: Candles) -> None:
        """Candles, overlays around them, marks below them."""
        signals = self._chart.signals
        self._low, self._high = bounds([candles.low, candles.high, *(each.values for each in self._chart.overlays)])
        if signals:  # a row for the marks of the lowest candles
            self._low -= (self._high - self._low) / max(self._height - 1, 1)
        self._write_scale()
        for position in range(self._chart.row_count):
            self._draw_candle(candles, position)
        for position, series in enumerate(self._chart.overlays):
            self._draw_line(series.values, theme.terminal_colour(position))
        for position, signal in enumerate(signals):
            for row in np.flatnonzero(signal.entered & np.isfinite(candles.low)).tolist():
                at = min(int(self._half(candles.low[row])) // 2 + 1, self._height - 1)
                self._canvas.put(
                    self._top + at, _column(self._canvas, self._chart, row), "▲", theme.signal_colour(position)
                )

    def draw_pane(self, series: Sequence[Series]) -> None:
        """Lines and bars on a scale of their own."""
        values = [each.values for each in series]
        has_bars = any(each.style is Style.BARS for each in series)
        self._low, self._high = bounds([*values, np.zeros(1)] if has_bars else values)
        self._write_scale()
        for position, each in sorted(enumerate(series), key=lambda pair: pair[1].style is Style.BARS):
            colour = theme.terminal_colour(position)
            if each.style is Style.BARS:
                self._draw_bars(each.values, colour)
            else:
                self._draw_line(each.values, colour)

    def draw_volume(self, candles: Candles, volume: Numbers) -> None:
        """Bars from the bottom, to an eighth of a row."""
        self._high = bounds([volume])[1]
        self._canvas.write(self._top, self._canvas.width - _AXIS + 1, compact(self._high), _MUTED)
        rising = candles.close >= candles.open
        for position, value in enumerate(np.nan_to_num(volume).tolist()):
            eighths = round(value / self._high * self._height * 8)
            column = _column(self._canvas, self._chart, position)
            for row in range(self._height):
                filled = min(max(eighths - row * 8, 0), 8)
                if filled:
                    colour = theme.UP if rising[position] else theme.DOWN
                    self._canvas.put(self._top + self._height - 1 - row, column, _EIGHTHS[filled], f"dim {colour}")

    def _draw_candle(self, candles: Candles, position: int) -> None:
        prices = [float(array[position]) for array in (candles.open, candles.high, candles.low, candles.close)]
        if not np.isfinite(prices).all():
            return
        first, high, low, last = prices
        style = theme.UP if last >= first else theme.DOWN
        wick = range(int(self._half(high)), int(self._half(low)) + 1)
        body = range(int(self._half(max(first, last))), int(self._half(min(first, last))) + 1)
        column = _column(self._canvas, self._chart, position)
        for row in range(wick.start // 2, (wick.stop - 1) // 2 + 1):
            upper, lower = (
                _BODY if half in body else _WICK if half in wick else _NOTHING for half in (row * 2, row * 2 + 1)
            )
            self._canvas.put(self._top + row, column, _CANDLE_CELLS[upper][lower], style)

    def _draw_line(self, values: Numbers, style: str) -> None:
        """Dots from each value to the next, where neither is missing."""
        canvas, chart = self._canvas, self._chart
        before: tuple[int, int] | None = None
        for position, value in enumerate(values.tolist()):
            if not np.isfinite(value):
                before = None
                continue
            at = (round(self._share(value) * (self._height * 4 - 1)), _column(canvas, chart, position) * 2)
            first = before or at
            steps = max(abs(at[0] - first[0]), abs(at[1] - first[1]), 1)
            for step in range(steps + 1):
                row = first[0] + (at[0] - first[0]) * step / steps
                column = first[1] + (at[1] - first[1]) * step / steps
                canvas.dot(self._top * 4 + round(row), round(column), style)
            before = at

    def _draw_bars(self, values: Numbers, style: str) -> None:
        """Bars from zero, to half a row, in cells that no line has taken."""
        zero = round(self._share(0.0) * self._height * 2)
        for position, value in enumerate(values.tolist()):
            if not np.isfinite(value):
                continue
            end = round(self._share(value) * self._height * 2)
            halves = range(min(zero, end), max(zero, end))
            column = _column(self._canvas, self._chart, position)
            for row in {half // 2 for half in halves}:
                upper, lower = row * 2 in halves, row * 2 + 1 in halves
                cell = "█" if upper and lower else "▀" if upper else "▄"
                self._canvas.fill(self._top + row, column, cell, style)

    def _write_scale(self) -> None:
        ticks = nice_ticks(self._low, self._high, max(self._height // 2, 2))
        for tick, label in zip(ticks, tick_labels(ticks), strict=True):
            row = int(self._half(tick)) // 2
            self._canvas.write(self._top + row, self._canvas.width - _AXIS, f"┤{label}", _MUTED)

    def _share(self, value: float) -> float:
        """Returns how far below the top a value lies, from 0 to 1."""
        return float(np.clip((self._high - value) / ((self._high - self._low) or 1.0), 0.0, 1.0))

    def _half(self, value: float) -> float:
        """Returns a value's place in halves of a row, from the top."""
        return min(self._share(value) * self._height * 2, self._height * 2 - 1)


def _column(canvas: Canvas, chart: Chart, position: int) -> int:
    room = canvas.width - _AXIS
    step = min(max(room // max(chart.row_count, 1), 1), _WIDEST_CANDLE)
    return position * step + step // 2


def _write_captions(canvas: Canvas, chart: Chart) -> None:
    end = canvas.write(0, 0, chart.symbol, "bold")
    canvas.write(0, end + 2, chart.caption, _MUTED)
    entries = [
        *((_with_last(each), "─", theme.terminal_colour(position)) for position, each in enumerate(chart.overlays)),
        *((each.label, "▲", theme.signal_colour(position)) for position, each in enumerate(chart.signals)),
    ]
    column = 0
    for text, mark, style in entries:
        column = canvas.write(1, canvas.write(1, column, f"{mark} ", style), text) + 2


def _write_rule(canvas: Canvas, row: int, series: Sequence[Series]) -> None:
    """Writes the line between two panes, with the names of what is below it."""
    canvas.write(row, 0, "─" * canvas.width, _MUTED)
    column = 1
    for position, each in enumerate(series):
        mark = "▄" if each.style is Style.BARS else "─"
        column = canvas.write(row, column, f" {mark} ", theme.terminal_colour(position))
        column = canvas.write(row, column, f"{_with_last(each)} ")


def _write_times(canvas: Canvas, chart: Chart) -> None:
    room = canvas.width - _AXIS
    rows, labels = time_ticks(chart.times, max(room // 14, 1))
    free = 0
    for row, label in zip(rows, labels, strict=True):
        column = _column(canvas, chart, row)
        if column >= free and column + len(label) + 1 <= canvas.width:
            free = canvas.write(canvas.height - 1, column, f"└{label}", _MUTED) + 1


def _with_last(series: Series) -> str:
    return series.label if series.last is None else f"{series.label} {compact(series.last)}"
