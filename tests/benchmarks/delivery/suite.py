"""The delivery suite: results on their way to a client, beside every peer in one run.

1. starting.py: from the start of the server's process to SERVING, and what that is made of.
2. streams.py: MB/s of large results and messages/s of small ones, beside a bare stream and Arrow Flight.
3. screening.py: a screen of all symbols, beside polars and DuckDB in their own process.
4. round_trips.py: jobs of one symbol, idle and under load, beside a bare echo.
5. concurrency.py: more and more clients at once, beside a bare stream.
6. dispatch.py: symbols/s of the engine beside tasks/s of ProcessPoolExecutor, loky, Dask and Ray.
7. unread.py: the server's memory while a client does not read.
8. whole_job.py: Alpha158 streamed to a client beside KunQuant and Qlib; processor time and memory of all of them.

Each part starts what it needs: our server as users start it (running_server.py), peers and the client in processes of
their own. A part or a subject that fails is told of as not measured, and the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.delivery.concurrency import measure_concurrency
from benchmarks.delivery.dispatch import measure_dispatch
from benchmarks.delivery.findings import Findings
from benchmarks.delivery.round_trips import measure_round_trips
from benchmarks.delivery.screening import measure_screening
from benchmarks.delivery.sizes import FULL, QUICK, DeliverySizes
from benchmarks.delivery.starting import measure_start
from benchmarks.delivery.streams import measure_large_results, measure_small_results
from benchmarks.delivery.unread import measure_unread
from benchmarks.delivery.whole_job import measure_whole_job
from benchmarks.promises import broken
from benchmarks.report import write

__all__ = ["PARTS", "main"]

PARTS: dict[str, Callable[..., None]] = {
    "start": measure_start,
    "large": measure_large_results,
    "small": measure_small_results,
    "screen": measure_screening,
    "round-trips": measure_round_trips,
    "concurrency": measure_concurrency,
    "dispatch": measure_dispatch,
    "unread": measure_unread,
    "whole-job": measure_whole_job,
}


def main(*, runs: int, quick: bool, parts: Sequence[str] = ()) -> int:
    """Measures everything; 1 when a promise is not kept.

    Args:
        runs: of every subject; the median is reported.
        quick: a few symbols only, to see that all subjects work; promises are told but not judged.
        parts: names of the parts that are wanted; none is all of them.
    """
    sizes: DeliverySizes = QUICK if quick else FULL
    findings = Findings()
    for name in parts or PARTS:
        with findings.attempt(name):
            PARTS[name](findings, sizes, runs=runs)
    write("-".join(("delivery", *parts)), findings.figures)
    for told in (*findings.notes, *findings.promises):
        print(told)  # noqa: T201
    if quick:
        print("--quick: nothing of this says how fast anything is")  # noqa: T201
        return 0
    return 1 if broken(findings.promises) else 0
