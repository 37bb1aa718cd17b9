"""Names that vendors of market data give to files and columns, as tables: a new vendor is a new row.

server/docs/store.md has the table of vendors, with the sources and which of them were checked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

__all__ = [
    "BINANCE_HEADER",
    "FIXED_POINT_SIGN",
    "HINTS_BY_FIRST_NAME",
    "INSTRUMENT_NAMES",
    "NO_FIELDS",
    "OTHER_SPELLINGS",
    "SYMBOL_NAMES",
    "TIME_NAMES",
    "long_names",
    "symbol_in_name",
]

TIME_NAMES = (
    "open_time", "timestamp", "datetime", "date_time", "timestamp_utc", "ts_event", "window_start", "date", "time",
)  # fmt: skip
"""Names of the time column; the first of these that a file has is its open time."""
SYMBOL_NAMES = ("symbol", "ticker")
OTHER_SPELLINGS: Mapping[str, str] = {"vol": "volume"}

INSTRUMENT_NAMES = ("instrument_id",)
"""Columns that tell instruments apart without naming them; without a symbol beside them, the user is asked."""
FIXED_POINT_SIGN = "ts_event"
"""The column of files, Databento's, whose prices may be whole numbers of 1e-9."""
NO_FIELDS = frozenset({"close_time", "ignore", "rtype", "publisher_id", "instrument_id"})
"""Columns of numbers that no formula asks for: they say how a record was made, or which it is."""
HINTS_BY_FIRST_NAME: Mapping[str, str] = {
    "Price": "does yfinance write this? Its files are read when downloaded with multi_level_index=False",
}
"""What to do about tables whose first column has a telling name and no times."""

BINANCE_HEADER: Sequence[str] = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count",
    "taker_buy_volume", "taker_buy_quote_volume", "ignore",
)  # fmt: skip
"""Columns of Binance's klines, whose files of the spot market have no header line."""

_SHORT_NAMES: Mapping[str, str] = {
    "t": "timestamp", "T": "symbol", "S": "symbol", "o": "open", "h": "high", "l": "low", "c": "close", "v": "volume",
    "n": "trade_count", "vw": "vwap",
}  # fmt: skip
"""Keys of Alpaca's and Polygon's bars; their case counts."""
_SIGN_OF_SHORT_NAMES = frozenset("tohlc")

_FRAME = r"(?:\d+(?:s|m|h|d|w|mo|M))"
_FILE_NAMES: Sequence[tuple[re.Pattern[str], str]] = (
    # Binance: BTCUSDT-1m-2024-01, BTCUSDT-1d-2024-01-31
    (re.compile(rf"(?P<symbol>[A-Z0-9_]+)-{_FRAME}-\d{{4}}-\d\d(?:-\d\d)?", re.ASCII), "{symbol}"),
    # Stooq: aapl_us_d is AAPL.US, as in the files that have a column <TICKER>
    (re.compile(r"(?P<symbol>[a-z0-9^.-]+)_(?P<market>[a-z]{2})_[dwmqy]", re.ASCII), "{SYMBOL}.{MARKET}"),
    # MetaTrader: EURUSD_M1_202401020000_202401312359, EURUSD_Daily
    (
        re.compile(
            r"(?P<symbol>[A-Za-z0-9.#+_-]+?)_(?:M\d{1,2}|H\d{1,2}|D1|W1|MN1?|Daily|Weekly|Monthly)(?:_\d{8,12}){0,2}",
            re.ASCII,
        ),
        "{symbol}",
    ),
)
"""Whole names of files, without endings, that hold more than the symbol."""


def symbol_in_name(stem: str) -> str:
    """The symbol that a file's name without endings tells: the name itself where no vendor's form fits."""
    for pattern, form in _FILE_NAMES:
        if match := pattern.fullmatch(stem):
            parts = match.groupdict()
            return form.format(**parts, **{name.upper(): part.upper() for name, part in parts.items()})
    return stem


def long_names(names: Sequence[str]) -> Sequence[str]:
    """Column names with short keys written out, where a file has such keys; else the names as they are."""
    if set(names) >= _SIGN_OF_SHORT_NAMES:
        return [_SHORT_NAMES.get(name, name) for name in names]
    return names
