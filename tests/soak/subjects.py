"""The servers whose calls are cancelled: ours, and one that is nothing but grpc.aio."""

import os
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import psutil

from candelabra.v1 import GetServerInfoRequest
from candelabra.v1.processing_pb2_grpc import ProcessingServiceStub
from support.jobs import job

TESTS = Path(__file__).resolve().parents[1]
_STOP_SECONDS = 60


class Subject(ABC):
    """A server in a process of its own.

    Args:
        folder: empty; for all that the server puts into files.
    """

    waits: tuple[str, bytes]
    """Path and request of a call that waits for work."""
    writes: tuple[str, bytes]
    """The same of one that writes more than a client takes that does not read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None
        self.address = ""
        self.errors = ""
        """What it wrote to its terminal, once it has ended."""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Starts the server, and ends it after.

        Raises:
            AssertionError: it did not end well.
        """
        (self.folder / "temporary").mkdir()
        (self.folder / "results").mkdir()
        with (self.folder / "errors").open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.command()],
                env=os.environ | {"PYTHONPATH": str(TESTS), "TMPDIR": str(self.folder / "temporary")},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        try:
            assert self.process.stdout is not None
            self.address = self.process.stdout.readline().strip()
            yield
            self.process.send_signal(signal.SIGTERM)
            output, _ = self.process.communicate(timeout=_STOP_SECONDS)
            assert (self.process.returncode, output) == (0, "stopped\n")
        finally:
            self.process.kill()
            self.process.communicate(timeout=_STOP_SECONDS)
            self.errors = (self.folder / "errors").read_text()

    def resources(self) -> dict[str, object]:
        """What the server holds of the system, its workers included."""
        assert self.process is not None
        server = psutil.Process(self.process.pid)
        processes = [server, *server.children(recursive=True)]
        return {
            "processes": sorted(process.pid for process in processes),
            "threads": sum(process.num_threads() for process in processes),
            "descriptors": sum(process.num_fds() for process in processes),
            "semaphores and shared memory": sum(_mapped(process.pid) for process in processes),
            "files": sorted(str(path) for name in ("temporary", "results") for path in (self.folder / name).rglob("*")),
        }

    def resident_bytes(self) -> int:
        """Of the process that has grpc in it."""
        assert self.process is not None
        return int(psutil.Process(self.process.pid).memory_info().rss)

    @abstractmethod
    def command(self) -> list[str]:
        """The module to run, and its arguments."""

    @abstractmethod
    async def open_calls(self, channel: grpc.aio.Channel) -> int:
        """How many calls the server works on."""

    @abstractmethod
    def hold(self) -> None:
        """From now on, calls that wait have something to wait for."""

    @abstractmethod
    def let_go(self) -> None:
        """What calls wait for is there."""


class OurServer(Subject):
    """Candelabra."""

    waits = ("/candelabra.v1.ProcessingService/Process", job("WAITS", "close").SerializeToString())
    writes = ("/candelabra.v1.ProcessingService/Process", job("BIG", "close").SerializeToString())

    def command(self) -> list[str]:
        return ["soak.our_server", str(self._marker), str(self.folder / "results")]

    async def open_calls(self, channel: grpc.aio.Channel) -> int:
        return int((await ProcessingServiceStub(channel).GetServerInfo(GetServerInfoRequest())).active_jobs)

    def hold(self) -> None:
        self._marker.unlink(missing_ok=True)

    def let_go(self) -> None:
        self._marker.touch()

    @property
    def _marker(self) -> Path:
        return self.folder / "go"


class BareServer(Subject):
    """grpc.aio alone."""

    waits = ("/bare.Service/Wait", b"")
    writes = ("/bare.Service/Write", b"")

    def command(self) -> list[str]:
        return ["soak.bare_server"]

    async def open_calls(self, channel: grpc.aio.Channel) -> int:
        count: Any = channel.unary_unary("/bare.Service/Count")
        return int(await count(b""))

    def hold(self) -> None:
        """Its calls always wait."""

    def let_go(self) -> None:
        """They go on waiting."""


def _mapped(pid: int) -> int:
    return Path(f"/proc/{pid}/maps").read_text().count("/dev/shm/")
