"""What a store shows after several imports, and what its snapshots show meanwhile."""

import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from candelabra_server.candles import manifest
from candelabra_server.candles.manifest import read_current_state
from candelabra_server.candles.store_layout import StoreLayout
from candelabra_server.candles.store_writer import MAX_SEGMENTS
from candelabra_server.domain.date_range import DateRange
from candelabra_server.errors import StoreError, SymbolFailure

DAY = 86_400_000_000


def load(repository, symbol, start="", end="", *, warm_up_candles=0, snapshot_id=""):
    date_range = DateRange.parse(start, end)
    return repository.load(symbol, "1d", date_range, warm_up_candles=warm_up_candles, snapshot_id=snapshot_id)


def test_a_later_import_replaces_equal_times_and_appends_the_rest(store):
    store.add({"AAPL": {0: 1, 1: 2, 2: 3}, "IBM": {0: 9}})
    summary = store.add({"AAPL": {1: 20, 3: 40}, "MSFT": {0: 5}})
    assert (summary.rows, summary.symbols, summary.replaced_rows) == (3, 2, 1)
    assert store.closes() == {"AAPL": {0: 1, 1: 20, 2: 3, 3: 40}, "IBM": {0: 9}, "MSFT": {0: 5}}


def test_a_symbol_in_one_of_several_segments_is_not_copied(store):
    store.add({"AAPL": {0: 1, 1: 2}})
    store.add({"IBM": {0: 1}, "MSFT": {0: 1}})
    assert not load(store.repository(), "AAPL").fields["close"].flags.owndata


def test_a_range_that_lies_in_one_of_a_symbols_segments_is_not_copied(store):
    store.add({"AAPL": dict.fromkeys(range(10), 1)})
    store.add({"AAPL": {10: 2}})
    candles = load(store.repository(), "AAPL", "2020-01-04", "2020-01-06", warm_up_candles=2)
    assert not candles.fields["close"].flags.owndata
    assert len(candles) == 5


IMPORTS = st.lists(st.dictionaries(st.integers(0, 12), st.integers(1, 9), min_size=1), min_size=1, max_size=4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(imports=IMPORTS, with_vwap=st.sets(st.integers(0, 3)), end=st.integers(-1, 13), warm_up=st.integers(0, 6))
def test_the_last_candles_are_those_of_the_whole(store, imports, with_vwap, end, warm_up):
    shutil.rmtree(store.path, ignore_errors=True)
    for number, closes in enumerate(imports):
        store.add({"AAPL": dict(sorted(closes.items()))}, **({"vwap": number} if number in with_vwap else {}))
    repository, fields = store.repository(), ("close", "vwap")
    end_micros = store.first + end * DAY
    try:
        whole = repository.load("AAPL", "1d", DateRange(end_micros=end_micros), warm_up_candles=0, snapshot_id="")
    except SymbolFailure:
        with pytest.raises(SymbolFailure, match="AAPL has no 1d candles up to"):
            repository.load_last("AAPL", "1d", end_micros, warm_up_candles=warm_up, fields=fields, snapshot_id="")
        return
    expected = whole.last(1, warm_up_candles=warm_up)
    found = repository.load_last("AAPL", "1d", end_micros, warm_up_candles=warm_up, fields=fields, snapshot_id="")
    assert found.warm_up == expected.warm_up
    assert found.open_time_micros.tolist() == expected.open_time_micros.tolist()
    assert set(found.fields) == (set(fields) if "vwap" in whole.fields else set(whole.fields))
    for name, column in found.fields.items():
        np.testing.assert_array_equal(column, expected.fields[name])
        assert not column.flags.writeable


def test_merged_columns_are_read_only(store):
    store.add({"AAPL": {0: 1, 2: 2}})
    store.add({"AAPL": {1: 3}})
    candles = load(store.repository(), "AAPL")
    for column in (candles.open_time_micros, *candles.fields.values()):
        assert not column.flags.writeable
        assert column.flags.c_contiguous


def test_a_replaced_row_is_replaced_whole_and_rows_without_a_field_have_nan(store):
    store.add({"AAPL": {0: 1, 1: 2}}, vwap=7)
    store.add({"AAPL": {1: 3}})
    repository = store.repository()
    assert load(repository, "AAPL").fields["vwap"].tolist() == pytest.approx([7, np.nan], nan_ok=True)
    # Also where the range lies in the segment that does not have the field:
    assert np.isnan(load(repository, "AAPL", "2020-01-02").fields["vwap"]).all()
    assert "vwap" in repository.list_symbols("1d")[0].fields


def test_symbols_of_one_import_have_the_fields_of_their_own_files(store):
    store.add({"AAPL": {0: 1}}, vwap=7)
    store.add({"IBM": {0: 1}}, trades=7)
    for _ in range(MAX_SEGMENTS):
        store.add({"MSFT": {_: 1}})
    assert len(store.files()) < 2 * MAX_SEGMENTS  # they were merged
    fields = {entry.symbol: set(entry.fields) for entry in store.repository().list_symbols("1d")}
    usual = {"open", "high", "low", "close", "volume"}
    assert fields == {"AAPL": usual | {"vwap"}, "IBM": usual | {"trades"}, "MSFT": usual}
    assert set(load(store.repository(), "IBM").fields) == usual | {"trades"}


def test_an_import_past_eight_segments_merges_them_into_one(store):
    expected = {}
    for number in range(MAX_SEGMENTS):
        store.add({"AAPL": {number: number, 50: number}})
        expected |= {number: number, 50: number}
    assert len(store.files()) == 2 * MAX_SEGMENTS
    store.add({"AAPL": {100: 1, 50: 99}})
    assert len(store.files()) == 2
    assert store.closes() == {"AAPL": dict(sorted((expected | {100: 1, 50: 99}).items()))}
    assert not load(store.repository(), "AAPL").fields["close"].flags.owndata


def test_a_segment_of_which_nothing_is_left_is_dropped(store):
    store.add({"AAPL": {0: 1, 1: 2}})
    store.add({"AAPL": {0: 3, 1: 4, 2: 5}})
    assert len(store.files()) == 2
    assert store.closes() == {"AAPL": {0: 3, 1: 4, 2: 5}}


def test_other_timeframes_are_left_alone(store):
    store.add({"AAPL": {0: 1}}, timeframe="1m")
    store.add({"AAPL": {0: 2}}, timeframe="1M")
    store.add({"AAPL": {0: 3}}, timeframe="1d")
    repository = store.repository()
    assert list(repository.timeframes()) == ["1m", "1d", "1M"]
    assert [store.closes(repository, timeframe=name)["AAPL"][0] for name in ("1m", "1M", "1d")] == [1, 2, 3]


days = st.dictionaries(st.integers(0, 20), st.integers(1, 9), min_size=1, max_size=8)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    imports=st.lists(st.dictionaries(st.sampled_from(["A", "B", "C"]), days, min_size=1), min_size=1, max_size=5),
    start=st.integers(0, 20),
    length=st.integers(0, 20),
    warm_up=st.integers(0, 6),
)
def test_any_sequence_of_imports_reads_as_one_dictionary(store, imports, start, length, warm_up):
    shutil.rmtree(store.path, ignore_errors=True)
    expected: dict[str, dict[int, float]] = {}
    for symbols in imports:
        store.add({symbol: dict(sorted(closes.items())) for symbol, closes in symbols.items()})
        for symbol, closes in symbols.items():
            expected[symbol] = dict(sorted((expected.get(symbol, {}) | closes).items()))
    repository = store.repository()
    assert store.closes(repository) == expected
    date_range = DateRange(store.first + start * DAY, store.first + (start + length) * DAY)
    for symbol, closes in expected.items():
        inside = [day for day in closes if start <= day <= start + length]
        before = [day for day in closes if day < start][-warm_up or len(closes) :]
        if inside:
            candles = repository.load(symbol, "1d", date_range, warm_up_candles=warm_up, snapshot_id="")
            assert ((candles.open_time_micros - store.first) // DAY).tolist() == before + inside
            assert candles.warm_up == len(before)
            assert candles.fields["high"].tolist() == [closes[day] for day in before + inside]


# Snapshots


def test_a_snapshot_reads_the_same_after_imports_and_merging_in_this_and_another_repository(store):
    store.add({"AAPL": {0: 1}, "IBM": {0: 2}})
    server, worker = store.repository(), store.repository()
    with server.snapshot("1d") as snapshot:
        for number in range(2 * MAX_SEGMENTS):
            store.add({"AAPL": {0: 100 + number, number + 1: 1}})
        assert list(snapshot.symbols) == ["AAPL", "IBM"]
        for repository in (server, worker, store.repository()):
            assert store.closes_of(repository, "AAPL", snapshot.id) == {0: 1}
        assert store.closes(server)["AAPL"][0] == 100 + number
    store.add({"AAPL": {0: 5}})
    with pytest.raises(StoreError, match="not in the candle store any more"):
        load(store.repository(), "AAPL", snapshot_id=snapshot.id)


def test_files_of_a_state_are_removed_by_the_first_import_after_its_last_snapshot_is_closed(store):
    store.add({"AAPL": {0: 1}})
    repository = store.repository()
    first, second = repository.snapshot("1d"), repository.snapshot("1d")
    store.add({"AAPL": {0: 2}})
    first.close()
    store.add({"AAPL": {0: 3}})
    assert len(store.files("manifests")) == 2
    assert len(store.files()) == 4
    second.close()
    store.add({"AAPL": {0: 4}})
    assert len(store.files("manifests")) == 1
    assert len(store.files()) == 2


def test_states_that_nobody_holds_are_unmapped(store):
    repository = store.repository()
    for number in range(5):
        store.add({"AAPL": {0: number}})
        assert store.closes(repository) == {"AAPL": {0: number}}
    assert len(repository._views) == 1
    assert len(repository._segments) == 1


def test_a_process_keeps_a_bounded_number_of_states_mapped(store):
    repository = store.repository()
    snapshots = []
    for number in range(20):
        store.add({"AAPL": {0: number}})
        snapshots.append(repository.snapshot("1d"))
    assert len(repository._views) == 16
    assert [store.closes_of(repository, "AAPL", snapshot.id)[0] for snapshot in snapshots] == list(range(20))
    assert len(repository._views) == 16
    for snapshot in snapshots:
        snapshot.close()


def test_a_store_that_was_removed_and_made_anew_is_not_taken_for_the_old_one(store, tmp_path):
    store.add({"AAPL": {0: 1}})
    repository = store.repository()
    assert store.closes(repository) == {"AAPL": {0: 1}}
    store.path.rename(tmp_path / "removed")
    store.add({"AAPL": {0: 2}})
    assert store.closes(repository) == {"AAPL": {0: 2}}


@pytest.mark.parametrize("snapshot_id", ["1d", "000001-abcdef", "../../etc:1d", "000001-abcdef:1m", "memory-1"])
def test_an_id_that_is_no_snapshot_of_the_timeframe_is_refused(store, snapshot_id):
    store.add({"AAPL": {0: 1}})
    with pytest.raises(StoreError, match="is not a snapshot of timeframe 1d"):
        load(store.repository(), "AAPL", snapshot_id=snapshot_id)


def test_a_snapshot_of_one_timeframe_does_not_read_another(store):
    store.add({"AAPL": {0: 1}}, timeframe="1m")
    store.add({"AAPL": {0: 1}})
    repository = store.repository()
    with repository.snapshot("1m") as snapshot, pytest.raises(StoreError, match="is not a snapshot of timeframe 1d"):
        load(repository, "AAPL", snapshot_id=snapshot.id)


def test_a_state_that_disappears_while_it_is_opened_is_looked_up_again(store, monkeypatch):
    store.add({"AAPL": {0: 1}})
    layout, outdated = StoreLayout(store.path), read_current_state(StoreLayout(store.path))
    store.add({"AAPL": {0: 2}})
    answers = iter([outdated])
    monkeypatch.setattr(
        manifest, "read_current_state", lambda layout: next(answers, None) or read_current_state(layout)
    )
    with store.repository().snapshot("1d") as snapshot:
        assert snapshot.id == f"{read_current_state(layout)}:1d"
