"""The server of a run: `python -m chaos.server FOLDER WORKERS`. It prints its address, and `stopped` at its end.

SIGUSR1 writes all threads' stacks to its log, SIGUSR2 its tasks' and what its dispatcher knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import logging
import resource
import signal
import sys
from pathlib import Path
from pprint import pformat
from unittest.mock import patch

__all__ = ["main"]

_SLOT_MEBIBYTES = 4
_BUFFER_MEBIBYTES = 4
_DRAIN_SECONDS = 10.0
_SYMBOL_SECONDS = 2.0
_GRACE_SECONDS = 1.0
"""Short, so that a worker that was stopped is found soon."""


def main(folder: Path, workers: int) -> None:
    """Serves until SIGTERM."""
    from candelabra_server import app
    from candelabra_server.config import ServerConfig, TimeLimits
    from chaos.repository import ChaosRepository

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # workers are meant to crash
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    config = ServerConfig(
        listen="127.0.0.1:0",
        store=folder / "store",
        workers=workers,
        drain_seconds=_DRAIN_SECONDS,
        result_slot_mebibytes=_SLOT_MEBIBYTES,
        job_buffer_mebibytes=_BUFFER_MEBIBYTES,
        time_limits=TimeLimits(symbol_seconds=_SYMBOL_SECONDS, grace_seconds=_GRACE_SECONDS),
    )

    def ready(address: str, _repository: object) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, describe)
        say(address)

    with patch.object(app, "create_candle_repository", lambda _config: ChaosRepository(folder)):
        app.run(config, on_ready=ready)
    say("stopped")


def describe() -> None:
    """Writes what the event loop is at to the log."""
    for task in asyncio.all_tasks():
        sys.stderr.write(f"{task!r}\n")
        with contextlib.suppress(Exception):  # of compiled coroutines
            task.print_stack(file=sys.stderr)
    for found in gc.get_objects():
        if type(found).__name__ in {"Dispatcher", "Scheduler", "JobQueue", "_Active", "ProcessingEngine"}:
            with contextlib.suppress(Exception):
                names = getattr(found, "_fields", None) or getattr(found, "__slots__", None) or vars(found)
                values = {name: str(getattr(found, name, None))[:400] for name in list(names)}
                sys.stderr.write(f"{type(found).__name__} {pformat(values)}\n")
    sys.stderr.flush()


def say(line: str) -> None:
    """Tells the harness."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
