"""Single kernels: our formula of one operation, and what each peer has that does the same work.

The same work is not always the same number: a peer may divide by the count where we divide by one less, or count rows
from the other end. Each call says how its numbers become ours; one whose numbers differ even so is told by name.
TA-Lib computes full windows only, so where ours are Qlib's, it has a little less to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["KERNELS", "MODULES", "SLOWER_BECAUSE", "Call", "Column", "Kernel"]

Column = npt.NDArray[np.float64]

MODULES = {"bottleneck": "bottleneck", "TA-Lib": "talib", "polars": "polars"}
"""The peers, by what tables call them."""


@dataclass(frozen=True, slots=True)
class Call:
    """One peer's way to a kernel.

    Attributes:
        run: computes; takes the module, columns by field (of the peer's own kind), the window. Only this is timed.
        as_ours: numbers that ours are compared with; takes the result and the window.
    """

    run: Callable[[Any, Mapping[str, Any], int], Any]
    as_ours: Callable[[Column, int], Column] = lambda values, _window: values


@dataclass(frozen=True, slots=True)
class Kernel:
    """One operation: our formula, with the window as `{n}`, and the peers' calls."""

    name: str
    formula: str
    peers: Mapping[str, Call]


def _moving(function: str, as_ours: Callable[[Column, int], Column] | None = None, **settings: object) -> Call:
    """bottleneck's function of a window that need not be full."""

    def run(library: Any, columns: Mapping[str, Any], window: int) -> Any:
        return getattr(library, function)(columns["close"], window, min_count=1, **settings)

    return Call(run, as_ours or _same)


def _indicator(function: str, as_ours: Callable[[Column, int], Column] | None = None) -> Call:
    """TA-Lib's function of the close."""
    return Call(lambda library, columns, window: getattr(library, function)(columns["close"], window), as_ours or _same)


def _rolling(function: str, as_ours: Callable[[Column, int], Column] | None = None, **settings: object) -> Call:
    """polars' method of a Series, with a window that need not be full."""

    def run(_library: Any, columns: Mapping[str, Any], window: int) -> Any:
        return getattr(columns["close"], function)(window_size=window, min_samples=1, **settings)

    return Call(run, as_ours or _same)


def _rolling_pair(function: str) -> Call:
    """polars' expression of two columns."""

    def run(library: Any, columns: Mapping[str, Any], window: int) -> Any:
        frame = library.DataFrame([columns["close"], columns["volume"]])
        return frame.select(getattr(library, function)("close", "volume", window_size=window, min_samples=1))

    return Call(run)


def _same(values: Column, _window: int) -> Column:
    return values


def _divided_by_one_less(values: Column, window: int) -> Column:
    return values * window / (window - 1)


def _place_of_row(values: Column, window: int) -> Column:
    """A row of the column as its place in the window, 1 for the oldest."""
    return values - np.arange(len(values)) + window


def _place_of_age(values: Column, window: int) -> Column:
    return window - values


KERNELS = (
    Kernel(
        "mean",
        "Mean($close, {n})",
        {"bottleneck": _moving("move_mean"), "TA-Lib": _indicator("SMA"), "polars": _rolling("rolling_mean")},
    ),
    Kernel(
        "mean of full windows",
        "sma(close, {n})",
        {
            "bottleneck": Call(lambda library, columns, n: library.move_mean(columns["close"], n)),
            "TA-Lib": _indicator("SMA"),
            "polars": Call(lambda _library, columns, n: columns["close"].rolling_mean(n)),
        },
    ),
    Kernel(
        "sum",
        "Sum($close, {n})",
        {"bottleneck": _moving("move_sum"), "TA-Lib": _indicator("SUM"), "polars": _rolling("rolling_sum")},
    ),
    Kernel(
        "count",
        "Count($close, {n})",
        {
            "bottleneck": Call(
                lambda library, columns, n: library.move_sum(
                    (columns["close"] == columns["close"]).astype(np.float64),
                    n,
                    min_count=1,
                )
            ),
            "polars": Call(
                lambda library, columns, n: (
                    columns["close"].is_not_nan().cast(library.Float64).rolling_sum(n, min_samples=1)
                )
            ),
        },
    ),
    Kernel(
        "std",
        "Std($close, {n})",
        {
            "bottleneck": _moving("move_std", ddof=1),
            "TA-Lib": _indicator("STDDEV", lambda values, n: values * np.sqrt(n / (n - 1))),
            "polars": _rolling("rolling_std"),
        },
    ),
    Kernel(
        "var",
        "Var($close, {n})",
        {
            "bottleneck": _moving("move_var", ddof=1),
            "TA-Lib": _indicator("VAR", _divided_by_one_less),
            "polars": _rolling("rolling_var"),
        },
    ),
    Kernel("skew", "Skew($close, {n})", {"polars": _rolling("rolling_skew", bias=False)}),
    Kernel("kurt", "Kurt($close, {n})", {"polars": _rolling("rolling_kurtosis", bias=False)}),
    Kernel(
        "max",
        "Max($close, {n})",
        {"bottleneck": _moving("move_max"), "TA-Lib": _indicator("MAX"), "polars": _rolling("rolling_max")},
    ),
    Kernel(
        "min",
        "Min($close, {n})",
        {"bottleneck": _moving("move_min"), "TA-Lib": _indicator("MIN"), "polars": _rolling("rolling_min")},
    ),
    Kernel(
        "argmax",
        "IdxMax($close, {n})",
        {"bottleneck": _moving("move_argmax", _place_of_age), "TA-Lib": _indicator("MAXINDEX", _place_of_row)},
    ),
    Kernel(
        "argmin",
        "IdxMin($close, {n})",
        {"bottleneck": _moving("move_argmin", _place_of_age), "TA-Lib": _indicator("MININDEX", _place_of_row)},
    ),
    Kernel(
        "rank",
        "Rank($close, {n})",
        {
            "bottleneck": _moving("move_rank", lambda values, n: ((values + 1) / 2 * (n - 1) + 1) / n),
            "polars": _rolling("rolling_rank", lambda values, n: values / n),
        },
    ),
    Kernel(
        "median",
        "Med($close, {n})",
        {"bottleneck": _moving("move_median"), "polars": _rolling("rolling_median")},
    ),
    Kernel(
        "quantile",
        "Quantile($close, {n}, 0.8)",
        {"polars": _rolling("rolling_quantile", quantile=0.8, interpolation="linear")},
    ),
    Kernel("mad", "Mad($close, {n})", {"TA-Lib": _indicator("AVGDEV")}),
    Kernel(
        "corr",
        "Corr($close, $volume, {n})",
        {
            "TA-Lib": Call(lambda library, columns, n: library.CORREL(columns["close"], columns["volume"], n)),
            "polars": _rolling_pair("rolling_corr"),
        },
    ),
    Kernel("cov", "Cov($close, $volume, {n})", {"polars": _rolling_pair("rolling_cov")}),
    Kernel("slope", "Slope($close, {n})", {"TA-Lib": _indicator("LINEARREG_SLOPE")}),
    Kernel(
        "ema",
        "EMA($close, {n})",
        {"polars": Call(lambda _library, columns, n: columns["close"].ewm_mean(span=n, adjust=True, min_samples=1))},
    ),
    Kernel("ema of TA-Lib", "ema(close, {n})", {"TA-Lib": _indicator("EMA")}),
    Kernel(
        "wma",
        "wma(close, {n})",
        {
            "TA-Lib": _indicator("WMA"),
            "polars": Call(
                lambda _library, columns, n: columns["close"].rolling_mean(n, weights=list(range(1, n + 1)))
            ),
        },
    ),
)

_SUMS = (
    "it carries one sum along the column, which is flat in the window and never loses what it has rounded; ours adds "
    "every window afresh, about 2 log2(n) vector passes, which windows of one column share"
)
_SCANS = (
    "it scans once, with branches that cost little on prices; ours makes about log2(n) vector passes, which windows of "
    "one column share: five of them take less than one of its"
)
_ORDER = "it keeps two heaps around the median alone; ours keeps all values in order, for any quantile and the rank"
SLOWER_BECAUSE: Mapping[str, str] = {
    "mean": _SUMS,
    "mean of full windows": _SUMS,
    "sum": _SUMS,
    "std": _SUMS,
    "var": _SUMS,
    "corr": _SUMS,
    "cov": _SUMS,
    "slope": _SUMS,
    "wma": _SUMS,
    "max": _SCANS,
    "min": _SCANS,
    "argmax": _SCANS,
    "argmin": _SCANS,
    "median": _ORDER,
    "quantile": "ours moves half a long window's values on average, for every row",
    "mad": "full windows without gaps are all that it knows; ours asks every value whether it is there",
    "ema": "it is recursive; ours folds all that weighs more than 1e-14, so that no value depends on the start",
    "ema of TA-Lib": "it is the same function; ours sees to gaps around it, and is timed with the whole call",
}
"""By kernel, why it may be slower than the best peer; what is slower without a reason here is a broken promise."""
