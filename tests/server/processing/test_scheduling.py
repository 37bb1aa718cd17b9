"""The dispatcher's policy, without processes: fair, bounded, nothing lost, nothing doubled."""

import random
from collections import Counter

import pytest

from candelabra_server.processing.scheduling import (
    CHUNK_BYTES,
    MAX_ATTEMPTS,
    MAX_UNFETCHED_BYTES,
    TARGET_SECONDS,
    Scheduler,
)


def names(count, prefix="S"):
    return [f"{prefix}{index}" for index in range(count)]


def take_all(scheduler):
    chunks = []
    while (chunk := scheduler.take()) is not None:
        chunks.append(chunk)
    return chunks


def take_with_suspect(scheduler):
    return [chunk for chunk in [scheduler.take_suspect(), *take_all(scheduler)] if chunk is not None]


def finish(scheduler, chunk, seconds, result_bytes=100):
    """The chunk is done, and its results wait for the client."""
    scheduler.finished(chunk, seconds, result_bytes=result_bytes)
    scheduler.handed_over(chunk.job, result_bytes)


def test_the_first_chunk_of_a_job_is_one_symbol():
    scheduler = Scheduler(workers=2)
    scheduler.add(names(100), weight=1)
    assert all(len(chunk.symbols) == 1 for chunk in take_all(scheduler))


def test_no_more_than_workers_plus_one_chunks_are_in_flight():
    """Pool trap 5, rule 3."""
    scheduler = Scheduler(workers=2)
    for _ in range(5):
        scheduler.add(names(100), weight=1)
    assert len(take_all(scheduler)) == 3
    assert scheduler.in_flight == 3


def test_chunks_grow_towards_the_target_and_shrink_at_the_end():
    scheduler = Scheduler(workers=2)
    job = scheduler.add(names(1_000), weight=1)
    sizes = []
    while (chunk := scheduler.take()) is not None:
        sizes.append(len(chunk.symbols))
        finish(scheduler, chunk, len(chunk.symbols) * TARGET_SECONDS / 50)
        scheduler.fetched(job, 100)
    assert sizes[:4] == [1, 4, 16, 50]
    assert max(sizes) == 50
    shrinking = sizes[sizes.index(50) :]
    assert shrinking == sorted(shrinking, reverse=True)
    assert sizes[-2] == 5  # a millisecond's worth is not shared out further
    assert sum(sizes) == 1_000


def test_a_dear_first_symbol_keeps_only_the_first_chunks_small():
    """It has the job made ready; smoothing alone would need thirty chunks to forget that."""
    scheduler = Scheduler(workers=1)
    job = scheduler.add(names(10_000), weight=1)
    sizes = []
    for number in range(9):
        chunk = scheduler.take()
        sizes.append(len(chunk.symbols))
        finish(scheduler, chunk, (number == 0) * TARGET_SECONDS / 2 + len(chunk.symbols) * TARGET_SECONDS / 1_000)
        scheduler.fetched(job, 100)
    assert sizes[:4] == [1, 1, 3, 9]
    assert sizes[-1] > 500


def test_a_small_job_does_not_wait_behind_a_large_one():
    scheduler = Scheduler(workers=1)
    large = scheduler.add(names(8_000, "L"), weight=1)
    for _ in range(50):
        for chunk in take_all(scheduler):
            finish(scheduler, chunk, 0.01)
            scheduler.fetched(large, 100)
    running = take_all(scheduler)
    small = scheduler.add(["ONE"], weight=1)
    finish(scheduler, running[0], 0.01)
    scheduler.fetched(large, 100)
    assert scheduler.take().job is small


def test_cost_is_shared_by_weight():
    scheduler = Scheduler(workers=1)
    heavy, light = scheduler.add(names(9_000), weight=3), scheduler.add(names(9_000), weight=1)
    spent = Counter()
    for _ in range(800):
        chunk = scheduler.take()
        seconds = 0.001 * len(chunk.symbols)
        spent[chunk.job is heavy] += seconds
        finish(scheduler, chunk, seconds)
        scheduler.fetched(chunk.job, 100)
    assert spent[True] / spent[False] == pytest.approx(3, rel=0.1)
    assert light.symbols


def test_a_job_whose_results_are_not_fetched_gets_no_more_chunks():
    scheduler = Scheduler(workers=2)
    stalled = scheduler.add(names(100), weight=1)
    for _ in range(10):
        for chunk in take_all(scheduler):
            finish(scheduler, chunk, 0.001, MAX_UNFETCHED_BYTES // 3)
    assert MAX_UNFETCHED_BYTES <= stalled.unfetched_bytes < MAX_UNFETCHED_BYTES * 2
    assert stalled.symbols
    other = scheduler.add(names(10), weight=1)
    assert {chunk.job for chunk in take_all(scheduler)} == {other}


def test_what_a_stalled_job_could_not_use_is_not_made_up_for():
    scheduler = Scheduler(workers=1)
    stalled, steady = scheduler.add(names(9_000), weight=1), scheduler.add(names(9_000), weight=1)
    for _ in range(500):
        chunk = scheduler.take()
        finish(scheduler, chunk, 0.01, MAX_UNFETCHED_BYTES)
        if chunk.job is steady:
            scheduler.fetched(steady, MAX_UNFETCHED_BYTES)
    new = scheduler.add(names(9_000), weight=1)
    scheduler.fetched(stalled, stalled.unfetched_bytes)
    taken = Counter()
    for _ in range(300):
        chunk = scheduler.take()
        taken[chunk.job] += 1
        finish(scheduler, chunk, 0.01)
        scheduler.fetched(chunk.job, 100)
    assert all(90 <= taken[job] <= 110 for job in (stalled, steady, new))


def test_the_suspects_of_a_stalled_job_wait_and_hold_nobody_up():
    scheduler = Scheduler(workers=2)
    stalled = scheduler.add(names(100), weight=1)
    for chunk in take_all(scheduler):
        scheduler.died(chunk, 0)
    scheduler.handed_over(stalled, MAX_UNFETCHED_BYTES)
    other = scheduler.add(names(10, "T"), weight=1)
    assert {chunk.job for chunk in take_with_suspect(scheduler)} == {other}
    assert scheduler.has_suspects
    assert not scheduler.waits_for_suspects


def test_a_job_is_removed_twice_without_harm():
    scheduler = Scheduler(workers=1)
    job = scheduler.add(["A"], weight=1)
    scheduler.remove(job)
    scheduler.remove(job)
    assert scheduler.take() is None


def test_a_removed_job_leaves_only_what_is_in_flight():
    scheduler = Scheduler(workers=2)
    job = scheduler.add(names(100), weight=1)
    chunks = take_all(scheduler)
    scheduler.remove(job)
    assert scheduler.take() is None
    for chunk in chunks[:2]:
        scheduler.finished(chunk, 0.1)
    assert not scheduler.died(chunks[2], 0)
    assert not scheduler.has_suspects
    assert scheduler.in_flight == 0
    assert scheduler.take() is None


def test_suspects_run_one_at_a_time_beside_everything_else():
    """Pool rule 9."""
    scheduler = Scheduler(workers=2)
    job = scheduler.add(names(100), weight=1)
    for chunk in take_all(scheduler):
        assert not scheduler.died(chunk, 0)
    others = take_all(scheduler)
    assert [chunk.symbols for chunk in others] == [("S3",), ("S4",), ("S5",)]
    for expected in ("S0", "S1", "S2"):
        suspect = scheduler.take_suspect()
        assert (suspect.symbols, suspect.is_suspect) == ((expected,), True)
        assert scheduler.take_suspect() is None
        finish(scheduler, suspect, 0.001)
        scheduler.fetched(job, 100)
    assert not scheduler.has_suspects


def test_only_the_symbol_at_which_a_worker_died_is_held_to_account():
    """Pool rule 8."""
    scheduler = Scheduler(workers=1)
    job = scheduler.add(names(10), weight=1)
    finish(scheduler, scheduler.take(), 0.0001)
    chunk = scheduler.take()
    assert chunk.symbols == ("S1", "S2", "S3", "S4")
    scheduler.died(chunk, 2)
    assert scheduler.take_suspect().symbols == ("S3",)
    assert list(job.symbols)[:4] == ["S1", "S2", "S4", "S5"]
    assert job.attempts == {"S3": 1}


def test_a_symbol_that_is_there_whenever_a_pool_breaks_for_no_reason_is_looked_at_alone():
    scheduler = Scheduler(workers=1)
    job = scheduler.add(["ODD", "S1"], weight=1)
    for _ in range(MAX_ATTEMPTS):
        assert not scheduler.has_suspects
        scheduler.puzzled(scheduler.take())
    suspect = scheduler.take_suspect()
    assert suspect.symbols == ("ODD",)
    assert not job.attempts
    scheduler.puzzled(suspect)
    assert scheduler.take_suspect().symbols == ("ODD",)
    assert list(job.symbols) == ["S1"]


def test_all_that_a_job_has_queued_can_be_given_up():
    scheduler = Scheduler(workers=2)
    job = scheduler.add(names(6), weight=1)
    chunks = take_all(scheduler)
    scheduler.died(chunks[0], 0)
    scheduler.returned(chunks[1])
    assert scheduler.give_up(job) == ["S1", "S3", "S4", "S5", "S0"]
    assert take_with_suspect(scheduler) == []
    scheduler.finished(chunks[2], 0.1)
    assert scheduler.give_up(job) == []


def test_what_there_is_to_do_is_told():
    scheduler = Scheduler(workers=2)
    job = scheduler.add(names(100), weight=1)
    chunks = take_all(scheduler)
    assert scheduler.queued_symbols == 97
    for chunk in chunks:
        finish(scheduler, chunk, 0.5, 1_000)
    assert scheduler.backlog_seconds == pytest.approx(97 * 0.5 / 2)
    assert scheduler.unfetched_bytes == 3_000
    scheduler.fetched(job, 1_000)
    assert scheduler.unfetched_bytes == 2_000


def test_the_third_death_of_a_symbol_convicts_it():
    """Pool rule 9."""
    scheduler = Scheduler(workers=1)
    job = scheduler.add(["BAD"], weight=1)
    assert not scheduler.died(scheduler.take(), 0)
    for _ in range(MAX_ATTEMPTS - 2):
        assert scheduler.take() is None
        assert not scheduler.died(scheduler.take_suspect(), 0)
    assert scheduler.died(scheduler.take_suspect(), 0)
    assert take_with_suspect(scheduler) == []
    assert not job.in_flight


def test_a_chunk_that_never_ran_goes_back_to_the_front_uncharged():
    scheduler = Scheduler(workers=1)
    job = scheduler.add(names(10), weight=1)
    chunk = scheduler.take()
    scheduler.returned(chunk)
    assert job.virtual_seconds == 0
    assert scheduler.take().symbols == chunk.symbols


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_every_symbol_ends_exactly_once(seed):
    """Hundreds of jobs with random costs, stalls, deaths and cancellations."""
    dice = random.Random(seed)
    workers = dice.choice([1, 2, 8])
    scheduler = Scheduler(workers=workers)
    ended, expected, unfetched, running = Counter(), set(), [], []
    jobs = {}
    for number in range(dice.randint(20, 60)):
        symbols = names(dice.choice([1, 3, 40, 200]), f"{number}-")
        jobs[scheduler.add(symbols, weight=dice.choice([0.1, 1, 10]))] = symbols
        expected.update(symbols)
    while True:
        running += take_with_suspect(scheduler)
        assert len(running) <= workers + 2
        assert sum(chunk.is_suspect for chunk in running) <= 1
        if dice.random() < 0.01 and jobs:
            job = dice.choice(list(jobs))
            expected.difference_update(jobs.pop(job))
            scheduler.remove(job)
        elif running and dice.random() < 0.9:
            chunk = running.pop(dice.randrange(len(running)))
            fate = dice.random()
            if fate < 0.02 or (chunk.is_suspect and fate < 0.4):
                position = dice.randrange(len(chunk.symbols))
                ended[chunk.symbols[position]] += scheduler.died(chunk, position)
            elif fate < 0.04:
                scheduler.returned(chunk)
            elif fate < 0.1:
                scheduler.puzzled(chunk)
            else:
                done = dice.randint(1, len(chunk.symbols))
                ended.update(chunk.symbols[:done])
                size = dice.choice([100, 10_000, MAX_UNFETCHED_BYTES // 2])
                scheduler.finished(chunk, dice.uniform(0, 0.02), done=done, result_bytes=size)
                scheduler.handed_over(chunk.job, size)
                unfetched.append((chunk.job, size))
        elif unfetched:
            scheduler.fetched(*unfetched.pop(dice.randrange(len(unfetched))))
        elif not running:
            break
    assert {symbol: ended[symbol] for symbol in expected} == dict.fromkeys(expected, 1)
    assert max(ended.values()) == 1


def test_chunks_grow_no_further_than_the_bytes_that_they_may_have():
    scheduler = Scheduler(workers=1)
    job = scheduler.add(names(1_000), weight=1)
    sizes = []
    for _ in range(12):
        chunk = scheduler.take()
        sizes.append(len(chunk.symbols))
        size = len(chunk.symbols) * CHUNK_BYTES // 10
        finish(scheduler, chunk, 0.0001 * len(chunk.symbols), size)
        scheduler.fetched(job, size)
    assert sizes == [1, 4, *[10] * 10]


@pytest.mark.parametrize(("symbol_seconds", "most"), [(0.0001, 7), (0.001, 3), (0.002, 2)])
def test_dear_results_are_no_more_than_four_mebibytes_or_three_milliseconds_of_them(symbol_seconds, most):
    scheduler = Scheduler(workers=1)
    job = scheduler.add(names(1_000), weight=1)
    sizes = []
    for _ in range(6):
        chunk = scheduler.take()
        sizes.append(len(chunk.symbols))
        size = len(chunk.symbols) * CHUNK_BYTES // 7
        finish(scheduler, chunk, symbol_seconds * len(chunk.symbols), size)
        scheduler.fetched(job, size)
    assert max(sizes) == sizes[-1] == most


def test_symbols_for_which_a_chunk_had_no_room_are_next():
    scheduler = Scheduler(workers=1)
    scheduler.add(names(100), weight=1)
    first = scheduler.take()
    finish(scheduler, first, 0.0001)
    chunk = scheduler.take()
    assert chunk.symbols == ("S1", "S2", "S3", "S4")
    scheduler.finished(chunk, 0.0001, done=1, result_bytes=100)
    assert scheduler.take().symbols[0] == "S2"


def test_the_rows_of_a_large_symbol_are_done_one_range_after_the_other_and_before_all_else_of_its_job():
    scheduler = Scheduler(workers=2)
    job = scheduler.add(names(10), weight=1)
    chunks = take_all(scheduler)
    for chunk in chunks:
        scheduler.finished(chunk, 0.01)
    scheduler.set_range(job, ("S0", 500))
    (ranged,) = take_all(scheduler)
    assert (ranged.symbols, ranged.first_row) == (("S0",), 500)
    assert not scheduler.died(ranged, 0)
    (again,) = take_with_suspect(scheduler)
    assert (again.symbols, again.first_row, again.is_suspect) == (("S0",), 500, True)
    scheduler.returned(again)
    (again,) = take_with_suspect(scheduler)
    assert (again.symbols, again.first_row, again.is_suspect) == (("S0",), 500, True)
    scheduler.finished(again, 0.01)
    scheduler.set_range(job, ("S0", 900))
    (last,) = take_all(scheduler)
    assert (last.first_row, last.is_suspect) == (900, False)
    scheduler.finished(last, 0.01)
    scheduler.set_range(job, None)
    assert next(chunk.symbols for chunk in take_all(scheduler)) == ("S3",)


def test_every_waiting_job_gets_into_the_window_and_the_rest_of_it_goes_by_weight():
    scheduler = Scheduler(workers=7)
    large = scheduler.add(names(1_000, "L"), weight=100)
    others = [scheduler.add(names(1_000, f"{number}-"), weight=0.01) for number in range(3)]
    taken = Counter(chunk.job for chunk in take_all(scheduler))
    assert taken == {large: 5, **dict.fromkeys(others, 1)}


def test_jobs_share_one_worker_by_weight_although_each_always_has_something_in_flight():
    scheduler = Scheduler(workers=1)
    heavy, light = scheduler.add(names(9_000), weight=3), scheduler.add(names(9_000), weight=1)
    spent, queue = Counter(), take_all(scheduler)
    for _ in range(800):
        chunk = queue.pop(0)
        seconds = (0.001 if chunk.job is heavy else 0.02) * len(chunk.symbols)
        spent[chunk.job] += seconds
        finish(scheduler, chunk, seconds)
        scheduler.fetched(chunk.job, 100)
        queue += take_all(scheduler)
    assert spent[heavy] / spent[light] == pytest.approx(3, rel=0.1)


def test_a_job_that_did_a_large_symbol_alone_does_not_make_up_for_it():
    scheduler = Scheduler(workers=2)
    ranged, steady = scheduler.add(names(9_000, "R"), weight=1), scheduler.add(names(9_000, "T"), weight=1)
    queue, taken, row = take_all(scheduler), Counter(), 0
    for turn in range(800):
        chunk = queue.pop(0)
        taken[chunk.job] += turn >= 400
        if row == 0 and chunk.job is ranged:
            scheduler.set_range(ranged, ("R0", row := 1))
        elif chunk.job is ranged and chunk.first_row:
            row += 1
            scheduler.set_range(ranged, ("R0", row) if turn < 400 else None)
        finish(scheduler, chunk, 0.01)
        scheduler.fetched(chunk.job, 100)
        queue += take_all(scheduler)
    assert taken[ranged] == pytest.approx(200, abs=10)
    assert taken[steady] == pytest.approx(200, abs=10)


def test_a_range_that_is_a_suspect_stays_one_when_more_of_its_job_is_lost():
    scheduler = Scheduler(workers=2)
    job = scheduler.add(names(10), weight=1)
    first, other, third = take_all(scheduler)
    scheduler.finished(first, 0.01)
    scheduler.set_range(job, ("S0", 500))
    (ranged,) = take_all(scheduler)
    for chunk in (ranged, other, third):
        assert not scheduler.died(chunk, 0)
    assert job.is_range_in_flight
    (suspect,) = take_with_suspect(scheduler)
    assert (suspect.symbols, suspect.first_row, suspect.is_suspect) == (("S0",), 500, True)
