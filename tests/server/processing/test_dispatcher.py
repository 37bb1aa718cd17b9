"""The dispatcher on pools that only pretend: what no real pool can be made to do at a chosen moment."""

import asyncio
import mmap
import threading
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import aclosing

import pytest

from candelabra.worker.v1 import ChunkTask
from candelabra_server.config import TimeLimits
from candelabra_server.errors import JobTimeLimitError, UnavailableError
from candelabra_server.processing import dispatcher
from candelabra_server.processing.dispatcher import Dispatcher
from candelabra_server.processing.executors.worker_deaths import OVERTIME, WorkerDeath
from candelabra_server.processing.job_plan import JobPlan
from candelabra_server.processing.marks import MARK_BYTES, PREPARING, Mark, MarkWriter, monotonic_micros
from candelabra_server.processing.pool_lane import Submitted
from candelabra_server.processing.result_transport import ChunkReply, PacketWriter

NEVER = 1 << 62


class PretendedSlot:
    """A record, and no room for results: they come with the reply."""

    def __init__(self):
        self.words = memoryview(mmap.mmap(-1, MARK_BYTES)).cast("q")
        self.is_released = False

    def mark(self):
        return Mark.read(self.words)

    def tell_to_stop(self):
        Mark.tell_to_stop(self.words)

    def release(self):
        self.is_released = True


class PretendedPool:
    """Answers at once, unless its script has something else for a symbol.

    A script has, by symbol, what happens in turn when a worker is at it: "dies", "dies preparing", "dies answering",
    "ends unknown" (nobody knows how), "idle dies" (another worker, before it is taken), "hangs", "stuck" (no worker
    takes it), "vanishes" (the pool breaks and never tells of it), or "answers". After that, and to all others, happens
    what is usual.
    """

    def __init__(self, script=None, usually="answers"):
        self.usually = usually
        self.script = {symbol: list(fates) for symbol, fates in (script or {}).items()}
        self.taken = []
        self.pending = []
        self.deaths = {}
        self.is_open = True
        self.is_broken = False
        self.is_dead = False
        self.stopped = []
        self.failures = []
        """What ends the pool's end instead."""
        self.starts = 0
        self.ended_workers = []
        self.hold_end = threading.Event()
        self.hold_end.set()

    def submit(self, task):
        if not self.is_open:
            raise UnavailableError("the engine was shut down")
        if self.is_broken:
            raise BrokenProcessPool("broken")
        symbols = list(ChunkTask.FromString(task).symbols)
        self.taken.append(symbols)
        future, slot = Future(), PretendedSlot()
        future.set_running_or_notify_cancel()
        process = len(self.taken)
        for position, symbol in enumerate(symbols):
            fates = self.script.get(symbol)
            fate = fates.pop(0) if fates else self.usually
            if fate != "answers":
                return self._meet(fate, symbols, position, process, future, slot)
        future.set_result(answer(symbols))
        return Submitted(future, slot, None)

    def _meet(self, fate, symbols, position, process, future, slot):
        if fate == "vanishes":
            self.is_broken = True
            return Submitted(future, slot, None)
        self.pending.append((future, symbols))
        if fate == "idle dies":
            self.deaths[-process] = WorkerDeath(-process, -9)
        elif fate != "stuck":
            where = {"dies preparing": PREPARING, "dies answering": len(symbols)}.get(fate, position)
            MarkWriter(slot.words, process).move(where, monotonic_micros())
        if fate.startswith("dies"):
            self.deaths[process] = WorkerDeath(process, -9)
        if fate not in {"hangs", "stuck"}:
            self._break()
        return Submitted(future, slot, None)

    def _break(self):
        self.is_broken = True
        pending, self.pending = self.pending, []
        for future, _ in pending:
            future.set_exception(BrokenProcessPool("broken"))

    def has_silently_died(self):
        return self.is_dead

    def stopped_workers(self):
        return self.stopped

    def end_worker(self, process):
        self.ended_workers.append(process)
        self.deaths[process] = WorkerDeath(process, -9, OVERTIME)
        self._break()

    def end_broken(self, generation=None):
        assert self.hold_end.wait(30)
        if self.failures:
            raise self.failures.pop()
        if self.pending:
            self._break()
        return dict(self.deaths)

    async def recover(self):
        if not self.is_open:
            raise UnavailableError("the engine was shut down")
        await self.start()

    async def start(self):
        self.is_open, self.is_broken, self.is_dead, self.deaths = True, False, False, {}
        self.starts += 1

    def shutdown(self):
        self.is_open = False


class Quarantine(PretendedPool):
    def __init__(self, script=None, usually="answers"):
        super().__init__(script, usually)
        self.is_open = False


class Outcomes:
    """Each symbol with how it ended, and after how many attempts."""

    def collect(self, done, seconds):
        return ((item.symbol, str(item.failure.reason) if item.failure else "ok", item.attempts) for item in done)


def answer(symbols):
    packet = PacketWriter()
    for symbol in symbols:
        packet.add_message(symbol.encode())
    return packet.finish(0.0, ())


def plan(*symbols, symbol_seconds=60.0, until_micros=NEVER):
    return JobPlan(
        job_id="job",
        symbols=symbols,
        weight=1.0,
        symbol_seconds=symbol_seconds,
        seconds=1.0,
        until_micros=until_micros,
        snapshot=None,
        shared_bytes=b"",
    )


def make_dispatcher(pool, quarantine=None, *, workers=1, grace_seconds=5.0):
    return Dispatcher(
        pool, quarantine or Quarantine(), workers=workers, time_limits=TimeLimits(grace_seconds=grace_seconds)
    )


async def outcomes(jobs, made):
    async with aclosing(jobs.deliver(made, Outcomes())) as batches:
        return [outcome async for batch in batches for outcome in batch]


def run(body):
    return asyncio.run(asyncio.wait_for(body, 60))


async def settled(jobs):
    """Returns when no pool is being changed."""
    while jobs._changes:
        await asyncio.gather(*jobs._changes.values())


def outcomes_of(pool, quarantine, *symbols, workers=1):
    async def body():
        return sorted(await outcomes(make_dispatcher(pool, quarantine, workers=workers), plan(*symbols)))

    return run(body())


@pytest.fixture(autouse=True)
def _frequent_watch(monkeypatch):
    monkeypatch.setattr(dispatcher, "_WATCH_SECONDS", 0.001)


def test_a_worker_that_died_of_a_symbol_costs_that_one_an_attempt_and_no_other():
    pool, quarantine = PretendedPool({"S3": ["dies"]}), Quarantine()
    symbols = [f"S{number}" for number in range(40)]
    found = outcomes_of(pool, quarantine, *symbols)
    assert [outcome for outcome in found if outcome[2] != 1] == [("S3", "ok", 2)]
    assert sorted(symbol for symbol, _, _ in found) == sorted(symbols)
    assert quarantine.taken == [["S3"]]


def test_the_third_death_in_all_convicts_and_says_how_the_worker_died():
    pool, quarantine = PretendedPool({"BAD": ["dies"]}), Quarantine({"BAD": ["dies", "dies"]})

    class Failures:
        def collect(self, done, seconds):
            return [(item.symbol, item.failure) for item in done]

    async def body():
        async with aclosing(make_dispatcher(pool, quarantine).deliver(plan("BAD", "A"), Failures())) as batches:
            return dict([outcome async for batch in batches for outcome in batch])

    found = run(body())
    assert found["A"] is None
    assert "died 3 times" in found["BAD"].message
    assert "killed by SIGKILL" in found["BAD"].message
    assert dict(found["BAD"].metadata) == {
        "symbol": "BAD",
        "attempts": "3",
        "exit_code": "-9",
        "signal": "SIGKILL",
    }


def test_the_same_faults_in_the_same_order_have_the_same_outcome():
    """Attempts and results do not depend on the order in which the pool's threads tell of them."""
    script = {"S3": ["dies"], "S9": ["dies", "answers"], "S11": ["ends unknown"], "S20": ["dies answering"]}
    in_quarantine = {"S3": ["dies", "answers"], "S9": ["dies", "dies"]}
    symbols = [f"S{number}" for number in range(30)]
    runs = []
    for _ in range(5):
        pool, quarantine = PretendedPool(script), Quarantine(in_quarantine)
        runs.append((outcomes_of(pool, quarantine, *symbols, workers=3), pool.taken, quarantine.taken))
    assert all(one == runs[0] for one in runs)
    found = {symbol: (reason, attempts) for symbol, reason, attempts in runs[0][0]}
    assert found.pop("S3") == ("ok", 3)
    assert found.pop("S9") == ("WORKER_DIED", 3)
    assert set(found.values()) == {("ok", 1)}


def test_a_job_that_kills_workers_while_they_make_ready_for_it_fails_whole_and_soon():
    pool, quarantine = PretendedPool(usually="dies preparing"), Quarantine(usually="dies preparing")
    symbols = [f"S{number}" for number in range(500)]
    found = outcomes_of(pool, quarantine, *symbols)
    assert {reason for _, reason, _ in found} == {"WORKER_DIED"}
    assert len(found) == 500
    assert len(pool.taken) + len(quarantine.taken) < 30


def test_a_symbol_whose_worker_ends_in_ways_that_nobody_knows_is_convicted_in_quarantine():
    pool, quarantine = PretendedPool({"ODD": ["ends unknown"] * 3}), Quarantine({"ODD": ["ends unknown"] * 3})
    assert outcomes_of(pool, quarantine, "ODD", "A", "B") == [("A", "ok", 1), ("B", "ok", 1), ("ODD", "WORKER_DIED", 3)]


def test_breaks_in_a_row_without_a_symbol_done_end_the_jobs_and_the_next_one_runs():
    """Pool rule 9: convictions have a budget."""
    pool, quarantine = PretendedPool(usually="idle dies"), Quarantine(usually="idle dies")

    async def body():
        jobs = make_dispatcher(pool, quarantine)
        with pytest.raises(UnavailableError, match="died 6 times in a row") as caught:
            await outcomes(jobs, plan("A", "B", "C", "E", "F", "G"))
        await settled(jobs)
        pool.usually = "answers"
        return caught.value, await outcomes(jobs, plan("D"))

    error, after = run(body())
    assert error.metadata["breaks"] == "6"
    assert after == [("D", "ok", 1)]


def test_breaks_with_symbols_done_between_end_no_job():
    symbols = [f"S{number}" for number in range(40)]
    pool = PretendedPool({symbol: ["dies"] for symbol in symbols})
    assert outcomes_of(pool, Quarantine(), *symbols) == sorted((symbol, "ok", 2) for symbol in symbols)


def test_a_worker_that_does_not_look_up_when_its_time_is_over_is_ended():
    """The third time it fails its symbol, with the time limit as the reason."""
    pool, quarantine = PretendedPool({"SLOW": ["hangs"]}), Quarantine({"SLOW": ["hangs", "hangs"]})

    async def body():
        jobs = make_dispatcher(pool, quarantine, grace_seconds=0.001)
        return await outcomes(jobs, plan("SLOW", "A", symbol_seconds=0.001))

    assert sorted(run(body())) == [("A", "ok", 1), ("SLOW", "SYMBOL_TIME_LIMIT", 3)]
    assert (len(pool.ended_workers), len(quarantine.ended_workers)) == (1, 2)


def test_a_pool_in_which_nothing_moves_is_ended_and_nobody_blamed():
    pool = PretendedPool({"A": ["stuck"]})

    async def body():
        return await outcomes(make_dispatcher(pool, grace_seconds=0.01), plan("A", "B"))

    assert sorted(run(body())) == [("A", "ok", 1), ("B", "ok", 1)]
    assert pool.starts == 1


def test_a_worker_of_a_cancelled_job_that_goes_on_is_ended():
    pool = PretendedPool({"A": ["hangs"]})

    async def body():
        jobs = make_dispatcher(pool, grace_seconds=0.001)
        job = asyncio.ensure_future(outcomes(jobs, plan("A")))
        while not pool.pending:
            await asyncio.sleep(0)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        while not pool.starts:
            await asyncio.sleep(0)
        return await outcomes(jobs, plan("B"))

    assert run(body()) == [("B", "ok", 1)]
    assert pool.ended_workers == [1]


def test_a_job_whose_time_is_over_ends_although_its_worker_goes_on():
    pool = PretendedPool({"A": ["hangs"]})

    async def body():
        with pytest.raises(JobTimeLimitError, match="not finished within"):
            await outcomes(make_dispatcher(pool), plan("A", until_micros=monotonic_micros() + 1_000))

    run(body())


def test_a_suspect_waits_for_no_engine_that_was_shut_down():
    pool, quarantine = PretendedPool({"A": ["dies"]}), Quarantine()

    async def body():
        jobs = make_dispatcher(pool, quarantine)
        pool.hold_end.clear()
        job = asyncio.ensure_future(outcomes(jobs, plan("A")))
        while not pool.is_broken:
            await asyncio.sleep(0)
        pool.is_open = False
        pool.hold_end.set()
        with pytest.raises(UnavailableError, match="shut down"):
            await job
        await settled(jobs)

    run(body())
    assert quarantine.starts == 0


def test_the_quarantine_is_ended_when_nobody_is_suspected():
    pool, quarantine = PretendedPool({"A": ["dies"]}), Quarantine()

    async def body():
        jobs = make_dispatcher(pool, quarantine)
        assert sorted(await outcomes(jobs, plan("A", "B"))) == [("A", "ok", 2), ("B", "ok", 1)]
        await settled(jobs)

    run(body())
    assert (quarantine.starts, quarantine.is_open) == (1, False)


def test_a_job_that_ends_while_its_pool_is_broken_up_leaves_a_pool_for_the_next_job():
    async def body():
        pool = PretendedPool({"B": ["hangs"]})
        jobs = make_dispatcher(pool)
        pool.hold_end.clear()
        async with aclosing(jobs.deliver(plan("A", "B"), Outcomes())) as deliveries:
            await anext(deliveries)
            pool.is_dead = True
            while jobs._workers.is_ready:
                await asyncio.sleep(0)
        pool.hold_end.set()
        return await outcomes(jobs, plan("C"))

    assert run(body()) == [("C", "ok", 1)]


def test_a_symbol_whose_worker_dies_before_it_begins_is_convicted_when_it_is_alone():
    """Such as one whose worker cannot write where it is."""
    pool, quarantine = PretendedPool({"ODD": ["idle dies"] * 3}), Quarantine(usually="idle dies")
    assert outcomes_of(pool, quarantine, "ODD", "A") == [("A", "ok", 1), ("ODD", "WORKER_DIED", 3)]


def test_a_chunk_that_a_broken_pool_never_tells_of_is_given_to_the_next():
    pool = PretendedPool({"A": ["vanishes"]})

    async def body():
        return await outcomes(make_dispatcher(pool, workers=2, grace_seconds=0.01), plan("A", "B", "C", "D"))

    assert sorted(run(body())) == [(symbol, "ok", 1) for symbol in "ABCD"]
    assert pool.starts == 1


def test_a_pool_that_cannot_be_ended_at_once_is_ended_at_a_later_look(caplog):
    pool = PretendedPool({"A": ["stuck"]})
    pool.failures = [RuntimeError("can't start new thread")]

    async def body():
        return await outcomes(make_dispatcher(pool, grace_seconds=0.01), plan("A", "B"))

    assert sorted(run(body())) == [("A", "ok", 1), ("B", "ok", 1)]
    assert "cannot be looked after; trying again" in caplog.text


def test_a_quarantine_that_cannot_be_started_ends_the_suspects_job_and_no_other():
    pool, quarantine = PretendedPool({"BAD": ["dies"], "WAITS": ["hangs"]}), Quarantine()

    async def refuse():
        raise OSError("no room")

    quarantine.start = refuse

    async def body():
        jobs = make_dispatcher(pool, quarantine, workers=2)
        other = asyncio.ensure_future(outcomes(jobs, plan("A", "B", "C")))
        with pytest.raises(UnavailableError, match="cannot be started"):
            await outcomes(jobs, plan("BAD"))
        return await other

    assert sorted(run(body())) == [(symbol, "ok", 1) for symbol in "ABC"]


class UnreadablePool(PretendedPool):
    """Its worker's answer is no packet."""

    def submit(self, task):
        future = Future()
        future.set_result(ChunkReply(0.0, 0, 3, b"???"))
        return Submitted(future, None, None)


def test_an_answer_that_cannot_be_read_is_the_failure_of_its_symbols_and_ends_the_job(caplog):
    assert outcomes_of(UnreadablePool(), None, "A", "B") == [("A", "INTERNAL", 1), ("B", "INTERNAL", 1)]
    assert "failed outside of its worker" in caplog.text
