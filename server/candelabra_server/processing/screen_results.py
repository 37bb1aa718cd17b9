"""ScreenResults: from what workers answer to the messages of a screen, sorted where the request wants that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from candelabra.v1 import ScreenFailure, ScreenInfo, ScreenResponse
from candelabra.worker.v1 import EncodedColumn, ScreenedChunk
from candelabra_server.domain.candles import FloatTable, MicrosColumn
from candelabra_server.processing.screen_plan import ScreenPlan

__all__ = ["ScreenResults"]

_MESSAGE_BYTES = 1_048_576
"""About the most that one message's rows take."""
_AROUND_BYTES = 16
"""Tags and lengths around one value, name or column."""
_SYMBOLS_BETWEEN = 250
"""A message that has nothing but progress is made after so many symbols."""
_MOST_FAILURES = 1_000
"""Listed, in a whole screen; all are counted."""
_KEPT_BEYOND_LIMIT = 4_096
"""Rows that are kept beside twice the limit before those that cannot be sent any more are dropped."""

_Rows = tuple[Sequence[str], MicrosColumn, FloatTable]
"""Symbols, open times, and values: one row of the table a column."""


class ScreenResults:
    """Counts, sorts and cuts a screen's rows. Not safe for concurrent use.

    Rows of a screen that is neither sorted nor limited are passed on at once. Otherwise they are kept until the end;
    with a limit, never many more than twice that.

    Args:
        plan: of the screen; may be closed meanwhile.
    """

    def __init__(self, plan: ScreenPlan) -> None:
        self._plan = plan
        self._done = self._passed = self._failed = self._candles_read = 0
        self._told = 0
        """Symbols that were done when the last message was made."""
        self._failures: list[ScreenFailure] = []
        self._failures_left = _MOST_FAILURES
        self._kept: _SortedRows | None = _SortedRows(plan) if plan.is_sorted else None
        longest_symbol = max((len(symbol.encode()) for symbol in plan.job.symbols), default=0)
        row_bytes = longest_symbol + _AROUND_BYTES + 8 * len(plan.columns)
        column_bytes = sum(len(column.name.encode()) + _AROUND_BYTES for column in plan.columns)
        self._rows_in_message = max(1, (_MESSAGE_BYTES - column_bytes) // row_bytes)

    def add(self, symbols_asked: int, chunk: ScreenedChunk) -> list[ScreenResponse]:
        """Takes what a worker answered for so many symbols; gives the messages to send now, often none."""
        self._done += symbols_asked
        self._passed += len(chunk.symbols)
        self._failed += len(chunk.failures)
        self._candles_read += chunk.candles_read
        told = chunk.failures[: self._failures_left]
        self._failures_left -= len(told)
        self._failures.extend(told)
        rows = _rows_of(chunk, len(self._plan.columns))
        if self._kept is None:
            messages = list(self._messages(rows))
        else:
            self._kept.add(rows)
            messages = []
        if not messages and self._done - self._told >= _SYMBOLS_BETWEEN:
            messages.append(self._message())
        return messages

    def finish(self, cpu_micros: int) -> list[ScreenResponse]:
        """Gives the last messages, at least one, when all symbols were added."""
        messages = [] if self._kept is None else list(self._messages(self._kept.take()))
        if not messages:
            nothing = np.empty(0, np.int64), np.empty((len(self._plan.columns), 0))
            messages.append(self._message(([], *nothing)))  # tells at least which columns there are
        last = messages[-1]
        last.last = True
        last.info.CopyFrom(
            ScreenInfo(
                snapshot_id=self._plan.job.snapshot.id,
                warnings=self._plan.warnings,
                candles_read=self._candles_read,
                cpu_micros=cpu_micros,
            )
        )
        return messages

    def _messages(self, rows: _Rows) -> Iterator[ScreenResponse]:
        symbols, times, values = rows
        for first in range(0, len(symbols), self._rows_in_message):
            part = slice(first, first + self._rows_in_message)
            yield self._message((symbols[part], times[part], values[:, part]))

    def _message(self, rows: _Rows | None = None) -> ScreenResponse:
        """One message, with the failures that were not told yet."""
        response = ScreenResponse(
            screen_id=self._plan.screen_id,
            symbols_total=len(self._plan.job.symbols),
            symbols_done=self._done,
            symbols_passed=self._passed,
            symbols_failed=self._failed,
            failures=self._failures,
        )
        self._failures.clear()
        self._told = self._done
        if rows is not None:
            symbols, times, values = rows
            response.symbols.extend(symbols)
            response.as_of_micros.extend(times.tolist())
            for column, array in zip(self._plan.columns, values, strict=True):
                twin = EncodedColumn(name=column.name, kind=column.kind, values=array.tobytes())
                response.columns.add().MergeFromString(twin.SerializeToString())
        return response


class _SortedRows:
    """Rows in the order of a plan; with a limit, only those that may still be sent.

    Symbols are kept as their places among the sorted names of all.
    """

    def __init__(self, plan: ScreenPlan) -> None:
        self._order = plan.order
        self._limit = plan.limit
        self._names = sorted(plan.job.symbols)
        self._places = dict(zip(self._names, range(len(self._names)), strict=True))
        self._most_kept = 2 * plan.limit + _KEPT_BEYOND_LIMIT
        self._parts: list[tuple[npt.NDArray[np.int64], MicrosColumn, FloatTable]] = []
        self._count = 0
        self._columns = len(plan.columns)

    def add(self, rows: _Rows) -> None:
        symbols, times, values = rows
        if not symbols:
            return
        places = np.fromiter((self._places[symbol] for symbol in symbols), np.int64, len(symbols))
        self._parts.append((places, times, values))
        self._count += len(places)
        if self._limit and self._count > self._most_kept:
            self._sort()

    def take(self) -> _Rows:
        """All rows that are to be sent, in order."""
        if not self._parts:
            return [], np.empty(0, np.int64), np.empty((self._columns, 0))
        self._sort()
        ((places, times, values),) = self._parts
        return [self._names[place] for place in places.tolist()], times, values

    def _sort(self) -> None:
        places, times = (np.concatenate([part[number] for part in self._parts]) for number in (0, 1))
        values = np.concatenate([part[2] for part in self._parts], axis=1)
        keys = [
            (-key if descending else key)  # missing values stay what they are, and come last
            for key, descending in (
                (places if column is None else values[column], descending) for column, descending in self._order
            )
        ]
        rows = np.lexsort([places, *reversed(keys)])  # the last one is the most important
        if self._limit:
            rows = rows[: self._limit]
        self._parts = [(places[rows], times[rows], values[:, rows])]
        self._count = len(rows)


def _rows_of(chunk: ScreenedChunk, columns: int) -> _Rows:
    times = np.frombuffer(chunk.as_of_micros, "<i8")
    return chunk.symbols, times, np.frombuffer(chunk.values, "<f8").reshape(columns, len(times))
