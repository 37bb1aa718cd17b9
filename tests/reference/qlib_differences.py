"""Where the formulas give something else than Qlib, why, and what: every difference that is meant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["DIFFERENCES", "FRACTIONS", "LATE_DIFFERENCES", "Difference", "LateDifference"]

Column = npt.NDArray[np.float64]
Fields = Mapping[str, Column]
Gives = Callable[[Fields, Column], Any]
"""The values that are given instead, from the candles and Qlib's values."""

_WINDOWS = (0, 2, 5, 20, 400)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One reason for other values.

    Attributes:
        why: the reason.
        gives: by expression, what is given instead.
        compat: whether `compat=qlib` gives Qlib's values.
    """

    why: str
    gives: Mapping[str, Gives]
    compat: bool


@dataclass(frozen=True, kw_only=True)
class LateDifference:
    """One reason for which Qlib's value depends on where the range begins.

    Attributes:
        why: the reason.
        expressions: whose values differ.
        compat: whether `compat=qlib` gives Qlib's values, where the range begins there.
    """

    why: str
    expressions: tuple[str, ...]
    compat: bool


def _close(fields: Fields) -> Column:
    return fields["close"]


def _high(fields: Fields) -> Column:
    return fields["high"]


def _low(fields: Fields) -> Column:
    return fields["low"]


def _volume(fields: Fields) -> Column:
    return fields["volume"]


def _over_volume(fields: Fields) -> Column:
    """NaN where the volume is 0: infinite values are missing."""
    return 1 / np.where(fields["volume"] > 0, fields["volume"], np.nan)


def _before(column: Column) -> Column:
    return np.concatenate(([np.nan], column[:-1]))


def _risen(fields: Fields) -> Column:
    return (fields["close"] > _before(fields["close"])).astype(np.float64)


def _windows(feature: Callable[[Fields], Column], window: int, of_window: Callable[[Column], float]) -> Gives:
    """`of_window` of the last `window` rows at every row, of all so far for 0; NaN where none of them holds a value."""

    def gives(fields: Fields, _qlib: Column) -> Column:
        column = feature(fields)
        values = np.full(len(column), np.nan)
        for row in range(len(column)):
            rows = column[max(0, row + 1 - window) if window else 0 : row + 1]
            if not np.isnan(rows).all():
                values[row] = of_window(rows)
        return values

    return gives


def _weighted_mean(rows: Column) -> float:
    present = ~np.isnan(rows)
    return float(np.average(rows[present], weights=np.arange(1, len(rows) + 1)[present]))


def _history_mean(rows: Column) -> float:
    present = ~np.isnan(rows)
    weights = (1 - 2 / (1 + len(rows))) ** np.arange(len(rows))[::-1]
    return float(np.average(rows[present], weights=weights[present]))


def _place_of_largest(rows: Column) -> float:
    return float(np.nanargmax(rows) + 1)


def _place_of_smallest(rows: Column) -> float:
    return float(np.nanargmin(rows) + 1)


def _skewness(rows: Column) -> float:
    values = rows[~np.isnan(rows)]
    count = len(values)
    if count < 3 or np.ptp(values) == 0:
        return float("nan")
    deviations = values - values.mean()
    return float(np.sqrt(count * (count - 1)) / (count - 2) * (deviations**3).mean() / (deviations**2).mean() ** 1.5)


def _kurtosis(rows: Column) -> float:
    values = rows[~np.isnan(rows)]
    count = len(values)
    if count < 4 or np.ptp(values) == 0:
        return float("nan")
    deviations = values - values.mean()
    excess = (deviations**4).mean() / (deviations**2).mean() ** 2 - 3
    return float((count - 1) / ((count - 2) * (count - 3)) * ((count + 1) * excess + 6))


def _line(rows: Column) -> tuple[float, float]:
    """Slope, and what is left of the newest row."""
    places = np.arange(len(rows), dtype=np.float64)
    present = ~np.isnan(rows)
    if present.sum() < 2:
        return float("nan"), float("nan")
    slope, start = np.polyfit(places[present], rows[present], 1)
    return float(slope), float(rows[-1] - (start + slope * places[-1]))


def _unknown_where(missing: Callable[[Fields], npt.NDArray[np.bool_]]) -> Gives:
    return lambda fields, qlib: np.where(missing(fields), np.nan, qlib)


def _no_close(fields: Fields) -> npt.NDArray[np.bool_]:
    return np.isnan(fields["close"])


def _no_step(fields: Fields) -> npt.NDArray[np.bool_]:
    return np.isnan(fields["close"] - _before(fields["close"]))


def _and_known(first: Column, second: Column) -> Column:
    """Three-valued: false where either is, whatever the other."""
    return np.where((first == 0) | (second == 0), 0.0, first * second)


def _signals(fields: Fields) -> tuple[Column, Column]:
    """`$close>$open` and `$volume>Ref($volume, 1)`, NaN where unknown."""
    before = _before(fields["volume"])
    rose = np.where(_no_close(fields), np.nan, fields["close"] > fields["open"])
    more = np.where(np.isnan(fields["volume"] - before), np.nan, fields["volume"] > before)
    return rose, more


def _either(fields: Fields, _qlib: Column) -> Column:
    rose, more = _signals(fields)
    return 1 - _and_known(1 - rose, 1 - more)


def _both(fields: Fields, _qlib: Column) -> Column:
    return _and_known(*_signals(fields))


def _sum_of_signals(fields: Fields, _qlib: Column) -> Column:
    step = np.where(_no_step(fields), np.nan, _risen(fields))
    return _signals(fields)[0] + step


def _missing_unknown() -> dict[str, Gives]:
    of_one_row = ("Gt($close, $open)", "Lt($close, $open)")
    of_two = ("Ge($close, Ref($close, 1))", "Le(Ref($close, 1), $close)", "Eq($close, Ref($close, 1))")
    return {
        **dict.fromkeys(of_one_row, _unknown_where(_no_close)),
        **dict.fromkeys((*of_two, "Ne($close, Ref($close, 1))"), _unknown_where(_no_step)),
    }


def _places() -> dict[str, Gives]:
    gives: dict[str, Gives] = {}
    for name, of_window in (("IdxMax", _place_of_largest), ("IdxMin", _place_of_smallest)):
        gives |= {f"{name}($close, {window})": _windows(_close, window, of_window) for window in _WINDOWS}
        gives |= {f"{name}($volume, {window})": _windows(_volume, window, of_window) for window in (5, 60)}
        gives[f"{name}(1/$volume, 5)"] = _windows(_over_volume, 5, of_window)
    gives["IdxMax($high, 25)-IdxMin($low, 25)"] = _between_extremes(25)
    for window in (5, 10, 20, 30, 60):
        gives[f"IdxMax($high, {window})/{window}"] = _share(_windows(_high, window, _place_of_largest), window)
        gives[f"IdxMin($low, {window})/{window}"] = _share(_windows(_low, window, _place_of_smallest), window)
        gives[f"(IdxMax($high, {window})-IdxMin($low, {window}))/{window}"] = _share(_between_extremes(window), window)
    return gives


def _share(places: Gives, window: int) -> Gives:
    return lambda fields, qlib: places(fields, qlib) / window


def _between_extremes(window: int) -> Gives:
    highest, lowest = _windows(_high, window, _place_of_largest), _windows(_low, window, _place_of_smallest)
    return lambda fields, qlib: highest(fields, qlib) - lowest(fields, qlib)


def _shapes() -> dict[str, Gives]:
    gives: dict[str, Gives] = {}
    for name, of_window in (("Skew", _skewness), ("Kurt", _kurtosis)):
        gives[f"{name}($close, 20)"] = _windows(_close, 20, of_window)
        gives[f"{name}(1/$volume, 5)"] = _windows(_over_volume, 5, of_window)
        gives[f"{name}($close>Ref($close, 1), 5)"] = _windows(_risen, 5, of_window)
    return gives


def _weighted() -> dict[str, Gives]:
    gives = {f"WMA($close, {window})": _windows(_close, window, _weighted_mean) for window in _WINDOWS}
    gives |= {f"WMA($volume, {window})": _windows(_volume, window, _weighted_mean) for window in (5, 60)}
    gives["WMA(1/$volume, 5)"] = _windows(_over_volume, 5, _weighted_mean)
    gives["WMA($close>Ref($close, 1), 5)"] = _windows(_risen, 5, _weighted_mean)
    return gives


DIFFERENCES = (
    Difference(
        why="Qlib divides the weighted mean by the number of values once more, and counts missing rows' weights",
        gives=_weighted(),
        compat=True,
    ),
    Difference(
        why="Qlib's weights over all history include those of missing rows, as if these held 0",
        gives={"EMA($close, 0)": _windows(_close, 0, _history_mean)},
        compat=True,
    ),
    Difference(
        why="with N = 1 only the newest row has weight; Qlib keeps the last mean where that row is missing",
        gives={"EMA($close, 1)": lambda fields, _: fields["close"]},
        compat=True,
    ),
    Difference(
        why="the oldest missing row of a window wins in Qlib, as if it held the largest value and the smallest",
        gives=_places(),
        compat=True,
    ),
    Difference(
        why="a comparison with NaN is unknown, not false (and `!=` not true)",
        gives=_missing_unknown(),
        compat=True,
    ),
    Difference(
        why="the same where it is written as an operator",
        gives={
            "$close>=100": _unknown_where(_no_close),
            "100<$close": _unknown_where(_no_close),
            "$close!=Ref($close, 1)": _unknown_where(_no_step),
            "2*($close>$open)-1": _unknown_where(_no_close),
            "($close>$open)&($volume>Ref($volume, 1))": _both,
            "($close>$open)|($volume>Ref($volume, 1))": _either,
            "Ref($close>$open, 1)": lambda fields, _: _before(_signals(fields)[0]),
        },
        compat=True,
    ),
    Difference(
        why="NaN is no condition; Qlib takes it for true",
        gives={"If($close-$close, $high, $low)": lambda fields, _: np.where(_no_close(fields), np.nan, fields["low"])},
        compat=True,
    ),
    Difference(
        why="the sum of two signals counts those that are true; numpy's sum of two booleans, and so Qlib's, is `or`",
        gives={"($close>$open)+($close>Ref($close, 1))": _sum_of_signals},
        compat=False,
    ),
    Difference(
        why=(
            "skewness and kurtosis of equal values have no value; pandas, and so Qlib, gives 0 and -3, and it gives "
            "none where the variance is 1e-14 or less, in whatever unit"
        ),
        gives=_shapes(),
        compat=True,
    ),
    Difference(
        why="the same, and pandas' running sums of powers carry rounding errors of up to 5e-6 from window to window",
        gives={
            "Skew($close, 5)": _windows(_close, 5, _skewness),
            "Kurt($close, 5)": _windows(_close, 5, _kurtosis),
        },
        compat=False,
    ),
    Difference(
        why="an infinite value is missing, as in all windows; it stays in Qlib's running sums for all time",
        gives={
            "Slope(1/$volume, 5)": _windows(_over_volume, 5, lambda rows: _line(rows)[0]),
            "Resi(1/$volume, 5)": _windows(_over_volume, 5, lambda rows: _line(rows)[1]),
        },
        compat=False,
    ),
    Difference(
        why=(
            "where the rows that both have are equal on one side, there is no correlation; Qlib looks at all rows of "
            "that side, and divides what rounding left by 0"
        ),
        gives={
            "Corr(Rank($close, 10), Rank($volume, 10), 5)": lambda _, qlib: np.where(np.isinf(qlib), np.nan, qlib),
        },
        compat=False,
    ),
)
"""Over the whole of the candles."""

FRACTIONS = (
    "Mean($close, 0.3)",
    "Sum($close, 0.3)",
    "Std($close, 0.05)",
    "Var($close, 0.5)",
    "Max($close, 0.3)",
    "Min($close, 0.3)",
    "Med($close, 0.3)",
    "Count($close, 0.3)",
)
"""A window between 0 and 1 makes any of these an exponential mean in Qlib; it is refused, but for compat=qlib."""

LATE_DIFFERENCES = (
    LateDifference(
        why="Qlib loads N - 1 candles before the range, and weighs none before those",
        expressions=("EMA($close, 5)", "EMA($close, 20)", "EMA(EMA($close, 5), 10)"),
        compat=True,
    ),
    LateDifference(
        why="all history begins with the first candle, not with the range",
        expressions=(
            "Mean($close, 0)",
            "Std($close, 0)",
            "EMA($close, 0)",
            "WMA($close, 0)",
            "Slope($close, 0)",
            "IdxMax($close, 0)",
            "Rank($close, 0)",
            "Ref($close, 0)",
            "Delta($close, 0)",
        ),
        compat=False,
    ),
    LateDifference(
        why="the first row needs N candles before it, and Qlib loads N - 1",
        expressions=("Delta($close, 5)",),
        compat=False,
    ),
)
"""From a later row on."""
