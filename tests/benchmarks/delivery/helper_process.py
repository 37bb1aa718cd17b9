"""HelperProcess: a program that talks in lines; started, waited for within bounds, and ended with its children."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from typing import IO, Any, Self

import psutil

from benchmarks.process_tree import end_tree

__all__ = ["HelperError", "HelperProcess"]

_STOP_SECONDS = 15.0
_SHOWN = 300
"""Most characters of what a process said when it failed."""


class HelperError(Exception):
    """A helper said that it failed, ended, or was silent for too long; the message says which, and why."""


class HelperProcess:
    """A Python module that runs as a program; a context manager.

    Requests go to its standard input and answers come from its standard output, a JSON object a line each. What it
    says on standard error is kept in a file.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._lines: queue.Queue[str] = queue.Queue()
        self._errors: IO[bytes] | None = None
        self._process: subprocess.Popen[str] | None = None
        self.started_at = 0.0
        """When it was started, in `time.time` seconds, which is what logs have."""

    def __enter__(self) -> Self:
        self._errors = tempfile.TemporaryFile()
        self.started_at = time.time()
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, bufsize=1
        )
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        process = self._running()
        try:
            process.terminate()
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            end_tree(process.pid)
        finally:
            process.wait()
            if process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
            if self._errors is not None:
                self._errors.close()

    @property
    def process(self) -> psutil.Process:
        """For its memory and processor time, and its children."""
        return psutil.Process(self._running().pid)

    def line(self, *, seconds: float) -> str:
        """The next line that it prints.

        Raises:
            HelperError: it ended, or there was none in time.
        """
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise HelperError(f"{self._name} did not answer within {seconds:.0f} s") from None
        if not line:
            self._lines.put("")  # it has ended for whoever asks next, too
            raise HelperError(f"{self._name} ended: {self.errors()[-_SHOWN:]}")
        return line

    def answer(self, *, seconds: float) -> dict[str, Any]:
        """The next answer.

        Raises:
            HelperError: it failed, ended, or there was none in time.
        """
        answer: dict[str, Any] = json.loads(self.line(seconds=seconds))
        if "failed" in answer:
            raise HelperError(answer["failed"])
        return answer

    def send(self, request: Mapping[str, object]) -> None:
        """Sends a request, whose answer is fetched later."""
        stdin = self._running().stdin
        assert stdin is not None
        try:
            stdin.write(json.dumps(request) + "\n")
        except OSError as error:
            raise HelperError(f"{self._name} ended: {self.errors()[-_SHOWN:]}") from error

    def ask(self, request: Mapping[str, object], *, seconds: float) -> dict[str, Any]:
        """Sends a request and waits for its answer."""
        self.send(request)
        return self.answer(seconds=seconds)

    def has_answered(self) -> bool:
        """Whether there is a line that was not fetched."""
        return not self._lines.empty()

    def errors(self) -> str:
        """What it has said on standard error, on one line."""
        return " ".join(self.error_lines())

    def error_lines(self) -> list[str]:
        """The same, in lines."""
        assert self._errors is not None
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").splitlines()

    @property
    def _name(self) -> str:
        return self._command[2].rpartition(".")[2]

    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None, "it is started by entering the context"
        return self._process

    def _read(self, output: IO[str]) -> None:
        for line in output:
            self._lines.put(line)
        self._lines.put("")
