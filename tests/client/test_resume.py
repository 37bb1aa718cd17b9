"""A job whose stream breaks is sent again for the symbols that are missing."""

import grpc
import pytest

from candelabra_client import DeadlineExceeded, InvalidRequest, RetryPolicy, ServerUnavailable
from support.scripted_server import Script, answer_each, failed, rows, serving, stored


def breaking_after(*messages, code=grpc.StatusCode.UNAVAILABLE):
    def answer(job, context):
        yield from messages
        context.abort(code, "the server is shutting down")

    return answer


def test_only_the_missing_symbols_are_sent_again_and_each_comes_once(user):
    script = Script(answers=[breaking_after(rows("A", [1.0], total=4), failed("NOPE", total=4)), answer_each])
    with serving(script) as address:
        results = user(address).iterate(["A", "NOPE", "B", "C"], job_id="mine", formula="close", last_n=3)

    assert [result.symbol for result in results] == ["A", "NOPE", "B", "C"]
    first, second = script.jobs
    assert (list(first.symbols), list(second.symbols)) == (["A", "NOPE", "B", "C"], ["B", "C"])
    del first.symbols[:], second.symbols[:]
    assert first == second


def test_parts_of_a_symbol_that_did_not_arrive_whole_are_dropped(user):
    broken = breaking_after(rows("A", [1.0], total=2), rows("B", [7.0, 7.0], last=False, total=2))
    script = Script(answers=[broken, lambda job, context: iter([rows("B", [1.0, 2.0, 3.0])])])
    with serving(script) as address:
        results = user(address).gather(["A", "B"])

    assert results["B"]["value"].tolist() == [1.0, 2.0, 3.0]


def test_a_job_without_a_single_whole_symbol_is_sent_again_as_it_was(user):
    script = Script(answers=[breaking_after(rows("A", [1.0], last=False, total=2)), answer_each], stored=stored("A"))
    with serving(script) as address:
        results = user(address).gather(["A*", "B"])

    assert list(script.jobs[1].symbols) == ["A*", "B"]
    assert script.queries == []
    assert len(results) == 2


def test_the_server_is_asked_what_a_pattern_means_before_the_job_is_sent_again(user):
    script = Script(answers=[breaking_after(rows("AA", [1.0], total=4)), answer_each], stored=stored("AA", "AB", "AC"))
    with serving(script) as address:
        results = user(address).iterate(["A*", "NOPE", "AB"])

    assert [(list(query.symbols), query.timeframe) for query in script.queries] == [(["A*"], "1d")] * 2
    assert sorted(script.jobs[1].symbols) == ["AB", "AC", "NOPE"]
    assert sorted(result.symbol for result in results) == ["AA", "AB", "AC", "NOPE"]


def test_a_stream_that_breaks_after_its_last_result_is_complete(user):
    script = Script(answers=[breaking_after(rows("A", [1.0], total=2), rows("B", [1.0], total=2))])
    with serving(script) as address:
        results = user(address).gather(["A", "B"])

    assert results.symbols == ("A", "B")
    assert len(script.jobs) == 1


def test_a_symbol_that_the_server_sends_twice_is_given_once(user):
    twice = [rows("A", [1.0], total=2), rows("A", [2.0], total=2), rows("B", [3.0], total=2)]
    with serving(Script(answers=[lambda job, context: iter(twice)])) as address:
        results = user(address).iterate(["A", "B"])

    assert [result["value"].tolist() for result in results] == [[1.0], [3.0]]


def test_progress_and_totals_go_on_where_they_were(user):
    seen = []
    script = Script(answers=[breaking_after(rows("A", [1.0], total=3)), answer_each])
    with serving(script) as address:
        user(address).gather(["A", "B", "C"], progress=lambda p: seen.append((p.symbols_done, p.symbols_total)))

    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_attempts_without_progress_are_bounded(user):
    nothing_new = breaking_after(rows("B", [1.0], last=False, total=1))
    script = Script(answers=[breaking_after(rows("A", [1.0], total=2)), nothing_new])
    with serving(script) as address:
        with pytest.raises(ServerUnavailable, match="the server is shutting down"):
            user(address, retry=RetryPolicy(max_attempts=3, initial_backoff_seconds=0.001)).gather(["A", "B"])

    assert len(script.jobs) == 3


def test_progress_gives_new_attempts(user):
    def one_symbol(job, context):
        yield rows(job.symbols[0], [1.0], total=len(job.symbols))
        context.abort(grpc.StatusCode.UNAVAILABLE, "again")

    symbols = [f"S{number}" for number in range(9)]
    with serving(Script(answers=[one_symbol])) as address:
        policy = RetryPolicy(max_attempts=2, initial_backoff_seconds=0.001)
        results = user(address, retry=policy).gather(symbols)

    assert results.symbols == tuple(symbols)


def test_a_single_attempt_means_no_second_one(user):
    script = Script(answers=[breaking_after(rows("A", [1.0], total=2))])
    with serving(script) as address:
        with pytest.raises(ServerUnavailable):
            user(address, retry=RetryPolicy(max_attempts=1)).gather(["A", "B"])

    assert len(script.jobs) == 1


def test_before_the_first_message_it_is_sent_again_too(user):
    refusing = breaking_after()
    script = Script(answers=[refusing, refusing, answer_each])
    with serving(script) as address:
        results = user(address).gather(["A"])

    assert len(results) == 1
    assert len(script.jobs) == 3


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_no_other_status_is_repeated(user, code):
    script = Script(answers=[breaking_after(rows("A", [1.0], total=2), code=code)])
    with serving(script) as address:
        with pytest.raises(Exception, match="shutting down"):
            user(address).gather(["A", "B"])

    assert len(script.jobs) == 1


def test_an_error_of_the_second_attempt_is_raised(user):
    refused = breaking_after(code=grpc.StatusCode.INVALID_ARGUMENT)
    script = Script(answers=[breaking_after(rows("A", [1.0], total=2)), refused])
    with serving(script) as address:
        with pytest.raises(InvalidRequest):
            user(address).gather(["A", "B"])


def test_a_wait_longer_than_the_timeout_is_not_begun(user):
    script = Script(answers=[breaking_after(rows("A", [1.0], total=2))])
    patient = RetryPolicy(initial_backoff_seconds=1_000, max_backoff_seconds=1_000)
    with serving(script) as address:
        with pytest.raises(DeadlineExceeded, match="leaves no time to try again"):
            user(address, retry=patient).gather(["A", "B"], timeout=30)


def test_waits_grow_vary_and_are_bounded():
    policy = RetryPolicy(initial_backoff_seconds=1, multiplier=2, max_backoff_seconds=5)

    assert [policy.backoff_seconds(retry, draw=lambda: 0.5) for retry in (1, 2, 3, 4, 9)] == [1, 2, 4, 5, 5]
    assert policy.backoff_seconds(1, draw=lambda: 0.0) == pytest.approx(0.8)
    assert policy.backoff_seconds(1, draw=lambda: 1.0) == pytest.approx(1.2)


@pytest.mark.parametrize("options", [{"max_attempts": 0}, {"initial_backoff_seconds": 0}, {"multiplier": -1}])
def test_a_policy_that_cannot_work_is_refused(options):
    with pytest.raises(ValueError, match=r"expected 1 or more|above 0"):
        RetryPolicy(**options)
