"""Whole feature sets beside KunQuant, Qlib, polars and pandas: seconds, values a second, peak memory.

1. Our values of a small set of arrays go to a file, with which every peer compares its own before it is timed.
2. Ours is timed with values let go as they are computed; with why each NaN is one, as every job is told; and with all
   values kept, as KunQuant's are.
3. Every peer is timed in a process of its own on the same arrays, one subject after the other.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks.feature_sets import ALPHA158, ALPHA360, FOURTEEN, MOMENTS_AND_EXTREMES, FeatureSet
from benchmarks.market_arrays import market_arrays
from benchmarks.our_pool import WORKERS, OurPool, room_bytes, shared_values
from benchmarks.peer_environments import run_peer
from benchmarks.peers.peer_job import PeerJob, PeerReport
from benchmarks.promises import Promise, at_most
from benchmarks.report import FOLDER, Figure, show, versions_of
from benchmarks.sizes import Shape, Sizes

__all__ = [
    "FRAME_COPIES",
    "KUNQUANT",
    "KUNQUANT_COPIES",
    "QLIB",
    "Headline",
    "job_for_peers",
    "measure_headline",
    "report_of",
]

OURS = "candelabra"
CAUSES = "candelabra, with causes of NaN"
KEPT = "candelabra, kept"
KUNQUANT = "KunQuant"
FIRST_RUN = "KunQuant, first run"
QLIB = "Qlib (float32)"
POLARS = "polars"
PANDAS = "pandas, a tenth scaled up"
_TIMEOUT_SECONDS = 1_800.0
_FEW_RUNS = 3
"""Of a peer whose runs take a minute."""
KUNQUANT_COPIES = 2
"""Of its values, with what it computes on the way."""
FRAME_COPIES = 5
"""Of its values Qlib has this many at once: of its processes, while they are sent, and joined."""


@dataclass(slots=True)
class Headline:
    """What was measured.

    Attributes:
        seconds: medians by work and subject.
        figures: everything.
        notes: what was left out and why, and which columns differ; one sentence each.
    """

    seconds: dict[tuple[str, str], float] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def promises(self, shape: Shape) -> list[Promise]:
        """A quarter of KunQuant's time and a thirtieth of Qlib's, in both precisions; a twentieth for 14 features."""
        made = []
        for float32 in (False, True):
            work = _work_name(ALPHA158, shape, float32=float32)
            ours = self.seconds.get((work, OURS))
            for part, peer, of in (
                (1 / 4, KUNQUANT, "a quarter of KunQuant's"),
                (1 / 30, QLIB, "a thirtieth of Qlib's"),
            ):
                text = f"{work}: at most {of} time"
                made.append(at_most(text, part, ours=ours, peer=self.seconds.get((work, peer))))
        work = _work_name(FOURTEEN, shape, float32=True)
        made.append(
            at_most(
                f"{work}: at most a twentieth of Qlib's time",
                1 / 20,
                ours=self.seconds.get((work, OURS)),
                peer=self.seconds.get((work, QLIB)),
            )
        )
        return made


def measure_headline(sizes: Sizes, *, runs: int) -> Headline:
    """Measures every set; prints as it goes, and the tables."""
    headline = Headline()
    for features in (ALPHA158, ALPHA360, FOURTEEN):
        _measure_set(headline, features, sizes, runs=runs)
    _measure_frames(headline, MOMENTS_AND_EXTREMES, sizes, runs=runs)
    title = f"{WORKERS} workers, median of {runs} runs (Qlib and pandas: up to {_FEW_RUNS})"
    for unit, told in (("s", "seconds"), ("M/s", "million values a second"), ("MB", "peak memory")):
        show([figure for figure in headline.figures if figure.unit == unit], title=f"{told}: {title}")
    for note in headline.notes:
        print(note)  # noqa: T201
    return headline


def job_for_peers(features: FeatureSet, sizes: Sizes, *, runs: int) -> PeerJob:
    """What peers are asked for; our values for them to compare with are computed now."""
    checked = FOLDER / "data" / f"checked-{features.family}-{len(features.columns)}.npy"
    with OurPool() as pool:
        values = pool.columns(features, sizes.checked)
    np.save(checked, values)
    return PeerJob(
        folder=str(market_arrays(sizes.headline)),
        family=features.family,
        columns=list(features.columns),
        float32=False,
        runs=runs,
        limit_seconds=sizes.peer_seconds,
        checked_folder=str(market_arrays(sizes.checked)),
        checked_values=str(checked.absolute()),
    )


def report_of(name: str, job: PeerJob, *, runs: int, needed_bytes: int, float32: bool = False) -> PeerReport:
    """What a peer reports; that it is unavailable where there is no room for it."""
    if needed_bytes > room_bytes():
        return PeerReport(versions={}, unavailable=f"needs about {needed_bytes / 1e9:.1f} GB of memory")
    asked = replace(job, runs=runs, float32=float32)
    return run_peer(name, asked, threads=WORKERS, timeout_seconds=_TIMEOUT_SECONDS)


def _measure_set(headline: Headline, features: FeatureSet, sizes: Sizes, *, runs: int) -> None:
    """One set in both precisions; Qlib, which has but one, is measured once and stands beside both."""
    job = job_for_peers(features, sizes, runs=runs)
    values = sizes.headline.cells * len(features.columns)
    qlib = _peer(headline, "qlib", job, runs=min(runs, _FEW_RUNS), needed_bytes=4 * FRAME_COPIES * values)
    for float32 in (False, True):
        work = _work_name(features, sizes.headline, float32=float32)
        _measure_ours(headline, features, sizes.headline, runs=runs, float32=float32)
        needed = values * (4 if float32 else 8) * KUNQUANT_COPIES
        report = _peer(headline, "kunquant", job, runs=runs, float32=float32, needed_bytes=needed)
        _add_report(headline, work, KUNQUANT, report, values)
        if report.first_seconds:
            _add(headline, work, FIRST_RUN, report.first_seconds, values, report.versions)
        _add_report(headline, work, QLIB, qlib, values)


def _measure_frames(headline: Headline, features: FeatureSet, sizes: Sizes, *, runs: int) -> None:
    job = job_for_peers(features, sizes, runs=runs)
    values = sizes.headline.cells * len(features.columns)
    work = _work_name(features, sizes.headline, float32=False)
    _measure_ours(headline, features, sizes.headline, runs=runs, float32=False)
    for name, subject, peer_runs in (("polars", POLARS, runs), ("pandas", PANDAS, min(runs, _FEW_RUNS))):
        report = _peer(headline, name, job, runs=peer_runs, needed_bytes=8 * 2 * values)
        _add_report(headline, work, subject, report, values)


def _measure_ours(headline: Headline, features: FeatureSet, shape: Shape, *, runs: int, float32: bool) -> None:
    work = _work_name(features, shape, float32=float32)
    values = shape.cells * len(features.columns)
    _tell(f"{work}: {OURS}")
    installed = versions_of("candelabra", "numpy")
    with OurPool() as pool:
        measured = pool.time(features, shape, runs=runs, float32=float32)
        _add(headline, work, OURS, measured.median, values, installed, measured.peak_bytes)
        if not float32:
            traced = pool.time(features, shape, runs=runs, causes=True)
            _add(headline, work, CAUSES, traced.median, values, installed, traced.peak_bytes)
        kept_bytes = values * (4 if float32 else 8)
        if kept_bytes > room_bytes():
            headline.notes.append(f"{work}: {KEPT} was left out, there is no room for {kept_bytes / 1e9:.1f} GB")
            return
        with shared_values(shape, len(features.columns), float32=float32) as block:
            pool.time(features, shape, runs=1, float32=float32, kept=block)  # which makes the block's pages
            measured = pool.time(features, shape, runs=runs, float32=float32, kept=block)
        _add(headline, work, KEPT, measured.median, values, installed, measured.peak_bytes)


def _peer(
    headline: Headline, name: str, job: PeerJob, *, runs: int, needed_bytes: int, float32: bool = False
) -> PeerReport:
    told = f"{name}, {len(job.columns)} columns of {job.family}{', float32' if float32 else ''}"
    _tell(told)
    report = report_of(name, job, runs=runs, needed_bytes=needed_bytes, float32=float32)
    if report.unavailable:
        headline.notes.append(f"{told}: not measured, {report.unavailable}")
        return report
    agreeing = len(job.columns) - len(report.differing)
    but = f"; these differ: {', '.join(report.differing)}" if report.differing else ""
    headline.notes.append(
        f"{told}: {agreeing} of {len(job.columns)} columns have our values{but}; {len(report.seconds)} runs"
    )
    return report


def _add_report(headline: Headline, work: str, subject: str, report: PeerReport, values: int) -> None:
    if report.seconds:
        _add(headline, work, subject, statistics.median(report.seconds), values, report.versions, report.peak_bytes)


def _add(
    headline: Headline,
    work: str,
    subject: str,
    seconds: float,
    values: int,
    versions: dict[str, str],
    peak_bytes: int = 0,
) -> None:
    """Figures of one subject, beside ours, which is the first that is added to a work."""
    headline.seconds[work, subject] = seconds
    found = {"s": seconds, "M/s": values / seconds / 1e6}
    if peak_bytes:
        found["MB"] = peak_bytes / 1e6
    for unit, value in found.items():
        ours = next((f.value for f in headline.figures if (f.work, f.subject, f.unit) == (work, OURS, unit)), value)
        figure = Figure(work, subject, value, unit, value / ours, versions_of() | versions)
        headline.figures.append(figure)


def _work_name(features: FeatureSet, shape: Shape, *, float32: bool) -> str:
    return f"{features.title}, {shape}, {'float32' if float32 else 'float64'}"


def _tell(text: str) -> None:
    print(f"  {text} …", flush=True)  # noqa: T201
