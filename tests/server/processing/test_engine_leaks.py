"""A thousand lives of an engine leave nothing behind, nor do the deaths of its workers.

Pool rule 15: 1,000 cycles. `python -m soak.worker_deaths` does the same for deaths; here it is a short run.
"""

import gc
import os
from multiprocessing.util import get_temp_dir
from pathlib import Path
from unittest.mock import MagicMock

import psutil
import pytest

from candelabra_server.processing.processing_engine import ProcessingEngine
from soak import worker_deaths
from support.workers import run_until

CYCLES = 1_000
WARM_CYCLES = 50
DEATHS = 15
GROWTH_LIMIT_BYTES = 24 * 1024 * 1024


def resources():
    """What this process holds of the system, helper processes included."""
    gc.collect()
    me = psutil.Process()
    return {
        "processes": sorted(child.pid for child in me.children(recursive=True)),
        "threads": me.num_threads(),
        "descriptors": me.num_fds(),
        "semaphores and shared memory": Path("/proc/self/maps").read_text().count("/dev/shm/"),
        "temporary files": sorted(path.name for path in Path(get_temp_dir()).iterdir()),
    }


@pytest.mark.timeout(400)
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors and semaphores as Linux shows them")
def test_a_thousand_cycles_leave_nothing_behind():
    for cycle in range(WARM_CYCLES):
        _live(cycle)
    before = resources()
    memory_before = psutil.Process().memory_info().rss
    for cycle in range(CYCLES):
        _live(cycle)
    run_until(lambda: resources() == before)
    assert psutil.Process().memory_info().rss - memory_before < GROWTH_LIMIT_BYTES


def _live(cycle):
    """One life: every tenth does real work, and of those every second leaves some in flight; every seventh raises."""
    engine = ProcessingEngine(MagicMock(), MagicMock(), max_workers=1)
    try:
        with engine:
            if cycle % 10 == 0:
                futures = [engine._executor.submit(pow, 2, n) for n in range(4)]
                if cycle % 20 == 0:
                    assert futures[0].result(timeout=60) == 1
            if cycle % 7 == 0:
                raise _BodyError
    except _BodyError:
        pass
    assert engine._executor is None


class _BodyError(Exception):
    pass


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors and semaphores as Linux shows them")
def test_workers_that_die_leave_nothing_behind(tmp_path):
    """Pool rules 10 and 15: every pool that breaks is ended with all that it had, and every job is done."""
    finding = worker_deaths.soak(tmp_path, DEATHS)
    assert finding.deaths >= DEATHS
    assert finding.generations > DEATHS // 2
    assert finding.after == finding.before


def test_this_process_is_the_one_that_is_counted():
    before = resources()
    descriptor = os.open(os.devnull, os.O_RDONLY)
    try:
        assert resources() != before
    finally:
        os.close(descriptor)
