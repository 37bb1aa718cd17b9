"""The whole job: all of Alpha158 streamed to a client, beside KunQuant and Qlib, which leave it in their own process.

Seconds, processor time and memory. The store has the very arrays that the peers read, and what is streamed is
compared with what the pool computes from those, with which the peers compare theirs.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.delivery.client import PROCESS, Client
from benchmarks.delivery.findings import OURS, Findings
from benchmarks.delivery.jobs import alpha158_job
from benchmarks.delivery.process_usage import usage_of
from benchmarks.delivery.running_server import WORKERS, RunningServer
from benchmarks.delivery.sizes import DeliverySizes
from benchmarks.delivery.stores import candle_store, symbol_names
from benchmarks.feature_sets import ALPHA158
from benchmarks.headline import FRAME_COPIES, KUNQUANT, KUNQUANT_COPIES, QLIB, job_for_peers, report_of
from benchmarks.market_arrays import market_arrays
from benchmarks.our_pool import OurPool
from benchmarks.our_workers import Share, columns_of
from benchmarks.peers.peer_job import PeerReport
from benchmarks.promises import at_most
from benchmarks.sizes import Shape

__all__ = ["measure_whole_job"]

SECONDS = "s"
PROCESSOR = "CPU s"
MEMORY = "MB peak"
_CHECKED_SYMBOLS = 2
_OF_KUNQUANT = 0.7
_OF_QLIB = 1 / 12
_PROCESSES = ("server", "workers", "client")
"""The workers with the helper that starts them."""


@dataclass(frozen=True, slots=True)
class _Whole:
    """One job, in one precision."""

    shape: Shape
    float32: bool

    @property
    def work(self) -> str:
        """What tables call it."""
        return f"{ALPHA158.title}, {self.shape}, {'float32' if self.float32 else 'float64'}"

    @property
    def value_bytes(self) -> int:
        """Of all values, as they are sent."""
        return self.shape.cells * len(ALPHA158.columns) * (4 if self.float32 else 8)


def measure_whole_job(findings: Findings, sizes: DeliverySizes, *, runs: int) -> None:
    """Both precisions; Qlib, which has but one and takes a minute, runs once and stands beside both."""
    jobs = [_Whole(sizes.long, float32) for float32 in (False, True)]
    for whole in jobs:
        with findings.attempt(f"{whole.work}: {OURS}"):
            _measure_ours(findings, whole, runs=runs)
    peer_job = job_for_peers(ALPHA158, sizes.computed, runs=runs)
    for whole in jobs:
        print(f"  {whole.work}: {KUNQUANT} …", flush=True)  # noqa: T201
        needed = KUNQUANT_COPIES * whole.value_bytes
        report = report_of("kunquant", peer_job, runs=runs, needed_bytes=needed, float32=whole.float32)
        _add_report(findings, whole, KUNQUANT, report)
    print(f"  {ALPHA158.title}: {QLIB} …", flush=True)  # noqa: T201
    report = report_of("qlib", peer_job, runs=1, needed_bytes=FRAME_COPIES * jobs[-1].value_bytes)
    for whole in jobs:
        _add_report(findings, whole, QLIB, report)
        _promise(findings, whole)
    findings.show(f"The whole job: ours streamed to a client, {WORKERS} workers; the others in process")


def _measure_ours(findings: Findings, whole: _Whole, *, runs: int) -> None:
    """In a server of its own, so that the peak of its memory is that of this job."""
    work = whole.work
    used: dict[str, list[float]] = {name: [] for name in _PROCESSES}
    request = alpha158_job(float32=whole.float32).SerializeToString()
    with RunningServer(candle_store(whole.shape)) as server, Client() as client:
        _check(client, server.address, whole)

        def ours() -> Mapping[str, float]:
            before = usage_of(server.process).cpu_seconds, usage_of(server.process, with_children=True).cpu_seconds
            streamed = client.stream(server.address, PROCESS, request)
            if streamed.bytes < whole.value_bytes:
                raise ValueError(f"{streamed.bytes:,} bytes came, the values alone are {whole.value_bytes:,}")
            used["server"].append(usage_of(server.process).cpu_seconds - before[0])
            used["workers"].append(usage_of(server.process, with_children=True).cpu_seconds - before[1])
            used["client"].append(streamed.cpu_seconds)
            return {SECONDS: streamed.seconds}

        findings.measure(work, {OURS: ours}, runs=runs)
        peaks = {
            "server": usage_of(server.process).peak_bytes / 1e6,
            "workers": usage_of(server.process, with_children=True).peak_bytes / 1e6,
            "client": usage_of(client.process).peak_bytes / 1e6,
        }
    seconds = {name: statistics.median(each) for name, each in used.items() if each}
    for unit, by_process in ((PROCESSOR, seconds), (MEMORY, peaks)):
        findings.add(work, OURS, sum(by_process.values()), unit)
        for name, value in by_process.items():
            findings.add(f"{work}, of it the {name}", OURS, value, unit)


def _check(client: Client, address: str, whole: _Whole) -> None:
    """The first symbols, streamed, are to the bit what the pool computes from the files; this warms the workers too."""
    names = symbol_names(whole.shape)[:_CHECKED_SYMBOLS]
    job = alpha158_job(symbols=names, float32=whole.float32)
    found = client.columns(address, job.SerializeToString())
    share = Share(folder=str(market_arrays(whole.shape)), first=0, end=len(names), work=ALPHA158)
    with OurPool() as pool:
        expected = pool.call(columns_of, share).astype(np.float32 if whole.float32 else np.float64)
    for column, values in zip(ALPHA158.columns, expected, strict=True):
        for name, row in zip(names, values, strict=True):
            if not np.array_equal(np.array(found[name][column], dtype=row.dtype), row, equal_nan=True):
                raise ValueError(f"{column} of {name} is streamed with other values than are computed")


def _add_report(findings: Findings, whole: _Whole, subject: str, report: PeerReport) -> None:
    if report.unavailable:
        findings.notes.append(f"{whole.work}: {subject}: not measured, {report.unavailable}")
        return
    findings.add(whole.work, subject, statistics.median(report.seconds), SECONDS, report.versions)
    findings.add(whole.work, subject, report.cpu_seconds, PROCESSOR, report.versions)
    findings.add(whole.work, subject, report.peak_bytes / 1e6, MEMORY, report.versions)
    if report.differing:
        findings.notes.append(f"{whole.work}: {subject} has other values in {', '.join(report.differing)}")


def _promise(findings: Findings, whole: _Whole) -> None:
    """Of KunQuant's times that with 64 bits is what is held against; the other is told."""
    ours = findings.value(whole.work, OURS, SECONDS)
    kunquant, qlib = (findings.value(whole.work, peer, SECONDS) for peer in (KUNQUANT, QLIB))
    text = f"{whole.work}, streamed: at most"
    findings.promises += [
        at_most(
            f"{text} {_OF_KUNQUANT} of KunQuant's time",
            _OF_KUNQUANT,
            ours=ours,
            peer=kunquant,
            binding=not whole.float32,
        ),
        at_most(f"{text} a twelfth of Qlib's time", _OF_QLIB, ours=ours, peer=qlib),
    ]
