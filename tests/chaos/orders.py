"""Orders to workers: harm yourself when you reach this stage. Each is carried out exactly once.

An order is an empty file `orders/STAGE/NUMBER,KIND`. The worker that reaches the stage takes it by renaming it to
`taken/NUMBER,KIND,STAGE,PID,NANOSECONDS,JOB,SYMBOL`, which only one can, and then does it. The record is there before
the deed, whatever becomes of the process. What comes from outside of workers leaves a record there, too.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from chaos.harm import HARMS

__all__ = ["STAGES", "OrderBook", "Record"]

STAGES = ("start", "load", "compute", "encode", "write")
"""Making the repository; reading candles; evaluating; writing a result's first message; writing a later one."""


@dataclass(frozen=True, slots=True)
class Record:
    """A fault that happened.

    Attributes:
        number: of the order; 0 for what was not ordered.
        kind: of harm.
        stage: where the process was.
        process: id of the process.
        nanoseconds: when, by CLOCK_MONOTONIC, which all processes share.
        job: number of the job that the process was at, 0 for none.
        symbol: which symbol it was at, or empty.
    """

    number: int
    kind: str
    stage: str
    process: int
    nanoseconds: int
    job: int = 0
    symbol: str = ""

    def name(self) -> str:
        """As a file's name."""
        return ",".join(
            map(str, (self.number, self.kind, self.stage, self.process, self.nanoseconds, self.job, self.symbol))
        )

    @classmethod
    def parse(cls, name: str) -> Record:
        """From a file's name."""
        number, kind, stage, process, nanoseconds, job, symbol = name.split(",")
        return cls(int(number), kind, stage, int(process), int(nanoseconds), int(job), symbol)


class OrderBook:
    """The folder of a run, as the harness and each worker see it."""

    def __init__(self, folder: Path) -> None:
        self._orders = folder / "orders"
        self._taken = folder / "taken"

    def create(self) -> None:
        """Makes the folders."""
        for stage in STAGES:
            (self._orders / stage).mkdir(parents=True)
        self._taken.mkdir()

    def give(self, number: int, kind: str, stage: str) -> None:
        """The next worker that reaches the stage harms itself."""
        (self._orders / stage / f"{number},{kind}").touch()

    def waiting(self) -> int:
        """How many orders nobody has taken yet."""
        return sum(len(os.listdir(self._orders / stage)) for stage in STAGES)  # noqa: PTH208 - as below

    def withdraw(self, stages: tuple[str, ...] = STAGES) -> None:
        """Takes back what nobody has taken yet."""
        for stage in stages:
            for path in (self._orders / stage).iterdir():
                path.unlink(missing_ok=True)

    def records(self) -> list[Record]:
        """What happened so far, in the order of time."""
        found = [Record.parse(path.name) for path in self._taken.iterdir()]
        return sorted(found, key=lambda record: record.nanoseconds)

    def taken(self) -> int:
        """How many faults happened so far."""
        return len(os.listdir(self._taken))  # noqa: PTH208 - as below

    def note(self, record: Record) -> None:
        """Leaves the record of a fault that was not ordered."""
        (self._taken / record.name()).touch()

    def reach(self, stage: str, *, job: int = 0, symbol: str = "") -> None:
        """Called by workers: carries out an order for this stage, if there is one."""
        for name in os.listdir(self._orders / stage):  # noqa: PTH208 - the quickest, and it is asked for every symbol
            number, kind = name.split(",")
            record = Record(int(number), kind, stage, os.getpid(), time.monotonic_ns(), job, symbol)
            with contextlib.suppress(FileNotFoundError):  # another worker was quicker
                (self._orders / stage / name).rename(self._taken / record.name())
                HARMS[kind]()
                return

    def obey(self, kind: str, stage: str, *, job: int, symbol: str) -> None:
        """Called by workers: harms the process without an order, and leaves the record."""
        self.note(Record(0, kind, stage, os.getpid(), time.monotonic_ns(), job, symbol))
        HARMS[kind]()
