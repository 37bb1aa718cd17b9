"""A screen whose stream breaks is sent again whole, where that gives each symbol once and in order."""

import grpc
import numpy as np
import pytest

from candelabra_client import Aborted, InvalidRequest, RetryPolicy, ServerUnavailable
from support.scripted_server import Script, answer_screen, passed, serving


def breaking_after(*messages, code=grpc.StatusCode.UNAVAILABLE):
    def answer(request, context):
        yield from messages
        context.abort(code, "the server is shutting down")

    return answer


def test_rows_that_were_handed_out_are_left_out_of_the_second_attempt(user):
    script = Script(screen_answers=[breaking_after(passed("A", "C", value=[7.0, 8.0], total=4)), answer_screen])
    with serving(script) as address:
        batches = user(address).screen(symbols=["A", "B", "C", "D"])

    assert [batch.symbols for batch in batches] == [("A", "C"), ("B",), ("D",)]
    assert [batch["value"].tolist() for batch in batches] == [[7.0, 8.0], [1.0], [3.0]]
    first, second = script.screens
    second.screen_id = ""  # the second attempt has the id that the server made
    assert first == second


def test_errors_are_those_of_the_attempt_that_was_complete(user):
    broken = breaking_after(passed("A", value=[1.0], failures={"B": "WORKER_DIED"}, total=3))
    with serving(Script(screen_answers=[broken, answer_screen])) as address:
        result = user(address).screened(symbols=["A", "B", "NOPE"])

    assert result.symbols == ("A", "B")
    assert list(result.errors) == ["NOPE"]
    assert (result.symbols_passed, result.symbols_failed) == (2, 1)


@pytest.mark.parametrize("order", [{"order_by": "value desc"}, {"limit": 3}])
def test_a_sorted_screen_is_sent_again_while_it_has_no_rows(user, order):
    script = Script(screen_answers=[breaking_after(passed(total=3, done=2)), answer_screen])
    with serving(script) as address:
        result = user(address).screened(symbols=["A", "B"], **order)

    assert result.symbols == ("A", "B")
    assert len(script.screens) == 2


@pytest.mark.parametrize("order", [{"order_by": "value"}, {"limit": 9}])
def test_a_sorted_screen_goes_on_after_the_rows_that_it_has_given(user, order):
    first = breaking_after(passed("A", value=[np.nan], total=4))
    second = breaking_after(passed("A", "B", value=[np.nan, 1.0], total=4), passed("C", value=[2.0], total=4))
    third = [
        passed(total=4, done=4),
        passed("A", value=[np.nan], total=4),
        passed("B", "C", "D", value=[1.0, 2.0, 2.0], total=4, last=True),
    ]
    script = Script(screen_answers=[first, second, lambda request, context: iter(third)])
    with serving(script) as address:
        batches = user(address).screen(**order)

    assert [batch.symbols for batch in batches] == [("A",), ("B",), ("C",), ("D",)]
    assert [batch["value"].tolist() for batch in batches[1:]] == [[1.0], [2.0], [2.0]]
    assert len(script.screens) == 3


@pytest.mark.parametrize(
    "changed",
    [
        passed("B", "A", value=[1.0, 2.0], last=True),
        passed("A", "B", value=[1.5, 2.0], last=True),
        passed("A", value=[1.0], last=True),
        passed(last=True),
    ],
    ids=["another order", "another value", "fewer rows", "no rows"],
)
def test_a_sorted_screen_does_not_go_on_in_another_order(user, changed):
    given = [passed("A", value=[1.0], total=3), passed("B", value=[2.0], total=3)]
    script = Script(screen_answers=[breaking_after(*given), lambda request, context: iter([changed])])
    with serving(script) as address:
        with pytest.raises(Aborted, match="have changed since; screen again"):
            user(address).screened(order_by="value")


def test_a_symbol_that_was_handed_out_does_not_fail_afterwards(user):
    end = passed("B", value=[2.0], failures={"A": "NO_CANDLES", "C": "NO_CANDLES"}, last=True)
    broken = breaking_after(passed("A", value=[1.0], total=3))
    with serving(Script(screen_answers=[broken, lambda request, context: iter([end])])) as address:
        result = user(address).screened()

    assert result.symbols == ("A", "B")
    assert list(result.errors) == ["C"]
    assert result.symbols_failed == 1


def test_a_symbol_that_comes_twice_in_a_batch_is_given_once(user):
    twice = passed("B", "A", "B", "C", value=[1.0, 2.0, 3.0, 4.0], last=True)
    with serving(Script(screen_answers=[lambda request, context: iter([twice])])) as address:
        result = user(address).screened()

    assert result.symbols == ("B", "A", "C")
    assert result["value"].tolist() == [1.0, 2.0, 4.0]


def test_a_stream_that_breaks_after_its_last_message_is_complete(user):
    script = Script(screen_answers=[breaking_after(passed("A", value=[1.0], last=True))])
    with serving(script) as address:
        result = user(address).screened(order_by="value")

    assert result.symbols == ("A",)
    assert len(script.screens) == 1


def test_attempts_without_new_rows_are_bounded(user):
    script = Script(screen_answers=[breaking_after(passed("A", value=[1.0], total=3))])
    with serving(script) as address:
        with pytest.raises(ServerUnavailable):
            user(address, retry=RetryPolicy(max_attempts=3, initial_backoff_seconds=0.001)).screened()

    assert len(script.screens) == 3


def test_before_the_first_message_it_is_sent_again_too(user):
    script = Script(screen_answers=[breaking_after(), breaking_after(), answer_screen])
    with serving(script) as address:
        result = user(address).screened(symbols=["A"])

    assert result.symbols == ("A",)
    assert len(script.screens) == 3


def test_no_other_status_is_repeated(user):
    refused = breaking_after(passed("A", value=[1.0], total=2), code=grpc.StatusCode.INVALID_ARGUMENT)
    script = Script(screen_answers=[refused])
    with serving(script) as address:
        with pytest.raises(InvalidRequest):
            user(address).screened()

    assert len(script.screens) == 1
