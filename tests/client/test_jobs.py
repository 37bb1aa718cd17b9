"""What is particular to one kind of client: threads, event loops, channels, `with` blocks."""

import asyncio
import gc
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import grpc.aio
import grpc_testing
import pytest

from candelabra import v1
from candelabra.v1 import processing_pb2
from candelabra_client import AsyncClient, Cancelled, Client, ClientClosed, JobConsumed, RetryPolicy
from support.scripted_server import Script, rows, serving

WAIT_SECONDS = 20


def endless(job, context):
    for number in itertools.count():
        if not context.is_active():
            return
        yield rows(f"S{number}", [0.0], total=10**9)


def test_one_client_serves_many_threads_at_once():
    with serving() as address, Client(address) as client, ThreadPoolExecutor(8) as threads:
        symbols = [[f"T{thread}S{number}" for number in range(50)] for thread in range(8)]
        jobs = threads.map(lambda names: client.process(names, timeframe="1d").results(), symbols)

        assert [list(results.symbols) for results in jobs] == symbols


def test_a_job_may_be_closed_from_another_thread():
    script = Script(answers=[endless])
    with serving(script) as address, Client(address) as client:
        job = client.process("*", timeframe="1d")
        results = iter(job)
        next(results)
        closing = threading.Thread(target=job.close)
        closing.start()
        closing.join()
        with pytest.raises(Cancelled):
            list(results)
        assert script.ended.wait(WAIT_SECONDS)


def test_closing_the_client_ends_its_jobs():
    script = Script(answers=[endless])
    with serving(script) as address:
        client = Client(address)
        results = iter(client.process("*", timeframe="1d"))
        next(results)
        client.close()
        with pytest.raises(Cancelled):
            list(results)
        assert script.ended.wait(WAIT_SECONDS)


def test_closing_the_asynchronous_client_ends_its_jobs_but_not_the_task():
    script = Script(answers=[endless])

    async def run(address):
        client = AsyncClient(address)
        results = aiter(client.process("*", timeframe="1d"))
        await anext(results)
        await client.close()
        with pytest.raises(Cancelled):
            async for _ in results:
                pass
        return await asyncio.to_thread(script.ended.wait, WAIT_SECONDS)

    with serving(script) as address:
        assert asyncio.run(run(address))


def test_closing_a_job_ends_its_wait_for_another_attempt():
    def broken(job, context):
        yield rows("A", [1.0], total=2)
        context.abort(grpc.StatusCode.UNAVAILABLE, "gone")

    patient = RetryPolicy(initial_backoff_seconds=1_000, max_backoff_seconds=1_000)
    script = Script(answers=[broken])
    with serving(script) as address, Client(address, retry=patient) as client, ThreadPoolExecutor(1) as threads:
        job = client.process(["A", "B"], timeframe="1d")
        results = iter(job)
        next(results)
        waiting = threads.submit(list, results)
        assert script.ended.wait(WAIT_SECONDS)
        job.close()
        with pytest.raises(Cancelled):
            waiting.result(WAIT_SECONDS)


def test_leaving_a_with_block_cancels_the_job_although_its_iterator_lives_on():
    script = Script(answers=[endless])
    with serving(script) as address, Client(address) as client:
        with client.process("*", timeframe="1d") as job:
            results = iter(job)
            next(results)
        assert script.ended.wait(WAIT_SECONDS)
        results.close()


def test_an_iterator_that_nobody_holds_any_more_cancels_its_job():
    script = Script(answers=[endless])
    with serving(script) as address, Client(address) as client:
        next(iter(client.process("*", timeframe="1d")))
        gc.collect()
        assert script.ended.wait(WAIT_SECONDS)


def test_an_asynchronous_iterator_that_nobody_holds_any_more_cancels_its_job():
    script = Script(answers=[endless])

    async def run(address):
        async with AsyncClient(address) as client:
            async for _ in client.process("*", timeframe="1d"):
                break
            gc.collect()
            return await asyncio.to_thread(script.ended.wait, WAIT_SECONDS)

    with serving(script) as address:
        assert asyncio.run(run(address))


def test_cancelling_the_task_cancels_the_job_and_stays_a_cancellation():
    script = Script(answers=[endless])

    async def run(address):
        async with AsyncClient(address) as client:
            begun = asyncio.Event()

            async def consume():
                async for _ in client.process("*", timeframe="1d"):
                    begun.set()

            task = asyncio.create_task(consume())
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await asyncio.to_thread(script.ended.wait, WAIT_SECONDS)

    with serving(script) as address:
        assert asyncio.run(run(address))


def test_an_asynchronous_with_block_cancels_the_job():
    script = Script(answers=[endless])

    async def run(address):
        async with AsyncClient(address) as client:
            async with client.process("*", timeframe="1d") as job:
                results = aiter(job)
                await anext(results)
            await results.aclose()
            return await asyncio.to_thread(script.ended.wait, WAIT_SECONDS)

    with serving(script) as address:
        assert asyncio.run(run(address))


def test_several_jobs_of_one_asynchronous_client_run_at_once():
    async def run(address):
        async with AsyncClient(address) as client:
            jobs = (client.process([f"A{number}", "B"], timeframe="1d").results() for number in range(5))
            return await asyncio.gather(*jobs)

    with serving() as address:
        gathered = asyncio.run(run(address))

    assert [results.symbols for results in gathered] == [(f"A{number}", "B") for number in range(5)]


def test_a_job_runs_once_but_what_it_gathered_stays():
    script = Script()
    with serving(script) as address, Client(address) as client:
        job = client.process(["A", "B"], timeframe="1d")
        results = job.results()
        assert job.results() is results
        assert [result.symbol for result in job] == ["A", "B"]
        assert len(script.jobs) == 1

        streamed = client.process("A", timeframe="1d")
        list(streamed)
        with pytest.raises(JobConsumed, match="call process"):
            list(streamed)
        closed = client.process("A", timeframe="1d")
        closed.close()
        with pytest.raises(JobConsumed):
            closed.results()


def test_what_an_asynchronous_job_gathered_stays():
    async def run(address):
        async with AsyncClient(address) as client:
            job = client.process(["A", "B"], timeframe="1d")
            await job.to_pandas()
            return [result.symbol async for result in job], await job.results()

    with serving() as address:
        symbols, results = asyncio.run(run(address))

    assert symbols == list(results.symbols) == ["A", "B"]


def test_a_job_is_sent_only_when_its_results_are_asked_for():
    script = Script()
    with serving(script) as address, Client(address) as client:
        client.process("A", timeframe="1d")
        client.server_info()

        assert script.jobs == []


def test_a_closed_client_says_so():
    client = Client("127.0.0.1:1")
    client.close()
    client.close()
    with pytest.raises(ClientClosed, match=r"127\.0\.0\.1:1 is closed"):
        client.server_info()
    with pytest.raises(ClientClosed):
        client.process("A", timeframe="1d").results()
    with pytest.raises(ClientClosed):
        client.__enter__()


def test_a_closed_asynchronous_client_says_so():
    async def run():
        client = AsyncClient("127.0.0.1:1")
        await client.close()
        with pytest.raises(ClientClosed):
            await client.server_info()
        with pytest.raises(ClientClosed):
            await client.process("A", timeframe="1d").results()

    asyncio.run(run())


def test_a_given_channel_is_used_and_left_open():
    script = Script()
    with serving(script) as address, grpc.insecure_channel(address) as channel:
        with Client(channel=channel) as client:
            client.process("A", timeframe="1d").results()
        with Client(channel=channel) as client:
            assert client.server_info().version == "0.1.0"


def test_a_job_runs_over_a_channel_without_a_network():
    service = processing_pb2.DESCRIPTOR.services_by_name["ProcessingService"]
    channel = grpc_testing.channel([service], grpc_testing.strict_real_time())
    client = Client(channel=channel)
    with ThreadPoolExecutor(1) as threads:
        gathering = threads.submit(client.process(["A", "B"], timeframe="1d").results)
        _, request, call = channel.take_unary_stream(service.methods_by_name["Process"])
        call.send_initial_metadata(())
        for symbol in ("B", "A"):
            call.send_response(rows(symbol, [1.0], total=2).SerializeToString())
        call.terminate((), grpc.StatusCode.OK, "")

        assert request == v1.ProcessingJob(symbols=["A", "B"], timeframe="1d")
        assert gathering.result(WAIT_SECONDS).symbols == ("A", "B")


def test_objects_describe_themselves():
    with serving() as address, Client(address) as client:
        job = client.process(["A", "NOPE", "C", "D"], timeframe="1d")
        assert repr(job) == "<Job (no id yet) of A, NOPE, C, …: 0 done>"
        results = job.results()
        assert repr(job) == "<Job made-1 of A, NOPE, C, …: 4 done>"
        assert repr(results) == "<JobResults: 4 symbols, 1 failed>"
        assert [repr(result) for result in results[:2]] == [
            "<SymbolResult A: 3 rows of value>",
            "<SymbolResult NOPE: UNKNOWN_SYMBOL>",
        ]
        assert repr(client) == f"<Client of {address}>"
