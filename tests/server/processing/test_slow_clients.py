"""Clients that read slowly, or not at all, or go away: they hold no worker, little memory and no slot."""

import asyncio
import logging
from contextlib import aclosing

import pytest

from candelabra.v1 import ProcessingResult
from candelabra_server.formulas.service import FormulaService
from candelabra_server.processing.processing_engine import ProcessingEngine
from candelabra_server.processing.result_transport import TransportSettings
from candelabra_server.processing.scheduling import MAX_UNFETCHED_BYTES
from support.jobs import job
from support.sized_repository import SizedRepository
from support.workers import LIMIT_SECONDS, run_until

MEBIBYTE = 1024 * 1024
WORKERS = 2
SLOTS = 2 * (WORKERS + 1)
SYMBOLS = [f"S{number:03}" for number in range(200)]
ROWS = 15_000
"""0.7 MB of candles: one symbol fills a slot."""
SIZES = {**dict.fromkeys(SYMBOLS, ROWS), "SMALL": 100, "BIG": 20 * ROWS}


def make_engine(**settings):
    transport = TransportSettings(slot_bytes=MEBIBYTE)
    repository = SizedRepository(SIZES, **settings)
    return ProcessingEngine(repository, FormulaService(), max_workers=WORKERS, transport=transport)


def run(body):
    return asyncio.run(asyncio.wait_for(body(), LIMIT_SECONDS))


def free_slots(engine):
    return len(engine._pool._slots[1]._free)


def active_jobs(engine):
    return engine._current_dispatcher._jobs


async def until(condition):
    """Lets the event loop run until the condition holds; `run` bounds it."""
    while not condition():
        await asyncio.sleep(0)


async def read(messages):
    """All that comes; when this is cancelled, the stream is closed."""
    async with aclosing(messages):
        return [message async for message in messages]


async def stalled(engine, messages):
    """The message that a client takes before it stalls; returns when its job has stalled too."""
    first = await anext(messages)
    (queue,) = active_jobs(engine)
    await until(lambda: queue.is_stalled and not queue.in_flight)
    return queue, first


@pytest.mark.parametrize("symbols", [SYMBOLS, ["BIG", *SYMBOLS]], ids=["many symbols", "a symbol in ranges"])
def test_a_client_that_does_not_read_holds_no_worker_and_little_memory(symbols):
    async def body():
        with make_engine() as engine:
            async with aclosing(engine.stream(job(symbols))) as messages:
                queue, first = await stalled(engine, messages)
                most = MAX_UNFETCHED_BYTES + (WORKERS + 1) * MEBIBYTE
                assert MAX_UNFETCHED_BYTES <= queue.unfetched_bytes < most
                waiting = active_jobs(engine)[queue].waiting
                assert sum(len(message) for batch in waiting for item in batch.done for message in item.messages) < most
                (other,) = await engine.process_batch(job("SMALL"))
                assert len(other.open_time_micros) == 100
                assert queue.unfetched_bytes < most
                rest = [first, *[message async for message in messages]]
            assert free_slots(engine) == SLOTS
            return rest

    results = [ProcessingResult.FromString(message) for message in run(body)]
    assert sorted(result.symbol for result in results if result.last_part) == sorted(symbols)
    assert sum(len(result.open_time_micros) for result in results) == sum(SIZES[symbol] for symbol in symbols)


def test_results_that_wait_are_moved_out_of_their_slots_when_others_need_these():
    async def body():
        with make_engine() as engine:
            async with aclosing(engine.stream(job(SYMBOLS))) as messages:
                queue, first = await stalled(engine, messages)
                waiting = list(active_jobs(engine)[queue].waiting)
                assert sum(batch._slot is not None for batch in waiting) == SLOTS - free_slots(engine) > 0
                others = await engine.process_batch(job(SYMBOLS[:20]))
                still = sum(batch._slot is not None for batch in waiting)
                assert still < SLOTS - WORKERS
                assert free_slots(engine) == SLOTS - still
                results = [first, *[message async for message in messages]]
            return others, [ProcessingResult.FromString(message) for message in results]

    others, results = run(body)
    assert [other.symbol for other in others] == SYMBOLS[:20]
    by_symbol = {result.symbol: result for result in results}
    assert sorted(by_symbol) == SYMBOLS
    for other in others:  # what was moved is what was there
        assert other.columns == by_symbol[other.symbol].columns


def test_many_clients_that_do_not_read_leave_slots_for_one_that_does():
    async def body():
        with make_engine() as engine:
            streams = [engine.stream(job(SYMBOLS)) for _ in range(4)]
            for messages in streams:
                await anext(messages)
            await until(lambda: all(queue.is_stalled for queue in active_jobs(engine)))
            results = await engine.process_batch(job(SYMBOLS))
            for messages in streams:
                await messages.aclose()
            await until(lambda: free_slots(engine) == SLOTS)
            return results

    assert len(run(body)) == len(SYMBOLS)


def test_closing_a_stream_stops_running_chunks_between_symbols_and_their_slots_come_back(tmp_path):
    """Small symbols, so that chunks have many; each worker is held within one while the client goes away.

    Pool trap 5.
    """
    loads, marker = tmp_path / "loads", tmp_path / "go"
    names = [f"N{number}" for number in range(5_000)]
    repository = SizedRepository(dict.fromkeys(names, 2), loads=str(loads), waits_from=500, marker=str(marker))

    async def body():
        with ProcessingEngine(
            repository, FormulaService(), max_workers=WORKERS, transport=TransportSettings(slot_bytes=MEBIBYTE)
        ) as engine:
            client = asyncio.ensure_future(read(engine.stream(job(names))))
            await until(lambda: loads.exists() and loads.stat().st_size == 500 + WORKERS - 1)  # every worker is held
            held = max(len(chunk.symbols) for chunk in engine._current_dispatcher._workers.in_flight)
            client.cancel()
            with pytest.raises(asyncio.CancelledError):
                await client
            assert not active_jobs(engine)
            marker.touch()
            await until(lambda: engine._current_dispatcher._scheduler.in_flight == 0)
            assert free_slots(engine) == SLOTS
            return held

    held = run(body)
    assert held > 1
    assert loads.stat().st_size == 500 + WORKERS - 1


def test_a_job_that_is_cancelled_while_it_waits_stops_too(tmp_path):
    loads, marker = tmp_path / "loads", tmp_path / "go"

    async def body():
        with make_engine(loads=str(loads), waits_from=1, marker=str(marker)) as engine:
            task = asyncio.ensure_future(engine.process_batch(job(SYMBOLS)))
            await until(lambda: loads.exists() and loads.stat().st_size == WORKERS)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            marker.touch()
            await until(lambda: engine._current_dispatcher._scheduler.in_flight == 0)
            assert free_slots(engine) == SLOTS
            assert loads.stat().st_size == WORKERS
            return await engine.process_batch(job("SMALL"))

    assert len(run(body)) == 1


def test_a_job_that_only_waits_to_be_read_does_not_fail_with_its_pool(caplog):
    """All of it is computed when the engine is shut down; another job, which is not, fails."""
    caplog.set_level(logging.CRITICAL)

    async def body():
        engine = make_engine()
        with engine:
            done, other = engine.stream(job(SYMBOLS[:5])), engine.stream(job(SYMBOLS))
            first = await anext(done)
            (active,) = active_jobs(engine).values()
            await until(lambda: active.order.completed == 5)
            await anext(other)
            await asyncio.to_thread(engine.shutdown)
            rest = [message async for message in done]
            with pytest.raises(Exception, match="shut down"):
                async for _ in other:
                    pass
        return [first, *rest]

    assert len({ProcessingResult.FromString(message).symbol for message in run(body)}) == 5


def test_the_slots_of_a_forgotten_stream_come_back():
    async def leave(engine):
        messages = engine.stream(job(SYMBOLS))
        await anext(messages)

    with make_engine() as engine:
        for _ in range(3):
            asyncio.run(leave(engine))
        run_until(lambda: free_slots(engine) == SLOTS)
        assert len(asyncio.run(engine.process_batch(job(SYMBOLS)))) == len(SYMBOLS)
