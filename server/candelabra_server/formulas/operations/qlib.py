"""Operations with Qlib's rules: missing rows are skipped, and a window has a value as soon as it holds one.

The first setting of a window is its length; 0 is all history.
"""

from __future__ import annotations

from collections.abc import Callable

from candelabra_server.formulas.kernels import (
    exponential,
    extremes_index,
    ordered_windows,
    pair_windows,
    regression,
    skipping_windows,
)
from candelabra_server.formulas.operations.operation import (
    ALL_HISTORY,
    Kernel,
    MissingCause,
    Operation,
    whole_history,
)

__all__ = ["QLIB_OPERATIONS"]

_LEVELS_OF_A_HISTORY = 12
_CANDLES_OF_A_HISTORY = 4096


def _window(rows: int, *_: object) -> int:
    return rows - 1 if rows else ALL_HISTORY


def _decaying(_alpha: float, rows: int) -> int:
    return rows - 1


def _from_start(_alpha: float, candles: int) -> int:
    return candles


def _folding(nanos_a_level: float) -> Callable[..., float]:
    """Time of a fold: the logarithm of the window times what one doubling takes."""
    return lambda rows, *_: nanos_a_level * (rows.bit_length() if rows else _LEVELS_OF_A_HISTORY)


def _decaying_nanos(_alpha: float, rows: int) -> float:
    return 12.0 * rows.bit_length()


def _ordering_nanos(sorting: float, halving: float) -> Callable[..., float]:
    """Time of order statistics: every value of a short window is looked at."""
    longest = ordered_windows.LONGEST_SHORT
    return lambda rows, *_: 40.0 + sorting * rows if 0 < rows <= longest else halving


def _deviation_nanos(rows: int) -> float:
    return 4.0 * (rows or _CANDLES_OF_A_HISTORY)


def _rolling(
    name: str,
    kernel: Kernel,
    nanos: Callable[..., float],
    missing: MissingCause = MissingCause.DOMAIN_ERROR,
) -> Operation:
    return Operation(name=name, kernel=kernel, warm_up=_window, nanos=nanos, missing=missing)


QLIB_OPERATIONS = (
    _rolling("rolling_sum", skipping_windows.rolling_sum, _folding(5)),
    _rolling("rolling_mean", skipping_windows.rolling_mean, _folding(9)),
    _rolling("rolling_variance", skipping_windows.rolling_variance, _folding(40)),
    _rolling("rolling_std", skipping_windows.rolling_std, _folding(40)),
    _rolling("rolling_skewness", skipping_windows.rolling_skewness, _folding(85), MissingCause.FLAT_WINDOW),
    _rolling("rolling_kurtosis", skipping_windows.rolling_kurtosis, _folding(85), MissingCause.FLAT_WINDOW),
    _rolling(
        "rolling_skewness_guarded", skipping_windows.rolling_skewness_guarded, _folding(85), MissingCause.FLAT_WINDOW
    ),
    _rolling(
        "rolling_kurtosis_guarded", skipping_windows.rolling_kurtosis_guarded, _folding(85), MissingCause.FLAT_WINDOW
    ),
    _rolling("rolling_max", skipping_windows.rolling_max, _folding(3)),
    _rolling("rolling_min", skipping_windows.rolling_min, _folding(3)),
    _rolling("rolling_count", skipping_windows.rolling_count, _folding(4)),
    _rolling("rolling_mean_deviation", skipping_windows.rolling_mean_deviation, _deviation_nanos),
    _rolling("rolling_quantile", ordered_windows.rolling_quantile, _ordering_nanos(6, 1000)),
    _rolling("rolling_rank", ordered_windows.rolling_rank, _ordering_nanos(2, 600)),
    _rolling("index_of_max", extremes_index.index_of_max, _folding(20)),
    _rolling("index_of_min", extremes_index.index_of_min, _folding(20)),
    _rolling("index_of_max_or_gap", extremes_index.index_of_max_or_gap, _folding(20)),
    _rolling("index_of_min_or_gap", extremes_index.index_of_min_or_gap, _folding(20)),
    _rolling("rolling_regression", regression.rolling_regression, _folding(80), MissingCause.FLAT_WINDOW),
    _rolling("place_weighted_mean", regression.place_weighted_mean, _folding(80)),
    _rolling("place_weighted_mean_divided_twice", regression.place_weighted_mean_divided_twice, _folding(80)),
    _rolling("rolling_covariance", pair_windows.rolling_covariance, _folding(75)),
    _rolling("rolling_correlation", pair_windows.rolling_correlation, _folding(80), MissingCause.FLAT_WINDOW),
    Operation(name="decaying_mean", kernel=exponential.decaying_mean, warm_up=_decaying, nanos=_decaying_nanos),
    Operation(
        name="decaying_mean_from_start",
        kernel=exponential.decaying_mean_from_start,
        warm_up=_from_start,
        nanos=lambda *_: 150.0,
    ),
    Operation(name="history_mean", kernel=exponential.history_mean, warm_up=whole_history, nanos=lambda *_: 500.0),
    Operation(
        name="history_mean_over_all_weights",
        kernel=exponential.history_mean_over_all_weights,
        warm_up=whole_history,
        nanos=lambda *_: 1000.0,
    ),
    Operation(name="first_value", kernel=skipping_windows.first_value, warm_up=whole_history),
)
