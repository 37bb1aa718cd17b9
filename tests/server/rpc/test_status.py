"""Every error has one gRPC status, and its details fit."""

import re
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from hypothesis import given, settings
from hypothesis import strategies as st

from candelabra_server import errors
from candelabra_server.errors import CandelabraError, InvalidRequestError, Reason, UnavailableError, Violation
from candelabra_server.rpc.status import DOMAIN, STATUS_CODES, code_for, status_for, trailer_bytes

PAGE = Path(__file__).parents[3] / "server" / "docs" / "errors.md"


def all_errors(cls=CandelabraError):
    yield cls
    for subclass in cls.__subclasses__():
        yield from all_errors(subclass)


OWN_ERRORS = sorted((cls for cls in set(all_errors()) if cls.__module__.startswith("candelabra_server.")), key=str)


@pytest.mark.parametrize("cls", OWN_ERRORS)
def test_every_error_class_has_a_code(cls):
    assert any(base in STATUS_CODES for base in cls.__mro__)
    assert cls.__name__ in errors.__all__
    assert cls.__name__ in errors.__doc__


def test_the_page_of_errors_lists_every_reason_with_the_status_that_it_has():
    rows = [line.split("|")[1:3] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    reasons = {reason for first, _ in rows for reason in re.findall(r"`(\w+)`", first)}
    assert reasons == {str(reason) for reason in Reason}
    statuses = {first.strip(" `"): second.strip().partition(";")[0] for first, second in rows}
    for cls in STATUS_CODES:
        if cls is not errors.SymbolFailure:  # which is no status, but part of a result
            assert statuses[cls.reason] == STATUS_CODES[cls].name


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidRequestError([Violation("symbols", "x")]), grpc.StatusCode.INVALID_ARGUMENT),
        (errors.TimeframeNotStoredError("1d", []), grpc.StatusCode.INVALID_ARGUMENT),
        (UnavailableError("later"), grpc.StatusCode.UNAVAILABLE),
        (errors.WorkerStartError("no"), grpc.StatusCode.INTERNAL),
        (CandelabraError("?"), grpc.StatusCode.INTERNAL),
    ],
)
def test_the_code_is_that_of_the_nearest_class(error, code):
    assert code_for(error) is code
    assert status_for(error).code == code.value[0]


def unpack(status, kind):
    found = []
    for detail in status.details:
        message = kind()
        if detail.Unpack(message):
            found.append(message)
    return found


def test_a_bad_request_lists_its_violations_and_one_reason():
    error = InvalidRequestError(
        [Violation("a", "first", reason="ONE"), Violation("b", "second")], reason=Reason.INVALID_FORMULA
    )
    status = status_for(error)
    (info,) = unpack(status, ErrorInfo)
    assert (info.reason, info.domain) == ("INVALID_FORMULA", DOMAIN)
    (bad_request,) = unpack(status, BadRequest)
    violations = [(v.field, v.description, v.reason) for v in bad_request.field_violations]
    assert violations == [("a", "first", "ONE"), ("b", "second", "")]
    assert status.message == "a: first (and 1 more)"


def test_hundreds_of_violations_are_cut_to_what_clients_accept_and_counted():
    error = InvalidRequestError([Violation(f"symbols[{i}]", "is empty; expected 1 to 64" * 3) for i in range(400)])
    status = status_for(error)
    assert trailer_bytes(status) <= 4_096
    (bad_request,) = unpack(status, BadRequest)
    kept = len(bad_request.field_violations) - 1
    assert kept > 10
    assert bad_request.field_violations[-1].description == f"and {400 - kept} more violations"


@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    st.lists(st.builds(Violation, st.text(max_size=300), st.text(max_size=3_000), st.just("A_REASON")), min_size=1),
    st.sampled_from([1, 40]),
)
def test_no_text_makes_a_status_larger_than_clients_accept(violations, repeated):
    assert trailer_bytes(status_for(InvalidRequestError(violations * repeated))) <= 4_096


@pytest.mark.parametrize("letter", ["f", "é", "漢", "🕯", "\n", "%"])
def test_huge_texts_are_cut(letter):
    status = status_for(InvalidRequestError([Violation(letter * 5_000, letter * 50_000)] * 50))
    assert trailer_bytes(status) <= 4_096
    assert len(status.message) > 50
