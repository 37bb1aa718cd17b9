"""TA-Lib's functions as kernels: every one called in the same way, over the rows that have all their inputs.

One missing value would poison every later one, and so would an infinity. Rows in which an input is NaN or infinite
are left out, the rest is computed as if it stood together, and the results go back to their rows; the rows left out
are NaN. So are those before a function's lookback is full, where TA-Lib writes 0 for whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from candelabra_server.domain.candles import FloatColumn
from candelabra_server.formulas.kernels import talib_windows
from candelabra_server.formulas.kernels.talib_import import talib
from candelabra_server.formulas.kernels.talib_metadata import MOVING_AVERAGES, TalibFunction, lookback

__all__ = ["ELEMENTWISE", "OWN_ARITHMETIC", "compacted", "talib_kernel"]

ELEMENTWISE: dict[str, np.ufunc] = {
    "ACOS": np.arccos,
    "ASIN": np.arcsin,
    "ATAN": np.arctan,
    "CEIL": np.ceil,
    "COS": np.cos,
    "COSH": np.cosh,
    "EXP": np.exp,
    "FLOOR": np.floor,
    "LN": np.log,
    "LOG10": np.log10,
    "SIN": np.sin,
    "SINH": np.sinh,
    "SQRT": np.sqrt,
    "TAN": np.tan,
    "TANH": np.tanh,
}
"""Functions of one value, which need no rows left out: what is missing or infinite stays where it is."""


def _average_of_changing_period(
    series: FloatColumn, periods: FloatColumn, shortest: int, longest: int, average: int
) -> FloatColumn:
    # TA-Lib turns periods into whole numbers before it bounds them, and what is too large for one is undefined in C.
    column: FloatColumn = talib.MAVP(series, np.clip(periods, shortest, longest), shortest, longest, average)
    return column


OWN_ARITHMETIC: dict[str, Callable[..., FloatColumn]] = {
    "BETA": talib_windows.beta,
    "CCI": talib_windows.commodity_channel_index,
    "CORREL": talib_windows.correlation,
    "LINEARREG": talib_windows.regression,
    "LINEARREG_ANGLE": talib_windows.regression_angle,
    "LINEARREG_INTERCEPT": talib_windows.regression_intercept,
    "LINEARREG_SLOPE": talib_windows.regression_slope,
    "TSF": talib_windows.regression_forecast,
    "VAR": talib_windows.variance,
    "VWMA": talib_windows.volume_weighted_mean,
}
"""Functions that are TA-Lib's by definition and lookback, but not computed by it."""
_COMPUTE: dict[str, Callable[..., FloatColumn]] = {**OWN_ARITHMETIC, "MAVP": _average_of_changing_period}


def talib_kernel(function: TalibFunction) -> Callable[..., FloatColumn | tuple[FloatColumn, ...]]:
    """The kernel of a function: takes its columns, then its constants, a moving average by its text.

    The constants must be such that TA-Lib takes them. One output is given as a column, several as a tuple.
    """
    compute: Callable[..., Any] = _COMPUTE.get(function.name) or getattr(talib, function.name)
    inputs, outputs = len(function.inputs), len(function.outputs)

    def kernel(*arguments: Any) -> FloatColumn | tuple[FloatColumn, ...]:  # noqa: ANN401 - columns, then constants
        constants = [MOVING_AVERAGES[value] if isinstance(value, str) else value for value in arguments[inputs:]]
        before = lookback(function.name, *constants)

        def full(*values: FloatColumn) -> list[FloatColumn]:
            if len(values[0]) <= before:
                return [np.full(len(values[0]), np.nan) for _ in range(outputs)]
            computed = compute(*values, *constants)
            columns = [column.astype(np.float64, copy=False) for column in _several(computed)]
            for column in columns:
                column[:before] = np.nan
            return columns

        columns = compacted(arguments[:inputs], outputs, full)
        return columns[0] if outputs == 1 else tuple(columns)

    return kernel


def compacted(
    columns: Sequence[FloatColumn], outputs: int, compute: Callable[..., Sequence[FloatColumn]]
) -> Sequence[FloatColumn]:
    """Runs `compute` over the rows where every column is finite.

    Args:
        columns: equally long; not changed.
        outputs: how many columns `compute` gives.
        compute: takes the columns without the rows that are left out, one row or more; gives new columns.

    Returns:
        new columns as long as those given.
    """
    present = np.logical_and.reduce([np.isfinite(column) for column in columns])
    if present.all():
        return compute(*columns) if len(present) else [np.empty(0) for _ in range(outputs)]
    scattered = [np.full(len(present), np.nan) for _ in range(outputs)]
    if present.any():
        computed = compute(*(np.ascontiguousarray(column[present]) for column in columns))
        for target, values in zip(scattered, computed, strict=True):
            target[present] = values
    return scattered


def _several(computed: FloatColumn | tuple[FloatColumn, ...]) -> tuple[FloatColumn, ...]:
    return computed if isinstance(computed, tuple) else (computed,)
