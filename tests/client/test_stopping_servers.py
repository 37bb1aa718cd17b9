"""A server that goes away while it streams: a job goes on at the next one, and its caller sees each symbol once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest

from candelabra.v1 import processing_pb2_grpc
from candelabra_client import RetryPolicy
from support.scripted_server import Script, _Processing, answer_each, answer_screen, passed, rows

WAIT_SECONDS = 20
PATIENT = {"retry": RetryPolicy(max_attempts=10_000, initial_backoff_seconds=0.001, max_backoff_seconds=0.01)}


@contextmanager
def serving(script, *, port=0, options=()):
    """Gives the server and its port."""
    server = grpc.server(ThreadPoolExecutor(max_workers=4), options=[("grpc.so_reuseport", 0), *options])
    processing_pb2_grpc.add_ProcessingServiceServicer_to_server(_Processing(script), server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield server, bound
    finally:
        server.stop(grace=None).wait(WAIT_SECONDS)


def until_it_is_ended(*messages, begun=None):
    """Answers with the messages, then says nothing more until the call is over, which the server must see to."""

    def answer(request, context):
        ended = threading.Event()
        context.add_callback(ended.set)
        yield from messages
        if begun is not None:
            begun.set()
        ended.wait(WAIT_SECONDS)

    return answer


def test_a_job_outlasts_the_age_of_its_connection(user):
    peers = []

    def answer(job, context):
        peers.append(context.peer())
        first = rows(job.symbols[0], [1.0], total=len(job.symbols))
        # The last two symbols come at once, all others until the connection is too old.
        return answer_each(job, context) if len(job.symbols) == 2 else until_it_is_ended(first)(job, context)

    script = Script(answers=[answer])
    age = [("grpc.max_connection_age_ms", 50), ("grpc.max_connection_age_grace_ms", 50)]
    with serving(script, options=age) as (_, port):
        results = user(f"127.0.0.1:{port}", **PATIENT).iterate(["A", "B", "C", "D"])

    assert [result.symbol for result in results] == ["A", "B", "C", "D"]
    assert len(script.jobs) == len(set(peers)) >= 3  # more where a connection was too old before anything arrived


@pytest.mark.parametrize("grace", [None, 0.05], ids=["at once", "after a grace"])
def test_a_job_goes_on_at_the_server_that_takes_the_port_of_one_that_stopped(user, grace):
    begun = threading.Event()
    first = Script(answers=[until_it_is_ended(rows("A", [1.0], total=3), rows("B", [2.0], total=3), begun=begun)])
    second = Script()
    results = []
    with serving(first) as (server, port):
        caller = threading.Thread(
            target=lambda: results.extend(user(f"127.0.0.1:{port}", **PATIENT).iterate(["A", "B", "C"]))
        )
        caller.start()
        assert begun.wait(WAIT_SECONDS)
        assert server.stop(grace).wait(WAIT_SECONDS)
        with serving(second, port=port):
            caller.join(WAIT_SECONDS)

    assert sorted(result.symbol for result in results) == ["A", "B", "C"]
    # What had been written but not read when the server stopped may be asked for again.
    assert "C" in second.jobs[0].symbols


def test_a_screen_goes_on_at_the_server_that_takes_the_port_of_one_that_stopped(user):
    begun = threading.Event()
    first = Script(screen_answers=[until_it_is_ended(passed("A", value=[0.0], total=3), begun=begun)])
    second = Script(screen_answers=[answer_screen])
    batches = []
    with serving(first) as (server, port):
        caller = threading.Thread(
            target=lambda: batches.extend(user(f"127.0.0.1:{port}", **PATIENT).screen(symbols=["A", "B", "C"]))
        )
        caller.start()
        assert begun.wait(WAIT_SECONDS)
        assert server.stop(None).wait(WAIT_SECONDS)
        with serving(second, port=port):
            caller.join(WAIT_SECONDS)

    assert sorted(symbol for batch in batches for symbol in batch.symbols) == ["A", "B", "C"]


def test_a_job_that_ends_within_the_grace_is_not_sent_again(user):
    stopping = []

    def answer(job, context):
        yield rows("A", [1.0], total=2)
        stopping.append(server.stop(WAIT_SECONDS))  # tells the client to go away, and lets the stream go on
        yield rows("B", [2.0], total=2)

    script = Script(answers=[answer])
    with serving(script) as (server, port):
        results = user(f"127.0.0.1:{port}", **PATIENT).iterate(["A", "B"])
        assert stopping[0].wait(WAIT_SECONDS)

    assert [result.symbol for result in results] == ["A", "B"]
    assert len(script.jobs) == 1
