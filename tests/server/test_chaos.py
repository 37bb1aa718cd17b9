"""A short run of `make chaos`, and that its model sees what is lost, doubled, wrong or hung."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from chaos.lab import Lab, Settings
from chaos.loads import Load
from chaos.model import Claim, Expected, ExpectedJob, ExpectedScreen, Ledger
from chaos.orders import OrderBook, Record
from chaos.requests import FORMULAS, SCREENS, Request, end_of, job_number
from chaos.verdict import cancellation_seconds, judge, recoveries

TESTS = Path(__file__).resolve().parents[1]
SECOND = 1_000_000_000


def test_a_server_under_random_faults_loses_nothing_doubles_nothing_and_does_not_hang(tmp_path):
    command = [sys.executable, "-m", "chaos", "--faults", "24", "--seed", "7", "--gap", "0.2", "--hang", "30"]
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "seed 7" in done.stdout
    figures = json.loads((tmp_path / ".bench" / "chaos.json").read_text())
    values = {(figure["work"], figure["subject"]): figure["value"] for figure in figures}
    assert values["faults", "injected"] >= 24
    assert values["symbols", "delivered"] > 0
    assert {what for (work, what), value in values.items() if work == "problems" and value == 0} == {
        "lost",
        "doubled",
        "wrong",
        "hung",
        "server",
    }


@pytest.fixture
def ledger():
    return Ledger()


@pytest.fixture
def job(ledger):
    return ExpectedJob(ledger, Request(1, ("S001", "P0"), FORMULAS[3]), "raw")


def problems(ledger):
    return [problem.what for problem in ledger.problems]


def give(job, symbol, *, change=0.0, first_row=0, rows=None, is_last=True):
    answer = job.request.answer(symbol)
    part = slice(first_row, None if rows is None else first_row + rows)
    columns = {name: column[part] + change for name, column in answer.columns.items()}
    job.part(symbol, first_row, answer.times[part], columns, is_last=is_last)


def test_what_is_right_is_no_problem(ledger, job):
    give(job, "S001", rows=10, is_last=False)
    give(job, "S001", first_row=10)
    job.error("P0", "WORKER_DIED", "")
    job.finish()
    assert problems(ledger) == []
    assert [(arrival.symbol, arrival.is_error) for arrival in ledger.arrivals] == [("S001", False), ("P0", True)]


def test_a_symbol_that_does_not_come_is_lost(ledger, job):
    give(job, "S001", rows=10, is_last=False)
    job.finish()
    assert problems(ledger) == ["lost", "lost"]


def test_a_symbol_that_comes_twice_is_doubled(ledger, job):
    give(job, "S001")
    give(job, "S001")
    job.error("S001", "INTERNAL", "")
    assert problems(ledger) == ["doubled", "doubled"]


@pytest.mark.parametrize(
    "given", [{"change": 0.25}, {"rows": 10}, {"first_row": 5, "rows": 10}], ids=["values", "rows", "middle"]
)
def test_a_result_that_is_not_right_is_wrong(ledger, job, given):
    give(job, "S001", **given)
    assert problems(ledger) == ["wrong"]


def test_a_result_that_nobody_asked_for_is_wrong(ledger, job):
    give(job, "S002")
    assert problems(ledger) == ["wrong"]


def test_rows_of_a_screen_are_checked_and_what_is_missing_is_lost(ledger):
    symbols = [f"S{number:03}" for number in range(20)]
    whole = ExpectedScreen(ledger, 1, "screen", symbols=symbols, formula=SCREENS[0])
    last = {symbol: {"value": float(whole.last(symbol)["value"])} for symbol in symbols}
    for symbol in symbols:
        whole.row(symbol, last[symbol])
    whole.finish({})
    assert problems(ledger) == []
    part = ExpectedScreen(ledger, 2, "screen", symbols=symbols, formula=SCREENS[0])
    part.row("S000", last["S000"])
    part.row("S000", last["S000"])
    part.row("S001", {"value": -1.0})
    part.finish(dict.fromkeys(symbols[2:19], ("INTERNAL", "")))
    assert problems(ledger) == ["doubled", "wrong", "lost"]
    assert len(ledger.claims) == 17


def test_a_sorted_screen_has_its_rows_in_order(ledger):
    symbols = [f"S{number:03}" for number in range(20)]
    screen = ExpectedScreen(ledger, 1, "sorted screen", symbols=symbols, formula=SCREENS[1], limit=3)
    passing = [symbol for symbol in symbols if screen.last(symbol)["up"]]
    first = sorted(passing, key=lambda symbol: -screen.last(symbol)["average"])[:3]
    for symbol in reversed(first):
        screen.row(symbol, screen.last(symbol))
    screen.finish({})
    assert problems(ledger) == ["wrong"]


DEATH = Record(1, "kill", "load", process=7, nanoseconds=SECOND, job=1, symbol="S001")
OUTSIDE = Record(0, "kill", "any", process=7, nanoseconds=3 * SECOND)
LOADS = [
    Load(7, SECOND, 1, "S001"),
    Load(7, 2 * SECOND, 1, "S001"),
    Load(7, 4 * SECOND, 1, "S002"),
    Load(8, 5 * SECOND, 1, "S001"),
]


@pytest.mark.parametrize(
    ("reason", "records", "is_deserved"),
    [
        ("WORKER_DIED", [DEATH, DEATH, OUTSIDE], True),
        ("WORKER_DIED", [DEATH, OUTSIDE], False),
        ("WORKER_DIED", [DEATH, DEATH, Record(2, "kill", "start", process=9, nanoseconds=SECOND)], True),
        ("WORKER_DIED", [DEATH, DEATH, Record(2, "kill", "start", process=9, nanoseconds=8 * SECOND)], False),
        ("INTERNAL", [Record(1, "system exit", "load", 7, SECOND, 1, "S001")], True),
        ("OUT_OF_MEMORY", [Record(1, "memory", "load", 7, SECOND, 1, "S001")], True),
        ("OUT_OF_MEMORY", [DEATH], False),
        ("INTERNAL", [DEATH], False),
        ("SYMBOL_TIME_LIMIT", [Record(0, "stop", "any", 7, SECOND)], True),
        ("SYMBOL_TIME_LIMIT", [DEATH], False),
        ("NO_CANDLES", [DEATH, DEATH, DEATH], False),
    ],
)
def test_only_what_a_fault_explains_is_deserved(reason, records, is_deserved):
    found = judge([Claim(1, "S001", reason, "", 0, 7 * SECOND)], records)
    assert [problem.what for problem in found] == ([] if is_deserved else ["wrong"])


def test_a_symbol_that_kills_must_be_told_of_as_such():
    (problem,) = judge([Claim(1, "P0", "INTERNAL", "")], [])
    assert problem.what == "wrong"


def test_a_recovery_ends_with_what_a_new_worker_has_computed(ledger, job):
    for symbol in ("S001", "P0"):
        job.error(symbol, "WORKER_DIED", "")
    arrived = ledger.arrivals[0].nanoseconds
    death = Record(1, "kill", "load", 7, arrived - 2 * SECOND, 1, "P0")
    loads = [Load(7, arrived - 3 * SECOND, 1, "P0"), Load(8, arrived - SECOND, 1, "S001")]
    found = recoveries([death], loads, ledger.arrivals)
    assert (found.next_result, found.new_work, found.new_result) == ([2.0], [1.0], [2.0])
    assert recoveries([death], loads[:1], ledger.arrivals).new_result == []


def test_work_after_a_cancellation_is_measured(ledger, job):
    job.stop_caring("cancelled", 3 * SECOND)
    assert cancellation_seconds(ledger.endings, LOADS) == {"cancelled": [2.0]}


def test_a_job_of_which_nothing_is_heard_hangs(tmp_path, ledger):
    async def body():
        server = SimpleNamespace(dump=lambda: "", is_alive=True)
        settings = Settings(faults=0, seed=0, hang_seconds=0.0)
        lab = Lab(settings, tmp_path, server, OrderBook(tmp_path), "", ledger=ledger)
        task = asyncio.create_task(asyncio.Event().wait())
        lab.active[Expected(ledger, 1, "raw")] = task
        async with lab.watching():
            await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(body())
    assert problems(ledger) == ["hung"]


def test_an_order_is_carried_out_once_and_leaves_a_record(tmp_path):
    orders = OrderBook(tmp_path)
    orders.create()
    orders.give(5, "memory", "load")
    orders.reach("encode")
    assert (orders.waiting(), orders.records()) == (1, [])
    with pytest.raises(MemoryError):
        orders.reach("load", job=3, symbol="S001")
    orders.reach("load", job=3, symbol="S001")
    (record,) = orders.records()
    assert (record.number, record.kind, record.stage, record.process) == (5, "memory", "load", os.getpid())
    assert (record.job, record.symbol) == (3, "S001")
    assert Record.parse(record.name()) == record
    assert (orders.waiting(), orders.taken()) == (0, 1)


def test_a_job_is_known_by_the_end_of_its_range():
    from candelabra_server.domain.date_range import DateRange

    for number in (1, 999_999, 1_000_000, 59_999_999):
        assert job_number(DateRange.parse_end(end_of(number))) == number
    assert job_number(DateRange.parse_end("2050-01-01")) == 0


def test_the_right_answers_are_not_the_same_for_two_symbols():
    first, second = (Request(1, (), FORMULAS[0]).answer(symbol).columns["close"] for symbol in ("L0", "L1"))
    assert not np.array_equal(first[:1000], second[:1000])


def test_a_recovery_in_a_time_without_jobs_is_not_measured(ledger, job):
    job.error("S001", "WORKER_DIED", "")
    arrived = ledger.arrivals[0].nanoseconds
    death = Record(1, "kill", "load", 7, arrived - 2 * SECOND, 1, "S001")
    quiet = (arrived - SECOND, arrived - SECOND // 2)
    assert recoveries([death], [], ledger.arrivals, quiets=[quiet]).next_result == []
    assert recoveries([death], [], ledger.arrivals, quiets=[(0, 1)]).next_result == [2.0]
