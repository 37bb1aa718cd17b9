"""Jobs as users iterate over them: `Job` and, with `async`, `AsyncJob`, both driven by `JobRun` (`_run.py`)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import grpc

from candelabra.v1 import ProcessingJob
from candelabra_client._exceptions import Cancelled, JobConsumed
from candelabra_client._exchange import Exchange
from candelabra_client._result import SymbolResult
from candelabra_client._results import JobResults
from candelabra_client._run import JobRun

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

__all__ = ["AsyncJob", "Job"]


class _JobState:
    """What both kinds of job know about themselves."""

    def __init__(self, run: JobRun, *, wake: threading.Event | asyncio.Event) -> None:
        self._run = run
        self._wake = wake  # set by close(), so that it also ends a wait between two streams
        self._results: JobResults | None = None
        self._call: Any = None  # grpc's call object of the stream that is open; its type differs per client
        self._begun = False
        self._closed = False

    @property
    def job_id(self) -> str:
        """The job's id: as given, or as the server made it; empty until the first message has come."""
        return self._run.job_id

    @property
    def symbols_total(self) -> int:
        """How many symbols the job has, after patterns were resolved; 0 until the first message has come."""
        return self._run.symbols_total

    @property
    def symbols_done(self) -> int:
        """How many symbols' results have been handed out."""
        return self._run.symbols_done

    def close(self) -> None:
        """Cancels the job when it is running; a second call does nothing. Gathered results stay."""
        self._closed = True
        call = self._call  # which the iterating thread may let go of at any moment
        if call is not None:
            call.cancel()
        self._wake.set()

    def __repr__(self) -> str:
        symbols = ", ".join(self._run.symbols[:3]) + (", …" if len(self._run.symbols) > 3 else "")
        return f"<{type(self).__name__} {self.job_id or '(no id yet)'} of {symbols}: {self.symbols_done} done>"

    def _begin(self) -> None:
        if self._begun or self._closed:
            raise JobConsumed("a job runs once, and this one was iterated or closed before: call process() again")
        self._begun = True

    def _check_open(self) -> None:
        """Ends the iteration of a job that was closed between two streams."""
        if self._closed:
            raise Cancelled("the job was closed", code=grpc.StatusCode.CANCELLED)


class Job(_JobState):
    """A job; iterating over it sends it and gives each symbol's `SymbolResult` as soon as it is there.

    Symbols come in no fixed order, each exactly once, failed ones included. Leaving the loop early, closing the
    job or leaving its `with` block cancels the work on the server. A job runs once; `results` and the frames
    gather it whole and may be asked for again, and a gathered job may be iterated again.

    One thread iterates; `close` may be called from any.

    Raises (while it is iterated or gathered):
        CallError: the job cannot run or was ended; see `_exceptions.py` for which.
        ProtocolError: the server's answer breaks the contract.
    """

    def __init__(
        self,
        run: JobRun,
        *,
        open_stream: Callable[[ProcessingJob, float | None], Any],
        carry_out: Callable[[Exchange[Any], float | None], Any],
    ) -> None:
        self._closing = threading.Event()
        super().__init__(run, wake=self._closing)
        self._open_stream = open_stream
        self._carry_out = carry_out

    def __iter__(self) -> Iterator[SymbolResult]:
        if self._results is not None:
            return iter(self._results)
        self._begin()
        return self._stream()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def results(self) -> JobResults:
        """Runs the job to its end and returns all results, in the order in which the job names its symbols."""
        if self._results is None:
            self._results = JobResults(self, symbols=self._run.symbols)
        return self._results

    def to_pandas(self, *, wide: bool | str = False) -> pd.DataFrame:
        """Gathers the job; see `JobResults.to_pandas`."""
        return self.results().to_pandas(wide=wide)

    def to_polars(self, *, wide: bool | str = False) -> pl.DataFrame:
        """Gathers the job; see `JobResults.to_polars`."""
        return self.results().to_polars(wide=wide)

    def to_arrow(self, *, wide: bool | str = False) -> pa.Table:
        """Gathers the job; see `JobResults.to_arrow`."""
        return self.results().to_arrow(wide=wide)

    def _stream(self) -> Iterator[SymbolResult]:
        run = self._run
        while True:
            try:
                request = self._carry_out(run.next_request(), run.remaining_seconds())
                if request is None:
                    return
                self._call = self._open_stream(request, run.remaining_seconds())
                self._check_open()
                for message in self._call:
                    if (result := run.receive(message)) is not None:
                        yield result
            except grpc.RpcError as error:
                delay = run.fail(error)
            else:
                run.finish()
                return
            finally:
                if self._call is not None:
                    self._call.cancel()
                    self._call = None
            self._closing.wait(delay)
            self._check_open()


class AsyncJob(_JobState):
    """The same as `Job`, for `async for`, `async with` and `await`; used within one event loop."""

    def __init__(
        self,
        run: JobRun,
        *,
        open_stream: Callable[[ProcessingJob, float | None], Any],
        carry_out: Callable[[Exchange[Any], float | None], Awaitable[Any]],
    ) -> None:
        self._closing = asyncio.Event()
        super().__init__(run, wake=self._closing)
        self._open_stream = open_stream
        self._carry_out = carry_out

    def __aiter__(self) -> AsyncIterator[SymbolResult]:
        if self._results is not None:
            return _replay(self._results)
        self._begin()
        return self._stream()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def results(self) -> JobResults:
        """Runs the job to its end and returns all results, in the order in which the job names its symbols."""
        if self._results is None:
            self._results = JobResults([result async for result in self], symbols=self._run.symbols)
        return self._results

    async def to_pandas(self, *, wide: bool | str = False) -> pd.DataFrame:
        """Gathers the job; see `JobResults.to_pandas`."""
        return (await self.results()).to_pandas(wide=wide)

    async def to_polars(self, *, wide: bool | str = False) -> pl.DataFrame:
        """Gathers the job; see `JobResults.to_polars`."""
        return (await self.results()).to_polars(wide=wide)

    async def to_arrow(self, *, wide: bool | str = False) -> pa.Table:
        """Gathers the job; see `JobResults.to_arrow`."""
        return (await self.results()).to_arrow(wide=wide)

    async def _stream(self) -> AsyncIterator[SymbolResult]:
        run = self._run
        while True:
            try:
                request = await self._carry_out(run.next_request(), run.remaining_seconds())
                if request is None:
                    return
                self._call = self._open_stream(request, run.remaining_seconds())
                self._check_open()
                async for message in self._call:
                    if (result := run.receive(message)) is not None:
                        yield result
            except grpc.RpcError as error:
                delay = run.fail(error)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                # grpc.aio says so too when the job or the client was closed, which must not end the task.
                raise Cancelled("the job or its client was closed", code=grpc.StatusCode.CANCELLED) from None
            else:
                run.finish()
                return
            finally:
                if self._call is not None:
                    self._call.cancel()
                    self._call = None
            await _wait(self._closing, delay)
            self._check_open()


async def _replay(results: JobResults) -> AsyncIterator[SymbolResult]:
    for result in results:
        yield result


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
