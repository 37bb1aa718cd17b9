"""The end of a server: jobs that run are finished, new ones refused; a second signal does not wait."""

import signal

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.server_process import takes_jobs, waiting_server
from support.workers import run_until


def test_sigterm_refuses_new_jobs_finishes_the_one_that_runs_and_ends_with_zero(tmp_path):
    marker = tmp_path / "go"
    with waiting_server(marker) as (process, channel, call):
        assert takes_jobs(channel)
        process.send_signal(signal.SIGTERM)
        run_until(lambda: not takes_jobs(channel))
        assert process.poll() is None
        marker.touch()
        (result,) = call
        assert result.symbol == "WAITS"
        assert not result.HasField("error")
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (0, "stopped\n", "")


def test_an_open_watch_of_health_does_not_hold_the_end_of_the_server(tmp_path):
    """grpc trap 6: such a call never ends by itself; cut off with the last of the process, it leaves a stack."""
    marker = tmp_path / "go"
    with waiting_server(marker) as (process, channel, call):
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=90)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        process.send_signal(signal.SIGTERM)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        marker.touch()
        assert len(list(call)) == 1
        output, errors = process.communicate(timeout=60)
        with pytest.raises(grpc.RpcError) as caught:
            next(watch)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "the server stopped working on this call" in caught.value.details()  # which grpc says otherwise
    assert (process.returncode, output, errors) == (0, "stopped\n", "")


def test_a_second_signal_ends_the_job_that_runs_and_the_server(tmp_path):
    with waiting_server(tmp_path / "never") as (process, channel, call):
        process.send_signal(signal.SIGTERM)
        run_until(lambda: not takes_jobs(channel))
        process.send_signal(signal.SIGTERM)
        with pytest.raises(grpc.RpcError) as caught:
            list(call)
        output, _ = process.communicate(timeout=60)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "send it again for the symbols that are missing" in caught.value.details()
    assert (process.returncode, output) == (4, "stopped\n")


def test_a_job_that_takes_longer_than_the_drain_is_cut_with_a_clear_status(tmp_path):
    with waiting_server(tmp_path / "never", drain_seconds=0.1) as (process, _channel, call):
        process.send_signal(signal.SIGTERM)
        with pytest.raises(grpc.RpcError) as caught:
            list(call)
        output, _ = process.communicate(timeout=60)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "send it again for the symbols that are missing" in caught.value.details()
    assert (process.returncode, output) == (3, "stopped\n")
