"""Slow, obvious twins of Qlib's operators, which look at one window at a time, and columns to try them on."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from bokeh_sampledata import stocks

from candelabra_server.domain.candles import FloatColumn

__all__ = [
    "COLUMNS",
    "COLUMN_PAIRS",
    "DEFECTS",
    "PAIRS",
    "ROLLING",
    "WINDOWS",
    "assert_equals_twin",
    "assert_within",
    "centred",
    "correlation",
    "line",
    "present",
    "windows",
]

NAN, INF = math.nan, math.inf
WINDOWS = (0, 1, 2, 20, 64, 65, 400)
"""0 is all history; 65 is where order statistics change their way; 400 is longer than every column."""


def made_columns() -> dict[str, FloatColumn]:
    random = np.random.default_rng(4)
    real = np.array(stocks.FB["close"][:90])
    gaps = np.array(stocks.IBM["close"][:120])
    gaps[random.random(120) < 0.3] = NAN
    gaps[[0, 1, *range(60, 90)]] = NAN
    gaps[[20, 21, 100]] = INF, -INF, INF
    ties = random.integers(0, 4, 120).astype(np.float64)
    ties[random.random(120) < 0.2] = NAN
    columns = {
        "real": real,
        "volume": np.array(stocks.FB["volume"][:90], dtype=np.float64),
        "gaps": gaps,
        "ties": ties,
        "flat": np.where(random.random(80) < 0.2, NAN, 0.1),
        "offset": 1e9 + random.integers(0, 50, 90) * 2.0**-10,
        "tiny": 100 + random.normal(0, 1, 80) * np.repeat([1e-8, 1e-6], 40),
        "nothing": np.full(30, NAN),
        "one": np.array([7.5]),
        "empty": np.empty(0),
    }
    for column in columns.values():
        column.flags.writeable = False
    return columns


COLUMNS = made_columns()


def windows(column: FloatColumn, rows: int) -> Iterator[FloatColumn]:
    """What each row's window holds; infinite values are missing, as for pandas."""
    held = np.where(np.isinf(column), NAN, column)
    return (held[max(0, row + 1 - rows) if rows else 0 : row + 1] for row in range(len(column)))


def present(values: FloatColumn) -> FloatColumn:
    return values[~np.isnan(values)]


def centred(values: FloatColumn) -> FloatColumn:
    """Deviations from the mean; the first value is taken off first, which is exact for values that are close."""
    near = values - values[0]
    return near - near.mean()


def variance(values: FloatColumn) -> float:
    return (centred(values) ** 2).sum() / (len(values) - 1) if len(values) > 1 else NAN


def skewness(values: FloatColumn) -> float:
    n, deviations = len(values), centred(values)
    if n < 3 or not deviations.any():
        return NAN
    return n / ((n - 1) * (n - 2)) * (deviations**3).sum() / variance(values) ** 1.5


def kurtosis(values: FloatColumn) -> float:
    n, deviations = len(values), centred(values)
    if n < 4 or not deviations.any():
        return NAN
    raw = n * (n + 1) / ((n - 1) * (n - 2) * (n - 3)) * (deviations**4).sum() / variance(values) ** 2
    return raw - 3 * (n - 1) ** 2 / ((n - 2) * (n - 3))


def places(window: FloatColumn) -> FloatColumn:
    """Of the values that are there; 1 is the oldest row."""
    return np.arange(1.0, len(window) + 1)[~np.isnan(window)]


def line(window: FloatColumn) -> tuple[float, float, float]:
    """Slope, squared correlation and residual of the newest row."""
    values, deviations = centred(present(window)), centred(places(window))
    if len(values) < 2:
        return NAN, NAN, NAN
    slope = (values * deviations).sum() / (deviations**2).sum()
    flat = not values.any()
    fit = NAN if flat else (values * deviations).sum() ** 2 / (deviations**2).sum() / (values**2).sum()
    residual = NAN if np.isnan(window[-1]) else values[-1] - slope * deviations[-1]
    return slope, fit, residual


def rank(window: FloatColumn) -> float:
    values, newest = present(window), window[-1]
    if np.isnan(newest):
        return NAN
    return (np.sum(values < newest) + (np.sum(values == newest) + 1) / 2) / len(values)


def weighted_mean(window: FloatColumn) -> float:
    first = present(window)[0]
    return first + ((present(window) - first) * places(window)).sum() / places(window).sum()


def average_of_all_history(window: FloatColumn, *, of_all: bool = False) -> float:
    """EMA with N = 0, with the weights of the rows that are there, or of all."""
    weights = (1 - 2 / (len(window) + 1)) ** np.arange(len(window))[::-1]
    return np.nansum(weights * window) / (weights.sum() if of_all else weights[~np.isnan(window)].sum())


def own_deviation_is_tiny(values: FloatColumn) -> bool:
    return len(values) > 1 and math.sqrt(variance(values)) <= 2e-5


@dataclass(frozen=True)
class Rolling:
    """The twin of an operator, and how exact the operator is: as a share of what `scale` makes of the values."""

    twin: Callable[[FloatColumn], Any]
    scale: Callable[[FloatColumn], Any]
    tolerance: float = 1e-12
    windows: tuple[int, ...] = WINDOWS
    settings: str = ""


def assert_within(actual: FloatColumn, expected: list[float], bounds: list[float]) -> None:
    wanted = np.array(expected, dtype=np.float64)
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(wanted))
    wrong = np.flatnonzero(np.abs(actual - wanted) > np.array(bounds))
    assert not len(wrong), (wrong[:5], actual[wrong][:5], wanted[wrong][:5])


def assert_equals_twin(actual: FloatColumn, rolling: Rolling, column: FloatColumn, rows: int) -> None:
    held = [(window, present(window)) for window in windows(column, rows)]
    expected = [rolling.twin(window) if len(values) else NAN for window, values in held]
    bounds = [rolling.tolerance * rolling.scale(values) if len(values) else 0 for _, values in held]
    assert_within(actual, expected, bounds)


def size(values: FloatColumn) -> float:
    return np.abs(values).max()


def whole(_values: FloatColumn) -> float:
    return 1


ROLLING = {
    "Mean": Rolling(lambda w: present(w)[0] + (present(w) - present(w)[0]).mean(), size, 1e-14),
    "Sum": Rolling(lambda w: math.fsum(present(w)), lambda values: np.abs(values).sum(), 1e-14),
    "Std": Rolling(lambda w: math.sqrt(variance(present(w))), np.ptp),
    "Var": Rolling(lambda w: variance(present(w)), lambda values: np.ptp(values) ** 2),
    "Skew": Rolling(lambda w: skewness(present(w)), whole, 1e-10, (0, *WINDOWS[3:])),
    "Kurt": Rolling(lambda w: kurtosis(present(w)), whole, 1e-10, (0, *WINDOWS[3:])),
    "Max": Rolling(np.nanmax, size, 0),
    "Min": Rolling(np.nanmin, size, 0),
    "IdxMax": Rolling(lambda w: np.nanargmax(w) + 1, whole, 0),
    "IdxMin": Rolling(lambda w: np.nanargmin(w) + 1, whole, 0),
    "Med": Rolling(lambda w: np.median(present(w)), size, 1e-15),
    "Quantile": Rolling(lambda w: np.quantile(present(w), 0.2), size, 1e-15, settings=", 0.2"),
    "Mad": Rolling(lambda w: np.abs(centred(present(w))).mean(), np.ptp),
    "Rank": Rolling(rank, whole, 0),
    "Slope": Rolling(lambda w: line(w)[0], np.ptp),
    "Rsquare": Rolling(lambda w: NAN if own_deviation_is_tiny(present(w)) else line(w)[1], whole, 1e-10, WINDOWS[1:]),
    "Resi": Rolling(lambda w: line(w)[2], np.ptp),
    "WMA": Rolling(weighted_mean, size, 1e-14),
    "EMA": Rolling(average_of_all_history, size, 1e-13, (0,)),
}
"""EMA with N above 0 has a test of its own, Rsquare with N = 0 too."""


def with_guards(twin: Callable[[FloatColumn], Any], fewest: int, of_equal: float) -> Callable[[FloatColumn], Any]:
    """Of pandas before its version 3."""

    def guarded(window: FloatColumn) -> float:
        values = present(window)
        if len(values) >= fewest and np.ptp(values) == 0:
            return of_equal
        return NAN if (centred(values) ** 2).mean() <= 1e-14 else twin(values)

    return guarded


def first_gap_or(place: Callable[[FloatColumn], Any]) -> Callable[[FloatColumn], Any]:
    return lambda w: (np.argmax(np.isnan(w)) if np.isnan(w).any() else place(w)) + 1


DEFECTS = {
    "IdxMax": Rolling(first_gap_or(np.argmax), whole, 0),
    "IdxMin": Rolling(first_gap_or(np.argmin), whole, 0),
    "Skew": Rolling(with_guards(skewness, 3, 0), whole, 1e-10, (0, *WINDOWS[3:])),
    "Kurt": Rolling(with_guards(kurtosis, 4, -3), whole, 1e-10, (0, *WINDOWS[3:])),
    "WMA": Rolling(lambda w: np.nanmean(np.arange(1, len(w) + 1) / (len(w) * (len(w) + 1) / 2) * w), size, 1e-14),
    "EMA": Rolling(lambda w: average_of_all_history(w, of_all=True), size, 1e-13, (0,)),
}
"""What compat=qlib makes of operators over windows: in some window of some column it is another value."""


def covariance(left: FloatColumn, right: FloatColumn) -> float:
    both = ~np.isnan(left) & ~np.isnan(right)
    if both.sum() < 2:
        return NAN
    return (centred(left[both]) * centred(right[both])).sum() / (both.sum() - 1)


def correlation(left: FloatColumn, right: FloatColumn) -> float:
    both = ~np.isnan(left) & ~np.isnan(right)
    if own_deviation_is_tiny(present(left)) or own_deviation_is_tiny(present(right)) or both.sum() < 2:
        return NAN
    products = math.sqrt(variance(left[both])) * math.sqrt(variance(right[both]))
    return covariance(left, right) / products if products else NAN


PAIRS = {"Cov": covariance, "Corr": correlation}
COLUMN_PAIRS = [("real", "volume"), ("gaps", "ties"), ("ties", "gaps"), ("gaps", "real"), ("offset", "offset")]
COLUMN_PAIRS += [("tiny", "tiny"), ("flat", "flat"), ("nothing", "nothing"), ("one", "one"), ("empty", "empty")]
