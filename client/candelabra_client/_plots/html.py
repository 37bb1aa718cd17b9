"""Draws charts as one HTML page with plotly."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from candelabra_client._frames import import_optional
from candelabra_client._plots import theme
from candelabra_client._plots.aggregation import aggregated
from candelabra_client._plots.chart import Candles, Chart, Numbers, Series, Style
from candelabra_client._plots.page import write_page, write_section
from candelabra_client._plots.scales import bounds

__all__ = ["MOST_ROWS", "draw_html"]

_Plotly: TypeAlias = Any  # a module or a figure of plotly, which is not imported here

INSTALL: Final = "'candelabra[plot]'"
MOST_ROWS: Final = 10_000
"""Candles of a symbol that a browser still moves smoothly; of more, several are put into one."""

_PRICE, _PANE, _VOLUME = 400, 130, 80
_GAP, _TOP, _BOTTOM, _LEFT, _RIGHT = 12, 34, 40, 24, 64
_CONFIG: Final = {
    "displaylogo": False,
    "responsive": True,
    "scrollZoom": True,
    "modeBarButtons": [["pan2d", "zoom2d", "zoomIn2d", "zoomOut2d", "resetScale2d", "toImage"]],
}

_MARK = 0.04  # from a candle to the mark of a signal below it, as a part of the price's range


@dataclass(frozen=True, slots=True)
class _Strip:
    """One axis of values: its height in dots, and from where to where it runs."""

    height: int
    range: tuple[float, float]


def draw_html(charts: Sequence[Chart]) -> bytes:
    """Returns a page with the charts below each other; MissingDependency without plotly."""
    offline = import_optional("plotly.offline", install=INSTALL)
    sections = [_section(aggregated(chart, MOST_ROWS), number) for number, chart in enumerate(charts, start=1)]
    page = write_page((chart.symbol for chart in charts), sections, library=offline.get_plotlyjs())
    return page.encode()


def _section(chart: Chart, number: int) -> str:
    drawn: str = _figure(chart).to_html(
        full_html=False, include_plotlyjs=False, div_id=f"chart-{number}", config=_CONFIG, default_width="100%"
    )
    notes = [chart.formula] if chart.formula else []
    notes += [f"without room: {', '.join(chart.omitted)}"] if chart.omitted else []
    return write_section(chart.symbol, chart.caption, notes, drawn)


def _figure(chart: Chart) -> _Plotly:
    """Returns the figure; all panes share one axis of times, so that they move together."""
    graphs = import_optional("plotly.graph_objects", install=INSTALL)
    strips = _strips(chart)
    height = sum(strip.height for strip in strips) + _GAP * (len(strips) - 1)
    figure = graphs.Figure(layout={"template": {}})  # not the one that the user may have set for their own
    times = _time_texts(chart.times)
    following = iter(range(1, len(strips) + 1))
    if chart.candles is not None:
        _add_price(figure, graphs, chart, chart.candles, times, axis=next(following))
    for pane in chart.panes:
        axis = next(following)
        for position, series in enumerate(pane.series):
            _add_series(figure, graphs, series, position, times, axis=axis)
    if chart.candles is not None and chart.volume is not None:
        _add_volume(figure, graphs, chart.candles, chart.volume, times, axis=next(following))

    top = float(height)
    for axis, strip in enumerate(strips, start=1):
        figure.update_layout(
            {
                _axis_name(axis): {
                    "domain": [max((top - strip.height) / height, 0.0), top / height],
                    "range": strip.range,
                    "side": "right",
                    "gridcolor": theme.GRID,
                    "zerolinecolor": theme.PALE,
                    "zeroline": not (axis == 1 and chart.candles is not None),
                    "nticks": max(strip.height // 32, 4),
                    "fixedrange": False,
                },
                _legend_name(axis): {
                    "orientation": "h",
                    "x": 0.0,
                    "y": top / height,
                    "xanchor": "left",
                    "yanchor": "top",
                    "bgcolor": "rgba(255,255,255,0.8)",
                    "font": {"size": 12},
                },
            }
        )
        top -= strip.height + _GAP
    figure.update_layout(
        height=_TOP + height + _BOTTOM,
        margin={"l": _LEFT, "r": _RIGHT, "t": _TOP, "b": _BOTTOM},
        paper_bgcolor=theme.BACKGROUND,
        plot_bgcolor=theme.BACKGROUND,
        font={"color": theme.INK, "size": 12},
        hovermode="x unified",
        hoverlabel={"namelength": -1},
        hoversubplots="axis",
        dragmode="pan",
        bargap=0.25,
        showlegend=True,
        # Categories stand side by side: nights, weekends and holidays take no room.
        xaxis={
            "type": "category",
            "anchor": "free",
            "position": 0.0,
            "nticks": 12,
            "range": [-1, chart.row_count],
            "tickangle": 0,
            "gridcolor": theme.GRID,
            "showline": False,
            "zeroline": False,
            "rangeslider": {"visible": False},
            "categoryorder": "array",
            "categoryarray": times,
        },
    )
    return figure


def _strips(chart: Chart) -> list[_Strip]:
    """Returns price, panes and volume, those that the chart has, each with room for its legend."""
    strips = []
    if chart.candles is not None:
        values = [chart.candles.low, chart.candles.high, *(series.values for series in chart.overlays)]
        strips.append(_Strip(_PRICE, _with_room(bounds(values), _MARK * len(chart.signals) + 0.02, 0.1)))
    scales = (bounds([series.values for series in pane.series]) for pane in chart.panes)
    strips += [_Strip(_PANE, _with_room(scale, 0.06, 0.25)) for scale in scales]
    if chart.volume is not None:
        strips.append(_Strip(_VOLUME, (0.0, bounds([chart.volume])[1] * 1.1)))
    return strips or [_Strip(_PANE, (0.0, 1.0))]


def _with_room(extent: tuple[float, float], below: float, above: float) -> tuple[float, float]:
    low, high = extent
    return low - (high - low) * below, high + (high - low) * above


def _add_price(
    figure: _Plotly, graphs: _Plotly, chart: Chart, candles: Candles, times: list[str], *, axis: int
) -> None:
    figure.add_trace(
        graphs.Candlestick(
            x=times,
            open=candles.open,
            high=candles.high,
            low=candles.low,
            close=candles.close,
            name=_text(chart.symbol),
            # A rising candle is hollow, so that colour is not all that tells it from a falling one.
            increasing={"line": {"color": theme.UP, "width": 1.2}, "fillcolor": theme.BACKGROUND},
            decreasing={"line": {"color": theme.DOWN, "width": 1.2}, "fillcolor": theme.DOWN},
            showlegend=False,
            **_place(axis),
        )
    )
    for position, series in enumerate(chart.overlays):
        _add_series(figure, graphs, series, position, times, axis=axis)
    low, high = bounds([candles.low, candles.high])
    for position, signal in enumerate(chart.signals):
        rows = np.flatnonzero(signal.entered)
        figure.add_trace(
            graphs.Scatter(
                x=[times[row] for row in rows],
                y=candles.low[rows] - _MARK * (position + 1) * (high - low),
                mode="markers",
                marker={
                    "symbol": "triangle-up",
                    "size": 11,
                    "color": theme.signal_colour(position),
                    "line": {"width": 1, "color": theme.BACKGROUND},
                },
                name=_text(signal.label),
                hovertemplate="becomes true",
                **_place(axis),
            )
        )


def _add_series(
    figure: _Plotly, graphs: _Plotly, series: Series, position: int, times: list[str], *, axis: int
) -> None:
    colour = theme.line_colour(position)
    options = {"x": times, "y": series.values, "name": _text(series.label), **_place(axis)}
    if series.style is Style.BARS:
        figure.add_trace(graphs.Bar(marker={"color": colour, "opacity": 0.5}, **options))
    else:
        figure.add_trace(
            graphs.Scatter(mode="lines", connectgaps=False, line={"color": colour, "width": 1.6}, **options)
        )


def _add_volume(
    figure: _Plotly,
    graphs: _Plotly,
    candles: Candles,
    volume: Numbers,
    times: list[str],
    *,
    axis: int,
) -> None:
    colours = np.where(candles.close >= candles.open, theme.UP, theme.DOWN).tolist()
    marker = {"color": colours, "opacity": 0.5, "line": {"width": 0}}
    figure.add_trace(graphs.Bar(x=times, y=volume, name="volume", marker=marker, showlegend=False, **_place(axis)))
    figure.add_annotation(
        text="volume",
        showarrow=False,
        x=0.005,
        y=1,
        xref="paper",
        yref=f"{_place(axis)['yaxis']} domain",
        xanchor="left",
        yanchor="top",
    )


def _place(axis: int) -> dict[str, str]:
    return {"xaxis": "x", "yaxis": f"y{axis}" if axis > 1 else "y", "legend": _legend_name(axis)}


def _axis_name(axis: int) -> str:
    return f"yaxis{axis}" if axis > 1 else "yaxis"


def _legend_name(axis: int) -> str:
    return f"legend{axis}" if axis > 1 else "legend"


def _text(label: str) -> str:
    """Returns a label whose `<` stays what it is: plotly reads some HTML in its texts."""
    return html.escape(label, quote=False)


def _time_texts(times: NDArray[np.datetime64]) -> list[str]:
    """Returns times as ISO 8601 without the zone, as days where all are whole days."""
    whole = bool(np.all(times == times.astype("datetime64[D]")))
    fine = bool(np.any(times != times.astype("datetime64[m]")))
    texts: list[str] = np.datetime_as_string(times, unit="D" if whole else "us" if fine else "m").tolist()
    return [text.replace("T", " ") for text in texts]
