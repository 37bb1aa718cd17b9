"""Qlib's operators over windows, of one series and of two."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from candelabra_server.formulas.catalogue.function import (
    Build,
    Family,
    Function,
    SettingKind,
    SettingParameter,
    kernel,
)
from candelabra_server.formulas.graph import Graph, Node
from candelabra_server.formulas.operations.operation import decay

__all__ = ["QLIB_WINDOW_FUNCTIONS"]

_LONGEST_DEVIATION = 5_000
_WARM_UP = "N - 1; all history where N is 0"
_SHIFT_WARM_UP = "N; all history where N is 0"
_ALPHA_WARM_UP = "until earlier candles weigh less than 1e-14; all history where N is 0"
_QLIB_WEIGHT = 1e-6
"""What candles before those that Qlib loads for an exponential average weigh together."""
_HALF = 0.5

_WINDOW = SettingParameter(name="N", kind=SettingKind.QLIB_WINDOW)
_WINDOW_OR_ALPHA = SettingParameter(name="N", kind=SettingKind.QLIB_WINDOW_OR_ALPHA)
_SHIFT = SettingParameter(name="N", kind=SettingKind.QLIB_SHIFT)


def _from_start(graph: Graph, series: Node, alpha: float, candles: int) -> tuple[Node, ...]:
    return (graph.apply("decaying_mean_from_start", series, settings=(alpha, candles)),)


def _qlib_lookback(alpha: float) -> int:
    """Candles before a row that Qlib loads where a window is given as alpha."""
    return max(int(math.log(_QLIB_WEIGHT) / math.log1p(-alpha)) - 1, 0)


def _or_average(plain: Build) -> Build:
    """The plain call, or where the window is a fraction the exponential average that Qlib then gives in its place."""

    def build(graph: Graph, inputs: tuple[Node, ...], settings: tuple[Any, ...]) -> tuple[Node, ...]:
        (rows,) = settings
        if 0 < rows < 1:
            return _from_start(graph, inputs[0], rows, _qlib_lookback(rows))
        return plain(graph, inputs, settings)

    return build


def _exponential(graph: Graph, inputs: tuple[Node, ...], settings: tuple[Any, ...]) -> tuple[Node, ...]:
    (span,) = settings
    if span == 0:
        return (graph.apply("history_mean", *inputs),)
    alpha = span if span < 1 else 2 / (span + 1)
    return (graph.apply("decaying_mean", *inputs, settings=(alpha, decay(alpha) + 1)),)


def _qlib_exponential(graph: Graph, inputs: tuple[Node, ...], settings: tuple[Any, ...]) -> tuple[Node, ...]:
    (span,) = settings
    if span == 0:
        return (graph.apply("history_mean_over_all_weights", *inputs),)
    if span < 1:
        return _from_start(graph, inputs[0], span, _qlib_lookback(span))
    return _from_start(graph, inputs[0], 2 / (span + 1), span - 1)


def _shifted(graph: Graph, inputs: tuple[Node, ...], settings: tuple[Any, ...]) -> tuple[Node, ...]:
    if settings == (0,):
        return (graph.apply("first_value", *inputs),)
    return (graph.apply("shift", *inputs, settings=settings),)


def _difference(graph: Graph, inputs: tuple[Node, ...], settings: tuple[Any, ...]) -> tuple[Node, ...]:
    (earlier,) = _shifted(graph, inputs, settings)
    return (graph.apply("subtract", *inputs, earlier),)


def _median(graph: Graph, inputs: tuple[Node, ...], settings: tuple[Any, ...]) -> tuple[Node, ...]:
    return (graph.apply("rolling_quantile", *inputs, settings=(*settings, _HALF)),)


def _regression(index: int) -> Build:
    """One output of the regression: windows of the same series share it."""

    def build(graph: Graph, inputs: tuple[Node, ...], settings: tuple[Any, ...]) -> tuple[Node, ...]:
        return (graph.output(graph.apply("rolling_regression", *inputs, settings=settings), index),)

    return build


def _rolling(
    name: str,
    build: Build,
    summary: str,
    *,
    window: SettingParameter = _WINDOW,
    more: tuple[SettingParameter, ...] = (),
    qlib_build: Build | None = None,
    warm_up: str = _WARM_UP,
    warning: str = "",
    inputs: tuple[str, ...] = ("feature",),
) -> Function:
    return Function(
        name=name,
        family=Family.QLIB,
        inputs=inputs,
        settings=(window, *more),
        unknown_is_false=True,
        build=build,
        qlib_build=qlib_build,
        warning=warning,
        warm_up=warm_up,
        summary=summary,
        source=f"Qlib {name}, in float64",
    )


def _plain(name: str, build: Build, summary: str) -> Function:
    """An operator that Qlib silently turns into an exponential average where the window is a fraction."""
    return _rolling(name, build, summary, window=_WINDOW_OR_ALPHA, qlib_build=_or_average(build))


def _pair(name: str, operation: str, summary: str) -> Function:
    return _rolling(name, kernel(operation), summary, inputs=("feature_left", "feature_right"))


def _place(name: str, which: str, operation: str) -> Function:
    return _rolling(
        name,
        kernel(operation),
        f"place of the {which} value in the window, 1 is the oldest row; the oldest of equal ones; missing rows count "
        "as places only (with compat=qlib the oldest missing one wins)",
        qlib_build=kernel(f"{operation}_or_gap"),
    )


QLIB_WINDOW_FUNCTIONS = (
    replace(
        _rolling(
            "Ref",
            _shifted,
            "the value N candles ago; ahead where N is negative, which a job must allow; the first of all where N is 0",
            window=_SHIFT,
            warm_up=_SHIFT_WARM_UP,
        ),
        kind=None,
        kind_from=("feature",),
        unknown_is_false=False,
    ),
    _rolling(
        "Delta",
        _difference,
        "difference from the value N candles ago, from the first of all where N is 0",
        window=_SHIFT,
        warm_up=_SHIFT_WARM_UP,
    ),
    _plain("Mean", kernel("rolling_mean"), "mean of the values in the window"),
    _plain("Sum", kernel("rolling_sum"), "sum of the values in the window; NaN where there is none"),
    _plain("Std", kernel("rolling_std"), "standard deviation, divisor one less than the values; NaN for one value"),
    _plain("Var", kernel("rolling_variance"), "variance, divisor one less than the values; NaN for one value"),
    _rolling(
        "Skew",
        kernel("rolling_skewness"),
        "skewness without bias; NaN for fewer than 3 values, and where all are equal (then 0 with compat=qlib)",
        window=replace(_WINDOW, minimum=3),
        qlib_build=kernel("rolling_skewness_guarded"),
    ),
    _rolling(
        "Kurt",
        kernel("rolling_kurtosis"),
        "excess kurtosis without bias; NaN for fewer than 4 values, and where all are equal (then -3 with compat=qlib)",
        window=replace(_WINDOW, minimum=4),
        qlib_build=kernel("rolling_kurtosis_guarded"),
    ),
    _plain("Max", kernel("rolling_max"), "largest value in the window"),
    _plain("Min", kernel("rolling_min"), "smallest value in the window"),
    _place("IdxMax", "largest", "index_of_max"),
    _place("IdxMin", "smallest", "index_of_min"),
    _plain("Med", _median, "median of the values in the window"),
    _rolling(
        "Quantile",
        kernel("rolling_quantile"),
        "value below which the share qscore (0 to 1) of the window's values lies, interpolated linearly",
        more=(SettingParameter(name="qscore", kind=SettingKind.FACTOR, minimum=0, maximum=1),),
    ),
    _rolling(
        "Mad",
        kernel("rolling_mean_deviation"),
        "mean distance of the window's values from their mean; slow: looks at every value of every window",
        window=replace(_WINDOW, maximum=_LONGEST_DEVIATION),
    ),
    _rolling(
        "Rank",
        kernel("rolling_rank"),
        "rank of the newest value among those of the window, over their number; equal ones share the mean rank",
    ),
    _plain("Count", kernel("rolling_count"), "how many values in the window are not NaN"),
    _rolling(
        "Slope",
        _regression(0),
        "slope a candle of the line through the window's values; NaN for one value",
    ),
    _rolling(
        "Rsquare",
        _regression(1),
        "squared correlation of the window's values with time; NaN where their standard deviation is 2e-5 or less",
    ),
    _rolling(
        "Resi",
        _regression(2),
        "how far the newest value is above the line through the window's values",
    ),
    _rolling(
        "WMA",
        kernel("place_weighted_mean"),
        "weighted mean, weights 1 (oldest row) to N, of the values that are there",
        qlib_build=kernel("place_weighted_mean_divided_twice"),
        warning=(
            "Qlib's operator, a mean from the first value on, without Qlib's second division by the number of values "
            "(which compat=qlib brings back); TA-Lib's, which needs a full window, is `wma`"
        ),
    ),
    _rolling(
        "EMA",
        _exponential,
        "exponential mean of the values that are there, alpha = 2 / (N + 1), or N itself where that is a fraction",
        window=SettingParameter(name="N", kind=SettingKind.QLIB_SPAN),
        qlib_build=_qlib_exponential,
        warm_up=_ALPHA_WARM_UP,
        warning=(
            "Qlib's operator, a mean from the first value on, over all candles that have weight (with compat=qlib over "
            "those that Qlib loads); TA-Lib's, seeded with a simple mean, is `ema`"
        ),
    ),
    _pair("Cov", "rolling_covariance", "covariance of the rows that both have, divisor one less than the rows"),
    _pair(
        "Corr",
        "rolling_correlation",
        "correlation of the rows that both have; NaN where the standard deviation of either is 2e-5 or less",
    ),
)
