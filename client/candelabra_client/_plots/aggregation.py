"""Puts several candles into one, for pictures with less room than there are candles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from candelabra_client._plots.chart import Candles, Chart, Numbers, Pane, Series, Signal

__all__ = ["aggregated"]


def aggregated(chart: Chart, most: int) -> Chart:
    """Returns the chart with at most so many candles, each of the same number of rows but for the last.

    A candle opens, ranges, closes and adds up its volume as one of a longer timeframe would; a series has its last
    value, a signal is marked when it was entered on any of the rows.
    """
    each = -(-chart.row_count // max(most, 1))
    if each <= 1:
        return chart
    starts = np.arange(0, chart.row_count, each)
    candles = chart.candles
    return replace(
        chart,
        caption=f"{chart.caption}, {each} rows a candle",
        times=chart.times[starts],
        candles=candles
        and Candles(
            open=_first(candles.open, each),
            high=np.fmax.reduceat(candles.high, starts),
            low=np.fmin.reduceat(candles.low, starts),
            close=_last(candles.close, each),
            volume=None if candles.volume is None else np.add.reduceat(np.nan_to_num(candles.volume), starts),
        ),
        overlays=tuple(_series(series, each) for series in chart.overlays),
        signals=tuple(Signal(signal.label, np.logical_or.reduceat(signal.entered, starts)) for signal in chart.signals),
        panes=tuple(Pane(tuple(_series(series, each) for series in pane.series)) for pane in chart.panes),
    )


def _series(series: Series, each: int) -> Series:
    return replace(series, values=_last(series.values, each))


def _first(values: Numbers, each: int) -> Numbers:
    """Returns the first finite value of each group of rows, NaN where a group has none."""
    groups = _groups(values, each)
    at: Numbers = groups[np.arange(len(groups)), np.isfinite(groups).argmax(axis=1)]
    return at


def _last(values: Numbers, each: int) -> Numbers:
    return _first(_groups(values, each)[:, ::-1].ravel(), each)


def _groups(values: Numbers, each: int) -> Numbers:
    """Returns the values in rows of so many, filled up with NaN."""
    filled = np.full(-(-len(values) // each) * each, np.nan)
    filled[: len(values)] = values
    return filled.reshape(-1, each)
