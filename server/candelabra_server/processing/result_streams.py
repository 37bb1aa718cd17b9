"""What a job's consumer gets: finished messages, the server's own fields in front."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from candelabra.v1 import ProcessingResult
from candelabra.worker.v1 import ScreenedChunk
from candelabra_server.processing.job_plan import JobPlan
from candelabra_server.processing.result_encoding import HeaderEncoder, encode_failure
from candelabra_server.processing.result_order import Done
from candelabra_server.processing.screen_plan import ScreenPlan
from candelabra_server.processing.screen_results import ScreenResults
from candelabra_server.processing.screen_worker import screen_failure

__all__ = ["GatheredResults", "JobMessages", "ScreenMessages"]


class JobMessages:
    """Makes the ProcessingResults of a job. Not safe for concurrent use."""

    def __init__(self, plan: JobPlan) -> None:
        self._headers = HeaderEncoder(job_id=plan.job_id, symbols_total=len(plan.symbols))
        self._sequence = 0
        self._symbols_done = 0

    def collect(self, done: Iterable[Done], seconds: float) -> Iterator[bytes]:
        """Every part of every symbol as a message, in order, made when it is asked for: one copy, which grpc wants."""
        del seconds  # results do not tell it
        for item in done:
            bodies = item.messages
            if item.failure is not None:
                bodies = [encode_failure(item.symbol, item.failure)]
            last = len(bodies) - 1 if item.is_complete else -1
            for number, body in enumerate(bodies):
                self._sequence += 1
                self._symbols_done += number == last
                header = self._headers.encode(
                    sequence=self._sequence, symbols_done=self._symbols_done, attempts=item.attempts
                )
                yield b"".join((header, body))


class ScreenMessages:
    """Makes the ScreenResponses of a screen. Not safe for concurrent use."""

    def __init__(self, plan: ScreenPlan) -> None:
        self._results = ScreenResults(plan)
        self._seconds = 0.0

    def collect(self, done: Iterable[Done], seconds: float) -> Iterator[bytes]:
        """What is to be sent before the end."""
        self._seconds += seconds
        answer = ScreenedChunk()
        symbols = 0
        for item in done:
            symbols += item.symbols
            for message in item.messages:
                answer.MergeFromString(bytes(message))
            if item.failure is not None:
                answer.failures.append(screen_failure(item.symbol, item.failure))
        for response in self._results.add(symbols, answer):
            yield response.SerializeToString()

    def finish(self) -> list[bytes]:
        """The last messages, when all symbols were collected."""
        return [response.SerializeToString() for response in self._results.finish(round(1e6 * self._seconds))]


class GatheredResults:
    """Puts a job's messages together, one result a symbol.

    Attributes:
        by_symbol: whole when all messages were added.
    """

    def __init__(self) -> None:
        self.by_symbol: dict[str, ProcessingResult] = {}

    def add(self, message: bytes) -> None:
        """The next message; that of a symbol which is there already has its next rows."""
        result = ProcessingResult.FromString(message)
        whole = self.by_symbol.get(result.symbol)
        if whole is None:
            self.by_symbol[result.symbol] = result
        else:
            _append_rows(whole, result)


def _append_rows(whole: ProcessingResult, part: ProcessingResult) -> None:
    """Adds the next rows of a symbol that is too large for one slot to those before."""
    whole.open_time_micros.extend(part.open_time_micros)
    if part.HasField("error"):
        whole.CopyFrom(part)
        return
    for column, more in zip(whole.columns, part.columns, strict=True):
        column.values.extend(more.values)
        column.values_f32.extend(more.values_f32)
    whole.symbols_done, whole.last_part = part.symbols_done, part.last_part
    whole.info.CopyFrom(part.info)
