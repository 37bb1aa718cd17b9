"""Where the marks of an axis are, and what they say; texts that fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from candelabra_client._plots.chart import Numbers

__all__ = ["bounds", "compact", "nice_ticks", "shortened", "tick_labels", "time_ticks"]

_DAY_MINUTES = 24 * 60
_MONTHS: Final = (1, 3, 6, 12, 24, 60, 120, 240)
_MINUTES: Final = (1, 5, 15, 30, 60, 120, 240, 480, _DAY_MINUTES)
_DAYS: Final = (2, 7, 14)
_MONDAY = 4  # days from the epoch, a Thursday, to a Monday

_CLOSEST: Final = 0.75  # of the distance that evenly spread marks would have

_SUFFIXES: Final = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def time_ticks(times: NDArray[np.datetime64], most: int) -> tuple[list[int], list[str]]:
    """Returns at most so many rows at which a new minute, hour, day, month or year begins, with their labels.

    Rows stand side by side whatever time lies between them, so that nights and weekends take no room.
    """
    for month_step, minute_step in _time_steps():
        periods = _periods(times, month_step, minute_step)
        starts = (np.flatnonzero(np.diff(periods) != 0) + 1).tolist()
        if 0 < len(starts) <= most:
            rows = _apart(starts, len(times) / most * _CLOSEST)
            return rows, [_time_label(times, row, month_step, minute_step) for row in rows]
    return ([0], [str(np.datetime_as_string(times[0], unit="D"))]) if len(times) and most else ([], [])


def nice_ticks(low: float, high: float, most: int) -> list[float]:
    """Returns round numbers from low to high, at most so many and evenly spaced."""
    if most < 1 or not high > low:
        return []
    for step in _round_steps((high - low) / most):
        first, last = math.ceil(low / step), math.floor(high / step)
        if 1 <= last - first + 1 <= most:
            return [number * step for number in range(first, last + 1)]
    return []


def bounds(values: Sequence[Numbers], *, margin: float = 0.0) -> tuple[float, float]:
    """Returns the least and the largest finite value of all, moved apart by a part of their distance."""
    finite = [array[np.isfinite(array)] for array in values]
    joined = np.concatenate([np.empty(0), *finite])
    if not len(joined):
        return 0.0, 1.0
    low, high = float(joined.min()), float(joined.max())
    gap = (high - low) * margin or (0.0 if high > low else abs(high) * 0.05 or 1.0)
    return low - gap, high + gap


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """Returns labels with as many decimals as the distance of two ticks needs, the same for all."""
    step = abs(ticks[1] - ticks[0]) if len(ticks) > 1 else abs(ticks[0]) if ticks else 1.0
    if max((abs(tick) for tick in ticks), default=0.0) >= 100_000 or step < 1e-6:
        return [compact(tick) for tick in ticks]
    decimals = next(count for count in range(9) if math.isclose(round(step, count), step, rel_tol=1e-6) or count == 8)
    return [f"{tick + 0.0:,.{decimals}f}" for tick in ticks]


def shortened(text: str, longest: int) -> str:
    """Returns a text of at most so many characters."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def compact(value: float) -> str:
    """Returns a number in few characters: `1.5M`, `431.20`, `-0.0123`."""
    size = abs(value)
    if not math.isfinite(value):
        return str(value)
    if size >= 100_000:
        divisor, suffix = next(pair for pair in _SUFFIXES if size >= pair[0] * 0.9995)
        return f"{value / divisor:.3g}{suffix}" if size < 1e15 else f"{value:.3g}"
    if size >= 1_000:
        return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"
    if size >= 1 or size == 0:
        return f"{value:.2f}".removesuffix(".00")
    return f"{value:.3g}"


def _time_steps() -> list[tuple[int, int]]:
    """Returns spans from short to long, as months or, where these are 0, as minutes."""
    minutes = [(0, minutes) for minutes in _MINUTES]
    days = [(0, days * _DAY_MINUTES) for days in _DAYS]
    return [*minutes, *days, *((months, 0) for months in _MONTHS)]


def _apart(rows: list[int], least: float) -> list[int]:
    kept = rows[:1]
    for row in rows[1:]:
        if row - kept[-1] >= least:
            kept.append(row)
    return kept


def _periods(times: NDArray[np.datetime64], months: int, minutes: int) -> NDArray[np.int64]:
    if months:
        return times.astype("datetime64[M]").astype(np.int64) // months
    since_monday = times.astype("datetime64[m]").astype(np.int64) - _MONDAY * _DAY_MINUTES
    return since_monday // minutes


def _time_label(times: NDArray[np.datetime64], row: int, months: int, minutes: int) -> str:
    if months:
        return str(np.datetime_as_string(times[row], unit="Y" if months % 12 == 0 else "M"))
    is_new_day = times[row - 1].astype("datetime64[D]") != times[row].astype("datetime64[D]")
    if minutes >= _DAY_MINUTES or is_new_day:
        return str(np.datetime_as_string(times[row], unit="D"))
    return str(np.datetime_as_string(times[row], unit="m"))[-len("00:00") :]


def _round_steps(least: float) -> list[float]:
    power = math.floor(math.log10(least))
    return [factor * 10.0**exponent for exponent in range(power, power + 3) for factor in (1, 2, 2.5, 5)]
