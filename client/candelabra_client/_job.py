"""Jobs as users iterate over them: `Job` and, with `async`, `AsyncJob`, both driven by `JobRun` (`_run.py`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from candelabra_client._result import SymbolResult
from candelabra_client._results import JobResults
from candelabra_client._run import JobRun
from candelabra_client._streaming import AsyncStream, Stream, StreamState

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

__all__ = ["AsyncJob", "Job"]


class _JobState(StreamState[JobRun]):
    """What both kinds of job know about themselves."""

    _noun: ClassVar[str] = "job"
    _made_by: ClassVar[str] = "process"
    _results: JobResults | None = None

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

    def __repr__(self) -> str:
        symbols = ", ".join(self._run.symbols[:3]) + (", …" if len(self._run.symbols) > 3 else "")
        return f"<{type(self).__name__} {self.job_id or '(no id yet)'} of {symbols}: {self.symbols_done} done>"

    def _gathered(self) -> JobResults | None:
        return self._results


class Job(_JobState, Stream[JobRun, SymbolResult]):
    """A job; iterating over it sends it and gives each symbol's `SymbolResult` as soon as it is there.

    Symbols come in no fixed order, each exactly once, failed ones included. Leaving the loop early, closing the
    job or leaving its `with` block cancels the work on the server. A job runs once; `results` and the frames
    gather it whole and may be asked for again, and a gathered job may be iterated again.

    One thread iterates; `close` may be called from any.

    Raises (while it is iterated or gathered):
        CallError: the job cannot run or was ended; see `_exceptions.py` for which.
        ProtocolError: the server's answer breaks the contract.
    """

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


class AsyncJob(_JobState, AsyncStream[JobRun, SymbolResult]):
    """The same as `Job`, for `async for`, `async with` and `await`; used within one event loop."""

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
