import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import ipc

from candelabra_server.domain.date_range import DateRange
from candelabra_server.errors import Reason, StoreError, SymbolFailure, TimeframeNotStoredError

DAY = 86_400_000_000


def load(repository, symbol, start="", end="", *, warm_up_candles=0, snapshot_id=""):
    date_range = DateRange.parse(start, end)
    return repository.load(symbol, "1d", date_range, warm_up_candles=warm_up_candles, snapshot_id=snapshot_id)


def test_a_store_that_is_not_there_is_empty(store):
    repository = store.repository()
    assert repository.timeframes() == {}
    with pytest.raises(TimeframeNotStoredError, match="the store is empty, import some candles first"):
        repository.snapshot("1d")
    with pytest.raises(TimeframeNotStoredError):
        load(repository, "AAPL")
    assert not store.path.exists()


def test_a_store_that_is_made_later_is_seen(store):
    repository = store.repository()
    assert repository.timeframes() == {}
    store.add({"AAPL": {0: 1}})
    assert repository.timeframes() == {"1d": 1}
    assert store.closes(repository) == {"AAPL": {0: 1}}


def test_columns_are_views_of_the_mapped_file(store):
    store.add({"AAPL": dict.fromkeys(range(100), 5), "IBM": {0: 7}})
    repository = store.repository()
    with repository.snapshot("1d") as snapshot:
        (segment,) = snapshot.view.segments
        whole = np.frombuffer(segment.mapping, dtype=np.uint8)
        candles = load(repository, "AAPL", "2020-01-10", "2020-01-20", warm_up_candles=5, snapshot_id=snapshot.id)
        for column in (candles.open_time_micros, *candles.fields.values()):
            assert np.shares_memory(column, whole)
            assert not column.flags.owndata
            assert not column.flags.writeable
            assert column.flags.c_contiguous
            assert column.flags.aligned


def test_columns_stay_valid_when_their_file_and_repository_are_gone(store):
    store.add({"AAPL": {0: 1, 1: 2}})
    candles = load(store.repository(), "AAPL")
    store.add({"AAPL": {0: 3, 1: 4}})
    assert candles.fields["close"].tolist() == [1, 2]


def test_any_arrow_tool_reads_the_segments(store):
    store.add({"MSFT": {0: 1, 2: 3}, "AAPL": {1: 5}}, vwap=2)
    (path,) = store.path.glob("segments/*.arrow")
    with pa.memory_map(str(path)) as source:
        reader = ipc.open_file(source)
        assert reader.num_record_batches == 1
        table = reader.read_all()
        assert table.column_names == ["symbol", "open_time", "open", "high", "low", "close", "volume", "vwap"]
        assert table.schema.field("open_time").type == pa.timestamp("us", "UTC")
        assert table["symbol"].to_pylist() == ["AAPL", "MSFT", "MSFT"]
        assert table["close"].to_pylist() == [5, 1, 3]
        assert table["vwap"].to_pylist() == [2, 2, 2]
        times = table["open_time"].cast(pa.int64()).to_pylist()
        del reader, table
    assert times == [store.first + day * DAY for day in (1, 0, 2)]


def test_reading_needs_no_arrow_library(store):
    store.add({"AAPL": {0: 1, 1: 2}})
    program = """
import sys
from candelabra_server.candles.factory import create_candle_repository
from candelabra_server.domain.date_range import DateRange
repository = create_candle_repository({"type": "arrow", "path": sys.argv[1]})
with repository.snapshot("1d") as snapshot:
    repository.list_symbols("1d")
    candles = repository.load("AAPL", "1d", DateRange(), warm_up_candles=0, snapshot_id=snapshot.id)
    assert candles.fields["close"].tolist() == [1, 2]
import candelabra_server.candles.demo, candelabra_server.candles.importing
print(*(name for name in sys.modules if name.partition(".")[0] in {"pyarrow", "pandas", "grpc"}))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(store.path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("asked", "suggested"),
    [
        ("APPL", "; did you mean AAPL?"),
        ("aapl", "; did you mean AAPL?"),
        ("AAPLE", "; did you mean AAPL?"),
        ("MSF", "; did you mean MSFT or MSFX?"),
        ("ZZZZZ", ""),
        ("", ""),
        ("A" * 1_000, ""),
    ],
)
def test_an_unknown_symbol_is_answered_with_close_names(store, asked, suggested):
    store.add({"AAPL": {0: 1}, "MSFT": {0: 1}})
    store.add({"MSFX": {0: 1}})
    with pytest.raises(SymbolFailure) as caught:
        load(store.repository(), asked)
    assert caught.value.reason == Reason.UNKNOWN_SYMBOL
    assert caught.value.message == f"symbol {asked} is not stored in timeframe 1d{suggested}"


def test_a_range_without_candles_is_named_as_it_was_asked(store):
    store.add({"AAPL": {0: 1, 9: 2}})
    with pytest.raises(SymbolFailure) as caught:
        load(store.repository(), "AAPL", "2020-01-02", "2020-01-09")
    assert caught.value.message == (
        "AAPL has no 1d candles from 2020-01-02 to 2020-01-09; stored are 2020-01-01 to 2020-01-10"
    )


# Damage


def damage_current(store):
    (store.path / "CURRENT").write_text("nonsense")


def remove_manifest(store):
    next(store.path.glob("manifests/*.json")).unlink()


def damage_manifest(store):
    next(store.path.glob("manifests/*.json")).write_text('{"format": 1, "segments": 5}')


def future_manifest(store):
    next(store.path.glob("manifests/*.json")).write_text('{"format": 2}')


def escape_manifest(store):
    next(store.path.glob("manifests/*.json")).write_text('{"format": 1, "segments": {"1d": ["../secret"]}}')


def remove_index(store):
    next(store.path.glob("segments/*.json")).unlink()


def damage_index(store):
    next(store.path.glob("segments/*.json")).write_bytes(b"\xff\x00")


def change_index(**changes):
    def change(store):
        path = next(store.path.glob("segments/*.json"))
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def remove_segment(store):
    next(store.path.glob("segments/*.arrow")).unlink()


def truncate_segment(store):
    path = next(store.path.glob("segments/*.arrow"))
    path.write_bytes(path.read_bytes()[:-200])


def replace_segment(store):
    path = next(store.path.glob("segments/*.arrow"))
    path.write_bytes(b"x" * path.stat().st_size)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_current, r"^CURRENT of the candle store is damaged$"),
        (remove_manifest, r"^\d{6}-\w{6}\.json is missing in the candle store$"),
        (damage_manifest, r"^\d{6}-\w{6}\.json of the candle store is damaged$"),
        (escape_manifest, r"^\d{6}-\w{6}\.json of the candle store is damaged$"),
        (future_manifest, r"^\d{6}-\w{6}\.json has version 2 .* this server reads 1$"),
        (remove_index, r"^\d{6}-\w{6}-1d\.json is missing in the candle store$"),
        (damage_index, r"^\d{6}-\w{6}-1d\.json of the candle store is damaged"),
        (change_index(format=2), r"1d\.json of the candle store is damaged or was written by a later version$"),
        (change_index(starts=[0, 1]), r"1d\.json of the candle store is damaged"),
        (change_index(starts=[0, 2, 1, 3]), r"1d\.json of the candle store is damaged"),
        (change_index(starts="x"), r"1d\.json of the candle store is damaged"),
        (change_index(columns={}), r"1d\.json of the candle store is damaged"),
        (change_index(rows=1_000_000), r"1d\.json of the candle store is damaged"),
        (change_index(field_sets=[["nope"]]), r"1d\.json of the candle store is damaged"),
        (change_index(symbols=None), r"1d\.json of the candle store is damaged"),
        (remove_segment, r"^\d{6}-\w{6}-1d\.arrow is missing in the candle store$"),
        (truncate_segment, r"^\d{6}-\w{6}-1d\.arrow of the candle store is damaged: it has [\d,]+ bytes, not [\d,]+$"),
        (replace_segment, r"^\d{6}-\w{6}-1d\.arrow of the candle store is damaged: it does not begin as"),
    ],
)
def test_a_damaged_store_is_an_error_that_names_the_file(store, damage, message):
    store.add({"AAPL": {0: 1}, "IBM": {0: 1, 1: 2}})
    damage(store)
    with pytest.raises(StoreError, match=message) as caught:
        load(store.repository(), "AAPL")
    assert str(store.path) not in caught.value.message
    assert caught.value.reason == Reason.STORE_UNREADABLE


def test_a_path_that_is_a_file_cannot_be_imported_into(store):
    store.path.write_text("not a folder")
    assert store.repository().timeframes() == {}
    with pytest.raises(StoreError, match="cannot be written: "):
        store.add({"AAPL": {0: 1}})


def test_an_import_into_a_damaged_store_changes_nothing(store):
    store.add({"AAPL": {0: 1}})
    damage_manifest(store)
    before = store.files()
    with pytest.raises(StoreError, match="damaged"):
        store.add({"AAPL": {0: 2}})
    assert store.files() == before
