"""From starting the server's process to SERVING with kernels that are compiled, beside a bare grpc.aio server."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Mapping, Sequence
from datetime import datetime

from benchmarks.delivery.findings import OURS, Findings
from benchmarks.delivery.helper_process import HelperProcess
from benchmarks.delivery.running_server import RunningServer
from benchmarks.delivery.sizes import DeliverySizes
from benchmarks.delivery.stores import candle_store
from benchmarks.promises import within
from candelabra_server.formulas.compiled.loading import is_warm

__all__ = ["measure_start"]

BARE = "bare grpc.aio server"
WORK = "start to SERVING"
UNIT = "s"
_LIMIT_SECONDS = 5.0
_START_SECONDS = 60.0
_MARKS = {
    "ProcessingEngine initialized": "start: until the engine is made, which is imports",
    "worker started": "start: until the first worker is warm",
}
"""What the log says first of all, and what has been reached then."""
_LOGGED = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) ")


def measure_start(findings: Findings, sizes: DeliverySizes, *, runs: int) -> None:
    """Stages are read from the log's own times."""
    if not is_warm():
        findings.notes.append(f"{WORK}: kernels are not in the cache, so the server compiles them meanwhile")
    stages: dict[str, list[float]] = {work: [] for work in _MARKS.values()}

    def ours() -> Mapping[str, float]:
        with RunningServer(candle_store(sizes.many), log_level="info") as server:
            for work, seconds in _reached(server.error_lines(), server.started_at).items():
                stages[work].append(seconds)
            return {UNIT: server.start_seconds}

    findings.measure(WORK, {OURS: ours, BARE: _bare_start}, runs=runs)
    for work, seconds in stages.items():
        if seconds:
            findings.add(work, OURS, statistics.median(seconds), UNIT)
    findings.promises.append(
        within(
            f"{WORK}: less than {_LIMIT_SECONDS:.0f} s",
            _LIMIT_SECONDS,
            found=findings.value(WORK, OURS, UNIT),
            unit=UNIT,
        )
    )
    findings.show("Start of the server's process")


def _reached(lines: Sequence[str], started_at: float) -> dict[str, float]:
    """Seconds since the start at the first line of each mark."""
    reached: dict[str, float] = {}
    for line in lines:
        for text, work in _MARKS.items():
            logged = _LOGGED.match(line)
            if logged and text in line and work not in reached:
                moment = (
                    datetime.strptime(logged[1], "%Y-%m-%d %H:%M:%S").astimezone().timestamp() + int(logged[2]) / 1_000
                )
                reached[work] = moment - started_at
    return reached


def _bare_start() -> Mapping[str, float]:
    with HelperProcess("benchmarks.delivery.bare_server") as bare:
        bare.answer(seconds=_START_SECONDS)
        return {UNIT: time.time() - bare.started_at}
