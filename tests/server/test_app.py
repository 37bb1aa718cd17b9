"""The end of a server: jobs that run are finished, new ones refused; a second signal does not wait."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from candelabra.v1 import GetServerInfoRequest
from candelabra.v1.processing_pb2_grpc import ProcessingServiceStub
from support.jobs import job
from support.workers import run_until

TESTS = Path(__file__).resolve().parents[1]


@contextmanager
def waiting_server(marker):
    """A server with a job on it that is done when the marker is there; gives process, stub and call."""
    process = subprocess.Popen(
        [sys.executable, "-m", "support.waiting_server", str(marker)],
        env=os.environ | {"PYTHONPATH": str(TESTS)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        with grpc.insecure_channel(process.stdout.readline().strip()) as channel:
            stub = ProcessingServiceStub(channel)
            call = stub.Process(job("WAITS", "close"), timeout=90)
            run_until(lambda: stub.GetServerInfo(GetServerInfoRequest()).active_jobs == 1)
            yield process, stub, call
    finally:
        process.kill()
        process.communicate(timeout=60)


def takes_jobs(stub):
    try:
        return bool(list(stub.Process(job("A", "close"), timeout=60)))
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        return False


def test_sigterm_refuses_new_jobs_finishes_the_one_that_runs_and_ends_with_zero(tmp_path):
    marker = tmp_path / "go"
    with waiting_server(marker) as (process, stub, call):
        assert takes_jobs(stub)
        process.send_signal(signal.SIGTERM)
        run_until(lambda: not takes_jobs(stub))
        assert process.poll() is None
        marker.touch()
        (result,) = call
        assert result.symbol == "WAITS"
        assert not result.HasField("error")
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (0, "stopped\n", "")


def test_a_second_signal_ends_the_job_that_runs_and_the_server(tmp_path):
    with waiting_server(tmp_path / "never") as (process, stub, call):
        process.send_signal(signal.SIGTERM)
        run_until(lambda: not takes_jobs(stub))
        process.send_signal(signal.SIGTERM)
        with pytest.raises(grpc.RpcError) as caught:
            list(call)
        output, _ = process.communicate(timeout=60)
    assert caught.value.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    assert (process.returncode, output) == (0, "stopped\n")
