"""RunningServer: `candelabra-server serve` over a store of the benchmark, two workers, in processes of its own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Self

from benchmarks.delivery.helper_process import HelperError, HelperProcess

__all__ = ["WORKERS", "RunningServer"]

WORKERS = 2
_START_SECONDS = 60.0
_ADDRESS = "listening on"


class RunningServer(HelperProcess):
    """A server that is SERVING while the context lasts.

    Attributes:
        address: where it listens.
        start_seconds: from starting the process to SERVING.
    """

    def __init__(self, store: Path, *, log_level: str = "warning") -> None:
        arguments = ("--log-level", log_level, "serve", "--listen", "127.0.0.1:0", "--store", str(store))
        super().__init__("candelabra_server.cli", *arguments, "--workers", str(WORKERS))
        self.address = ""
        self.start_seconds = 0.0

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            self._await_address()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _await_address(self) -> None:
        end = time.monotonic() + _START_SECONDS
        while not self.address:
            line = self.line(seconds=end - time.monotonic())
            if _ADDRESS in line:  # is printed when the workers are warm and health says SERVING
                self.start_seconds = time.time() - self.started_at
                self.address = line.split()[-1]
            if time.monotonic() > end:
                raise HelperError("the server did not say where it listens")
