"""How many symbols a second the engine gives out and gets back, beside tasks that do nothing in other pools."""

from __future__ import annotations

import json
import statistics

from benchmarks.delivery.findings import OURS, Findings
from benchmarks.delivery.helper_process import HelperError, HelperProcess
from benchmarks.delivery.jobs import CLOSE, formula_job
from benchmarks.delivery.running_server import WORKERS
from benchmarks.delivery.sizes import DeliverySizes
from benchmarks.delivery.stores import candle_store
from benchmarks.peer_environments import ask_peer
from benchmarks.promises import at_least

__all__ = ["measure_dispatch"]

UNIT = "tasks/s"
POOLS = {
    "ProcessPoolExecutor": "",
    "loky": "",
    "Dask": "dask",
    "Ray": "ray",
}
"""Each with its environment."""
CHUNKED = "ProcessPoolExecutor, chunks of 100"
"""Beside the promise: what ours would be without symbols, candles, formulas and results."""
_TIMES = 2.0
_LONGEST_SECONDS = 180.0


def measure_dispatch(findings: Findings, sizes: DeliverySizes, *, runs: int) -> None:
    """Ours computes a value and encodes it; a task of the others returns its argument."""
    tasks = sizes.many.symbols
    work = f"dispatch, {tasks:,} symbols or tasks"
    print(f"  {work} …", flush=True)  # noqa: T201
    with findings.attempt(f"{work}: {OURS}"):
        findings.add(work, OURS, tasks / _our_seconds(sizes, runs), UNIT)
    for pool, environment in {**POOLS, CHUNKED: ""}.items():
        with findings.attempt(f"{work}: {pool}"):
            request = {"pool": pool, "tasks": tasks, "workers": WORKERS, "runs": runs}
            answer = ask_peer(
                "pools", request, environment=environment, threads=WORKERS, timeout_seconds=_LONGEST_SECONDS
            )
            findings.add(work, pool, tasks / statistics.median(answer["seconds"]), UNIT, answer["versions"])
    measured = [value for pool in POOLS if (value := findings.value(work, pool, UNIT)) is not None]
    findings.promises.append(
        at_least(
            f"dispatch: at least {_TIMES:.0f} times the best of {', '.join(POOLS)}",
            _TIMES,
            ours=findings.value(work, OURS, UNIT),
            peer=max(measured, default=None),
            unit=UNIT,
        )
    )
    findings.show(f"Dispatch to {WORKERS} workers")


def _our_seconds(sizes: DeliverySizes, runs: int) -> float:
    job = formula_job(CLOSE, last_n=1).SerializeToString().hex()
    request = {"store": str(candle_store(sizes.many)), "job": job, "workers": WORKERS, "runs": runs}
    with HelperProcess("benchmarks.delivery.engine_program", json.dumps(request)) as engine:
        answer = engine.answer(seconds=_LONGEST_SECONDS)
    if answer["messages"] != sizes.many.symbols:
        raise HelperError(f"there are {answer['messages']} results of {sizes.many.symbols} symbols")
    return statistics.median(answer["seconds"])
