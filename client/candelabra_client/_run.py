"""One job as the client sees it, without any I/O: what to send, what has arrived, whether to try again.

`Job` and `AsyncJob` drive the same `JobRun`:

1. `next_request` says what to send: the job itself, later the symbols that are still missing (`_exchange.py`).
2. `receive` takes each message (`_decoding.py`), puts the parts of a symbol together and returns its result.
3. `fail` takes the error that ended a stream; it says how long to wait before step 1, or raises.
4. `finish` takes the regular end of a stream and checks that nothing is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import grpc
import numpy as np

from candelabra.v1 import ListSymbolsRequest, ProcessingJob
from candelabra_client._attempts import Attempts
from candelabra_client._decoding import FloatArray, Part, decode_part
from candelabra_client._exceptions import ProtocolError
from candelabra_client._exchange import PROCESS_METHOD, Exchange, all_stored_symbols
from candelabra_client._result import ColumnKind, SymbolError, SymbolResult

__all__ = ["JobRun", "Progress", "is_pattern"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is.

    Attributes:
        symbols_done: symbols whose result has arrived, failed ones included.
        symbols_total: symbols of the job, after patterns were resolved.
        symbols_failed: how many of those done have an error.
    """

    symbols_done: int
    symbols_total: int
    symbols_failed: int


class JobRun:
    """The state of one job. Not safe for concurrent use: one thread or task drives it.

    Each symbol gives exactly one result, however often the job has to be sent.
    """

    method: Final = PROCESS_METHOD

    def __init__(
        self, job: ProcessingJob, *, attempts: Attempts, progress: Callable[[Progress], None] | None = None
    ) -> None:
        self.symbols_total = 0
        self.symbols_failed = 0
        self._job = job
        self._attempts = attempts
        self._progress = progress
        self._delivered: set[str] = set()
        self._delivered_before = 0  # when the current stream began, and it was asked for the missing symbols only
        self._parts: list[Part] = []  # of the symbol that is arriving
        self._sequence = 0  # of the last message of the current stream
        self._sent = False
        self._started = False  # whether any message of the job has arrived

    @property
    def job_id(self) -> str:
        """The job's id: as given, or as the server made it, empty until its first message."""
        return self._job.job_id

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols and patterns as the job names them."""
        return tuple(self._job.symbols)

    @property
    def symbols_done(self) -> int:
        """How many results have been handed out."""
        return len(self._delivered)

    def next_request(self) -> Exchange[ProcessingJob | None]:
        """Returns what to send next, or None when nothing is missing.

        Asks the server which symbols a pattern means when a job with patterns has to be sent again.
        """
        self._parts.clear()
        self._sequence = 0
        if not self._sent:
            self._sent = True
            self._attempts.begin()
            return self._job
        self._delivered_before = len(self._delivered)
        if not self._delivered:
            return self._job
        names = [symbol for symbol in self._job.symbols if not is_pattern(symbol)]
        patterns = [symbol for symbol in self._job.symbols if is_pattern(symbol)]
        if patterns:
            query = ListSymbolsRequest(timeframe=self._job.timeframe, symbols=patterns)
            stored = yield from all_stored_symbols(query)
            names.extend(symbol.symbol for symbol in stored)
        missing = [name for name in dict.fromkeys(names) if name not in self._delivered]
        self.symbols_total = self._delivered_before + len(missing)
        if not missing:
            return None
        request = ProcessingJob()
        request.CopyFrom(self._job)
        del request.symbols[:]
        request.symbols.extend(missing)
        return request

    def remaining_seconds(self) -> float | None:
        """Returns how much of the timeout is left, at least 0; None when there is none."""
        return self._attempts.remaining_seconds()

    def receive(self, data: bytes) -> SymbolResult | None:
        """Takes one message; returns the symbol's result when this was its last part.

        Raises:
            ProtocolError: the message does not follow those before it.
        """
        part = decode_part(data)
        header = part.header
        self._started = True
        self.symbols_total = self._delivered_before + header.symbols_total
        if not self._job.job_id:
            self._job.job_id = header.job_id
        self._check_continues(part)
        if not header.last_part:
            self._parts.append(part)
            return None
        result = merge_parts([*self._parts, part])
        self._parts.clear()
        if result.symbol in self._delivered:
            return None
        self._delivered.add(result.symbol)
        self._attempts.succeed()
        self.symbols_failed += not result.ok
        if self._progress is not None:
            self._progress(Progress(len(self._delivered), self.symbols_total, self.symbols_failed))
        return result

    def fail(self, error: grpc.RpcError) -> float:
        """Takes the error that ended a stream; returns how many seconds to wait before sending again.

        Raises:
            CallError: the error, when sending again would not help.
        """
        return self._attempts.fail(error)

    def finish(self) -> None:
        """Takes the regular end of a stream.

        Raises:
            ProtocolError: symbols are missing.
        """
        if self._parts or not self._started or len(self._delivered) < self.symbols_total:
            raise ProtocolError(
                f"the server ended the job after {len(self._delivered)} of {self.symbols_total} symbols"
                + (f", within {self._parts[0].header.symbol}" if self._parts else "")
            )
        # The numbers may agree all the same, when the server has sent a symbol that nobody asked for.
        lacking = [name for name in self._job.symbols if not is_pattern(name) and name not in self._delivered]
        if lacking:
            raise ProtocolError(f"the server ended the job without {', '.join(lacking[:10])}")

    def _check_continues(self, part: Part) -> None:
        header = part.header
        # No sequence at all is that of a server which does not count.
        if header.sequence not in {0, self._sequence + 1}:
            raise ProtocolError(f"message {header.sequence} came where {self._sequence + 1} was expected")
        self._sequence = header.sequence
        rows = sum(len(earlier.open_time_micros) for earlier in self._parts)
        if self._parts and header.symbol != self._parts[0].header.symbol:
            raise ProtocolError(f"a part of {header.symbol} came within {self._parts[0].header.symbol}")
        if header.HasField("error"):
            if not header.last_part:
                raise ProtocolError(f"{header.symbol}: a part with an error is not the last one")
            return  # what had arrived of the symbol is void
        if header.row_offset != rows:
            raise ProtocolError(f"{header.symbol}: a part begins at row {header.row_offset}, expected {rows}")
        if self._parts and _names(part) != _names(self._parts[0]):
            raise ProtocolError(f"{header.symbol}: its parts have different columns")


def is_pattern(symbol: str) -> bool:
    """Whether the text stands for all symbols that match it."""
    return "*" in symbol or "?" in symbol


def merge_parts(parts: list[Part]) -> SymbolResult:
    """Puts the parts of one symbol together, in order; a single part is not copied."""
    last = parts[-1].header
    if last.HasField("error"):
        return SymbolResult(
            last.symbol,
            error=SymbolError.of(last.error),
            open_time_micros=np.empty(0, np.int64),
            values={},
            kinds={},
            attempts=last.attempts,
            info=last.info.SerializeToString(),
        )
    columns = last.columns
    values: Iterable[FloatArray]
    if len(parts) == 1:
        times, values = parts[0].open_time_micros, parts[0].values
    else:
        times = np.concatenate([part.open_time_micros for part in parts])
        values = [np.concatenate(pieces) for pieces in zip(*(part.values for part in parts), strict=True)]
    return SymbolResult(
        last.symbol,
        open_time_micros=times,
        values={column.name: array for column, array in zip(columns, values, strict=True)},
        kinds={column.name: ColumnKind.of(column) for column in columns},
        attempts=last.attempts,
        info=last.info.SerializeToString(),
    )


def _names(part: Part) -> list[str]:
    return [column.name for column in part.header.columns]
