"""A server that has too much to do says when to come back: the client waits that long and asks again."""

import grpc
import pytest

from candelabra_client import DeadlineExceeded, Overloaded, RetryPolicy, ServerUnavailable
from candelabra_client._attempts import Attempts
from support.scripted_server import Script, answer_each, answer_screen, passed, rich_status, rows, serving

FULL = {"reason": "TOO_MANY_JOBS", "metadata": {"limit": "100"}}


def refusing(*messages, retry_after=0.01, code=grpc.StatusCode.RESOURCE_EXHAUSTED):
    def answer(request, context):
        yield from messages
        status = rich_status(code, "100 jobs run already", retry_after=retry_after, **FULL)
        pushback = ("grpc-retry-pushback-ms", "10")  # our server sends it for clients that leave retries to gRPC
        context.abort_with_status(status._replace(trailing_metadata=(*status.trailing_metadata, pushback)))

    return answer


def test_a_job_that_was_refused_is_sent_again(user):
    script = Script(answers=[refusing(), refusing(), answer_each])
    with serving(script) as address:
        results = user(address).iterate(["A", "B"])

    assert [result.symbol for result in results] == ["A", "B"]
    assert len(script.jobs) == 3


def test_a_job_that_is_refused_when_it_is_resumed_is_sent_again(user):
    def broken(job, context):
        yield rows("A", [1.0], total=3)
        context.abort(grpc.StatusCode.UNAVAILABLE, "the server is shutting down")

    script = Script(answers=[broken, refusing(), refusing(), answer_each])
    with serving(script) as address:
        results = user(address).iterate(["A", "B", "C"])

    assert [result.symbol for result in results] == ["A", "B", "C"]
    assert [list(job.symbols) for job in script.jobs[1:]] == [["B", "C"]] * 3


def test_a_screen_that_was_refused_is_sent_again(user):
    broken = refusing(passed("A", value=[0.0], total=2))
    script = Script(screen_answers=[refusing(), broken, answer_screen])
    with serving(script) as address:
        result = user(address).screened(symbols=["A", "B"])

    assert result.symbols == ("A", "B")
    assert len(script.screens) == 3


def test_when_attempts_are_used_up_the_error_says_when_to_come_back(user):
    script = Script(answers=[refusing(retry_after=0.025)])
    with serving(script) as address:
        with pytest.raises(Overloaded) as caught:
            user(address, retry=RetryPolicy(max_attempts=3, initial_backoff_seconds=0.001)).iterate("A")

    assert caught.value.retry_after == pytest.approx(0.025)
    assert (caught.value.reason, dict(caught.value.metadata)) == ("TOO_MANY_JOBS", {"limit": "100"})
    assert len(script.jobs) == 3


def test_a_single_attempt_waits_for_nothing(user):
    script = Script(answers=[refusing(retry_after=30)])
    with serving(script) as address:
        with pytest.raises(Overloaded) as caught:
            user(address, retry=RetryPolicy(max_attempts=1)).iterate("A")

    assert caught.value.retry_after == 30
    assert len(script.jobs) == 1


def test_a_wait_that_is_too_long_for_the_policy_is_left_to_the_caller(user):
    script = Script(answers=[refusing(retry_after=3_600)])
    with serving(script) as address:
        with pytest.raises(Overloaded) as caught:
            user(address).iterate("A")

    assert caught.value.retry_after == 3_600
    assert len(script.jobs) == 1


def test_a_wait_that_is_too_long_for_the_timeout_is_not_begun(user):
    script = Script(answers=[refusing(retry_after=50)])
    with serving(script) as address:
        with pytest.raises(DeadlineExceeded, match="leaves no time to try again after: 100 jobs run already") as caught:
            user(address).iterate("A", timeout=30)

    assert (caught.value.retry_after, caught.value.reason) == (50, "TOO_MANY_JOBS")


def test_exhaustion_without_a_time_to_come_back_is_not_repeated(user):
    script = Script(answers=[refusing(retry_after=None)])
    with serving(script) as address:
        with pytest.raises(Overloaded) as caught:
            user(address).iterate("A")

    assert caught.value.retry_after is None
    assert len(script.jobs) == 1


class Refusal(grpc.RpcError):
    """What grpc raises for a status with a time to come back."""

    def __init__(self, code, retry_after=None):
        super().__init__()
        self.status = rich_status(code, "not now", reason="TOO_MANY_JOBS", retry_after=retry_after)

    def code(self):
        return self.status.code

    def details(self):
        return self.status.details

    def trailing_metadata(self):
        return self.status.trailing_metadata

    def initial_metadata(self):
        return ()


@pytest.mark.parametrize("code", [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE])
def test_the_wait_is_what_the_server_asks_for_or_a_little_more(code):
    attempts = Attempts(address="", retry=RetryPolicy(max_attempts=5))
    waits = [attempts.fail(Refusal(code, retry_after=7.0)) for _ in range(4)]

    assert all(7.0 <= wait <= 7.0 * 1.2 for wait in waits)
    assert len(set(waits)) > 1
    with pytest.raises((Overloaded, ServerUnavailable)):
        attempts.fail(Refusal(code, retry_after=7.0))


def test_a_shorter_wait_than_the_clients_own_is_not_taken():
    policy = RetryPolicy(initial_backoff_seconds=2, max_backoff_seconds=2)

    assert policy.backoff_seconds(1, retry_after=0.5, draw=lambda: 0.0) == pytest.approx(1.6)
    assert policy.backoff_seconds(1, retry_after=10, draw=lambda: 0.0) == pytest.approx(10)
    assert policy.backoff_seconds(1, retry_after=10, draw=lambda: 1.0) == pytest.approx(12)


def test_something_new_gives_the_server_new_patience():
    attempts = Attempts(address="", retry=RetryPolicy(max_attempts=2))
    for _ in range(10):
        attempts.fail(Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after=1.0))
        attempts.succeed()


def test_many_attempts_do_not_overflow_the_wait():
    policy = RetryPolicy(max_attempts=100_000)

    assert policy.backoff_seconds(99_999, draw=lambda: 0.5) == pytest.approx(5)
