"""Tasks that do nothing through the pools that Python's users know, all in flight at once, as their users send them.

The request has `pool`, `tasks`, `workers` and `runs`; the answer has the `seconds` of every run and `versions`.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version

RunTasks = Callable[[int], object]
"""Runs so many tasks to their end."""

_CHUNK = 100
_FIRST_TASKS = 200
"""Start the workers, and are not timed."""


def nothing(number: int) -> int:
    """A task."""
    return number


@contextmanager
def _bare_pool(workers: int) -> Iterator[RunTasks]:
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("forkserver")) as pool:
        yield lambda tasks: _all_of(pool, tasks, 1)


@contextmanager
def _bare_pool_in_chunks(workers: int) -> Iterator[RunTasks]:
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("forkserver")) as pool:
        yield lambda tasks: _all_of(pool, tasks, _CHUNK)


@contextmanager
def _loky(workers: int) -> Iterator[RunTasks]:
    from loky import ProcessPoolExecutor as LokyExecutor

    with LokyExecutor(workers) as pool:
        yield lambda tasks: _all_of(pool, tasks, 1)


@contextmanager
def _dask(workers: int) -> Iterator[RunTasks]:
    from distributed import Client, LocalCluster  # type: ignore[import-not-found]

    with (
        LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        yield lambda tasks: client.gather(client.map(nothing, range(tasks), pure=False))


@contextmanager
def _ray(workers: int) -> Iterator[RunTasks]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray  # type: ignore[import-not-found]

    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    try:
        task = ray.remote(nothing)
        yield lambda tasks: ray.get([task.remote(number) for number in range(tasks)])
    finally:
        ray.shutdown()


def _all_of(pool: Executor, tasks: int, chunk: int) -> list[int]:
    return list(pool.map(nothing, range(tasks), chunksize=chunk))


POOLS = {
    "ProcessPoolExecutor": (_bare_pool, ()),
    "ProcessPoolExecutor, chunks of 100": (_bare_pool_in_chunks, ()),
    "loky": (_loky, ("loky",)),
    "Dask": (_dask, ("distributed",)),
    "Ray": (_ray, ("ray",)),
}


def _main() -> None:
    asked = json.loads(sys.argv[1])
    pool, packages = POOLS[asked["pool"]]
    seconds = []
    with pool(asked["workers"]) as run_tasks:
        run_tasks(_FIRST_TASKS)
        for _ in range(asked["runs"]):
            begin = time.perf_counter()
            run_tasks(asked["tasks"])
            seconds.append(time.perf_counter() - begin)
    print(json.dumps({"seconds": seconds, "versions": {package: version(package) for package in packages}}))  # noqa: T201


if __name__ == "__main__":
    _main()
