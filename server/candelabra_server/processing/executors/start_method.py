"""How worker processes are started: never by forking a process that has gRPC threads.

forkserver, where there is one: an exec'd helper process imports the worker's modules once and forks
workers from there in about 20 ms. spawn elsewhere (Windows).
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from multiprocessing.context import BaseContext

from candelabra_server.processing.executors.process_states import is_stopped
from candelabra_server.processing.executors.temporary_folder import claim_temporary_folder

__all__ = ["PRELOADED_MODULE", "helper_process", "kill_stopped_helper", "worker_context"]

logger = logging.getLogger(__name__)

PRELOADED_MODULE = "candelabra_server.processing.worker_preload"

_THREAD_SETTINGS = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA", "ARROW")
_ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in _THREAD_SETTINGS} | {"POLARS_MAX_THREADS": "1"}
"""Parallelism comes from processes: a numeric library in a worker gets one thread."""

_environment_lock = threading.Lock()


def worker_context() -> BaseContext:
    """The multiprocessing context for worker pools, with its helper process running.

    Returns in a few milliseconds: the helper imports its modules while the caller goes on. If the
    program started a forkserver of its own before, that one is used as it is; workers then import what
    they need themselves, and say so in their report. Safe to call from several threads.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    # Imported here because the module does not exist where there is no forkserver.
    from multiprocessing import forkserver  # noqa: PLC0415

    context = multiprocessing.get_context("forkserver")
    # The environment is the whole process's, threads of C libraries included: it is not changed without need.
    with _environment_lock, nullcontext() if _helper_lives() else _environment(_ONE_THREAD):
        claim_temporary_folder()
        context.set_forkserver_preload([PRELOADED_MODULE])
        forkserver.ensure_running()
    return context


def helper_process() -> int | None:
    """The id of the process that starts workers; None where there is none.

    When it dies, nobody can tell how its workers died: one that has another id knows nothing of them.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return None
    from multiprocessing import forkserver  # noqa: PLC0415 - not there where there is no forkserver

    return getattr(forkserver._forkserver, "_forkserver_pid", None)  # noqa: SLF001 - there is no other way to know it


def kill_stopped_helper() -> None:
    """Ends the process that starts workers when a signal has stopped it.

    While it is stopped, no worker starts, and none is seen to end: whoever waits for that waits no more then.
    """
    process_id = helper_process()
    if process_id is not None and is_stopped(process_id):
        logger.error("the process that starts workers, %d, is stopped: ending it", process_id)
        os.kill(process_id, signal.SIGKILL)


def _helper_lives() -> bool:
    """Whether the process that starts workers runs for certain."""
    process_id = helper_process()
    if process_id is None or not hasattr(os, "waitid"):
        return False
    try:
        return os.waitid(os.P_PID, process_id, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    # The helper freezes the environment it is started with, so ours need not stay changed.
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
