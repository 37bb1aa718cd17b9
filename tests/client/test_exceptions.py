import re

import grpc
import pytest

from candelabra_client import (
    CallError,
    CandelabraError,
    Client,
    InvalidRequest,
    MessageTooLarge,
    Overloaded,
    ServerUnavailable,
    _exceptions,
    _status,
)
from candelabra_client._exceptions import Violation
from support.scripted_server import Script, rich_status, serving


def refusing(status):
    def answer(job, context):
        context.send_initial_metadata((("x-request-id", "r-1"),))
        context.abort_with_status(status)
        yield

    return Script(answers=[answer])


def error_of(status, **options):
    with serving(refusing(status)) as address, Client(address) as client:
        with pytest.raises(CandelabraError) as caught:
            client.process("A", timeframe="1d", **options).results()
        return caught.value


def test_every_grpc_status_has_an_exception():
    assert set(_status.EXCEPTIONS) == set(grpc.StatusCode)
    assert all(issubclass(kind, CallError) for kind in _status.EXCEPTIONS.values())


def test_every_exception_for_a_call_stands_for_a_status_or_is_found_locally():
    kinds = {kind for kind in vars(_exceptions).values() if isinstance(kind, type) and issubclass(kind, CallError)}

    assert kinds - {CallError, MessageTooLarge} == set(_status.EXCEPTIONS.values())


def test_the_drawing_of_the_tree_is_the_tree():
    drawn = re.findall(r"(?:[├└]── |^ {4})(\w+)", _exceptions.__doc__, flags=re.MULTILINE)
    real = [name for name, kind in vars(_exceptions).items() if isinstance(kind, type) and issubclass(kind, Exception)]

    assert sorted(drawn) == sorted(real)
    below_call_error = re.findall(r"│   [├└]── (\w+)", _exceptions.__doc__)
    assert all(issubclass(getattr(_exceptions, name), CallError) for name in below_call_error)


@pytest.mark.parametrize(
    "code", [code for code in grpc.StatusCode if code not in {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}]
)
def test_a_call_that_ends_with_a_status_raises_its_exception(code):
    error = error_of(rich_status(code, "because"))

    assert type(error) is _status.EXCEPTIONS[code]
    assert (error.code, error.message, error.reason, error.violations) == (code, "because", "", ())
    assert isinstance(error.__cause__, grpc.RpcError)


def test_an_invalid_request_tells_every_violation_reason_and_metadata():
    caret = "line 1, column 1: unknown function `smaa`; did you mean `sma`?\n  smaa(close, 10)\n  ^^^^"
    error = error_of(
        rich_status(
            grpc.StatusCode.INVALID_ARGUMENT,
            "2 problems",
            violations=[("formula.expression", caret, "UNKNOWN_FUNCTION"), ("timeframe", "is missing", "")],
            reason="INVALID_FORMULA",
            metadata={"problems": "2"},
        )
    )

    assert isinstance(error, InvalidRequest)
    assert isinstance(error, ValueError)
    assert error.violations == (
        Violation("formula.expression", caret, "UNKNOWN_FUNCTION"),
        Violation("timeframe", "is missing", ""),
    )
    assert (error.reason, dict(error.metadata), error.request_id) == ("INVALID_FORMULA", {"problems": "2"}, "r-1")


def test_an_overloaded_server_says_when_to_come_back():
    error = error_of(rich_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", reason="TOO_MANY_JOBS", retry_after=1.5))

    assert isinstance(error, Overloaded)
    assert error.retry_after == 1.5


def test_details_that_cannot_be_read_do_not_hide_the_error():
    def answer(job, context):
        context.set_trailing_metadata((("grpc-status-details-bin", b"\xff\xff"),))
        context.abort(grpc.StatusCode.NOT_FOUND, "gone")
        yield

    with serving(Script(answers=[answer])) as address, Client(address) as client:
        with pytest.raises(CallError, match="gone") as caught:
            client.process("A", timeframe="1d").results()

    assert caught.value.code is grpc.StatusCode.NOT_FOUND


def test_a_message_above_the_clients_limit_says_which_options_help():
    with serving() as address, Client(address, max_receive_bytes=50) as client:
        with pytest.raises(MessageTooLarge, match=r"max_message_bytes.*max_receive_bytes"):
            client.process("A", timeframe="1d").results()


def test_an_address_where_nobody_listens_is_named(fast_retry):
    with Client("127.0.0.1:1", retry=fast_retry) as client:
        with pytest.raises(ServerUnavailable, match=r"no server answers at 127\.0\.0\.1:1: .*refused") as caught:
            client.server_info()

    assert isinstance(caught.value, ConnectionError)
