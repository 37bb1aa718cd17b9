"""The scheduler under load, on a clock of its own: thousands of jobs with every kind of client, nothing real but it.

Workers take chunks in the order in which they were submitted, as the pool's do. A slot holds SLOT_BYTES: a symbol with
more is done in ranges of rows, and a chunk with more is done in part. Results go through the real ResultOrder.
"""

import heapq
import itertools
import math
import random
from collections import Counter, deque

import pytest

from candelabra_server.processing.result_order import Done, ResultOrder
from candelabra_server.processing.result_transport import Rows
from candelabra_server.processing.scheduling import MAX_UNFETCHED_BYTES, TARGET_SECONDS, Scheduler

SLOT_BYTES = 16 * 1024 * 1024
FAST, SLOW = 1e9, 2e6
"""Bytes a second that clients read."""
CHUNK_TIMES = 3
"""A job of one symbol is done after so many times what a chunk takes, whatever else runs."""
TOLERANCE = 0.05
"""How far the worker time of a job that is always ready may be from its share by weight, relative to that."""


class Job:
    """One job, its client, and what was seen of it."""

    def __init__(self, name, costs, sizes, *, weight=1.0, rate=FAST, stalls_after=math.inf, returns_after=math.inf):
        self.symbols = [f"{name}-{number}" for number in range(len(costs))]
        self.cost = dict(zip(self.symbols, costs, strict=True))
        self.size = dict(zip(self.symbols, sizes, strict=True))
        self.weight, self.rate = weight, rate
        self.stalls_after, self.returns_after = stalls_after, returns_after
        self.order, self.inbox, self.ended = ResultOrder(), deque(), Counter()
        self.queue = self.open_symbol = self.ended_at = None
        self.row = self.read_bytes = 0
        self.worker_seconds = 0.0
        self.is_reading = self.is_cancelled = self.is_stalled = False
        self.most_unfetched = math.inf

    @property
    def is_done(self):
        return self.is_cancelled or self.order.completed == len(self.symbols)

    def see(self, item):
        """What its client would: whole symbols once, the rows of one without a gap and nothing between them."""
        assert self.open_symbol in (None, item.symbol)
        if item.rows is not None:
            assert item.rows.next_row > self.row
            self.row = item.rows.next_row
        self.open_symbol = None if item.is_complete else item.symbol
        if item.is_complete:
            assert item.failure is not None or self.row in (0, self.size[item.symbol])
            self.row = 0
            self.ended[item.symbol] += 1


class Simulation:
    """Virtual workers, clients and a clock around a real scheduler."""

    def __init__(self, workers, dice, *, partial_rate=0.0):
        self.scheduler = Scheduler(workers=workers)
        self.now, self.workers, self.dice, self.partial_rate = 0.0, workers, dice, partial_rate
        self.jobs, self.by_queue = [], {}
        self.events, self.numbers = [], itertools.count()
        self.waiting, self.running, self.suspect, self.generation = deque(), {}, None, 0

    def at(self, time, call, *args):
        heapq.heappush(self.events, (time, next(self.numbers), call, args))

    def run(self, until=math.inf):
        while self.events and self.events[0][0] <= until:
            self.now, _, call, args = heapq.heappop(self.events)
            call(*args)

    def submit(self, job):
        job.queue = self.scheduler.add(job.symbols, weight=job.weight)
        self.jobs.append(job)
        self.by_queue[job.queue] = job
        self.pump()

    def cancel(self, job):
        if job.queue is not None and not job.is_done:
            job.is_cancelled = True
            self.scheduler.remove(job.queue)
            self.pump()

    def kill(self):
        """A worker dies of one of its symbols, or nobody knows why: the pool loses what it has."""
        lost = [*self.waiting, *self.running]
        culprit = self.dice.choice([None, *self.running])
        self.generation += 1
        self.running.clear()
        self.waiting.clear()
        for chunk in reversed(lost):
            if chunk is culprit:
                self.die(chunk)
            elif culprit is None and self.dice.random() < 0.5:
                self.scheduler.puzzled(chunk)
            else:
                self.scheduler.returned(chunk)
        self.pump()

    def die(self, chunk):
        position = self.dice.randrange(len(chunk.symbols))
        if self.scheduler.died(chunk, position):
            self.hand_over(chunk, [Done(chunk.symbols[position], 1, [], 0, failure=RuntimeError("died"))])

    def leave_quarantine(self, chunk, seconds, done):
        """The end of a suspect, which no death in the workers' pool concerns."""
        self.suspect = None
        if self.dice.random() < 0.4:
            self.die(chunk)
        else:
            self.hand_in(chunk, seconds, done)
        self.pump()

    def pump(self):
        if (suspect := self.scheduler.take_suspect()) is not None:
            assert self.suspect is None
            self.suspect = suspect
            seconds, done = self.compute(suspect)
            self.at(self.now + seconds, self.leave_quarantine, suspect, seconds, done)
        while (chunk := self.scheduler.take()) is not None:
            self.waiting.append(chunk)
        while self.waiting and len(self.running) < self.workers:
            chunk = self.waiting.popleft()
            seconds, done = self.compute(chunk)
            self.running[chunk] = done
            self.at(self.now + seconds, self.finish, chunk, seconds, done, self.generation)
        in_flight = len(self.running) + len(self.waiting)
        assert in_flight <= self.workers + 1
        assert self.scheduler.in_flight == in_flight + (self.suspect is not None)

    def compute(self, chunk):
        """What a worker would do: as many symbols, or rows of one, as fit; sizes stand in place of the attempts."""
        job, seconds, room, done = self.by_queue[chunk.job], 0.0, SLOT_BYTES, []
        for symbol in chunk.symbols:
            size = job.size[symbol]
            left = size - chunk.first_row
            taken = min(left, SLOT_BYTES)
            if taken > room or (done and self.dice.random() < self.partial_rate):
                break
            rows = None if taken == size else Rows(size, chunk.first_row + taken, b"")
            done.append(Done(symbol, 1, [b""], taken, rows))
            room -= taken
            seconds += job.cost[symbol] * taken / size
        return seconds, done

    def finish(self, chunk, seconds, done, generation):
        if generation != self.generation:
            return
        del self.running[chunk]
        self.hand_in(chunk, seconds, done)
        self.pump()

    def hand_in(self, chunk, seconds, done):
        self.by_queue[chunk.job].worker_seconds += seconds
        result_bytes = sum(item.attempts for item in done)
        self.scheduler.finished(chunk, seconds, done=len(done), result_bytes=result_bytes)
        self.hand_over(chunk, done)

    def hand_over(self, chunk, done):
        job = self.by_queue[chunk.job]
        if job.is_cancelled:
            return
        ready = job.order.add(done)
        self.scheduler.set_range(chunk.job, job.order.open_piece)
        size = sum(item.attempts for item in ready)
        for item in ready:
            job.see(item)
        if ready:
            self.scheduler.handed_over(chunk.job, size)
            job.inbox.append(size)
            self.check_unfetched(job)
            self.read(job)
        if job.is_done:
            job.ended_at = self.now

    def check_unfetched(self, job):
        unfetched = job.queue.unfetched_bytes
        if unfetched >= MAX_UNFETCHED_BYTES and job.most_unfetched == math.inf:
            mine = [done for chunk, done in self.running.items() if chunk.job is job.queue]
            in_flight = sum(item.attempts for done in mine for item in done)
            in_flight += sum(SLOT_BYTES for chunk in self.waiting if chunk.job is job.queue)
            in_flight += SLOT_BYTES * (self.suspect is not None and self.suspect.job is job.queue)
            held = sum(item.attempts for item in job.order._held)
            assert held <= SLOT_BYTES * (self.workers + 2)
            job.most_unfetched = unfetched + in_flight + held
        assert unfetched <= job.most_unfetched

    def read(self, job):
        if job.inbox and not job.is_reading and not job.is_stalled:
            job.is_reading = True
            self.at(self.now + job.inbox[0] / job.rate, self.have_read, job)

    def have_read(self, job):
        size = job.inbox.popleft()
        job.is_reading = False
        if not job.is_cancelled:
            self.scheduler.fetched(job.queue, size)
        if job.queue.unfetched_bytes < MAX_UNFETCHED_BYTES:
            job.most_unfetched = math.inf
        job.read_bytes += size
        if job.read_bytes >= job.stalls_after:
            job.is_stalled, job.stalls_after = True, math.inf
            if job.returns_after < math.inf:
                self.at(self.now + job.returns_after, self.come_back, job)
        self.read(job)
        self.pump()

    def come_back(self, job):
        job.is_stalled = False
        self.read(job)


def log_uniform(dice, low, high):
    return math.exp(dice.uniform(math.log(low), math.log(high)))


def random_job(dice, name):
    count = int(log_uniform(dice, 1, 3_001))
    cost = log_uniform(dice, 0.01e-3, 50e-3)
    size = log_uniform(dice, 50, 20e6)
    sizes = [int(size * dice.uniform(0.5, 1)) for _ in range(count)]
    for _ in range(dice.choice([0, 0, 0, 3])):
        sizes[dice.randrange(count)] = dice.randint(SLOT_BYTES, 5 * SLOT_BYTES)
    stalls = dice.random() < 0.3
    return Job(
        name,
        [cost * dice.uniform(0.2, 1) for _ in range(count)],
        sizes,
        weight=log_uniform(dice, 0.1, 10),
        rate=dice.choice([FAST, FAST, SLOW]),
        stalls_after=dice.uniform(0, sum(sizes)) if stalls else math.inf,
        returns_after=dice.choice([dice.uniform(0, 30), math.inf]) if stalls else 0,
    )


@pytest.mark.parametrize("seed", range(24))
def test_whatever_jobs_and_clients_do_everything_ends_and_every_symbol_once(seed):
    """Workers die, jobs are cancelled, clients stall; some stall until nothing else is left to do."""
    dice = random.Random(seed)
    simulation = Simulation(dice.choice([1, 2, 3, 8, 31]), dice, partial_rate=dice.choice([0, 0.05]))
    jobs = [random_job(dice, f"J{number}") for number in range(dice.randint(10, 90))]
    for job in jobs:
        arrival = dice.uniform(0, 20)
        simulation.at(arrival, simulation.submit, job)
        if dice.random() < 0.1:
            simulation.at(arrival + dice.uniform(0, 10), simulation.cancel, job)
    for _ in range(dice.choice([0, 0, 10, 40])):
        simulation.at(dice.uniform(0, 30), simulation.kill)
    simulation.run()
    assert all(job.is_done for job in jobs if not job.is_stalled)  # for ever stalled, they held nobody up
    for job in jobs:
        simulation.come_back(job)
    simulation.run()
    assert all(job.is_done and not job.inbox for job in jobs)
    assert simulation.scheduler.in_flight == 0
    for job in jobs:
        assert max(job.ended.values(), default=1) == 1
        assert job.is_cancelled or len(job.ended) == len(job.symbols)


@pytest.mark.parametrize("seed", range(12))
def test_the_time_of_workers_is_shared_by_weight_among_jobs_that_are_always_ready(seed):
    dice = random.Random(seed)
    simulation = Simulation(dice.choice([1, 2, 4, 8]), dice)
    weights = [dice.choice([0.5, 1, 1, 2, 4]) for _ in range(dice.randint(2, 5))]
    costs = [log_uniform(dice, 1e-3, 50e-3) for _ in weights]
    seconds = 100 * len(weights) * max(costs) * 2 / min(weights)
    jobs = []
    for number, (weight, cost) in enumerate(zip(weights, costs, strict=True)):
        count = int(seconds * simulation.workers / cost) + 1_000
        jobs.append(Job(f"J{number}", [cost] * count, [1_000] * count, weight=weight))
        simulation.submit(jobs[-1])
    simulation.run(until=seconds)
    assert not any(job.is_done for job in jobs)
    total = sum(job.worker_seconds for job in jobs)
    for job in jobs:
        assert job.worker_seconds / total == pytest.approx(job.weight / sum(weights), rel=TOLERANCE)


@pytest.mark.parametrize("seed", range(12))
def test_a_job_of_one_symbol_is_soon_done_beside_huge_ones(seed):
    dice = random.Random(seed)
    simulation = Simulation(dice.choice([1, 2, 4, 8]), dice)
    costs = [log_uniform(dice, 0.05e-3, 20e-3) for _ in range(dice.randint(1, 6))]
    for number, cost in enumerate(costs):
        count = int(5 * simulation.workers / cost / len(costs)) + 1
        sizes = [dice.choice([100, 100_000])] * count
        if dice.random() < 0.3:
            sizes[count // 2] = 50 * SLOT_BYTES
        simulation.submit(Job(f"J{number}", [cost] * count, sizes, weight=dice.choice([1, 1, 10])))
    small = [Job(f"S{number}", [0.5e-3], [100]) for number in range(8)]
    arrivals = [dice.uniform(0.1, 3) for _ in small]
    for job, arrival in zip(small, arrivals, strict=True):
        simulation.at(arrival, simulation.submit, job)
    simulation.run()
    chunk_seconds = TARGET_SECONDS + max(costs)
    waits = [job.ended_at - arrival for job, arrival in zip(small, arrivals, strict=True)]
    assert max(waits) <= CHUNK_TIMES * chunk_seconds


def test_a_job_that_stalls_for_ever_takes_nothing_from_the_others():
    dice = random.Random(1)
    simulation = Simulation(2, dice)
    stalled = Job("STALLED", [1e-3] * 1_000, [2_000_000] * 1_000, stalls_after=1)
    simulation.submit(stalled)
    other = Job("OTHER", [1e-3] * 2_000, [1_000] * 2_000)
    simulation.at(1.0, simulation.submit, other)
    simulation.run()
    assert other.is_done
    assert not stalled.is_done
    assert other.ended_at - 1.0 < 1.05 * sum(other.cost.values()) / 2
    assert stalled.queue.unfetched_bytes < MAX_UNFETCHED_BYTES + 3 * SLOT_BYTES
    simulation.come_back(stalled)
    simulation.run()
    assert len(stalled.ended) == 1_000
