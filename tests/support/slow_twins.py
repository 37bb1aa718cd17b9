"""Slow, obvious twins of the functions of signals and state: one row after another, as the definitions say it."""

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

NAN = math.nan
Values = Any
"""Numbers in order: a list or a column."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SESSION_KEYS = {
    "1d": lambda moment: moment.date(),
    "1w": lambda moment: moment.isocalendar()[:2],
    "1M": lambda moment: (moment.year, moment.month),
}


def holds(condition: float) -> bool:
    return not math.isnan(condition) and condition != 0


def bars_since(condition: Values) -> list[float]:
    since, rows = NAN, []
    for value in condition:
        since = 0.0 if holds(value) else since + 1
        rows.append(since)
    return rows


def value_when(condition: Values, series: Values, occurrence: int) -> list[float]:
    found, rows = [], []
    for true, value in zip(condition, series, strict=True):
        if holds(true):
            found.append(value)
        rows.append(found[-1 - occurrence] if occurrence < len(found) else NAN)
    return rows


def streak(condition: Values) -> list[float]:
    length, rows = 0.0, []
    for value in condition:
        length = length + 1 if holds(value) else 0.0
        rows.append(length)
    return rows


def fix_nan(series: Values) -> list[float]:
    last, rows = NAN, []
    for value in series:
        last = last if math.isnan(value) else value
        rows.append(last)
    return rows


def highest_so_far(series: Values) -> list[float]:
    highest, rows = NAN, []
    for value in series:
        highest = value if math.isnan(highest) or value > highest else highest
        rows.append(highest)
    return rows


def count_if(condition: Values, window: int) -> list[float]:
    return [NAN if values is None else float(sum(map(holds, values))) for values in windows(condition, window)]


def highest_bars(series: Values, window: int) -> list[float]:
    return [
        NAN if values is None or has_nan(values) else float(values.index(max(values)) + 1 - window)
        for values in windows(series, window)
    ]


def lowest_bars(series: Values, window: int) -> list[float]:
    return highest_bars([-value for value in series], window)


def pivot_high(series: Values, left: int, right: int) -> list[float]:
    rows = []
    for values in windows(series, left + 1 + right):
        pivot = NAN
        if values is not None and not has_nan(values):
            before, peak, after = values[:left], values[left], values[left + 1 :]
            if all(value <= peak for value in before) and all(value < peak for value in after):
                pivot = peak
        rows.append(pivot)
    return rows


def pivot_low(series: Values, left: int, right: int) -> list[float]:
    return [-value for value in pivot_high([-value for value in series], left, right)]


def percent_rank(series: Values, window: int) -> list[float]:
    rows = []
    for values in windows(series, window + 1):
        if values is None or has_nan(values):
            rows.append(NAN)
        else:
            rows.append(100 * sum(value <= values[-1] for value in values[:-1]) / window)
    return rows


def rising(series: Values, period: int) -> list[float]:
    return [
        NAN if values is None or has_nan(values) else float(all(values[-1] > value for value in values[:-1]))
        for values in windows(series, period + 1)
    ]


def falling(series: Values, period: int) -> list[float]:
    return rising([-value for value in series], period)


def session_mean(times: Sequence[int], prices: Values, weights: Values, session: str) -> list[float]:
    """Every session by itself, summed without rounding."""
    rows, current = [], None
    for time, price, weight in zip(times, prices, weights, strict=True):
        key = SESSION_KEYS[session](EPOCH + timedelta(microseconds=time))
        if key != current:
            current, turnover, volume = key, [], []
        turnover.append(price * weight)
        volume.append(weight)
        rows.append(math.fsum(turnover) / math.fsum(volume) if math.fsum(volume) else NAN)
    return rows


def windows(series: Values, window: int) -> Iterator[list[float] | None]:
    """The last `window` values of every row, oldest first; None where there are fewer."""
    values = [float(value) for value in series]
    for row in range(len(values)):
        yield values[row + 1 - window : row + 1] if row + 1 >= window else None


def has_nan(values: Values) -> bool:
    return any(map(math.isnan, values))
