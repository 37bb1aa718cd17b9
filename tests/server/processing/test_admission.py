"""What an engine takes, and what it refuses."""

import pytest

from candelabra_server.config import LoadLimits, TimeLimits
from candelabra_server.errors import ConfigurationError, OverloadedError, Reason
from candelabra_server.processing.admission import Admission, Backlog

MEBIBYTE = 1024 * 1024
LIMITS = LoadLimits(max_jobs=2, max_queued_symbols=100, max_waiting_mebibytes=1)


def make_admission(**backlog):
    return Admission(LIMITS, lambda: Backlog(**backlog))


def test_as_many_jobs_as_are_allowed_are_taken_and_then_as_many_as_end():
    admission = make_admission(seconds=2.5)
    with admission.job(), admission.job():
        with pytest.raises(
            OverloadedError, match=r"has 2 jobs, as many as it takes; send the job again in 2\.5 s"
        ) as caught:
            with admission.job():
                pass
        assert caught.value.reason == Reason.TOO_MANY_JOBS
        assert admission.active_jobs == 2
    assert admission.active_jobs == 0
    with admission.job():
        assert admission.active_jobs == 1


def test_a_job_that_fails_makes_room_for_another_one():
    admission = make_admission()
    for _ in range(5):
        with pytest.raises(KeyError), admission.job():
            raise KeyError
    assert admission.active_jobs == 0


def test_symbols_beyond_those_that_may_wait_are_refused():
    admission = make_admission(queued_symbols=90)
    with admission.job(), admission.job():
        admission.check(10)
        with pytest.raises(OverloadedError, match="90 symbols are queued, and it takes 100") as caught:
            admission.check(11)
    assert caught.value.reason == Reason.TOO_MANY_SYMBOLS_QUEUED
    assert caught.value.metadata == {"queued_symbols": "90", "waiting_bytes": "0"}


def test_results_that_wait_for_slow_clients_keep_others_out():
    admission = make_admission(waiting_bytes=MEBIBYTE + 1)
    with admission.job():
        with pytest.raises(OverloadedError, match="1 MB of results wait for clients that read slowly") as caught:
            with admission.job():
                pass
    assert admission.active_jobs == 0
    assert caught.value.reason == Reason.TOO_MANY_BYTES_WAITING


def test_a_server_without_other_jobs_takes_any():
    admission = make_admission(queued_symbols=0)
    with admission.job():
        admission.check(100_000)


@pytest.mark.parametrize(("seconds", "told"), [(0.0, 0.1), (7.0, 7.0), (1e9, 30.0)])
def test_when_to_come_again_is_what_the_backlog_takes_within_reason(seconds, told):
    admission = make_admission(seconds=seconds)
    with admission.job(), admission.job(), pytest.raises(OverloadedError) as caught, admission.job():
        pass
    assert caught.value.retry_seconds == told


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        (LoadLimits, "max_jobs"),
        (LoadLimits, "max_queued_symbols"),
        (LoadLimits, "max_waiting_mebibytes"),
        (TimeLimits, "symbol_seconds"),
        (TimeLimits, "job_seconds"),
        (TimeLimits, "grace_seconds"),
    ],
)
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_a_limit_that_cannot_work_is_refused_by_name(limits, name, value):
    with pytest.raises(ConfigurationError, match=f"{name.replace('_', ' ')} must be above 0"):
        limits(**{name: value})


@pytest.mark.parametrize(("name", "most"), [("symbol_seconds", 2_000_000), ("job_seconds", 1_000_000_000)])
def test_a_time_limit_that_no_message_can_hold_is_refused(name, most):
    TimeLimits(**{name: most})
    with pytest.raises(ConfigurationError, match=f"must be {most:,} or less"):
        TimeLimits(**{name: most + 1})
