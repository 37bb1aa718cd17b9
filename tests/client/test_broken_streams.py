"""How streams end without a status of the server, in every way that HTTP/2 has, and which ends are resumed.

The proxy of test_cut_connections.py ends connections; here streams end on connections that live on, as happens behind
HTTP proxies. Statuses with the same codes that a server has sent are not repeated.
"""

import grpc
import pytest

from candelabra import v1
from candelabra_client import (
    Cancelled,
    DeadlineExceeded,
    HealthStatus,
    InternalServerError,
    MessageTooLarge,
    Overloaded,
    RetryPolicy,
    ServerUnavailable,
    Unimplemented,
)
from support.raw_http2 import answering, data, end_of_connection, going_away, headers, reset, trailers
from support.scripted_server import Script, passed, rich_status, rows, serving

VALUES = {"A": [1.0], "B": [2.0]}
FIRST, SECOND = (rows(symbol, values, total=2) for symbol, values in VALUES.items())


def answer_whole(request):
    """A message that had arrived may be lost with its connection, so the second answer is for what is asked."""
    symbols = v1.ProcessingJob.FromString(request).symbols
    messages = [data(rows(symbol, VALUES[symbol], total=len(symbols))) for symbol in symbols]
    return [headers(), *messages, trailers(0)]


BROKEN = {
    "reset without an error": reset("NO_ERROR"),
    "reset for an internal error": reset("INTERNAL_ERROR"),
    "reset because refused": reset("REFUSED_STREAM"),
    "reset because cancelled": reset("CANCEL"),
    "no trailers": data(b"", ends=True),
    "no trailers, within a message": data(b"\0\0\0\0\x20begins", ends=True),
    "connection closed": end_of_connection,
}
LASTING = {
    "reset for the protocol": (reset("PROTOCOL_ERROR"), InternalServerError),
    "reset for flow control": (reset("FLOW_CONTROL_ERROR"), InternalServerError),
    "reset for calm": (reset("ENHANCE_YOUR_CALM"), Overloaded),
    "INTERNAL": (trailers(13, "boom"), InternalServerError),
    "UNKNOWN": (trailers(2, "Unexpected <class 'ValueError'>"), InternalServerError),
    "CANCELLED": (trailers(1, "by an operator"), Cancelled),
    "RESOURCE_EXHAUSTED": (trailers(8, "out of memory"), Overloaded),
    "INTERNAL, in grpc's words but with metadata": (
        trailers(13, "Received RST_STREAM with error code 2", ("x-request-id", "7")),
        InternalServerError,
    ),
}


@pytest.mark.parametrize("end", BROKEN.values(), ids=BROKEN)
def test_a_job_goes_on_after_a_stream_that_ended_without_a_status(user, end):
    with answering([[headers(), data(FIRST), end], answer_whole]) as address:
        results = user(address).iterate(["A", "B"])

    assert [(result.symbol, result["value"].tolist()) for result in results] == [("A", [1.0]), ("B", [2.0])]


@pytest.mark.parametrize("end", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("beginning", [[], [headers()]], ids=["before headers", "after headers"])
def test_a_job_is_sent_again_when_its_stream_ended_before_a_message(user, beginning, end):
    with answering([[*beginning, end], [*beginning, end], answer_whole]) as address:
        results = user(address).iterate("A")

    assert [result["value"].tolist() for result in results] == [[1.0]]


@pytest.mark.parametrize("end", BROKEN.values(), ids=BROKEN)
def test_a_screen_goes_on_after_a_stream_that_ended_without_a_status(user, end):
    begun = [headers(), data(passed("A", value=[1.0], total=2))]
    whole = [headers(), data(passed("A", "B", value=[1.0, 2.0], last=True)), trailers(0)]
    with answering([[*begun, end], whole]) as address:
        result = user(address).screened(order_by="value")

    assert result.symbols == ("A", "B")


@pytest.mark.parametrize("end", BROKEN.values(), ids=BROKEN)
def test_a_call_with_one_answer_is_made_again_too(user, end):
    whole = [headers(), data(b"\0\0\0\0\0"), trailers(0)]  # a message without any field
    with answering([[headers(), end], whole]) as address:
        assert user(address).call("list_symbols") == []


def test_calls_with_one_answer_are_not_repeated_for_ever(user):
    with answering([[reset("REFUSED_STREAM")]]) as address:
        with pytest.raises(ServerUnavailable):
            user(address, retry=RetryPolicy(max_attempts=3, initial_backoff_seconds=0.001)).call("list_symbols")


def test_a_call_that_has_no_time_left_to_be_repeated_says_so(user):
    patient = RetryPolicy(initial_backoff_seconds=1_000, max_backoff_seconds=1_000)
    with answering([[reset("REFUSED_STREAM")]]) as address:
        with pytest.raises(DeadlineExceeded, match="leaves no time to try again"):
            user(address, retry=patient).call("server_info")


def test_health_is_told_as_it_is_now(user):
    whole = [headers(), data(b"\0\0\0\0\2\x08\x01"), trailers(0)]  # SERVING
    with answering([[reset("REFUSED_STREAM")], whole]) as address:
        with pytest.raises(ServerUnavailable):
            user(address).call("health")
        assert user(address).call("health") is HealthStatus.SERVING


@pytest.mark.parametrize(("end", "error"), LASTING.values(), ids=LASTING)
def test_what_would_come_again_is_not_repeated(user, end, error):
    with answering([[headers(), data(FIRST), end], answer_whole]) as address:
        with pytest.raises(error):
            user(address).iterate(["A", "B"])


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_http_proxies_say_of_a_server_that_is_not_there_is_repeated(user, status):
    page = [headers(status, "text/html"), data(b"<html>", ends=True)]
    with answering([page, [headers(), data(FIRST), data(SECOND), trailers(0)]]) as address:
        assert len(user(address).iterate(["A", "B"])) == 2


@pytest.mark.parametrize(("status", "error"), [(404, Unimplemented), (500, InternalServerError)])
def test_other_pages_of_http_proxies_are_errors(user, status, error):
    page = [headers(status, "text/html"), data(b"<html>", ends=True)]
    with answering([page, answer_whole]) as address:
        with pytest.raises(error, match=str(status)):
            user(address).iterate("B")


@pytest.mark.parametrize("last", [0, None], ids=["the stream is not answered", "the stream goes on"])
def test_a_job_goes_on_after_goaway(user, last):
    after = [data(SECOND), trailers(0)] if last is None else []
    with answering(
        [[headers(), data(FIRST), going_away(last=last), *after, end_of_connection], answer_whole]
    ) as address:
        results = user(address).iterate(["A", "B"])

    assert [result.symbol for result in results] == ["A", "B"]


def test_broken_streams_are_not_resumed_for_ever(user):
    with answering([[headers(), data(FIRST), reset("CANCEL")]]) as address:
        with pytest.raises(Cancelled):
            user(address, retry=RetryPolicy(max_attempts=3, initial_backoff_seconds=0.001)).iterate(["A", "B"])


@pytest.mark.parametrize("end", BROKEN.values(), ids=BROKEN)
def test_a_single_attempt_means_that_no_broken_stream_is_resumed(user, end):
    with answering([[headers(), data(FIRST), end], answer_whole]) as address:
        with pytest.raises((Cancelled, InternalServerError, ServerUnavailable)):
            user(address, retry=RetryPolicy(max_attempts=1)).iterate(["A", "B"])


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS]
)
def test_a_status_of_our_server_is_never_taken_for_a_broken_stream(user, code):
    def answer(job, context):
        yield FIRST
        # grpc's words on purpose: the details tell who speaks.
        context.abort_with_status(rich_status(code, "Stream removed", reason="INTERNAL"))

    script = Script(answers=[answer])
    with serving(script) as address:
        with pytest.raises((InternalServerError, Cancelled)) as caught:
            user(address).iterate(["A", "B"])

    assert caught.value.reason == "INTERNAL"
    assert len(script.jobs) == 1


def test_a_message_that_is_too_large_is_not_asked_for_again(user):
    def answer(job, context):
        yield rows("A", [0.0] * 10_000)

    script = Script(answers=[answer])
    with serving(script) as address:
        with pytest.raises(MessageTooLarge):
            user(address, max_receive_bytes=10_000).iterate("A")

    assert len(script.jobs) == 1
