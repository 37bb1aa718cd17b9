"""Candles and columns to draw: `candles(60)` and `columns(times_of(candles), average=…)`."""

import numpy as np

from candelabra_client import ColumnKind, SymbolError, SymbolResult

DAY = 86_400_000_000
FIRST_DAY = 15_340 * DAY  # 2012-01-01


def days(count, *, first=FIRST_DAY):
    return first + np.arange(count, dtype=np.int64) * DAY


def result(symbol, open_time_micros, *, signals=(), **values):
    """A result with these columns; a `__` in a name stands for the dot of a function's output."""
    values = {name.replace("__", "."): np.asarray(array, float) for name, array in values.items()}
    return SymbolResult(
        symbol,
        open_time_micros=open_time_micros,
        values=values,
        kinds={name: ColumnKind.SIGNAL if name in signals else ColumnKind.NUMBER for name in values},
    )


def failed(symbol):
    nothing = np.empty(0, np.int64)
    return SymbolResult(symbol, open_time_micros=nothing, values={}, kinds={}, error=SymbolError("NO_CANDLES", "none"))


def candles(count, *, symbol="AAPL", price=50.0):
    """Candles that rise and fall around a price; those with an even number of the day rise."""
    number = np.arange(count)
    middle = price + price * 0.2 * np.sin(number / 10)
    body = np.where(number % 2 == 0, 0.5, -0.5) * price / 100
    return result(
        symbol,
        days(count),
        open=middle - body,
        high=middle + price / 50,
        low=middle - price / 50,
        close=middle + body,
        volume=1e6 + 1e5 * (number % 7),
    )
