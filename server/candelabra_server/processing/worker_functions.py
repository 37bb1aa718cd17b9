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
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import connection
from typing import Any, NamedTuple, TypeVar

from candelabra.v1 import ProcessingResult
from candelabra.worker.v1 import ChunkTask, JobTask, SymbolTask
from candelabra_server.candles.factory import create_candle_repository
from candelabra_server.errors import CandelabraError, WorkerStartError
from candelabra_server.formulas.compiled.loading import load_machine
from candelabra_server.formulas.factory import create_formula_service
from candelabra_server.processing.marks import MarkWriter
from candelabra_server.processing.result_encoding import UNLIMITED_MESSAGE_BYTES, encode_failure
from candelabra_server.processing.result_transport import ChunkReply, PacketReader, PacketWriter, SlotMapping
from candelabra_server.processing.screen_worker import fail_symbols
from candelabra_server.processing.symbol_watch import ChunkUnwantedError, SymbolWatch
from candelabra_server.processing.symbol_work import Environment, SymbolWork, WorkBuffers
from candelabra_server.processing.worker_failures import out_of_memory, unexpected
from candelabra_server.processing.worker_logging import CarriedRecord, RecordCollector

__all__ = ["WorkerReport"]

logger = logging.getLogger(__name__)

_IMPORTED_IN = os.getpid()
"""Process that imported this module: the forkserver's when the preload worked, else the worker's own."""

_JOBS_KEPT = 16
_T = TypeVar("_T")


class WorkerReport(NamedTuple):
    """How a worker started."""

    process: int
    preloaded: bool
    """Whether its modules were imported before it was forked."""
    error: str
    """Why it cannot work with its configuration; empty when it can."""
    logs: tuple[CarriedRecord, ...]


@dataclass
class _Process:
    """This worker process's own state, the only mutable state of the module."""

    environments: dict[tuple[str, str], Environment] = field(default_factory=dict)
    works: dict[bytes, SymbolWork] = field(default_factory=dict)
    """By encoded JobTask."""
    buffers: WorkBuffers = field(default_factory=WorkBuffers)
    slots: SlotMapping = field(default_factory=SlotMapping)
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
    """Processes the symbols of an encoded ChunkTask one after the other, as many as its slot has room for."""
    started = time.process_time()
    chunk = ChunkTask.FromString(task_bytes)
    packet, mark = _place(chunk)
    _process_symbols(chunk, packet, mark)
    return packet.finish(time.process_time() - started, _process.collector.take())


def _worker_process_symbol(
    args: Mapping[str, Any], candle_repo_config: Mapping[str, Any], formula_service_config: Mapping[str, Any]
) -> ProcessingResult:
    """Processes one symbol and returns its whole result as one message.

    `args` is what `ProcessingEngine._prepare_symbol_args` returns. Whatever is wrong with the symbol, the
    formula or the configurations is told by the result's `error`.
    """
    task = SymbolTask(**args)
    task.max_message_bytes = UNLIMITED_MESSAGE_BYTES
    packet = PacketWriter()
    _process_symbols(
        ChunkTask(
            symbols=[task.symbol],
            job=JobTask(
                task=task,
                candle_repo_config=json.dumps(dict(candle_repo_config)),
                formula_service_config=json.dumps(dict(formula_service_config)),
            ).SerializeToString(),
        ),
        packet,
        None,
    )
    ((_, (message,), _),) = PacketReader(packet.finish(0.0, ()), None)
    return ProcessingResult.FromString(bytes(message))


def _place(chunk: ChunkTask) -> tuple[PacketWriter, MarkWriter | None]:
    """Where the chunk's results go and its mark stands: its slot, or memory of its own where that cannot be reached."""
    if chunk.HasField("slot"):
        try:
            memory = _process.slots.memory(chunk.slot.path)
        except OSError:  # somebody removed the file, or there is no memory to map it
            logger.warning("results take the slow way, since %s cannot be mapped", chunk.slot.path, exc_info=True)
        else:
            return PacketWriter(memory, chunk.slot), MarkWriter(_process.slots.words(chunk.slot), os.getpid())
    return PacketWriter(), None


def _process_symbols(chunk: ChunkTask, packet: PacketWriter, mark: MarkWriter | None) -> None:
    """The core of both entry points: an outcome a symbol, in order, until the packet is full or nobody wants it."""
    if mark is not None and mark.is_unwanted:
        return
    work = _guarded(partial(_work, chunk.job), "its job")
    if isinstance(work, CandelabraError):
        _fail(chunk, work, packet)
        return
    watch = work.watch(mark, chunk.deadline_micros)
    with suppress(ChunkUnwantedError):
        if work.is_screen:
            _screen(chunk, work, packet, watch)
        else:
            _run(chunk, work, packet, watch)
    watch.end(len(chunk.symbols))


def _run(chunk: ChunkTask, work: SymbolWork, packet: PacketWriter, watch: SymbolWatch) -> None:
    """Messages of their own for each symbol."""
    for position, symbol in enumerate(chunk.symbols):
        watch.begin(position)
        done = _guarded(partial(work.run, symbol, packet, chunk.first_row, watch.check), symbol)
        if isinstance(done, CandelabraError):
            done = packet.add_message(_failure_message(symbol, done))
        if not done and not packet.symbols:  # the next chunk would have no more room
            logger.error("what is to be sent of %s is larger than a slot", symbol)
            done = packet.add_message(_failure_message(symbol, unexpected()))
        if not done:
            return


def _work(job: bytes) -> SymbolWork:
    """What an encoded JobTask says, made ready once while chunks of the job come.

    Raises:
        CandelabraError: it cannot be done for any symbol.
    """
    work = _process.works.get(job)
    if work is None:
        load_machine()  # done already by the forkserver, unless the kernels were compiled since
        task = JobTask.FromString(job)
        environment = _environment(task.candle_repo_config, task.formula_service_config)
        work = SymbolWork.prepare(task, environment, _process.buffers)
        while len(_process.works) >= _JOBS_KEPT:
            del _process.works[next(iter(_process.works))]
        _process.works[job] = work
    return work


def _screen(chunk: ChunkTask, work: SymbolWork, packet: PacketWriter, watch: SymbolWatch) -> None:
    """All symbols in one message."""
    symbols = chunk.symbols
    answer = _guarded(partial(work.screen, symbols, watch), "a screen")
    if isinstance(answer, CandelabraError):
        answer = fail_symbols(symbols, answer)
    if not packet.add_message(answer.SerializeToString(), symbols=len(symbols)):
        logger.error("the answer of %d symbols is larger than a slot", len(symbols))
        packet.add_message(fail_symbols(symbols, unexpected()).SerializeToString(), symbols=len(symbols))


def _fail(chunk: ChunkTask, failure: CandelabraError, packet: PacketWriter) -> None:
    """The same failure for every symbol, as far as there is room."""
    symbols = chunk.symbols
    if JobTask.FromString(chunk.job).HasField("screen"):
        packet.add_message(fail_symbols(symbols, failure).SerializeToString(), symbols=len(symbols))
        return
    for symbol in symbols:
        if not packet.add_message(_failure_message(symbol, failure)):
            return


def _failure_message(symbol: str, failure: CandelabraError) -> bytes:
    """A failure as a message; a plug-in's own failure may be one that cannot be told."""
    try:
        return encode_failure(symbol, failure)
    except BaseException:  # texts that no message can hold, properties that raise or call sys.exit
        logger.exception("cannot send why %s failed", symbol)
        return encode_failure(symbol, unexpected())


def _guarded(work: Callable[[], _T], subject: str) -> _T | CandelabraError:
    """What `work` returns, or the error to tell the client; the text of foreign exceptions goes to the log only."""
    try:
        return work()
    except ChunkUnwantedError:
        raise
    except CandelabraError as failure:
        return failure
    except MemoryError:
        logger.exception("not enough memory for %s", subject)
        return out_of_memory()
    except BaseException:  # SystemExit and KeyboardInterrupt of a plugged-in repository included
        logger.exception("cannot process %s", subject)
        return unexpected()


def _environment(candle_repo_config: str, formula_service_config: str) -> Environment:
    """The repository and formula service of these configurations, built once in this process.

    Raises:
        WorkerStartError: they cannot be built; the message names the cause.
    """
    key = (candle_repo_config, formula_service_config)
    environment = _process.environments.get(key)
    if environment is None:
        repo_config, service_config = json.loads(candle_repo_config), json.loads(formula_service_config)
        environment = Environment(
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
