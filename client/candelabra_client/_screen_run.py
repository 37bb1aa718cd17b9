"""One screen as the client sees it, without any I/O; a `Run` (`_streaming.py`) that gives `ScreenBatch`es.

A screen whose stream breaks is sent again whole, within the retry policy, and what was handed out before is left out:

- of one that is not sorted, rows of the symbols that were handed out, wherever they come;
- of one that is sorted (it has `order_by` or `limit`), as many rows as were handed out. They must be the same: else the
  candles have changed, and what follows would belong to another order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

import grpc
import numpy as np
from google.protobuf import message

from candelabra.v1 import ScreenRequest, ScreenResponse
from candelabra_client._attempts import Attempts
from candelabra_client._exceptions import Aborted, ProtocolError
from candelabra_client._exchange import SCREEN_METHOD, Exchange
from candelabra_client._result import ColumnKind, SymbolError
from candelabra_client._run import Progress
from candelabra_client._screen_result import ScreenBatch, ScreenInfo, ScreenResult, joined

__all__ = ["ScreenRun"]


class ScreenRun:
    """The state of one screen. Not safe for concurrent use: one thread or task drives it.

    Attributes:
        symbols_total: as the last message says; this and all other numbers are 0 until one has come.
        symbols_done: symbols that were looked at, failed ones included.
        symbols_passed: symbols that passed the filter, those beyond the limit included.
        symbols_failed: symbols that could not be screened.
        info: how the screen came about; None until its last message.
    """

    method: Final = SCREEN_METHOD

    def __init__(
        self, request: ScreenRequest, *, attempts: Attempts, progress: Callable[[Progress], None] | None = None
    ) -> None:
        self.symbols_total = 0
        self.symbols_done = 0
        self.symbols_passed = 0
        self.symbols_failed = 0
        self.info: ScreenInfo | None = None
        self._request = request
        self._attempts = attempts
        self._progress = progress
        self._errors: dict[str, SymbolError] = {}
        self._kinds: Mapping[str, ColumnKind] = {}
        self._delivered: set[str] = set()
        self._is_sorted = bool(request.order_by or request.limit)
        self._marks: list[int] = []  # of the rows that were handed out, in order; of a sorted screen only
        self._rows_here = 0  # rows of the current stream, those that had been handed out included
        self._failures_ignored = 0  # in the current stream, of symbols that were handed out before
        self._sent = False

    @property
    def screen_id(self) -> str:
        """The screen's id: as given, or as the server made it, empty until its first message."""
        return self._request.screen_id

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols and patterns as the screen names them."""
        return tuple(self._request.symbols)

    @property
    def kinds(self) -> Mapping[str, ColumnKind]:
        """What each column's values mean, by name; empty until a message has columns."""
        return self._kinds

    @property
    def errors(self) -> Mapping[str, SymbolError]:
        """Why symbols could not be screened, as far as it has arrived."""
        return MappingProxyType(self._errors)

    def next_request(self) -> Exchange[ScreenRequest | None]:
        """Returns the screen, or None when its last message has come."""
        yield from ()  # no call is needed to know
        if self.info is not None:
            return None
        if not self._sent:
            self._sent = True
            self._attempts.begin()
        self._errors.clear()  # the next attempt tells of all of them
        self._rows_here = self._failures_ignored = 0
        return self._request

    def remaining_seconds(self) -> float | None:
        """Returns how much of the timeout is left, at least 0; None when there is none."""
        return self._attempts.remaining_seconds()

    def receive(self, data: bytes) -> ScreenBatch | None:
        """Takes one message; returns its rows, but those of symbols that were handed out before.

        Raises:
            ProtocolError: not a `ScreenResponse`, or one that does not follow those before it.
        """
        try:
            response = ScreenResponse.FromString(data)
        except message.DecodeError as error:
            raise ProtocolError(f"a message of {len(data)} bytes is not a ScreenResponse") from error
        if self.info is not None:
            raise ProtocolError("the server sent a message after the last one of the screen")
        batch = self._checked(response)
        if not self._request.screen_id:
            self._request.screen_id = response.screen_id
        failures = {failure.symbol: SymbolError.of(failure.error) for failure in response.failures}
        for symbol in self._delivered.intersection(failures):
            del failures[symbol]
            self._failures_ignored += 1
        self._errors.update(failures)
        self.symbols_total, self.symbols_done = response.symbols_total, response.symbols_done
        self.symbols_passed = response.symbols_passed
        self.symbols_failed = response.symbols_failed - self._failures_ignored
        batch = self._without_repeated(batch)
        if response.last:
            if self._rows_here < len(self._marks):
                raise _changed()
            self.info = ScreenInfo.of(response.info)
        if batch.symbols:
            self._delivered.update(batch.symbols)
            self._attempts.succeed()
        if self._progress is not None:
            self._progress(Progress(self.symbols_done, self.symbols_total, self.symbols_failed))
        return batch if batch.symbols else None

    def fail(self, error: grpc.RpcError) -> float:
        """Takes the error that ended a stream; returns how many seconds to wait before sending again.

        Raises:
            CallError: the error, when sending again would not help.
        """
        if self.info is not None:
            return 0.0  # everything had arrived
        return self._attempts.fail(error)

    def finish(self) -> None:
        """Takes the regular end of a stream.

        Raises:
            ProtocolError: the last message is missing.
        """
        if self.info is None:
            raise ProtocolError(
                f"the server ended the screen after {self.symbols_done} of {self.symbols_total} symbols,"
                " without its last message"
            )

    def gather(self, batches: Iterable[ScreenBatch]) -> ScreenResult:
        """Returns the whole screen; the batches are taken first, to the end."""
        rows = list(batches)
        return ScreenResult(
            joined(rows, self._kinds),
            errors=self._errors,
            symbols_total=self.symbols_total,
            symbols_passed=self.symbols_passed,
            symbols_failed=self.symbols_failed,
            info=self.info or ScreenInfo(),
        )

    def _without_repeated(self, batch: ScreenBatch) -> ScreenBatch:
        """Returns the rows that were not handed out before.

        Raises:
            Aborted: the screen is sorted, and its rows are not those that were handed out.
        """
        if not self._is_sorted:
            first_rows = {symbol: row for row, symbol in reversed(list(enumerate(batch.symbols)))}
            fresh = sorted(row for symbol, row in first_rows.items() if symbol not in self._delivered)
            return batch if len(fresh) == len(batch) else batch.rows(fresh)
        marks = _marks(batch)
        repeated = marks[: len(self._marks) - self._rows_here]
        if repeated != self._marks[self._rows_here : self._rows_here + len(repeated)]:
            raise _changed()
        self._marks.extend(marks[len(repeated) :])
        self._rows_here += len(marks)
        return batch.rows(slice(len(repeated), None)) if repeated else batch

    def _checked(self, response: ScreenResponse) -> ScreenBatch:
        """Returns the rows of a message; keeps what its columns are called."""
        rows = len(response.symbols)
        kinds = {column.name: ColumnKind.of(column) for column in response.columns}
        if kinds:
            self._kinds = self._kinds or kinds
        if (kinds or rows) and list(kinds) != list(self._kinds):
            raise ProtocolError(f"a batch has the columns {', '.join(kinds) or 'none'}, not {', '.join(self._kinds)}")
        times = np.array(response.as_of_micros, np.int64).view("datetime64[us]")
        values = {column.name: np.array(column.values, np.float64) for column in response.columns}
        for name, array in {"as_of_micros": times, **values}.items():
            if len(array) != rows:
                raise ProtocolError(f"a batch of {rows} symbols has {len(array)} values in {name!r}")
        return ScreenBatch(response.symbols, as_of=times, values=values, kinds=self._kinds)


def _marks(batch: ScreenBatch) -> list[int]:
    """Returns a number for each row that stands for all that is in it."""
    times = batch.as_of.view(np.int64).tolist()
    columns = [batch[name] for name in batch.columns]
    rows = np.array(columns, np.float64).reshape(len(columns), len(batch)).T
    return [hash((symbol, time, row.tobytes())) for symbol, time, row in zip(batch.symbols, times, rows, strict=True)]


def _changed() -> Aborted:
    return Aborted(
        "the connection broke within the sorted screen, and its candles have changed since; screen again",
        code=grpc.StatusCode.ABORTED,
    )
