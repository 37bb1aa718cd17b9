"""Results on their way from a worker to the server: piped or in a slot, always read back as they were written."""

import asyncio
import errno
import gc
import logging
import os
import pickle
import stat
import subprocess
import sys
from concurrent.futures.process import _ResultItem
from pathlib import Path
from textwrap import dedent
from unittest.mock import DEFAULT, Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candelabra_server.errors import ConfigurationError, UnavailableError
from candelabra_server.formulas.service import FormulaService
from candelabra_server.processing import result_transport
from candelabra_server.processing.executors.local_pool import worker_processes
from candelabra_server.processing.marks import PREPARING, MarkWriter
from candelabra_server.processing.processing_engine import ProcessingEngine
from candelabra_server.processing.result_transport import (
    Outcome,
    PacketReader,
    PacketWriter,
    ResultSlots,
    Rows,
    SlotMapping,
    TransportSettings,
)
from candelabra_server.processing.worker_logging import CarriedRecord
from support.jobs import job
from support.memory_repository import MemoryRepository
from support.sized_repository import SizedRepository
from support.workers import run_until

MEBIBYTE = 1024 * 1024
PIPE_BYTES = 4_096

outcomes = st.lists(
    st.tuples(
        st.lists(st.binary(max_size=500), min_size=1, max_size=4),
        st.integers(1, 5),
        st.none() | st.builds(Rows, st.integers(1, 2**40), st.integers(1, 2**40), st.binary(max_size=50)),
    ),
    max_size=20,
)
logs = st.lists(
    st.builds(
        CarriedRecord, st.just("candelabra_server"), st.just(30), st.text(max_size=200), st.just(1.5), st.just(7)
    ),
    max_size=3,
)


@pytest.fixture
def slots(tmp_path):
    return ResultSlots(2, TransportSettings(folder=tmp_path, slot_bytes=MEBIBYTE))


def writer(slot):
    message = slot.to_message()
    return PacketWriter(SlotMapping().memory(message.path), message)


def write(packet, symbols):
    for messages, count, rows in symbols:
        room = packet.room(sum(map(len, messages)))
        room[:] = list(b"".join(messages))
        packet.add(Outcome(tuple(map(len, messages)), count, rows))


def read(reply, slot):
    return [(list(map(bytes, messages)), count, rows) for count, messages, rows in PacketReader(reply, slot)]


def files(folder):
    return sorted(folder.glob("candelabra-results-*"))


# Packets.


@given(outcomes, logs)
def test_what_is_written_without_a_slot_is_read_as_it_was(symbols, records):
    packet = PacketWriter()
    write(packet, symbols)
    assert packet.most_bytes is None
    reply = pickle.loads(pickle.dumps(packet.finish(0.5, tuple(records))))
    found = PacketReader(reply, None)
    assert read(reply, None) == symbols
    assert found.symbols == packet.symbols == sum(count for _, count, _ in symbols)
    assert found.logs == tuple(records)
    assert (reply.seconds, reply.packet_bytes) == (0.5, len(reply.piped))


@given(symbols=outcomes, records=logs)
def test_what_is_written_to_a_slot_is_read_as_it_was_and_the_pipe_takes_all_of_it_at_once(
    slots_of_all_examples, symbols, records
):
    """Pool trap 1, rule 4."""
    slot = slots_of_all_examples.take()
    packet = writer(slot)
    write(packet, symbols)
    reply = packet.finish(0.5, tuple(records))
    assert len(pickle.dumps(_ResultItem(2**40, result=reply, exit_pid=2**22))) < PIPE_BYTES - 4
    assert bool(reply.piped) == (reply.packet_bytes <= 3_000)
    assert read(reply, slot) == symbols
    assert PacketReader(reply, slot).logs == tuple(records)
    slot.release()


@pytest.fixture(scope="module")
def slots_of_all_examples(tmp_path_factory):
    made = ResultSlots(1, TransportSettings(folder=tmp_path_factory.mktemp("slots"), slot_bytes=MEBIBYTE))
    yield made
    made.close()


@pytest.mark.parametrize("character", ["x", "漢", "\U0001f4c8"])
def test_a_full_slot_still_takes_what_stands_behind_its_results(slots, character):
    """As many long records as a worker keeps, in letters of any width: some are left out rather than none sent."""
    slot = slots.take()
    packet = writer(slot)
    assert packet.most_bytes == MEBIBYTE - 128 * 1024
    assert packet.room(packet.most_bytes + 1) is None
    assert packet.add_message(bytes(packet.most_bytes))
    assert not packet.add_message(b"x")
    records = tuple(CarriedRecord("name", 30, character * 8_000, 1.0, number) for number in range(200))
    reply = packet.finish(0.0, records)
    assert reply.piped == b""
    found = PacketReader(reply, slot)
    assert found.symbols == 1
    assert 0 < len(found.logs) < 200
    assert found.logs == records[: len(found.logs)]


def test_a_packet_in_a_slot_cannot_be_read_without_it(slots):
    packet = writer(slots.take())
    packet.add_message(bytes(5_000))
    with pytest.raises(ValueError, match="in a slot, and the chunk had none"):
        PacketReader(packet.finish(0.0, ()), None)


# Slots.


def test_slots_run_out_and_come_back(slots):
    first, second = slots.take(), slots.take()
    assert slots.take() is None
    first.release()
    first.release()
    again = slots.take()
    assert again.to_message() == first.to_message()
    assert again.to_message() != second.to_message()
    assert slots.take() is None


def test_a_slot_that_nobody_holds_any_more_is_free(slots):
    held = [slots.take(), slots.take()]
    held.pop()
    gc.collect()
    assert slots.take() is not None


def test_a_worker_sees_that_its_chunk_is_unwanted_and_the_next_one_is_wanted(slots):
    slot = slots.take()
    mapping = SlotMapping()
    mark = MarkWriter(mapping.words(slot.to_message()), 7)
    assert not mark.is_unwanted
    slot.tell_to_stop()
    assert mark.is_unwanted
    slot.release()
    assert not MarkWriter(mapping.words(slots.take().to_message()), 7).is_unwanted


def test_the_server_sees_where_a_worker_is(slots):
    slot = slots.take()
    assert not slot.mark().is_begun
    mark = MarkWriter(SlotMapping().words(slot.to_message()), 7)
    assert slot.mark()[:2] == (7, PREPARING)
    mark.move(3, 1_000)
    assert slot.mark() == (7, 3, 1_000)
    slot.release()
    assert not slots.take().mark().is_begun


def test_slots_do_not_overlap(slots):
    held = [slots.take(), slots.take()]
    packets = [writer(slot) for slot in held]
    for number, packet in enumerate(packets):
        packet.add_message(bytes([number + 1]) * packet.most_bytes)
    for number, (slot, packet) in enumerate(zip(held, packets, strict=True)):
        ((messages, _, _),) = read(packet.finish(0.0, ()), slot)
        assert messages == [bytes([number + 1]) * (MEBIBYTE - 128 * 1024)]


@pytest.mark.parametrize("size", [0, MEBIBYTE - 4_096, MEBIBYTE + 1])
def test_a_slot_that_is_too_small_or_no_whole_pages_is_refused(size):
    with pytest.raises(ValueError, match="slot_bytes must be 1,048,576 or more"):
        TransportSettings(slot_bytes=size)


# The file.


def test_the_file_is_the_users_own_and_goes_with_the_slots(tmp_path):
    slots = ResultSlots(2, TransportSettings(folder=tmp_path))
    assert files(tmp_path) == [slots.path]
    assert stat.S_IMODE(slots.path.stat().st_mode) == 0o600
    assert slots.path.stat().st_blocks * 512 >= 32 * MEBIBYTE
    view = slots.take().view(100)
    slots.close()
    slots.close()
    assert files(tmp_path) == []
    assert bytes(view) == bytes(100)
    forgotten = ResultSlots(2, TransportSettings(folder=tmp_path))
    assert len(files(tmp_path)) == 1
    del forgotten
    gc.collect()
    assert files(tmp_path) == []


def test_a_folder_that_is_not_there_is_told_with_what_to_do(tmp_path):
    folder = tmp_path / "none"
    with pytest.raises(ConfigurationError) as caught:
        ResultSlots(4, TransportSettings(folder=folder, slot_bytes=MEBIBYTE))
    assert str(folder) in caught.value.message
    assert "4 MB" in caught.value.message
    assert "No such file or directory" in caught.value.message
    assert "--results-folder" in caught.value.message


def test_a_folder_with_too_little_room_is_told_and_nothing_stays_in_it(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ConfigurationError, match=r"results need 67 MB .*No space left on device.*--workers"):
        ResultSlots(4, TransportSettings(folder=tmp_path))
    assert files(tmp_path) == []


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_where_shared_memory_has_no_room_the_temporary_folder_is_taken(tmp_path, monkeypatch):
    shared, temporary = tmp_path / "shm", tmp_path / "tmp"
    shared.mkdir()
    temporary.mkdir()
    monkeypatch.setattr(result_transport, "_SHARED_MEMORY", shared)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(temporary))
    assert ResultSlots(1, TransportSettings()).path.parent == shared
    with monkeypatch.context() as filling:
        answers = [OSError(errno.ENOSPC, "full"), DEFAULT]
        filling.setattr(os, "posix_fallocate", Mock(wraps=os.posix_fallocate, side_effect=answers))
        assert ResultSlots(1, TransportSettings()).path.parent == temporary
    shared.rename(tmp_path / "gone")
    assert ResultSlots(1, TransportSettings()).path.parent == temporary
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ConfigurationError, match="No space left"):
        ResultSlots(1, TransportSettings())


def test_where_nothing_reserves_space_it_is_written(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate")
    slots = ResultSlots(1, TransportSettings(folder=tmp_path, slot_bytes=MEBIBYTE))
    assert slots.path.stat().st_size == MEBIBYTE + 4_096


def test_a_file_that_another_start_removed_before_it_was_locked_is_made_again(tmp_path, monkeypatch):
    lock, seen = result_transport.try_lock_shared, []

    def late(file):
        seen.append(file.name)
        if len(seen) == 1:
            files(tmp_path)[0].unlink()
        return len(seen) != 2 and lock(file)

    monkeypatch.setattr(result_transport, "try_lock_shared", late)
    slots = ResultSlots(1, TransportSettings(folder=tmp_path, slot_bytes=MEBIBYTE))
    assert len(seen) == 3
    assert files(tmp_path) == [slots.path]


MAKE_SLOTS = """
    import sys
    from pathlib import Path
    from candelabra_server.processing.result_transport import ResultSlots, TransportSettings
    slots = ResultSlots(1, TransportSettings(folder=Path(sys.argv[1]), slot_bytes=1024 * 1024))
    print(slots.path, flush=True)
    sys.stdin.read()
"""


def test_the_files_of_killed_servers_are_removed_by_the_next_start_and_no_others(tmp_path):
    def start():
        command = [sys.executable, "-c", dedent(MAKE_SLOTS), str(tmp_path)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return process, Path(process.stdout.readline().strip())

    living, path_of_living = start()
    killed, path_of_killed = start()
    (other := tmp_path / "candelabra-something").touch()
    with living, killed:
        killed.kill()
        killed.wait(60)
        assert files(tmp_path) == sorted([path_of_living, path_of_killed])
        mine = ResultSlots(1, TransportSettings(folder=tmp_path, slot_bytes=MEBIBYTE))
        assert files(tmp_path) == sorted([path_of_living, mine.path])
        living.communicate(timeout=60)
    mine.close()
    assert files(tmp_path) == []
    assert other.exists()


# The engine's slots.


def make_engine(folder, **settings):
    transport = TransportSettings(folder=folder, slot_bytes=MEBIBYTE)
    repository = MemoryRepository(["A", "B"], **settings)
    return ProcessingEngine(repository, FormulaService(), max_workers=1, transport=transport)


def run(engine, *symbols):
    return asyncio.run(asyncio.wait_for(engine.process_batch(job(list(symbols))), 60))


def test_fifty_engines_with_jobs_leave_nothing(tmp_path):
    for _ in range(50):
        with make_engine(tmp_path) as engine:
            assert len(run(engine, "A", "B")) == 2
            assert len(files(tmp_path)) == 1
        assert files(tmp_path) == []


def test_a_forgotten_engine_leaves_nothing(tmp_path):
    engine = make_engine(tmp_path)
    run(engine, "A")
    manager = engine._executor._executor_manager_thread
    del engine
    gc.collect()
    manager.join(60)
    run_until(lambda: not files(tmp_path))


def test_a_shutdown_that_does_not_wait_leaves_nothing_and_work_that_comes_late_makes_nothing(tmp_path):
    engine = make_engine(tmp_path)
    run(engine, "A")
    executor = engine._executor
    engine.shutdown(wait=False)
    assert files(tmp_path) == []
    with pytest.raises(UnavailableError, match="shut down"):
        engine._pool.slots_of(executor)
    executor.shutdown(wait=True)
    assert files(tmp_path) == []


def test_results_come_through_the_pipe_where_somebody_removed_the_file(tmp_path, caplog):
    with make_engine(tmp_path, rows=3_000) as engine:
        executor = engine._ensure_executor()
        engine._pool.slots_of(executor)
        (path,) = files(tmp_path)
        path.unlink()  # before a worker has mapped it
        (result,) = run(engine, "A")
        assert len(worker_processes(executor)) == 1
    assert len(result.open_time_micros) == 3_000
    assert any("results take the slow way" in record.getMessage() for record in caplog.records)


def test_a_folder_that_cannot_be_used_refuses_the_job_and_says_why(tmp_path):
    with make_engine(tmp_path / "none") as engine, pytest.raises(ConfigurationError, match="--results-folder"):
        run(engine, "A")


def test_a_job_waits_while_the_chunks_of_closed_event_loops_have_every_slot(tmp_path, caplog):
    """Two jobs are left, each with two chunks: the first that runs, and three behind it. There are four slots."""
    caplog.set_level(logging.ERROR)
    loads, marker = tmp_path / "loads", tmp_path / "go"

    async def has_dispatcher(engine, condition):
        while (found := engine._current_dispatcher) is None or found.loop is not asyncio.get_running_loop():
            await asyncio.sleep(0)
        while not condition(found):
            await asyncio.sleep(0)

    async def leave(engine):
        task = asyncio.ensure_future(engine.process_batch(job(["A", "B", "C"])))
        await has_dispatcher(engine, lambda found: found._scheduler.in_flight == 2 and loads.exists())
        task.cancel()

    async def wait_for_a_slot(engine):
        task = asyncio.ensure_future(engine.process_batch(job("A")))
        await has_dispatcher(engine, lambda found: found._later is not None)
        marker.touch()
        return await task

    repository = SizedRepository(dict.fromkeys("ABC", 100), loads=str(loads), waits_from=1, marker=str(marker))
    transport = TransportSettings(folder=tmp_path, slot_bytes=MEBIBYTE)
    with ProcessingEngine(repository, FormulaService(), max_workers=1, transport=transport) as engine:
        for _ in range(2):
            asyncio.run(asyncio.wait_for(leave(engine), 60))
        assert engine._pool._slots[1]._free == []
        (result,) = asyncio.run(asyncio.wait_for(wait_for_a_slot(engine), 60))
        run_until(lambda: len(engine._pool._slots[1]._free) == 4)
    assert result.symbol == "A"
    assert not caplog.records
