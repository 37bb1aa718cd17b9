"""What could lose a symbol or give it twice: answers that do not add up, and users who interfere meanwhile."""

import asyncio
import threading

import grpc
import numpy as np
import pytest

from candelabra_client import AsyncClient, Cancelled, Client, ProtocolError, RetryPolicy, ServerUnavailable
from candelabra_client._connection import channel_options
from support.scripted_server import Script, answer_each, failed, passed, rows, serving, stored

WAIT_SECONDS = 20
NEVER = RetryPolicy(initial_backoff_seconds=1_000, max_backoff_seconds=1_000)


def breaking_after(*messages, code=grpc.StatusCode.UNAVAILABLE):
    def answer(request, context):
        yield from messages
        context.abort(code, "the server is shutting down")

    return answer


def numbered(message, sequence):
    message.sequence = sequence
    return message


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        (
            [numbered(rows("A", [1.0], total=2), 1), numbered(rows("B", [1.0], total=2), 3)],
            "message 3 came where 2 was expected",
        ),
        ([numbered(rows("A", [1.0], total=2), 2)], "message 2 came where 1 was expected"),
        ([rows("A", [1.0], total=2), rows("C", [1.0], total=2)], "ended the job without B"),
        ([rows("A", [1.0], total=1)], "ended the job without B"),
    ],
)
def test_a_message_that_is_missing_is_noticed(user, messages, complaint):
    with serving(Script(answers=[lambda job, context: iter(messages)])) as address:
        with pytest.raises(ProtocolError, match=complaint):
            user(address).gather(["A", "B"])


def test_messages_are_counted_from_one_again_when_a_job_is_sent_again(user):
    broken = breaking_after(numbered(rows("A", [1.0], total=2), 1), numbered(rows("B", [9.0], last=False, total=2), 2))
    with serving(Script(answers=[broken, answer_each])) as address:
        results = user(address).gather(["A", "B"])

    assert results["B"]["value"].tolist() == [1.0, 2.0, 1.0]


def test_rows_after_an_error_of_their_symbol_are_refused(user):
    unfinished = failed("A")
    unfinished.last_part = False
    messages = [rows("A", [1.0], last=False), unfinished, rows("A", [2.0], first_row=1)]
    with serving(Script(answers=[lambda job, context: iter(messages)])) as address:
        with pytest.raises(ProtocolError, match="a part with an error is not the last one"):
            user(address).gather("A")


def test_an_error_after_some_rows_outlasts_a_break(user):
    broken = breaking_after(rows("A", [1.0], last=False, total=2), failed("A", reason="WORKER_DIED", total=2))
    with serving(Script(answers=[broken, answer_each])) as address:
        bad, good = user(address).iterate(["A", "B"])

    assert (bad.error.reason, bad.row_count) == ("WORKER_DIED", 0)
    assert good.ok


def test_symbols_that_were_given_before_are_no_progress(user):
    # A server that sends the same symbol again, whatever it is asked for.
    script = Script(answers=[breaking_after(rows("A", [1.0], total=2))])
    with serving(script) as address:
        with pytest.raises(ServerUnavailable):
            user(address, retry=RetryPolicy(max_attempts=3, initial_backoff_seconds=0.001)).gather(["A", "B"])

    assert len(script.jobs) == 3


def test_a_pattern_means_what_is_stored_when_the_job_is_sent_again(user):
    # AB is gone and AD is new since the job was sent the first time.
    script = Script(answers=[breaking_after(rows("AA", [1.0], total=3)), answer_each], stored=stored("AA", "AC", "AD"))
    progress = []
    with serving(script) as address:
        results = user(address).iterate("A*", progress=lambda p: progress.append((p.symbols_done, p.symbols_total)))

    assert [result.symbol for result in results] == ["AA", "AC", "AD"]
    assert progress == [(1, 3), (2, 3), (3, 3)]


def test_a_symbol_that_is_gone_when_the_job_is_sent_again_has_an_error(user):
    def without_b(job, context):
        yield from (
            failed(symbol, total=2) if symbol == "B" else rows(symbol, [2.0], total=2) for symbol in job.symbols
        )

    with serving(Script(answers=[breaking_after(rows("A", [1.0], total=3)), without_b])) as address:
        results = user(address).gather(["A", "B", "C"])

    assert list(results.errors) == ["B"]
    assert results["A"]["value"].tolist() == [1.0]


class OfTheUser(grpc.RpcError):
    """A failure of a call that the user makes meanwhile, to some other server."""

    def code(self):
        return grpc.StatusCode.UNAVAILABLE

    def details(self):
        return "of the user's own"

    def trailing_metadata(self):
        return ()

    def initial_metadata(self):
        return ()


@pytest.mark.parametrize("error", [OfTheUser, ValueError, KeyboardInterrupt, asyncio.CancelledError])
def test_an_error_of_the_progress_callback_ends_the_job_as_it_is(user, error):
    def fail(progress):
        raise error

    def endless(job, context):
        while context.is_active():
            yield rows("A", [1.0], total=10)

    script = Script(answers=[endless])
    with serving(script) as address:
        with pytest.raises(error):
            user(address).iterate(["A", "B"], progress=fail)

        assert script.ended.wait(WAIT_SECONDS)
    assert len(script.jobs) == 1


@pytest.mark.parametrize("error", [OfTheUser, KeyboardInterrupt])
def test_an_error_of_a_screens_progress_callback_ends_it_as_it_is(user, error):
    def fail(progress):
        raise error

    script = Script(screen_answers=[breaking_after(passed("A", value=[1.0], total=2))])
    with serving(script) as address:
        with pytest.raises(error):
            user(address).screen(progress=fail)

    assert len(script.screens) == 1


def broken_once(signal):
    def answer(job, context):
        yield rows("A", [1.0], total=2)
        signal.set()
        context.abort(grpc.StatusCode.UNAVAILABLE, "the server is shutting down")

    return answer


@pytest.mark.parametrize("what", ["job", "client"])
def test_closing_ends_the_wait_before_a_job_is_sent_again(what):
    broken = threading.Event()
    script = Script(answers=[broken_once(broken)])
    ended = []

    def iterate(job):
        try:
            ended.extend(job)
        except Cancelled as error:
            ended.append(error)

    with serving(script) as address, Client(address, retry=NEVER) as client:
        job = client.process(["A", "B"], timeframe="1d")
        caller = threading.Thread(target=iterate, args=[job])
        caller.start()
        assert broken.wait(WAIT_SECONDS)
        job.close() if what == "job" else client.close()
        caller.join(WAIT_SECONDS)

    # The result that had come may be lost with the call that was closed at the same time.
    assert isinstance(ended[-1], Cancelled)
    assert len(script.jobs) == 1


@pytest.mark.parametrize("what", ["job", "client", "task"])
def test_closing_ends_the_wait_before_an_async_job_is_sent_again(what):
    broken = threading.Event()
    script = Script(answers=[broken_once(broken)])

    async def run(address):
        async with AsyncClient(address, retry=NEVER) as client:
            job = client.process(["A", "B"], timeframe="1d")
            task = asyncio.create_task(job.results())
            assert await asyncio.to_thread(broken.wait, WAIT_SECONDS)
            if what == "job":
                job.close()
            elif what == "client":
                await client.close()
            else:
                task.cancel()
            with pytest.raises(asyncio.CancelledError if what == "task" else Cancelled):
                await asyncio.wait_for(task, WAIT_SECONDS)

    with serving(script) as address:
        asyncio.run(run(address))
    assert len(script.jobs) == 1


def test_a_job_that_is_closed_by_its_reader_is_not_resumed(user):
    script = Script(answers=[breaking_after(rows("A", [1.0], total=2)), answer_each])
    with serving(script) as address:
        results = user(address).iterate(["A", "B"], stop_after=1)

    assert [result.symbol for result in results] == ["A"]


def test_values_of_an_attempt_that_broke_are_not_mixed_with_those_of_the_next(user):
    old = [rows("A", [1.0, 2.0], last=False, total=1), rows("A", [3.0], first_row=2, last=False, total=1)]
    new = [rows("A", [7.0], last=False), rows("A", [8.0, np.nan], first_row=1)]
    with serving(Script(answers=[breaking_after(*old), lambda job, context: iter(new)])) as address:
        (result,) = user(address).iterate("A")

    np.testing.assert_array_equal(result["value"], [7.0, 8.0, np.nan])
    assert len(result.open_times) == 3


def test_a_users_channel_options_win_over_the_clients():
    options = channel_options(max_receive_bytes=1, extra=[("grpc.max_receive_message_length", 2), ("other", 3)])

    assert [value for name, value in options if name == "grpc.max_receive_message_length"] == [2]
    assert ("other", 3) in options
