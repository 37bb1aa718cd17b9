"""The server's process and all that it starts, found by a token in their environment wherever their parents went."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

__all__ = ["ServerProcess"]

TESTS = Path(__file__).resolve().parents[1]
_TOKEN = "CANDELABRA_CHAOS"
_START_SECONDS = 60.0
_SHARED_MEMORY = Path("/dev/shm")


class ServerProcess:
    """A server of a run.

    Args:
        folder: of the run; the server's log and its temporary files are in it.
        workers: how many it has.
    """

    def __init__(self, folder: Path, workers: int) -> None:
        self._token = secrets.token_hex(8)
        self._log_path = folder / "server.log"
        self._temporary = folder / "temporary"
        self._temporary.mkdir()
        python_path = os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))
        environment = {"PYTHONPATH": python_path, "TMPDIR": str(self._temporary), _TOKEN: self._token}
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "chaos.server", str(folder), str(workers)],
                env=os.environ | environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.address = self._first_line()

    @property
    def pid(self) -> int:
        """Of the server itself."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the server itself runs."""
        return self._process.poll() is None

    @property
    def log(self) -> str:
        """What it has logged."""
        return self._log_path.read_text(errors="replace")

    def workers(self) -> list[psutil.Process]:
        """The processes that the helper process has forked, dead ones left out."""
        helper = self.helper("forkserver")
        return [] if helper is None else _children(helper)

    def helper(self, module: str) -> psutil.Process | None:
        """The process that runs a module of multiprocessing for the server: `forkserver` or `resource_tracker`."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in _children(psutil.Process(self.pid)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if any(f"multiprocessing.{module}" in part for part in child.cmdline()):
                        return child
        return None

    def dump(self) -> str:
        """Lets the server write what it is at to its log; tells in what states its processes are."""
        for number in (signal.SIGUSR2, signal.SIGUSR1):
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
            time.sleep(0.5)
        return ", ".join(_state(process) for process in self._all())

    def stop(self, seconds: float) -> int | None:
        """Asks it to end; its exit code, or None when it has not ended within so many seconds."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def remains(self, seconds: float) -> list[str]:
        """What is left of an ended server after at most so many seconds: processes, files."""
        deadline = time.monotonic() + seconds
        while (found := self._remains()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found

    def end(self) -> None:
        """Kills all that is left."""
        for process in self._all():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _remains(self) -> list[str]:
        processes = [f"process {process.pid} {process.status()}" for process in self._all()]
        # Other servers of this machine come and go meanwhile: the name has whose it is.
        shared = [f"file {path}" for path in sorted(_SHARED_MEMORY.glob(f"candelabra*-{self.pid}-*"))]
        return [*processes, *shared, *(f"file {path}" for path in sorted(self._temporary.iterdir()))]

    def _all(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if process.environ().get(_TOKEN) == self._token and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def _first_line(self) -> str:
        lines: list[str] = []
        output = self._process.stdout
        if output is None:
            raise RuntimeError("the server's output is not read")
        reader = threading.Thread(target=lambda: lines.append(output.readline()), daemon=True)
        reader.start()
        reader.join(_START_SECONDS)
        if not lines or not lines[0]:
            self.end()
            raise RuntimeError(f"the server did not start:\n{self.log}")
        return lines[0].strip()


def _children(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [child for child in process.children() if child.status() != psutil.STATUS_ZOMBIE]
    return []


def _state(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.NoSuchProcess):
        return f"{process.pid} {process.name()} {process.status()}"
    return f"{process.pid} gone"
