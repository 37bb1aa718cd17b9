"""A server that is asked for too much: what it takes it finishes, what it refuses it refuses at once and in full."""

import asyncio

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from candelabra.v1 import Formula, GetServerInfoRequest, ScreenRequest
from candelabra.v1.processing_pb2_grpc import ProcessingServiceStub
from candelabra_server.config import LoadLimits, TimeLimits
from soak.overload import overload
from support.jobs import job
from support.server import serving
from support.statuses import status_of

SYMBOLS = [f"S{number:03}" for number in range(200)]


def run(body):
    return asyncio.run(asyncio.wait_for(body, 90))


async def read(call):
    return [message async for message in call]


async def refusal_of(call):
    """The status of a call that is refused before anything is sent, and its trailers."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await read(call)
    error = caught.value
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, error
    return status_of(error), dict(error.trailing_metadata())


def detail(status, kind):
    (found,) = [message for message in map(kind_of(kind), status.details) if message is not None]
    return found


def kind_of(kind):
    def unpack(detail):
        message = kind()
        return message if detail.Unpack(message) else None

    return unpack


def screen(*symbols):
    return ScreenRequest(symbols=symbols, timeframe="1d", formula=Formula(expression="close > 0"))


def test_jobs_and_screens_beyond_the_limit_are_refused_with_cause_and_time_and_others_are_not_disturbed(tmp_path):
    marker = tmp_path / "go"

    async def body():
        limits = LoadLimits(max_jobs=3)
        async with serving("A", "WAITS", marker=str(marker), load_limits=limits) as (server, channel, _engine):
            await server.set_serving()
            stub = ProcessingServiceStub(channel)
            taken = [asyncio.ensure_future(read(stub.Process(job(["A", "WAITS"], "close")))) for _ in range(3)]
            while (await stub.GetServerInfo(GetServerInfoRequest())).active_jobs < 3:
                pass
            refused = [await refusal_of(call) for call in (stub.Process(job("A")), stub.Screen(screen("A")))]
            health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
            asked = [reflection_pb2.ServerReflectionRequest(list_services="")]
            (listed,) = await read(reflection.ServerReflectionInfo(iter(asked)))
            marker.touch()
            results = await asyncio.gather(*taken)
            return refused, health, listed, results, await read(stub.Process(job("A", "close")))

    refused, health, listed, results, after = run(body())
    for status, trailers in refused:
        info, retry = detail(status, ErrorInfo), detail(status, RetryInfo)
        assert (info.reason, info.domain) == ("TOO_MANY_JOBS", "candelabra")
        assert "it has 3 jobs, as many as it takes" in status.message
        assert trailers["grpc-retry-pushback-ms"] == str(retry.retry_delay.ToMilliseconds())
        assert 100 <= retry.retry_delay.ToMilliseconds() <= 30_000
    assert health.status == health_pb2.HealthCheckResponse.SERVING
    assert listed.list_services_response.service
    assert [sorted(result.symbol for result in one) for one in results] == [["A", "WAITS"]] * 3
    assert len(after) == 1


def test_a_job_of_more_symbols_than_may_wait_is_refused_while_others_wait(tmp_path):
    marker = tmp_path / "go"

    async def body():
        limits = LoadLimits(max_queued_symbols=150)
        async with serving(*SYMBOLS, "WAITS", marker=str(marker), load_limits=limits) as (_server, channel, engine):
            stub = ProcessingServiceStub(channel)
            alone = await read(stub.Process(job("S*", "close")))  # more than the limit, and nobody else is there
            taken = asyncio.ensure_future(read(stub.Process(job(["WAITS", *SYMBOLS[:100]], "close"))))
            while engine._backlog().queued_symbols > 100 or not engine._admission.active_jobs:
                await asyncio.sleep(0)
            other = asyncio.ensure_future(read(stub.Process(job(["WAITS"], "close"))))
            while engine._admission.active_jobs < 2:
                await asyncio.sleep(0)
            status, _ = await refusal_of(stub.Process(job("S*", "close")))
            marker.touch()
            return alone, status, await taken, await other

    alone, status, taken, other = run(body())
    assert (len(alone), len(taken), len(other)) == (200, 101, 1)
    assert detail(status, ErrorInfo).reason == "TOO_MANY_SYMBOLS_QUEUED"


def test_a_job_without_a_deadline_ends_when_the_servers_limit_is_over(tmp_path):
    async def body():
        limits = TimeLimits(job_seconds=0.2)
        async with serving("WAITS", marker=str(tmp_path / "never"), time_limits=limits) as (server, channel, _engine):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await read(ProcessingServiceStub(channel).Process(job("WAITS", "close")))
            await server._processing._idle.wait()
            (tmp_path / "never").touch()
            return caught.value

    error = run(body())
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    info = detail(status_of(error), ErrorInfo)
    assert (info.reason, dict(info.metadata)) == ("JOB_TIME_LIMIT", {"seconds": "0.200"})


def test_a_client_that_does_not_read_has_its_job_no_longer_than_the_limit():
    """It is found in a write that waits, which nothing else would end."""

    async def body():
        limits = TimeLimits(job_seconds=0.5)
        async with serving(*SYMBOLS, rows=50_000, time_limits=limits) as (server, channel, engine):
            call = ProcessingServiceStub(channel).Process(job("*"))
            assert await call.read()
            await server._processing._idle.wait()
            assert engine._admission.active_jobs == 0
            call.cancel()

    run(body())


def test_ten_times_as_many_clients_as_are_taken_lose_nothing_that_was_accepted(tmp_path):
    """A short soak; `python -m soak.overload` is the long one, and tells how long refusals take."""
    finding = overload(2.0, tmp_path / "unused")
    assert finding.unfinished == {}
    assert finding.is_well
