import json
import subprocess
import sys

import pytest

from candelabra_server.candles import store_layout
from candelabra_server.candles.manifest import read_current_state, read_manifest
from candelabra_server.candles.store_layout import StoreLayout
from candelabra_server.candles.store_writer import StoreWriter
from candelabra_server.errors import StoreError


def test_a_second_importer_is_refused_at_once(store):
    store.add({"AAPL": {0: 1}})
    with StoreWriter(store.path), pytest.raises(StoreError, match=r"another import .* is running"):
        store.add({"AAPL": {0: 2}})
    store.add({"AAPL": {0: 3}})
    assert store.closes() == {"AAPL": {0: 3}}


def test_an_importer_in_another_process_is_refused_and_its_death_frees_the_store(store):
    program = """
import sys
from pathlib import Path
from candelabra_server.candles.store_writer import StoreWriter
with StoreWriter(Path(sys.argv[1])):
    print("entered", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(store.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "entered\n"
        with pytest.raises(StoreError, match=r"another import .* is running"):
            store.add({"AAPL": {0: 1}})
        other.kill()
        other.wait(30)
    store.add({"AAPL": {0: 1}})
    assert store.closes() == {"AAPL": {0: 1}}


def test_a_write_that_fails_leaves_the_store_as_it_was_and_says_why(store, monkeypatch):
    store.add({"AAPL": {0: 1}})
    files = store.files()

    def fail(*_):
        raise OSError(28, "No space left on device", str(store.path))

    monkeypatch.setattr(store_layout.os, "replace", fail)
    with pytest.raises(StoreError) as caught:
        store.add({"AAPL": {0: 2}})
    assert caught.value.message == (
        f"the candle store {store.path} cannot be written: No space left on device; free some space there, then import "
        "again: what was stored is as it was"
    )
    monkeypatch.undo()
    assert store.files() == files
    assert store.closes() == {"AAPL": {0: 1}}


def test_the_manifest_lists_segments_oldest_import_first(store):
    store.add({"AAPL": {0: 1}})
    store.add({"IBM": {0: 1}})
    layout = StoreLayout(store.path)
    state = read_current_state(layout)
    assert [name[:6] for name in read_manifest(layout, state).segments["1d"]] == ["000001", "000002"]
    assert state.startswith("000002-")


def test_values_lie_where_eight_byte_numbers_may_lie(store):
    store.add({"AAPL": dict.fromkeys(range(13), 1)}, vwap=1)
    index = json.loads(next(store.path.glob("segments/*.json")).read_text())
    assert all(column["offset"] % 8 == 0 for column in index["columns"].values())
