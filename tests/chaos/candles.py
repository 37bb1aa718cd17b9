"""Symbols whose candles follow from their names alone, so that every process knows them.

All values are multiples of a quarter and small, so that sums of them are exact and an average over a power of two is
the same bits in whichever order it is computed.
"""

from __future__ import annotations

import zlib
from functools import lru_cache

import numpy as np

from candelabra_server.domain.candles import Candles, FloatColumn, MicrosColumn

__all__ = ["LARGE", "POISON", "SMALL", "SYMBOLS", "TIMEFRAME", "candles_of", "is_poison", "rows_of"]

TIMEFRAME = "1m"
_MINUTE = 60_000_000
_FIRST = 1_577_836_800_000_000  # 2020-01-01

SMALL = tuple(f"S{number:03}" for number in range(400))
LARGE = tuple(f"L{number}" for number in range(6))
POISON = tuple(f"P{number}" for number in range(4))
"""Whoever works on them dies of it, each time."""
SYMBOLS = tuple(sorted((*SMALL, *LARGE, *POISON)))

_PRIMES = {"open": 104_729, "close": 7_919}


def is_poison(symbol: str) -> bool:
    """Whether no worker survives the symbol."""
    return symbol.startswith("P")


def rows_of(symbol: str) -> int:
    """How many candles there are: 14 to 34 MB of them for the large ones."""
    number = int(symbol[1:])
    return 300_000 + 80_000 * number if symbol.startswith("L") else 40 + 13 * (number % 37)


@lru_cache(maxsize=2)
def candles_of(symbol: str) -> Candles:
    """All candles of a symbol; not to be written to."""
    code = zlib.crc32(symbol.encode())
    rows = np.arange(rows_of(symbol), dtype=np.int64)
    opened, closed = (_prices(rows, code // prime, prime) for prime in _PRIMES.values())
    fields: dict[str, FloatColumn] = {
        "open": opened,
        "high": np.maximum(opened, closed) + 0.25,
        "low": np.minimum(opened, closed) - 0.25,
        "close": closed,
        "volume": ((rows * 31 + code) % 9_973).astype(np.float64),
    }
    times: MicrosColumn = _FIRST + _MINUTE * rows
    for column in (times, *fields.values()):
        column.flags.writeable = False
    return Candles(symbol, times, fields)


def _prices(rows: MicrosColumn, code: int, prime: int) -> FloatColumn:
    prices: FloatColumn = ((rows * prime + code) % 4_001 + 400) / 4.0
    return prices
