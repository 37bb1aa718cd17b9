"""The lifecycle suite: how long an engine takes to start and end, beside a bare pool and loky."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

from benchmarks.lifecycle_subjects import SUBJECTS
from benchmarks.report import Figure, publish, versions_of

LIMIT_MILLIS = 100.0
"""What the specification allows for starting the executor, and what a worker's death may cost."""


def main(*, runs: int) -> int:
    """Measures every subject in fresh interpreters, in turns; 1 when `__enter__` or a recovery takes 100 ms."""
    measured: dict[str, list[dict[str, dict[str, float]]]] = {subject: [] for subject in SUBJECTS}
    for _ in range(runs):
        for subject, cycles in measured.items():
            command = [sys.executable, "-m", "benchmarks.lifecycle_subjects", subject]
            output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
            cycles.append(json.loads(output.stdout))
    versions = versions_of("candelabra", "loky", "numpy")
    figures = []
    for state in ("cold", "warm"):
        for stage in measured["candelabra"][0][state]:
            millis = {
                subject: 1_000 * statistics.median(cycle[state][stage] for cycle in cycles)
                for subject, cycles in measured.items()
            }
            figures += [
                Figure(f"{stage}, {state}", subject, value, "ms", value / millis["candelabra"], versions)
                for subject, value in millis.items()
            ]
    publish("lifecycle", figures, title=f"Life of a pool of 2 workers, median of {runs} fresh interpreters")
    slowest = max(
        figure.value for figure in figures if figure.subject == "candelabra" and figure.work.startswith("__enter__")
    )
    (recovery,) = [figure.value for figure in figures if figure.subject == "candelabra" and "killed" in figure.work]
    is_kept = True
    for what, value in (("__enter__", slowest), ("recovery from a worker's death", recovery)):
        verdict = "within" if value < LIMIT_MILLIS else "NOT within"
        is_kept = is_kept and value < LIMIT_MILLIS
        print(f"candelabra's {what} takes {value:.1f} ms: {verdict} the limit of {LIMIT_MILLIS:.0f} ms")  # noqa: T201
    return 0 if is_kept else 1
