"""TA-Lib's functions as operations: what each remembers, and so how far a value depends on where the candles begin.

A function is in one of four classes; one that TA-Lib adds later is in the last until somebody has looked at it.

1. Finite, afresh: the lookback is all it sees, and every row is computed by itself. Exact.
2. Finite, in sums: the lookback is all it means, but TA-Lib carries sums along, with their rounding errors. Close.
3. Decaying: it contains exponential averages. The warm-up is the lookback and, for each of these in turn, the rows
   after which earlier candles weigh less than REMAINING_WEIGHT. Close.
4. All the rest: the output depends on the path since the first candle, or nothing can be proved. They are given the
   whole history, which makes them exact. So are the patterns that compare with average candles: those averages are
   sums with rounding errors, and a comparison makes a whole signal of a last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from candelabra_server.formulas.kernels.talib_functions import ELEMENTWISE, OWN_ARITHMETIC, talib_kernel
from candelabra_server.formulas.kernels.talib_metadata import MOVING_AVERAGES, TALIB, TalibFunction, lookback
from candelabra_server.formulas.operations.operation import (
    ALL_HISTORY,
    Exactness,
    MissingCause,
    Operation,
    decay,
    whole_history,
)

__all__ = ["TALIB_OPERATIONS", "talib_operation_name"]

_OPERATORS = {"ADD": "add", "SUB": "subtract", "MULT": "multiply", "DIV": "divide"}
"""Functions that are what an operator of the language is."""

_Memory = tuple[float, ...]
"""Alphas of the exponential averages that a value goes through, one after the other."""
_NEVER_FORGETS = 0.0

_AFRESH = frozenset(
    {
        "AROON",
        "AROONOSC",
        "AVGDEV",
        "AVGPRICE",
        "BOP",
        "CDL3OUTSIDE",
        "CDLENGULFING",
        "CDLHIKKAKE",
        "CDLXSIDEGAP3METHODS",
        "DONCHIAN",
        "FRACTAL",
        "IMI",
        "MARKETFI",
        "MAX",
        "MEDPRICE",
        "MIDPOINT",
        "MIDPRICE",
        "MIN",
        "MINMAX",
        "MOM",
        "PERCENTILE",
        "PERCENTRANK",
        "ROC",
        "ROCP",
        "ROCR",
        "ROCR100",
        "TRANGE",
        "TYPPRICE",
        "VHF",
        "WCLPRICE",
        "WILLR",
    }
) | frozenset(OWN_ARITHMETIC)
_IN_SUMS = frozenset(
    {
        "AC",
        "ACCBANDS",
        "ADR",
        "AO",
        "CMF",
        "CMOU",
        "COPPOCK",
        "DPO",
        "ER",
        "FOSC",
        "HMA",
        "MFI",
        "QSTICK",
        "RVOL",
        "SMA",
        "STDDEV",
        "SUM",
        "TRIMA",
        "ULTOSC",
        "VORTEX",
        "WMA",
    }
)


def _exponential(*periods: int) -> _Memory:
    return tuple(2 / (period + 1) for period in periods)


def _wilder(*periods: int) -> _Memory:
    return tuple(1 / period for period in periods)


_KAUFMAN: _Memory = ((2 / 31) ** 2,)
"""The slowest that Kaufman's average becomes, where prices go nowhere."""
_AVERAGES: dict[str, Callable[[int], _Memory]] = {
    "sma": lambda _: (),
    "ema": _exponential,
    "wma": lambda _: (),
    "dema": lambda period: _exponential(period) * 2,
    "tema": lambda period: _exponential(period) * 3,
    "trima": lambda _: (),
    "kama": lambda _: _KAUFMAN,
    "t3": lambda period: _exponential(period) * 6,
    "hma": lambda _: (),
    "zlema": _exponential,
    "rma": _wilder,
}
"""By the text of a moving average. MESA's is not among them: its alpha comes from a cycle that it has never left."""


def _average(period: int, average: str) -> _Memory:
    memory = _AVERAGES.get(average)
    return memory(period) if memory else (_NEVER_FORGETS,)


def _oscillator(fast: int, slow: int, average: str) -> _Memory:
    return _average(max(fast, slow), average)


_DECAYING: dict[str, Callable[..., _Memory]] = {
    "ADX": lambda period: _wilder(period, period),
    "ADXR": lambda period: _wilder(period, period),
    "APO": _oscillator,
    "ATR": _wilder,
    "BBANDS": lambda period, _up, _down, average: _average(period, average),
    "CMO": _wilder,
    "CVI": lambda period, _change: _exponential(period),
    "DEMA": lambda period: _exponential(period, period),
    "DX": _wilder,
    "EFI": _exponential,
    "EMA": _exponential,
    "ERI": _exponential,
    "HA": lambda: (0.5,),
    "KAMA": lambda _: _KAUFMAN,
    "KC": lambda period, true_range, _width: _exponential(period) + _wilder(true_range),
    "KDJ": lambda _range, k, k_average, d, d_average: _average(k, k_average) + _average(d, d_average),
    "MA": _average,
    "MACD": lambda fast, slow, signal: _exponential(max(fast, slow), signal),
    "MACDEXT": lambda fast, fast_average, slow, slow_average, signal, signal_average: (
        _average(fast, fast_average) + _average(slow, slow_average) + _average(signal, signal_average)
    ),
    "MACDFIX": lambda signal: _exponential(26, signal),
    "MASSI": lambda fast, _slow: _exponential(fast, fast),
    "MAVP": lambda _shortest, longest, average: _average(longest, average),
    "MINUS_DI": _wilder,
    "MINUS_DM": _wilder,
    "NATR": _wilder,
    "PLUS_DI": _wilder,
    "PLUS_DM": _wilder,
    "PPO": _oscillator,
    "PVO": _oscillator,
    "RMA": _wilder,
    "RSI": _wilder,
    "RVI": lambda period, _deviation: _wilder(period),
    "SMI": lambda _range, fast, slow, signal: _exponential(fast, slow, signal),
    "STOCH": lambda _range, k, k_average, d, d_average: _average(k, k_average) + _average(d, d_average),
    "STOCHF": lambda _range, d, d_average: _average(d, d_average),
    "T3": lambda period, _factor: _exponential(period) * 6,
    "TEMA": lambda period: _exponential(period) * 3,
    "TRIX": lambda period: _exponential(period) * 3,
    "TSI": _exponential,
    "ZLEMA": _exponential,
}
"""Memory from the constants, in TA-Lib's order; moving averages by their text."""
_MISSING = {"RVOL": MissingCause.DIVISION_BY_ZERO, "VWMA": MissingCause.DIVISION_BY_ZERO}
"""Why a full window has no value; elsewhere TA-Lib writes 0 where it would divide by nothing."""

_NANOS = 10.0
_SLOW_NANOS = {"HT_DCPHASE": 650.0, "HT_SINE": 700.0, "HT_TRENDMODE": 720.0, "HT_TRENDLINE": 70.0, "MAMA": 70.0}
_NANOS_PER_WINDOW_ROW = {
    "AVGDEV": 1.7,
    "CCI": 3.0,
    "FRACTAL": 1.4,
    "IMI": 1.8,
    "MAVP": 2.5,
    "PERCENTILE": 0.8,
    "PERCENTRANK": 0.2,
    "VHF": 1.3,
}
"""Functions that go through the whole window for every row; MAVP goes through the column for every period."""
_NANOS_PER_DOUBLING = {
    "BETA": 35.0,
    "CORREL": 35.0,
    "LINEARREG": 12.0,
    "LINEARREG_ANGLE": 13.0,
    "LINEARREG_INTERCEPT": 12.0,
    "LINEARREG_SLOPE": 12.0,
    "TSF": 12.0,
    "VAR": 12.0,
    "VWMA": 8.0,
}
"""Functions whose windows are folded."""


def talib_operation_name(name: str) -> str:
    """The name in OPERATIONS of a function, by TA-Lib's name."""
    return _OPERATORS.get(name, f"talib_{name.lower()}")


def _operation(function: TalibFunction) -> Operation:
    name = function.name
    if name in ELEMENTWISE:
        nanos = _constant_nanos(_NANOS)
        return Operation(name=talib_operation_name(name), kernel=ELEMENTWISE[name], elementwise=True, nanos=nanos)
    return Operation(
        name=talib_operation_name(name),
        kernel=talib_kernel(function),
        warm_up=_warm_up(name),
        exactness=Exactness.CLOSE if name in _IN_SUMS or name in _DECAYING else Exactness.EXACT,
        missing=_MISSING.get(name, MissingCause.DOMAIN_ERROR),
        nanos=_nanos(name),
    )


def _warm_up(name: str) -> Callable[..., int]:
    if name in _AFRESH or name in _IN_SUMS:
        return lambda *settings: lookback(name, *settings)
    if name not in _DECAYING:
        return whole_history

    def decaying(*settings: float | str) -> int:
        memory = _DECAYING[name](*settings)
        if _NEVER_FORGETS in memory:
            return ALL_HISTORY
        constants = [MOVING_AVERAGES[value] if isinstance(value, str) else value for value in settings]
        return lookback(name, *constants) + sum(decay(alpha) for alpha in memory)

    return decaying


def _nanos(name: str) -> Callable[..., float]:
    if per_row := _NANOS_PER_WINDOW_ROW.get(name):
        return lambda *settings: _NANOS + per_row * _longest(settings)
    if per_doubling := _NANOS_PER_DOUBLING.get(name):
        return lambda *settings: _NANOS + per_doubling * math.log2(1 + _longest(settings))
    return _constant_nanos(_SLOW_NANOS.get(name, _NANOS))


def _longest(settings: Sequence[float | str]) -> int:
    return max(value for value in settings if isinstance(value, int))


def _constant_nanos(nanos: float) -> Callable[..., float]:
    return lambda *_: nanos


TALIB_OPERATIONS = tuple(_operation(function) for function in TALIB.values() if function.name not in _OPERATORS)
