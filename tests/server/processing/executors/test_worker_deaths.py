"""How a worker's death is told."""

import signal

import pytest

from candelabra_server.processing.executors import worker_deaths
from candelabra_server.processing.executors.worker_deaths import OVERTIME, WorkerDeath, memory_kills


@pytest.mark.parametrize(
    ("death", "told", "metadata"),
    [
        (WorkerDeath(7, -9), "killed by SIGKILL", {"exit_code": "-9", "signal": "SIGKILL"}),
        (WorkerDeath(7, -11), "killed by SIGSEGV", {"exit_code": "-11", "signal": "SIGSEGV"}),
        (WorkerDeath(7, 3), "ended with exit code 3", {"exit_code": "3"}),
        (WorkerDeath(7, -200), "killed by signal 200", {"exit_code": "-200", "signal": "signal 200"}),
        (
            WorkerDeath(7, -9, OVERTIME),
            "killed by SIGKILL (overtime)",
            {"exit_code": "-9", "signal": "SIGKILL", "cause": "overtime"},
        ),
    ],
)
def test_a_death_is_told_to_people_and_programs(death, told, metadata):
    assert str(death) == told
    assert death.metadata() == metadata


def counters(folder, *contents):
    paths = []
    for number, content in enumerate(contents):
        path = folder / str(number)
        paths.append(path)
        if content is not None:
            path.write_text(content)
    return tuple(paths)


@pytest.mark.parametrize(
    ("contents", "kills"),
    [
        (("low 0\noom_kill 3\n", "oom_kill 9\n"), 3),
        ((None, "nr_free 1\noom_kill 9\n"), 9),
        (("oom 1\n", "oom_kill 9\n"), 9),
        (("nonsense\n", None), 0),
        ((None, None), 0),
    ],
)
def test_kills_for_want_of_memory_are_those_of_the_container_else_of_the_machine(
    contents, kills, tmp_path, monkeypatch
):
    monkeypatch.setattr(worker_deaths, "_KILL_COUNTERS", counters(tmp_path, *contents))
    assert memory_kills() == kills


def test_a_kill_is_put_down_to_memory_when_the_system_has_counted_one_since(tmp_path, monkeypatch):
    monkeypatch.setattr(worker_deaths, "_KILL_COUNTERS", counters(tmp_path, "oom_kill 4\n"))
    kill = -signal.SIGKILL
    assert WorkerDeath.of(7, kill, overtime=False, memory_kills_before=3).cause == "out of memory"
    assert WorkerDeath.of(7, kill, overtime=False, memory_kills_before=4).cause == ""
    assert WorkerDeath.of(7, -11, overtime=False, memory_kills_before=3).cause == ""
    assert WorkerDeath.of(7, kill, overtime=True, memory_kills_before=3).cause == OVERTIME
