"""The local pool: how a ProcessPoolExecutor is made, how it is ended for certain, how its deaths are seen.

The standard pool has four weaknesses that this module covers, each met on Python 3.11: a worker killed while it writes
a large result leaves the pool's manager thread reading for ever and the pool never reports itself broken;
`shutdown(wait=True)` then never returns; a worker that is stuck delays it without limit; and a worker that is started
by `submit` while the pool breaks is ended by nobody. Where private attributes are needed, their absence is tolerated.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import connection
from multiprocessing.process import BaseProcess

from candelabra_server.processing.executors.process_states import is_orphaned_worker
from candelabra_server.processing.executors.start_method import kill_stopped_helper, worker_context
from candelabra_server.processing.worker_functions import _start_worker

__all__ = [
    "bounded_shutdown",
    "create_pool",
    "hard_stop",
    "has_silently_died",
    "is_broken",
    "kill_worker",
    "launch_workers",
    "worker_processes",
]

logger = logging.getLogger(__name__)

_JOIN_SECONDS = 1.0


def create_pool(max_workers: int) -> ProcessPoolExecutor:
    """A pool whose workers are started on demand, by forkserver or spawn. Takes a few milliseconds."""
    return ProcessPoolExecutor(
        max_workers=max_workers,
        mp_context=worker_context(),
        initializer=_start_worker,
        initargs=(logging.getLogger("candelabra_server").getEffectiveLevel(),),
    )


def launch_workers(pool: ProcessPoolExecutor) -> None:
    """Starts all workers of a pool that has had no work yet; for others it does nothing.

    The standard pool would start each when there is work for it, from whichever thread gives that: which blocks the
    thread, and races with the end of a pool that breaks meanwhile. Raises what the system says when it refuses a
    process, or EOFError when the process that starts workers has died; the pool is then to be ended.
    """
    launch, manage = getattr(pool, "_launch_processes", None), getattr(pool, "_start_executor_manager_thread", None)
    if launch is not None and manage is not None and getattr(pool, "_executor_manager_thread", None) is None:
        launch()
        manage()  # by which a shutdown ends them, also when no work ever comes


def worker_processes(pool: ProcessPoolExecutor) -> list[BaseProcess]:
    """The pool's worker processes; empty before the first task and after a shutdown."""
    return list((getattr(pool, "_processes", None) or {}).values())


def is_broken(pool: ProcessPoolExecutor) -> bool:
    """Whether the pool has lost a worker, or was shut down, and takes no more work."""
    return bool(getattr(pool, "_broken", False) or getattr(pool, "_shutdown_thread", False))


def has_silently_died(pool: ProcessPoolExecutor) -> bool:
    """Whether a worker is dead although the pool does not say that it is broken.

    Also true for the instant between a worker's death and the pool's noticing it: ask twice, some time
    apart. Reads sentinels only; exit codes are read by the pool's own thread.
    """
    sentinels = [process.sentinel for process in worker_processes(pool)]
    return bool(connection.wait(sentinels, timeout=0)) and not is_broken(pool)


def hard_stop(pool: ProcessPoolExecutor, *, grace_seconds: float) -> frozenset[int]:
    """Ends the pool within about `grace_seconds` + 3 s whatever its workers do; gives the ids of those it had to kill.

    Futures that have not finished fail with BrokenProcessPool or are cancelled. Blocks: call it from a
    thread, not from an event loop.
    """
    processes = worker_processes(pool)
    manager = getattr(pool, "_executor_manager_thread", None)
    results = getattr(pool, "_result_queue", None)
    kill_stopped_helper()
    if grace_seconds and not is_broken(pool):
        pool.shutdown(wait=False, cancel_futures=True)
    if grace_seconds and manager is not None:
        manager.join(grace_seconds)
    killed: frozenset[int] = frozenset()
    if manager is None or manager.is_alive():
        killed = _kill(processes)
        _free_manager(manager, results)
    _kill_orphans(processes)
    # From 3.12 on, a pool that breaks holds the lock that this takes until its last worker has ended: not before.
    pool.shutdown(wait=False, cancel_futures=True)
    return killed


def kill_worker(pool: ProcessPoolExecutor, process_id: int) -> bool:
    """Ends one worker, if it lives, which breaks the pool; whether it did. Does not wait, and reads no exit code."""
    for process in worker_processes(pool):
        if process.pid == process_id and not connection.wait([process.sentinel], timeout=0):
            process.kill()
            return True
    return False


@contextmanager
def bounded_shutdown(pool: ProcessPoolExecutor, *, warn_seconds: float, limit_seconds: float) -> Iterator[None]:
    """While the body waits for the pool's shutdown, sees to it that the wait ends.

    After `warn_seconds` a warning tells the elapsed time and the workers that are still alive; after
    `limit_seconds` they are killed by process id, and their tasks fail with BrokenProcessPool. Where no
    thread can be started (an interpreter that ends) the wait is without a bound.
    """
    processes = worker_processes(pool)
    manager = getattr(pool, "_executor_manager_thread", None)
    results = getattr(pool, "_result_queue", None)
    done = threading.Event()

    def watch() -> None:
        first_seconds = min(warn_seconds, limit_seconds)
        if done.wait(first_seconds):
            return
        logger.warning(
            "ProcessPoolExecutor shutdown still waits after %.1f s for workers %s", first_seconds, _alive(processes)
        )
        kill_stopped_helper()
        if done.wait(max(0.0, limit_seconds - warn_seconds)):
            return
        logger.error(
            "ProcessPoolExecutor shutdown exceeded %.1f s: killing workers %s", limit_seconds, _alive(processes)
        )
        _kill(processes)
        _free_manager(manager, results)

    watcher = threading.Thread(target=watch, name="candelabra-shutdown-watch", daemon=True)
    try:
        watcher.start()
    except RuntimeError:
        yield
        return
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _alive(processes: Iterable[BaseProcess]) -> list[int | None]:
    return [process.pid for process in processes if not connection.wait([process.sentinel], timeout=0)]


def _kill(processes: Iterable[BaseProcess]) -> frozenset[int]:
    # The id of a process that has ended may belong to another one by now.
    living = [process for process in processes if not connection.wait([process.sentinel], timeout=0)]
    for process in living:
        process.kill()
    for process in living:
        connection.wait([process.sentinel], timeout=_JOIN_SECONDS)
    return frozenset(process.pid for process in living if process.pid is not None)


def _kill_orphans(processes: Iterable[BaseProcess]) -> None:
    """Ends workers that are taken for dead since the process that started them is, and that were stopped meanwhile."""
    for process in processes:
        if process.pid is not None and is_orphaned_worker(process.pid):
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)


def _free_manager(manager: threading.Thread | None, results: object) -> None:
    """Lets the pool's manager thread end: after the last writer is gone, its read ends with EOF."""
    if manager is None:
        return
    manager.join(_JOIN_SECONDS)
    if manager.is_alive():
        with suppress(AttributeError):
            _close_for_good(results._writer)  # type: ignore[attr-defined] # noqa: SLF001 - its only handle
        manager.join(_JOIN_SECONDS)


def _close_for_good(writer: connection.Connection) -> None:
    """Closes a connection so that whoever closes it next, perhaps at this moment, closes nothing."""
    handle = type(writer)(writer.fileno(), readable=False)
    writer._handle = None  # type: ignore[attr-defined] # noqa: SLF001 - before the reader can see the end
    handle.close()
