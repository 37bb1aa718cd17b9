"""Operations with Qlib's rules: missing rows are skipped, and a window has a value as soon as it holds one.

The first setting of a window is its length; 0 is all history.
"""

from __future__ import annotations

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


def _window(rows: int, *_: object) -> int:
    return rows - 1 if rows else ALL_HISTORY


def _decaying(_alpha: float, rows: int) -> int:
    return rows - 1


def _from_start(_alpha: float, candles: int) -> int:
    return candles


def _rolling(
    name: str,
    kernel: Kernel,
    missing: MissingCause = MissingCause.DOMAIN_ERROR,
) -> Operation:
    return Operation(name=name, kernel=kernel, warm_up=_window, missing=missing)


QLIB_OPERATIONS = (
    _rolling("rolling_sum", skipping_windows.rolling_sum),
    _rolling("rolling_mean", skipping_windows.rolling_mean),
    _rolling("rolling_variance", skipping_windows.rolling_variance),
    _rolling("rolling_std", skipping_windows.rolling_std),
    _rolling("rolling_skewness", skipping_windows.rolling_skewness, MissingCause.FLAT_WINDOW),
    _rolling("rolling_kurtosis", skipping_windows.rolling_kurtosis, MissingCause.FLAT_WINDOW),
    _rolling("rolling_skewness_guarded", skipping_windows.rolling_skewness_guarded, MissingCause.FLAT_WINDOW),
    _rolling("rolling_kurtosis_guarded", skipping_windows.rolling_kurtosis_guarded, MissingCause.FLAT_WINDOW),
    _rolling("rolling_max", skipping_windows.rolling_max),
    _rolling("rolling_min", skipping_windows.rolling_min),
    _rolling("rolling_count", skipping_windows.rolling_count),
    _rolling("rolling_mean_deviation", skipping_windows.rolling_mean_deviation),
    _rolling("rolling_quantile", ordered_windows.rolling_quantile),
    _rolling("rolling_rank", ordered_windows.rolling_rank),
    _rolling("index_of_max", extremes_index.index_of_max),
    _rolling("index_of_min", extremes_index.index_of_min),
    _rolling("index_of_max_or_gap", extremes_index.index_of_max_or_gap),
    _rolling("index_of_min_or_gap", extremes_index.index_of_min_or_gap),
    _rolling("rolling_regression", regression.rolling_regression, MissingCause.FLAT_WINDOW),
    _rolling("place_weighted_mean", regression.place_weighted_mean),
    _rolling("place_weighted_mean_divided_twice", regression.place_weighted_mean_divided_twice),
    _rolling("rolling_covariance", pair_windows.rolling_covariance),
    _rolling("rolling_correlation", pair_windows.rolling_correlation, MissingCause.FLAT_WINDOW),
    Operation(name="decaying_mean", kernel=exponential.decaying_mean, warm_up=_decaying),
    Operation(
        name="decaying_mean_from_start",
        kernel=exponential.decaying_mean_from_start,
        warm_up=_from_start,
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
