"""What must hold of every candle that is imported: an ordered list of checks over whole columns.

A missing value (NaN) is allowed and breaks no check. Two prices are compared with a tolerance of
one part in 10^9, so that prices that were scaled and rounded elsewhere pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from candelabra_server.candles.candle_batch import CandleBatch
from candelabra_server.candles.problem_log import FileProblems
from candelabra_server.candles.timeframe_view import format_micros
from candelabra_server.domain.candles import FloatColumn

__all__ = ["LONGEST_SYMBOL", "check_candles"]

LONGEST_SYMBOL = 64
"""Characters of a symbol's name."""

_TOLERANCE = 1e-9
Rows = npt.NDArray[np.intp]
_Columns = Mapping[str, FloatColumn]
_Broken = Callable[[_Columns], npt.NDArray[np.bool_]]


def _below(lower: str, upper: str) -> _Broken:
    """`upper` must not lie below `lower`."""
    return lambda columns: columns[upper] < columns[lower] - _TOLERANCE * np.abs(columns[lower])


def _negative(name: str) -> _Broken:
    return lambda columns: columns[name] < 0


_CHECKS: tuple[tuple[str, _Broken], ...] = (
    ("open {open:g} is negative", _negative("open")),
    ("high {high:g} is negative", _negative("high")),
    ("low {low:g} is negative", _negative("low")),
    ("close {close:g} is not above zero", lambda columns: columns["close"] <= 0),
    ("volume {volume:g} is negative", _negative("volume")),
    ("high {high!r} is below low {low!r}", _below("low", "high")),
    ("high {high!r} is below open {open!r}", _below("open", "high")),
    ("high {high!r} is below close {close!r}", _below("close", "high")),
    ("low {low!r} is above open {open!r}", _below("low", "open")),
    ("low {low!r} is above close {close!r}", _below("low", "close")),
)


def check_candles(batch: CandleBatch, problems: FileProblems, *, untimed_rows: Rows | None = None) -> None:
    """Logs every value, time and symbol that cannot be right.

    Args:
        batch: what to check.
        problems: where to log.
        untimed_rows: rows whose time could not be read; their order is not checked.
    """
    for name, column in batch.columns.items():
        problems.in_rows(np.flatnonzero(np.isinf(column)), _saying(f"{name} is infinite"))
    columns = batch.columns
    for message, broken in _CHECKS:
        rows = np.flatnonzero(broken(columns))
        problems.in_rows(rows, _filling(message, columns))
    _check_symbols(batch, problems)
    _check_order(batch, problems, untimed_rows)


def _saying(message: str) -> Callable[[int], str]:
    return lambda _row: message


def _filling(message: str, columns: _Columns) -> Callable[[int], str]:
    """Puts the row's values into the message."""
    return lambda row: message.format(**{name: float(column[row]) for name, column in columns.items()})


def _check_symbols(batch: CandleBatch, problems: FileProblems) -> None:
    """Logs the first row of every symbol that cannot be one."""
    complaints = {code: text for code, symbol in enumerate(batch.symbols) if (text := _complaint(symbol))}
    if complaints:
        first_rows = np.zeros(len(batch.symbols), dtype=np.intp)
        first_rows[batch.codes[::-1]] = np.arange(len(batch.codes))[::-1]
        rows = np.sort(first_rows[list(complaints)])
        problems.in_rows(rows, lambda row: complaints[int(batch.codes[row])])


def _complaint(symbol: str) -> str:
    if not symbol:
        return "the symbol is empty"
    if len(symbol) > LONGEST_SYMBOL:
        return f"symbol {symbol[:20] + '…'!r} has {len(symbol)} characters; at most {LONGEST_SYMBOL} are allowed"
    return "" if symbol.isprintable() else f"symbol {symbol!r} has characters that cannot be printed"


def _check_order(batch: CandleBatch, problems: FileProblems, untimed_rows: Rows | None) -> None:
    """Within a symbol, times rise from row to row, or fall in a file that is newest first."""
    codes, times, rows = batch.codes, batch.open_times, None
    if untimed_rows is not None and len(untimed_rows):
        rows = np.delete(np.arange(len(codes)), untimed_rows)
    if bool((np.diff(codes) < 0).any()):
        rows = np.arange(len(codes)) if rows is None else rows
        rows = rows[np.argsort(codes[rows], kind="stable")]
    if rows is not None:
        codes, times = codes[rows], times[rows]
    is_same = codes[1:] == codes[:-1]
    steps = np.diff(times)
    for is_wrong, complaint in ((steps == 0, "comes twice"), _out_of_order(steps, is_same)):
        found = np.flatnonzero(is_same & is_wrong) + 1

        def describe(row: int, complaint: str = complaint) -> str:
            return f"{format_micros(int(batch.open_times[row]))} of {batch.symbols[batch.codes[row]]} {complaint}"

        problems.in_rows(found if rows is None else rows[found], describe)


def _out_of_order(steps: npt.NDArray[np.int64], is_same: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.bool_], str]:
    """Which steps lead out of a file's order, and what to say of them.

    The order is newest first when most steps say so. A single step does not: two candles the wrong way
    round are more likely a mistake.
    """
    inside = steps[is_same]
    falling = int(np.count_nonzero(inside < 0))
    if falling > 1 and 2 * falling > len(inside):
        return steps > 0, "is later than the candle before it, in a file that is newest first otherwise"
    return steps < 0, "is earlier than the candle before it; sort the file by time"
