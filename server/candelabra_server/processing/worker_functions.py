"""What runs in a worker process: candles from its own repository, values from its own compiled formulas.

1. `_start_worker` prepares the process (signals, parent watch, logging).
2. `_worker_process_chunk` gets a ChunkTask's bytes, or `_worker_process_symbol` one task's dictionary.
3. The repository and the formula service are built from their configuration, once a process.
4. Each symbol is loaded, evaluated and encoded; what fails becomes that symbol's error.

Nothing here raises to the pool: an exception that does not unpickle would break all of it, and a
SystemExit would end the server's event loop. Replies are plain data.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import connection
from typing import Any, NamedTuple, TypeVar

import numpy as np

from candelabra.v1 import ColumnKind, NanReasons, Precision, ProcessingResult, ResultInfo
from candelabra.worker.v1 import ChunkTask, SymbolTask
from candelabra_server.candles.factory import create_candle_repository
from candelabra_server.candles.repository import ICandleRepository
from candelabra_server.domain.candles import PRICE_FIELDS, Candles
from candelabra_server.domain.date_range import DateRange
from candelabra_server.domain.timeframe import Timeframe
from candelabra_server.errors import CandelabraError, Reason, SymbolFailure, WorkerStartError
from candelabra_server.formulas.buffers import Buffers
from candelabra_server.formulas.compiled.loading import load_machine
from candelabra_server.formulas.factory import create_formula_service
from candelabra_server.formulas.service import ColumnKind as OutputKind
from candelabra_server.formulas.service import CompiledFormula, FormulaService, MissingCause
from candelabra_server.processing.job_formula import compile_task
from candelabra_server.processing.result_encoding import (
    DEFAULT_MESSAGE_BYTES,
    UNLIMITED_MESSAGE_BYTES,
    ResultColumn,
    encode_failure,
    encode_rows,
)
from candelabra_server.processing.worker_logging import CarriedRecord, RecordCollector

__all__ = ["ChunkReply", "WorkerReport"]

logger = logging.getLogger(__name__)

_IMPORTED_IN = os.getpid()
"""Process that imported this module: the forkserver's when the preload worked, else the worker's own."""

_KINDS = {
    OutputKind.NUMBER: ColumnKind.COLUMN_KIND_NUMBER,
    OutputKind.SIGNAL: ColumnKind.COLUMN_KIND_SIGNAL,
}
_MOST_WARNINGS = 20
_T = TypeVar("_T")


class ChunkReply(NamedTuple):
    """What comes back for a chunk: for each symbol, in order, its finished messages."""

    messages: tuple[list[bytes], ...]
    seconds: float
    """Processor time spent on the chunk."""
    logs: tuple[CarriedRecord, ...]


class WorkerReport(NamedTuple):
    """How a worker started."""

    process: int
    preloaded: bool
    """Whether its modules were imported before it was forked."""
    error: str
    """Why it cannot work with its configuration; empty when it can."""
    logs: tuple[CarriedRecord, ...]


class _Environment(NamedTuple):
    candle_repo: ICandleRepository
    formula_service: FormulaService


@dataclass
class _Process:
    """This worker process's own state, the only mutable state of the module."""

    environments: dict[tuple[str, str], _Environment] = field(default_factory=dict)
    values: Buffers = field(default_factory=Buffers)
    traced: Buffers = field(default_factory=Buffers)
    collector: RecordCollector = field(default_factory=RecordCollector)


_process = _Process()


def _start_worker(log_level: int) -> None:
    """The pool's initializer; must not raise, since the pool would break without saying why."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the server decides
    threading.Thread(target=_end_with_parent, name="candelabra-parent-watch", daemon=True).start()
    package = logging.getLogger("candelabra_server")
    package.setLevel(log_level)
    package.addHandler(_process.collector)
    package.propagate = False


def _end_with_parent() -> None:
    # PR_SET_PDEATHSIG would watch the forkserver; the sentinel is the server's own.
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _worker_ping(candle_repo_config: str, formula_service_config: str) -> WorkerReport:
    """Builds what the worker needs and tells how it went; both configurations are JSON objects."""
    error = ""
    try:
        _environment(candle_repo_config, formula_service_config)
    except WorkerStartError as failure:
        error = failure.message
    return WorkerReport(os.getpid(), _is_preloaded(), error, _process.collector.take())


def _worker_process_chunk(task_bytes: bytes) -> ChunkReply:
    """Processes the symbols of an encoded ChunkTask one after the other."""
    started = time.process_time()
    chunk = ChunkTask.FromString(task_bytes)
    messages = _process_symbols(
        chunk.symbols, chunk.task, chunk.candle_repo_config, chunk.formula_service_config, chunk.snapshot_id
    )
    return ChunkReply(messages, time.process_time() - started, _process.collector.take())


def _worker_process_symbol(
    args: Mapping[str, Any], candle_repo_config: Mapping[str, Any], formula_service_config: Mapping[str, Any]
) -> ProcessingResult:
    """Processes one symbol and returns its whole result as one message.

    `args` is what `ProcessingEngine._prepare_symbol_args` returns. Whatever is wrong with the symbol, the
    formula or the configurations is told by the result's `error`.
    """
    task = SymbolTask(**args)
    task.max_message_bytes = UNLIMITED_MESSAGE_BYTES
    configs = json.dumps(dict(candle_repo_config)), json.dumps(dict(formula_service_config))
    ((message,),) = _process_symbols([task.symbol], task, *configs, snapshot_id="")
    return ProcessingResult.FromString(message)


def _process_symbols(
    symbols: Sequence[str], task: SymbolTask, candle_repo_config: str, formula_service_config: str, snapshot_id: str
) -> tuple[list[bytes], ...]:
    """The core of both entry points: one list of messages a symbol, in order."""

    def prepare() -> _SymbolWork:
        return _SymbolWork.prepare(task, _environment(candle_repo_config, formula_service_config), snapshot_id)

    work = _guarded(prepare, "its job")
    if isinstance(work, CandelabraError):
        return tuple([_failure_message(symbol, work)] for symbol in symbols)
    replies = []
    for symbol in symbols:
        messages = _guarded(partial(work.run, symbol), symbol)
        replies.append([_failure_message(symbol, messages)] if isinstance(messages, CandelabraError) else messages)
    return tuple(replies)


def _failure_message(symbol: str, failure: CandelabraError) -> bytes:
    """A failure as a message; a plug-in's own failure may have texts that no message can hold."""
    try:
        return encode_failure(symbol, failure)
    except (TypeError, ValueError):
        logger.exception("cannot send why %s failed", symbol)
        return encode_failure(symbol, _internal_failure())


def _internal_failure() -> SymbolFailure:
    return SymbolFailure("the worker met an unexpected error; the server's log has the cause", reason=Reason.INTERNAL)


def _guarded(work: Callable[[], _T], subject: str) -> _T | CandelabraError:
    """What `work` returns, or the error to tell the client; the text of foreign exceptions goes to the log only."""
    try:
        return work()
    except CandelabraError as failure:
        return failure
    except BaseException:  # SystemExit and KeyboardInterrupt of a plugged-in repository included
        logger.exception("cannot process %s", subject)
        return _internal_failure()


def _environment(candle_repo_config: str, formula_service_config: str) -> _Environment:
    """The repository and formula service of these configurations, built once in this process.

    Raises:
        WorkerStartError: they cannot be built; the message names the cause.
    """
    key = (candle_repo_config, formula_service_config)
    environment = _process.environments.get(key)
    if environment is None:
        repo_config, service_config = json.loads(candle_repo_config), json.loads(formula_service_config)
        environment = _Environment(
            _build("candle repository", create_candle_repository, repo_config),
            _build("formula service", create_formula_service, service_config),
        )
        _process.environments[key] = environment
        logger.info(
            "worker started: %s, %s, preloaded=%s",
            _describe("candle repository", repo_config),
            _describe("formula service", service_config),
            _is_preloaded(),
        )
    return environment


def _build(what: str, create: Callable[[Mapping[str, Any]], _T], config: Mapping[str, Any]) -> _T:
    try:
        return create(config)
    except BaseException as error:  # a plug-in may call sys.exit, which must not end the server
        logger.exception("cannot create the %s", what)
        told = error.message if isinstance(error, CandelabraError) else type(error).__name__
        raise WorkerStartError(f"a worker could not create its {what}: {told}") from error


def _describe(what: str, config: Mapping[str, Any]) -> str:
    """The type and the names of the settings; their values may be secret."""
    settings = ", ".join(sorted(key for key in config if key != "type")) or "none"
    return f"{what} {config.get('type')!r} (settings: {settings})"


def _is_preloaded() -> bool:
    return os.getpid() != _IMPORTED_IN


@dataclass(frozen=True, slots=True)
class _SymbolWork:
    """What is the same for every symbol of a job, and how one symbol is done with it."""

    environment: _Environment
    task: SymbolTask
    timeframe: str
    date_range: DateRange
    formula: CompiledFormula | None
    snapshot_id: str

    @classmethod
    def prepare(cls, task: SymbolTask, environment: _Environment, snapshot_id: str) -> _SymbolWork:
        try:
            timeframe = Timeframe.parse(task.timeframe).text
            date_range = DateRange.parse(task.date_range_start, task.date_range_end)
        except ValueError as error:
            raise SymbolFailure(str(error), reason=Reason.INVALID_REQUEST) from error
        formula = compile_task(task, timeframe, environment.formula_service)
        load_machine()  # done already by the forkserver, unless the kernels were compiled since
        return cls(environment, task, timeframe, date_range, formula, snapshot_id)

    def run(self, symbol: str) -> list[bytes]:
        """Loads, evaluates and encodes one symbol.

        Raises:
            CandelabraError: the symbol has no result.
        """
        checkpoint = _time_limit(self.task.symbol_time_limit_millis)
        started = time.perf_counter_ns()
        warm_up_candles = self.formula.warm_up_candles if self.formula else 0
        candles = self.environment.candle_repo.load(
            symbol, self.timeframe, self.date_range, warm_up_candles=warm_up_candles, snapshot_id=self.snapshot_id
        )
        if self.task.last_n:
            candles = candles.last(self.task.last_n, warm_up_candles=warm_up_candles)
        others = self._load_others(candles)
        checkpoint()
        loaded = time.perf_counter_ns()
        columns = self._evaluate(candles, others, checkpoint)
        evaluated = time.perf_counter_ns()
        info = ResultInfo(
            candles_read=len(candles),
            warm_up_candles_used=candles.warm_up,
            load_micros=(loaded - started) // 1_000,
            compute_micros=(evaluated - loaded) // 1_000,
            snapshot_id=self.snapshot_id,
            warnings=_few(self.formula.warnings) if self.formula else (),
        )
        return encode_rows(
            symbol,
            candles.open_time_micros[candles.warm_up :],
            columns,
            info,
            float32=self.task.precision == Precision.PRECISION_FLOAT32,
            max_message_bytes=self.task.max_message_bytes or DEFAULT_MESSAGE_BYTES,
        )

    def _load_others(self, candles: Candles) -> dict[str, Candles]:
        """Candles of the other symbols that the formula reads, over the time of these."""
        if self.formula is None or not self.formula.other_symbols:
            return {}
        first, last = (int(candles.open_time_micros[row]) for row in (0, -1))
        return {
            symbol: self._load_other(symbol, warm_up, first, last)
            for symbol, warm_up in self.formula.other_symbols.items()
        }

    def _load_other(self, symbol: str, warm_up: int, first: int, last: int) -> Candles:
        """What is stored of another symbol up to a time; where that is nothing, candles without rows."""
        for date_range in (DateRange(first, last), DateRange(end_micros=last)):  # what closed before still counts
            try:
                return self.environment.candle_repo.load(
                    symbol, self.timeframe, date_range, warm_up_candles=warm_up, snapshot_id=self.snapshot_id
                )
            except SymbolFailure as failure:
                if failure.reason != Reason.NO_CANDLES:
                    raise
        names = self.formula.fields_of(symbol) if self.formula else ()
        return Candles(symbol, np.empty(0, dtype=np.int64), {name: np.empty(0) for name in names})

    def _evaluate(
        self, candles: Candles, others: Mapping[str, Candles], checkpoint: Callable[[], None]
    ) -> list[ResultColumn]:
        """Every output over the rows of the range; the candles' own fields when there is no formula."""
        rows = slice(candles.warm_up, None)
        if self.formula is None:
            further = sorted(set(candles.fields) - set(PRICE_FIELDS))
            names = [name for name in (*PRICE_FIELDS, *further) if name in candles.fields]
            return [ResultColumn(name, ColumnKind.COLUMN_KIND_NUMBER, candles.fields[name][rows]) for name in names]
        values = self.formula.evaluate(candles, others=others, checkpoint=checkpoint, buffers=_process.values)
        missing = self.formula.missing_counts(
            values, candles, others=others, checkpoint=checkpoint, buffers=_process.traced
        )
        return [
            ResultColumn(column.name, _KINDS[column.kind], array[rows], _nan_reasons(counts))
            for column, array, counts in zip(self.formula.columns, values, missing, strict=True)
        ]


def _nan_reasons(counts: Mapping[MissingCause, int]) -> NanReasons | None:
    return NanReasons(**{cause.value: count for cause, count in counts.items()}) if counts else None


def _few(warnings: Sequence[str]) -> list[str]:
    """The first warnings, and how many more there are: they come with every symbol."""
    more = len(warnings) - _MOST_WARNINGS
    return [*warnings[:_MOST_WARNINGS], *([f"and {more} more warnings"] if more > 0 else [])]


def _time_limit(limit_millis: int) -> Callable[[], None]:
    """A check that raises once the time is over; does nothing for 0."""
    deadline = time.monotonic() + limit_millis / 1_000

    def checkpoint() -> None:
        if limit_millis and time.monotonic() > deadline:
            raise SymbolFailure(
                f"not finished within {limit_millis} ms, the limit that the job sets for a symbol",
                reason=Reason.SYMBOL_TIME_LIMIT,
                metadata={"limit_millis": str(limit_millis)},
            )

    return checkpoint
