"""Damage to one file of a store: it fails what it touches, with a clear error, and nothing else."""

import os
import signal
import subprocess
import sys

import grpc
import numpy as np
import pytest

from candelabra.v1.processing_pb2_grpc import ProcessingServiceStub
from candelabra_server.candles import arrow_store, timeframe_view
from candelabra_server.candles.store_writer import MAX_SEGMENTS
from candelabra_server.domain.date_range import DateRange
from candelabra_server.errors import Reason, StoreError, SymbolFailure
from support.command import serving_command
from support.jobs import job

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="there, nobody can shorten a mapped file")
MANY = dict.fromkeys(range(4_000), 1)
"""Days of which every column is longer than a page of memory."""


class Clock:
    """Stands for time.monotonic."""

    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timeframe_view, "monotonic", clock)
    monkeypatch.setattr(arrow_store, "monotonic", clock)
    return clock


@pytest.fixture
def two_segments(store):
    """AAPL lies in the first, IBM in the second, MSFT in both."""
    store.add({"AAPL": MANY, "MSFT": MANY})
    store.add({"IBM": MANY, "MSFT": {5_000: 2}})
    return store


def segment(store, number, ending="arrow"):
    return sorted(store.path.glob(f"segments/*.{ending}"))[number]


def load(repository, symbol, timeframe="1d", snapshot_id=""):
    return repository.load(symbol, timeframe, DateRange(), warm_up_candles=0, snapshot_id=snapshot_id)


def load_last(repository, symbol):
    return repository.load_last(symbol, "1d", 2**62, warm_up_candles=1, fields=("close",), snapshot_id="")


def truncate(path):
    os.truncate(path, 100)


def remove(path):
    path.unlink()


def overwrite(path):
    path.write_bytes(b"x" * path.stat().st_size)


@pytest.mark.parametrize("damage", [truncate, remove, overwrite])
def test_symbols_of_a_damaged_segment_fail_and_those_of_a_sound_one_do_not(two_segments, damage):
    path = segment(two_segments, 0)
    damage(path)
    repository = two_segments.repository()
    with repository.snapshot("1d") as snapshot:
        assert list(snapshot.symbols) == ["AAPL", "IBM", "MSFT"]  # so that a job for all of them names them
        for symbol in ("AAPL", "MSFT"):
            for loading in (load, load_last):
                with pytest.raises(StoreError, match=rf"^{symbol} cannot be read: {path.name}") as caught:
                    loading(repository, symbol)
                assert caught.value.reason == Reason.STORE_UNREADABLE
                assert caught.value.metadata == {"symbol": symbol, "timeframe": "1d"}
                assert str(two_segments.path) not in caught.value.message
        assert len(load(repository, "IBM", snapshot_id=snapshot.id)) == len(MANY)
        assert len(load_last(repository, "IBM")) == 2
        with pytest.raises(SymbolFailure, match="is not stored in timeframe 1d"):
            load(repository, "TSLA")
    assert [entry.symbol for entry in repository.list_symbols("1d")] == ["IBM"]


def test_where_the_index_cannot_be_read_nobody_knows_whose_candles_are_lost(two_segments):
    segment(two_segments, 0, "json").write_text("{}")
    with pytest.raises(StoreError, match=r"json of the candle store is damaged"):
        load(two_segments.repository(), "IBM")


@pytest.mark.parametrize("damage", [truncate, remove])
def test_other_timeframes_are_read_counted_and_listed(store, damage, caplog):
    store.add({"AAPL": {0: 1}}, timeframe="1m")
    damage(segment(store, 0))
    store.add({"AAPL": {0: 2}, "IBM": {0: 2}})
    repository = store.repository()
    assert repository.timeframes() == {"1d": 2}
    assert "all symbols of 1m cannot be read: see candelabra-server check-store" in caplog.text
    assert store.closes(repository) == {"AAPL": {0: 2}, "IBM": {0: 2}}
    with pytest.raises(StoreError, match=segment(store, 0, "json").stem):
        load(repository, "AAPL", timeframe="1m")


def test_a_store_of_which_nothing_can_be_read_is_not_taken_for_an_empty_one(store):
    store.add({"AAPL": {0: 1}})
    remove(segment(store, 0))
    with pytest.raises(StoreError, match="is missing in the candle store"):
        store.repository().timeframes()


def test_a_lost_name_of_the_present_state_is_not_taken_for_an_empty_store(store):
    store.add({"AAPL": {0: 1}})
    store.add({"IBM": {0: 1}})
    (store.path / "CURRENT").unlink()
    before = store.files(), store.files("manifests")
    for doing in (lambda: load(store.repository(), "AAPL"), lambda: store.add({"MSFT": {0: 1}})):
        with pytest.raises(StoreError, match=r"^CURRENT is missing in the candle store$"):
            doing()
    assert (store.files(), store.files("manifests")) == before


# Files that change while they are mapped


@POSIX
def test_a_file_that_is_shortened_while_it_is_mapped_fails_its_symbols_only(two_segments, clock):
    repository = two_segments.repository()
    whole = load(repository, "AAPL").fields["close"].copy()
    path = segment(two_segments, 0)
    content = path.read_bytes()
    os.truncate(path, 4_096)
    clock.now += 0.1
    for symbol in ("AAPL", "MSFT"):
        for loading in (load, load_last):
            with pytest.raises(StoreError, match=rf"{path.name} .* it has 4,096 bytes, not {len(content):,}"):
                loading(repository, symbol)
    assert len(load(repository, "IBM")) == len(MANY)
    assert [entry.symbol for entry in repository.list_symbols("1d")] == ["IBM"]
    path.write_bytes(content)  # restored in place
    np.testing.assert_array_equal(load(repository, "AAPL").fields["close"], whole)
    assert [entry.symbol for entry in repository.list_symbols("1d")] == ["AAPL", "IBM", "MSFT"]


@POSIX
def test_sizes_are_looked_at_only_now_and_then(two_segments, clock, monkeypatch):
    repository = two_segments.repository()
    load(repository, "IBM")
    looks = []
    fault = timeframe_view.MappedSegment.fault
    monkeypatch.setattr(timeframe_view.MappedSegment, "fault", lambda self: looks.append(self.name) or fault(self))
    for _ in range(10):
        load(repository, "IBM")
    assert looks == []
    clock.now += 0.1
    for _ in range(10):
        load(repository, "IBM")
    assert len(looks) == 2


@POSIX
def test_reading_a_shortened_file_unnoticed_would_end_the_process(store):
    store.add({"AAPL": MANY})
    program = """
import os, sys
from pathlib import Path
from candelabra_server.candles.arrow_store import ArrowCandleRepository
from candelabra_server.candles import timeframe_view
from candelabra_server.domain.date_range import DateRange
repository = ArrowCandleRepository(sys.argv[1])
def load():
    return repository.load("AAPL", "1d", DateRange(), warm_up_candles=0, snapshot_id="")
load()
os.truncate(next(Path(sys.argv[1]).glob("segments/*.arrow")), 4096)
view = next(iter(repository._views.values()))
view._next_look = float(sys.argv[2])
try:
    print(load().fields["volume"].sum())
except Exception as error:
    print(type(error).__name__)
"""
    for next_look, status in (("inf", -signal.SIGBUS), ("0", 0)):
        store_of_run = store.path.with_name(f"run{status}")
        subprocess.run(["cp", "-r", store.path, store_of_run], check=True)
        done = subprocess.run(
            [sys.executable, "-c", program, store_of_run, next_look],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
    assert done.stdout == "StoreError\n"


@POSIX
def test_a_file_that_another_takes_the_name_of_keeps_being_read_as_it_was_mapped(two_segments, clock):
    repository = two_segments.repository()
    whole = load(repository, "AAPL").fields["close"].copy()
    path = segment(two_segments, 0)
    other = path.with_name("other")
    other.write_bytes(b"short")
    other.replace(path)
    clock.now += 1
    np.testing.assert_array_equal(load(repository, "AAPL").fields["close"], whole)
    with pytest.raises(StoreError, match="it has 5 bytes"):
        load(two_segments.repository(), "AAPL")


def test_a_segment_that_is_restored_is_read_again_without_a_new_process(two_segments, clock):
    path = segment(two_segments, 0)
    content = path.read_bytes()
    path.unlink()
    repository = two_segments.repository()
    with repository.snapshot("1d"):
        with pytest.raises(StoreError):
            load(repository, "AAPL")
        path.write_bytes(content)
        clock.now += 1
        with pytest.raises(StoreError):  # the last of the view that was opened without it
            load(repository, "AAPL")
        assert len(load(repository, "AAPL")) == len(MANY)


def test_a_damaged_segment_is_not_opened_again_for_every_symbol(two_segments, clock, monkeypatch):
    remove(segment(two_segments, 0))
    repository = two_segments.repository()
    opened = []
    open_segment = arrow_store.open_segment
    monkeypatch.setattr(
        arrow_store, "open_segment", lambda layout, name: opened.append(name) or open_segment(layout, name)
    )
    for _ in range(20):
        with pytest.raises(StoreError):
            load(repository, "AAPL")
    assert len(opened) == 2


# Imports


def test_an_import_beside_a_damaged_segment_is_refused_with_the_way_out(two_segments):
    path = segment(two_segments, 0)
    truncate(path)
    before = two_segments.files()
    with pytest.raises(StoreError, match=rf"{path.name} .*; candelabra-server check-store says"):
        two_segments.add({"AAPL": {0: 1}})
    assert two_segments.files() == before
    two_segments.add({"AAPL": {0: 1}}, timeframe="1m")  # nothing else is disturbed


def flip(path, offset):
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def test_damaged_candles_are_not_merged_into_a_segment_that_looks_sound(store):
    for day in range(MAX_SEGMENTS):
        store.add({"AAPL": {day: 1}})
    path = segment(store, 3)
    flip(path, path.stat().st_size // 2)
    before = store.files()
    with pytest.raises(StoreError, match=rf"segments/{path.name} 1 of 1 blocks have another checksum"):
        store.add({"AAPL": {20: 1}})
    assert store.files() == before


def test_damaged_segments_are_given_up_on_demand_only_and_what_is_imported_counts(two_segments, write, run):
    path = segment(two_segments, 0)
    flip(path, 50_000)
    file = write("AAPL.csv", "date,open,high,low,close,volume\n2020-01-01,7,7,7,7,7\n")
    summary = run(file, drop_damaged=True)
    assert summary.dropped_segments == (path.stem,)
    closes = two_segments.closes()
    assert closes["AAPL"] == {0: 7}
    assert closes["MSFT"] == {5_000: 2}
    assert not path.exists()
    assert run(file, drop_damaged=True).dropped_segments == ()


# Jobs


def test_a_job_fails_the_symbols_of_a_damaged_segment_and_does_the_others(store):
    store.add({"AAPL": MANY, "MSFT": MANY})
    store.add({"IBM": MANY, "MSFT": {5_000: 2}})
    store.add({"AAPL": MANY}, timeframe="1m")
    truncate(min(store.path.glob("segments/*-1d.arrow")))
    with serving_command("--store", str(store.path), "--workers", "1") as server:
        with grpc.insecure_channel(server.address) as channel:
            stub = ProcessingServiceStub(channel)
            found = {result.symbol: result for result in stub.Process(job("*", "sma(close, 3)"), timeout=60)}
            others = list(stub.Process(job("*", "sma(close, 3)", timeframe="1m"), timeout=60))
        status, *_ = server.stop()
    assert {symbol: result.error.reason for symbol, result in found.items()} == {
        "AAPL": "STORE_UNREADABLE",
        "MSFT": "STORE_UNREADABLE",
        "IBM": "",
    }
    assert "has 100 bytes, not" in found["AAPL"].error.message
    assert [(result.symbol, result.error.reason) for result in others] == [("AAPL", "")]
    assert status == 0
