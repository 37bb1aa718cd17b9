"""What a lane sees in the marks of workers."""

import mmap
from dataclasses import dataclass

import pytest

from candelabra_server.processing import pool_lane
from candelabra_server.processing.marks import MARK_BYTES, Mark, MarkWriter
from candelabra_server.processing.pool_lane import Lane, Submitted

GRACE = 1_000_000


class Slot:
    def __init__(self):
        self.words = memoryview(mmap.mmap(-1, MARK_BYTES)).cast("q")

    def mark(self):
        return Mark.read(self.words)

    def tell_to_stop(self):
        Mark.tell_to_stop(self.words)


@pytest.fixture
def clock(monkeypatch):
    now = [5_000_000]
    monkeypatch.setattr(pool_lane, "monotonic_micros", lambda: now[0])
    return now


@pytest.fixture
def lane(clock):
    class Pool:
        is_dead, stopped = False, ()

        def has_silently_died(self):
            return self.is_dead

        def stopped_workers(self):
            return self.stopped

    return Lane(Pool(), grace_seconds=GRACE / 1e6, is_ready=True)


@dataclass(eq=False)
class Chunk:
    symbols: tuple[str, ...]


def begin(lane, symbols=("A", "B"), *, symbol_seconds=2.0, until=1 << 62, generation=None):
    """A chunk in flight, and its slot."""
    made, slot = Chunk(symbols), Slot()
    lane.began(made, Submitted(None, slot, generation), symbol_seconds=symbol_seconds, until_micros=until)
    return made, slot


def test_a_worker_is_late_when_its_symbol_has_had_its_time_and_the_grace(lane, clock):
    _, slot = begin(lane)
    mark = MarkWriter(slot.words, 7)
    mark.move(1, clock[0])
    clock[0] += 2_000_000 + GRACE
    assert lane.watch() == ([], "")
    clock[0] += 1
    assert lane.watch() == ([], "")  # the whole machine may have been halted
    assert lane.watch() == ([7], "")


def test_a_worker_that_goes_on_after_a_halt_is_not_late(lane, clock):
    _, slot = begin(lane)
    mark = MarkWriter(slot.words, 7)
    mark.move(0, clock[0])
    clock[0] += 1_000 * GRACE
    assert lane.watch() == ([], "")
    mark.move(1, clock[0])
    assert lane.watch() == ([], "")


def test_a_worker_is_late_when_the_jobs_time_is_over_before(lane, clock):
    _, slot = begin(lane, until=clock[0] + 10)
    MarkWriter(slot.words, 7).move(0, clock[0])
    clock[0] += 10 + GRACE + 1
    lane.watch()
    assert lane.watch() == ([7], "")


def test_a_worker_is_late_when_nobody_wants_its_chunk_any_more(lane, clock):
    made, slot = begin(lane)
    MarkWriter(slot.words, 7).move(0, clock[0])
    lane.in_flight[made].tell_to_stop()
    assert slot.words[0] == 1
    clock[0] += GRACE + 1
    lane.watch()
    assert lane.watch() == ([7], "")


def test_a_worker_that_is_stopped_is_ended_after_twice_the_grace_even_when_it_has_nothing(lane, clock):
    lane.pool.stopped = [9]
    assert lane.watch() == ([], "")
    clock[0] += 2 * GRACE + 1
    assert lane.watch() == ([9], "")
    lane.pool.stopped = []
    assert lane.watch() == ([], "")
    lane.pool.stopped = [9]  # again, or another one with its id
    assert lane.watch() == ([], "")


def test_a_pool_that_takes_nothing_is_believed_to_be_stuck_the_second_time(lane, clock):
    begin(lane)
    clock[0] += 2 * GRACE + 1
    assert lane.watch() == ([], "")
    assert lane.watch() == ([], "no worker takes work or gives it back")
    assert lane.watch() == ([], "")


def test_a_pool_that_gives_nothing_back_is_stuck_too(lane, clock):
    _, slot = begin(lane)
    MarkWriter(slot.words, 7).move(2, clock[0])
    clock[0] += 2 * GRACE + 1
    lane.watch()
    assert lane.watch() == ([], "no worker takes work or gives it back")


def test_a_pool_with_a_chunk_that_was_begun_is_not_stuck(lane, clock):
    begin(lane)
    _, slot = begin(lane, symbol_seconds=3_600.0)
    MarkWriter(slot.words, 7).move(0, clock[0])
    clock[0] += 100 * GRACE
    lane.watch()
    assert lane.watch() == ([], "")


def test_an_end_is_a_move(lane, clock):
    first, _ = begin(lane)
    begin(lane)
    clock[0] += 2 * GRACE
    lane.ended(first)
    clock[0] += GRACE
    lane.watch()
    assert lane.watch() == ([], "")


def test_a_death_that_the_pool_does_not_tell_of_is_believed_the_second_time(lane):
    lane.pool.is_dead = True
    assert lane.watch() == ([], "")
    assert lane.watch() == ([], "a worker died and its pool did not notice")


def test_what_was_lost_comes_back_the_last_submitted_first(lane):
    made = [begin(lane)[0] for _ in range(3)]
    for one in (made[1], made[2], made[0]):
        lane.lose(one, lane.ended(one))
    assert lane.is_over
    assert [lost.chunk for lost in lane.take_lost()] == made[::-1]
    assert lane.take_lost() == []


def test_what_a_broken_pool_does_not_give_back_is_given_up(lane, clock):
    made = [begin(lane, generation=7)[0], begin(lane, generation=7)[0]]
    lane.lose(made[0], lane.ended(made[0]))
    clock[0] += 2 * GRACE + 1
    lane.watch()
    assert lane.watch() == ([], "a pool that broke does not give back what it had")
    assert lane.generations == {7}
    lane.give_up()
    assert lane.is_over
    assert lane.generations == {None}
    assert {lost.generation for lost in lane.take_lost()} == {7}
    assert lane.ended(made[1]) is None


def test_a_chunk_without_a_slot_is_where_nobody_knows(lane):
    made = Chunk(("A",))
    lane.began(made, Submitted(None, None, None), symbol_seconds=1.0, until_micros=1 << 62)
    lane.in_flight[made].tell_to_stop()
    assert not lane.in_flight[made].mark().is_begun
