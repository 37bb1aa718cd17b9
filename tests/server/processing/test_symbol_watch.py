"""The watch over a chunk in its worker."""

import mmap

import pytest

from candelabra_server.errors import Reason, SymbolFailure
from candelabra_server.processing import symbol_watch
from candelabra_server.processing.marks import MARK_BYTES, Mark, MarkWriter, monotonic_micros
from candelabra_server.processing.symbol_watch import ChunkUnwantedError, SymbolWatch


@pytest.fixture
def words():
    return memoryview(mmap.mmap(-1, MARK_BYTES)).cast("q")


@pytest.fixture
def clock(monkeypatch):
    """The time in microseconds, in a list, for a test to change."""
    now = [1_000_000]
    monkeypatch.setattr(symbol_watch, "monotonic_micros", lambda: now[0])
    return now


def test_a_worker_writes_where_it_is_and_since_when(words, clock):
    watch = SymbolWatch(MarkWriter(words, 7))
    watch.begin(3)
    assert Mark.read(words) == (7, 3, clock[0])
    clock[0] += 5
    watch.end(9)
    assert Mark.read(words) == (7, 9, clock[0])


def test_a_chunk_that_nobody_wants_ends_before_the_next_symbol_and_within_one(words):
    watch = SymbolWatch(MarkWriter(words, 7))
    watch.begin(0)
    watch.check()
    Mark.tell_to_stop(words)
    with pytest.raises(ChunkUnwantedError):
        watch.check()
    with pytest.raises(ChunkUnwantedError):
        watch.begin(1)


def test_each_symbol_has_its_time_from_its_beginning_on(clock):
    watch = SymbolWatch(limit_millis=10)
    watch.begin(0)
    clock[0] += 10_000
    watch.check()
    watch.begin(1)
    clock[0] += 10_001
    with pytest.raises(SymbolFailure, match="not finished within 10 ms") as caught:
        watch.check()
    assert caught.value.reason == Reason.SYMBOL_TIME_LIMIT


@pytest.mark.parametrize("limit_millis", [0, 10, 60_000])
def test_a_deadline_that_has_passed_is_nobodys_failure(limit_millis, clock):
    watch = SymbolWatch(limit_millis=limit_millis, deadline_micros=clock[0] + 5_000)
    watch.begin(0)
    clock[0] += 5_001
    with pytest.raises(ChunkUnwantedError):
        watch.check()
    with pytest.raises(ChunkUnwantedError):
        watch.begin(1)


def test_a_chunk_without_limits_and_mark_goes_on(clock):
    watch = SymbolWatch()
    watch.begin(0)
    clock[0] += 1 << 50
    watch.check()
    watch.end(1)


def test_the_clock_is_the_systems_own_and_the_same_for_all_processes():
    first = monotonic_micros()
    assert first <= monotonic_micros()
