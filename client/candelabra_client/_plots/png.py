"""Draws charts as a PNG with matplotlib, without its global state: any thread may draw."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from candelabra_client._frames import import_optional
from candelabra_client._plots import theme
from candelabra_client._plots.aggregation import aggregated
from candelabra_client._plots.chart import Candles, Chart, Numbers, Series, Style
from candelabra_client._plots.scales import bounds, compact, nice_ticks, shortened, tick_labels, time_ticks

__all__ = ["DOTS_PER_INCH", "INSTALL", "MOST_ROWS", "WIDTH_INCHES", "draw_png", "height_inches"]

_Drawing: TypeAlias = Any  # a figure of matplotlib, which is not imported here, or a part of it

INSTALL: Final = "'candelabra[plot]'"
DOTS_PER_INCH: Final = 100
WIDTH_INCHES: Final = 12.0
MOST_ROWS: Final = 4_000
"""Candles that a picture tells apart, about four a dot; of more, several are put into one."""

_FEWEST_ROWS = 30  # room that even one candle gets, so that it is no wall
_MOST_BODIES = 500  # with more candles a body is thinner than two dots: bars from low to high and a line of closes
_LEFT, _RIGHT = 0.25, 0.75
_TOP, _BOTTOM, _GAP = 0.62, 0.34, 0.09
_PRICE, _PANE, _VOLUME = 3.6, 1.25, 0.7
_FONT = 9
_FAMILY = "DejaVu Sans"  # comes with matplotlib
_LONGEST_NOTE = 140


@dataclass(frozen=True, slots=True)
class _Strip:
    """One set of axes: its place in inches from the top of its chart."""

    top: float
    height: float


def draw_png(charts: Sequence[Chart]) -> bytes:
    """Returns a PNG with the charts below each other; MissingDependency without matplotlib."""
    figures = import_optional("matplotlib.figure", install=INSTALL)
    agg = import_optional("matplotlib.backends.backend_agg", install=INSTALL)
    height = sum(height_inches(chart) for chart in charts)
    figure = figures.Figure(figsize=(WIDTH_INCHES, height), dpi=DOTS_PER_INCH, facecolor=theme.BACKGROUND)
    agg.FigureCanvasAgg(figure)
    top = 0.0
    for chart in charts:
        _Picture(figure, aggregated(chart, MOST_ROWS), top).draw()
        top += height_inches(chart)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DOTS_PER_INCH, metadata={"Software": "candelabra"})
    return stream.getvalue()


def height_inches(chart: Chart) -> float:
    """Returns how high a chart is, its captions included."""
    strips = _strips(chart)
    return strips[-1].top + strips[-1].height + _BOTTOM


def _strips(chart: Chart) -> list[_Strip]:
    """Returns the places of price, panes and volume, those that the chart has."""
    heights = (
        [_PRICE] * (chart.candles is not None) + [_PANE] * len(chart.panes) + [_VOLUME] * (chart.volume is not None)
    )
    strips: list[_Strip] = []
    for height in heights or [_PANE]:
        strips.append(_Strip(strips[-1].top + strips[-1].height + _GAP if strips else _TOP, height))
    return strips


class _Picture:
    """Draws one chart at a distance from the figure's top."""

    def __init__(self, figure: _Drawing, chart: Chart, top: float) -> None:
        self._figure = figure
        self._chart = chart
        self._top = top
        self._rows = np.arange(chart.row_count)
        self._span = max(chart.row_count + 1, _FEWEST_ROWS)

    def draw(self) -> None:
        """Draws all of it."""
        chart = self._chart
        self._draw_captions()
        axes = [self._add_axes(strip) for strip in _strips(chart)]
        following = iter(axes)
        if chart.candles is not None:
            self._draw_price(next(following), chart.candles)
        for pane in chart.panes:
            self._draw_pane(next(following), pane.series)
        if chart.candles is not None and chart.volume is not None:
            self._draw_volume(next(following), chart.candles, chart.volume)
        rows, labels = time_ticks(chart.times, 10)
        for each in axes:
            each.set_xticks(rows, labels=labels if each is axes[-1] else [])
            each.set_xlim((chart.row_count - 1 - self._span) / 2, (chart.row_count - 1 + self._span) / 2)

    def _add_axes(self, strip: _Strip) -> _Drawing:
        height = self._figure.get_figheight()
        axes = self._figure.add_axes(
            (
                _LEFT / WIDTH_INCHES,
                1 - (self._top + strip.top + strip.height) / height,
                1 - (_LEFT + _RIGHT) / WIDTH_INCHES,
                strip.height / height,
            ),
            facecolor=theme.BACKGROUND,
        )
        axes.yaxis.tick_right()
        axes.tick_params(colors=theme.INK, labelsize=_FONT, length=0, labelfontfamily=_FAMILY)
        axes.grid(visible=True, color=theme.GRID, linewidth=0.7, linestyle="-")
        axes.set_axisbelow(True)
        for spine in axes.spines.values():
            spine.set(color=theme.GRID, linewidth=0.8)
        return axes

    def _draw_captions(self) -> None:
        chart = self._chart
        self._write(chart.symbol, 0.3, size=14, weight="bold")
        self._write(chart.caption, 0.3, colour=theme.PALE, at_right=True)
        notes = [shortened(chart.formula, _LONGEST_NOTE // (1 + bool(chart.omitted)))] if chart.formula else []
        notes += [f"without room: {', '.join(chart.omitted)}"] if chart.omitted else []
        self._write(shortened("   ".join(notes), _LONGEST_NOTE), 0.53, colour=theme.PALE)

    def _write(
        self,
        text: str,
        inches: float,
        *,
        size: int = _FONT + 1,
        weight: str = "normal",
        colour: str = theme.INK,
        at_right: bool = False,
    ) -> None:
        """Writes a line whose foot is so far below the chart's top."""
        self._figure.text(
            1 - _RIGHT / WIDTH_INCHES if at_right else _LEFT / WIDTH_INCHES,
            1 - (self._top + inches) / self._figure.get_figheight(),
            text,
            ha="right" if at_right else "left",
            va="baseline",
            fontsize=size,
            weight=weight,
            color=colour,
            parse_math=False,
            family=_FAMILY,
        )

    def _draw_price(self, axes: _Drawing, candles: Candles) -> None:
        if self._chart.row_count <= _MOST_BODIES:
            self._draw_bodies(axes, candles)
        else:
            axes.vlines(self._rows, candles.low, candles.high, color=theme.PALE, linewidth=0.6, alpha=0.6, zorder=2)
            axes.plot(self._rows, candles.close, color=theme.INK, linewidth=0.8, zorder=2.1, label="close")
        for position, series in enumerate(self._chart.overlays):
            self._draw_line(axes, series, position)
        low, high = bounds([candles.low, candles.high, *(each.values for each in self._chart.overlays)], margin=0.04)
        room = (high - low) * 0.12  # for the legend
        offset = (high - low) * 0.035
        for position, signal in enumerate(self._chart.signals):
            rows = np.flatnonzero(signal.entered)
            axes.plot(
                rows,
                candles.low[rows] - offset * (1 + position),
                linestyle="none",
                marker="^",
                markersize=8,
                color=theme.signal_colour(position),
                markeredgecolor=theme.BACKGROUND,
                label=signal.label,
                zorder=5,
            )
        below = offset * (len(self._chart.signals) + 0.5) if self._chart.signals else 0
        self._set_scale(axes, low - below, high + room, most_ticks=9)
        self._draw_legend(axes)

    def _draw_bodies(self, axes: _Drawing, candles: Candles) -> None:
        """A rising candle is hollow, so that colour is not all that tells it from a falling one."""
        collections = import_optional("matplotlib.collections", install=INSTALL)
        inches = (WIDTH_INCHES - _LEFT - _RIGHT) / self._span
        edge = float(np.clip(inches * 72 * 0.16, 0.6, 1.4))
        known = np.isfinite(candles.open) & np.isfinite(candles.close)
        rising = candles.close >= candles.open
        for chosen, colour, fill in (
            (known & rising, theme.UP, theme.BACKGROUND if inches * DOTS_PER_INCH >= 6 else theme.UP),
            (known & ~rising, theme.DOWN, theme.DOWN),
        ):
            rows = self._rows[chosen]
            bottom = np.minimum(candles.open, candles.close)[chosen]
            top = np.maximum(candles.open, candles.close)[chosen]
            axes.vlines(rows, candles.low[chosen], candles.high[chosen], color=colour, linewidth=edge, zorder=2)
            left, right = rows - 0.36, rows + 0.36
            corners = np.stack(
                [np.stack(pair, axis=1) for pair in ((left, bottom), (left, top), (right, top), (right, bottom))],
                axis=1,
            )
            axes.add_collection(
                collections.PolyCollection(corners, facecolor=fill, edgecolor=colour, linewidth=edge, zorder=2.1)
            )

    def _draw_pane(self, axes: _Drawing, series: Sequence[Series]) -> None:
        low, high = bounds([each.values for each in series], margin=0.06)
        if low < 0 < high:
            axes.axhline(0, color=theme.PALE, linewidth=0.8, zorder=1.5)
        for position, each in enumerate(series):
            if each.style is Style.BARS:
                self._draw_bars(axes, each, position)
            else:
                self._draw_line(axes, each, position)
        self._set_scale(axes, low, high + (high - low) * 0.22, most_ticks=4)
        self._draw_legend(axes)

    def _draw_volume(self, axes: _Drawing, candles: Candles, volume: Numbers) -> None:
        rising = candles.close >= candles.open
        many = self._chart.row_count > _MOST_BODIES
        width = 0.8 if many else 0.72
        for chosen, colour in ((rising, theme.UP), (~rising, theme.DOWN)):
            axes.vlines(
                self._rows[chosen],
                0,
                volume[chosen],
                color=theme.PALE if many else colour,
                linewidth=self._points(width),
                alpha=0.55,
                zorder=2,
                label="volume" if colour is theme.UP else None,
            )
        self._set_scale(axes, 0, bounds([volume])[1] * 1.08, most_ticks=2)
        self._write_label(axes, "volume")

    def _draw_line(self, axes: _Drawing, series: Series, position: int) -> None:
        alone = np.isfinite(series.values)
        alone[1:] &= ~np.isfinite(series.values[:-1])
        alone[:-1] &= ~np.isfinite(series.values[1:])
        colour = theme.line_colour(position)
        width = 1.4 if self._chart.row_count <= _MOST_BODIES else 0.8
        axes.plot(self._rows, series.values, color=colour, linewidth=width, label=_legend_text(series), zorder=3)
        # A value between two gaps is no part of a line.
        axes.plot(self._rows[alone], series.values[alone], ".", color=colour, markersize=3, zorder=3)

    def _draw_bars(self, axes: _Drawing, series: Series, position: int) -> None:
        known = np.isfinite(series.values)
        axes.vlines(
            self._rows[known],
            0,
            series.values[known],
            color=theme.line_colour(position),
            linewidth=self._points(0.6),
            alpha=0.55,
            label=_legend_text(series),
            zorder=2,
        )

    def _points(self, rows: float) -> float:
        """Returns a width in rows as the width of a stroke."""
        return max(rows * (WIDTH_INCHES - _LEFT - _RIGHT) * 72 / self._span, 0.5)

    @staticmethod
    def _set_scale(axes: _Drawing, low: float, high: float, *, most_ticks: int) -> None:
        axes.set_ylim(low, high)
        ticks = [tick for tick in nice_ticks(low, high, most_ticks) if tick != low]
        axes.set_yticks(ticks, labels=tick_labels(ticks))

    @staticmethod
    def _draw_legend(axes: _Drawing) -> None:
        if axes.get_legend_handles_labels()[0]:
            legend = axes.legend(
                loc="upper left",
                ncols=8,
                fontsize=_FONT,
                frameon=True,
                framealpha=0.85,
                facecolor=theme.BACKGROUND,
                edgecolor="none",
                borderpad=0.15,
                borderaxespad=0.3,
                handlelength=1.3,
                columnspacing=1.4,
                labelcolor=theme.INK,
            )
            for text in legend.get_texts():
                text.set(parse_math=False, family=_FAMILY)

    @staticmethod
    def _write_label(axes: _Drawing, text: str) -> None:
        axes.text(
            0.006, 0.93, text, transform=axes.transAxes, va="top", fontsize=_FONT, color=theme.INK, family=_FAMILY
        )


def _legend_text(series: Series) -> str:
    return series.label if series.last is None else f"{series.label}  {compact(series.last)}"
