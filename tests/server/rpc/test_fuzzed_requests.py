"""Bytes that no client would send: every RPC answers them with an honest status and goes on. A short fuzzing.

`python -m fuzz.rpc_fuzz` does the same for longer.
"""

import asyncio
from contextlib import suppress
from random import Random

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from candelabra.v1 import GetServerInfoResponse, ProcessingJob, ProcessingResult, SymbolError
from fuzz import rpc_fuzz
from fuzz.answers import Answer, faults_of
from fuzz.messages import message_for
from fuzz.wire import fields_of, mutated, varint

CALLS = 2_000
SEED = 1
DETAILS = "grpc-status-details-bin"


def test_no_bytes_make_a_call_end_badly_or_harm_the_server():
    report = asyncio.run(rpc_fuzz.fuzz(SEED, goes_on=lambda made: made < CALLS))
    assert not report.faults, report.faults
    assert sum(report.calls.values()) == CALLS
    methods = {method for method, _, _ in report.calls}
    assert len({method.rpartition("/")[0] for method in methods}) == 5
    answered = {method for method, _, code in report.calls if code in {"OK", "CANCELLED"}}
    refused = {method for method, _, code in report.calls if code == "INVALID_ARGUMENT"}
    assert answered == refused == methods


def test_the_same_seed_makes_the_same_calls():
    job = ProcessingJob.DESCRIPTOR
    methods = [rpc_fuzz.Method("/a.B/C", job, job, client_streaming=True, server_streaming=True)]
    first, second = (rpc_fuzz.attempts_for(methods, 7) for _ in range(2))
    assert [next(first) for _ in range(100)] == [next(second) for _ in range(100)]


def test_messages_have_values_that_no_user_sends_and_texts_that_are_none():
    random = Random(3)
    made = [message_for(ProcessingJob.DESCRIPTOR, random, hostility=1.0) for _ in range(300)]
    assert any(b"\xed\xa0\x80" in message for message in made)
    decoded = [ProcessingJob.FromString(message) for message in made if b"\xed\xa0\x80" not in message]
    assert any(job.output.precision == 99 for job in decoded)
    assert any(len(job.parameters) > 100 for job in decoded)
    assert any(value != value for job in decoded for value in job.parameters.values())


def test_changes_are_made_to_the_fields_of_a_message_and_of_those_within_it():
    job = ProcessingJob(symbols=["A", "B"], timeframe="1d", parameters={"x": 1.0})
    job.formula.expression = "close"
    data = job.SerializeToString()
    assert [field.number for field in fields_of(data)] == [2, 2, 3, 5, 6]
    assert fields_of(b"\x0a\xff") == fields_of(b"\x0f") == []
    assert varint(2**64 - 1) == b"\xff" * 9 + b"\x01"
    random, kept = Random(5), 0
    for _ in range(500):
        with suppress(DecodeError):
            kept += ProcessingJob.FromString(mutated(data, data, random)) != job
    assert kept > 50


def answer(code=grpc.StatusCode.OK, message="", trailers=(), responses=(), *, was_cut=False):
    return Answer(code, message, trailers, responses, was_cut)


def status(code, message, *infos):
    details = []
    for info in infos:
        packed = AnyMessage()
        packed.Pack(info)
        details.append(packed)
    return ((DETAILS, Status(code=code.value[0], message=message, details=details).SerializeToString()),)


BAD = grpc.StatusCode.INVALID_ARGUMENT
INFO = ErrorInfo(reason="INVALID_REQUEST", domain="candelabra")
WITH_A_STACK = ErrorInfo(reason="X", metadata={"cause": 'File "x.py", line 3'})
HONEST = (
    answer(),
    answer(grpc.StatusCode.CANCELLED, was_cut=True),
    answer(BAD, "symbols: none", status(BAD, "symbols: none", INFO)),
    answer(BAD, "sent: /home/me ValueError", status(BAD, "sent: /home/me ValueError", INFO)),
    answer(responses=[ProcessingResult(error=SymbolError(reason="UNKNOWN_SYMBOL")).SerializeToString()]),
)
DISHONEST = (
    answer(grpc.StatusCode.INTERNAL, "an unexpected error"),
    answer(grpc.StatusCode.UNKNOWN),
    answer(grpc.StatusCode.DEADLINE_EXCEEDED),
    answer(grpc.StatusCode.UNAVAILABLE),
    answer(grpc.StatusCode.CANCELLED),
    answer(BAD, "no details"),
    answer(BAD, "a", status(BAD, "b", INFO)),
    answer(BAD, "a", status(BAD, "a")),
    answer(BAD, "a", status(BAD, "a", INFO, INFO)),
    answer(BAD, "a", status(BAD, "a", WITH_A_STACK)),
    answer(grpc.StatusCode.NOT_FOUND, "Traceback (most recent call last)"),
    answer(grpc.StatusCode.NOT_FOUND, "Unexpected <class 'x'>"),
    answer(grpc.StatusCode.NOT_FOUND, "KeyError: 3"),
    answer(grpc.StatusCode.NOT_FOUND, "cannot open '/usr/share/x'"),
    answer(grpc.StatusCode.NOT_FOUND, "x", (("cause", "<object object at 0x7f>"),)),
    answer(grpc.StatusCode.NOT_FOUND, "x", (("cause", "x" * 9_000),)),
    answer(responses=[b"\x0a\xff"]),
    answer(responses=[ProcessingResult(error=SymbolError(reason="INTERNAL")).SerializeToString()]),
    answer(responses=[ProcessingResult(error=SymbolError(reason="SOME_OTHER")).SerializeToString()]),
    answer(responses=[ProcessingResult(error=SymbolError(metadata={"a": "OSError"})).SerializeToString()]),
)


@pytest.mark.parametrize("one", HONEST)
def test_honest_answers_have_no_faults(one):
    assert not faults_of(one, method="/candelabra.v1.X/Y", response_type=ProcessingResult, sent=b"/home/me ValueError")


@pytest.mark.parametrize("one", DISHONEST)
def test_what_must_not_be_answered_is_found(one):
    assert faults_of(one, method="/candelabra.v1.X/Y", response_type=ProcessingResult, sent=b"")


def test_texts_of_lists_and_maps_are_looked_at():
    response = GetServerInfoResponse(version="/usr/lib/x").SerializeToString()
    fault, *_ = faults_of(answer(responses=[response]), method="/a.b/C", response_type=GetServerInfoResponse, sent=b"")
    assert "/usr/lib/x" in fault
