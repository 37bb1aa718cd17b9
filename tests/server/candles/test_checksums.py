"""Checksums: what is written has them, what they find, and stores from before there were any."""

import io
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candelabra_server.candles.checksums import (
    BLOCK_BYTES,
    BlockChecksums,
    ChecksummingFile,
    has_seal,
    is_intact,
    sealed,
)
from candelabra_server.candles.segment import SegmentIndex
from candelabra_server.candles.store_check import check_store


def written(*parts):
    target = io.BytesIO()
    file = ChecksummingFile(target)
    for part in parts:
        file.write(part)
    return target.getvalue(), file.checksums()


@given(st.lists(st.integers(0, 2 * BLOCK_BYTES + 1), max_size=4))
def test_checksums_are_those_of_the_blocks_however_the_file_was_written(sizes):
    content, checksums = written(*(bytes([number]) * size for number, size in enumerate(sizes)))
    blocks = [content[start : start + BLOCK_BYTES] for start in range(0, len(content), BLOCK_BYTES)]
    assert checksums.digits == "".join(f"{zlib.crc32(block):08x}" for block in blocks)
    assert all(checksums.agree(number, block) for number, block in enumerate(blocks))
    assert checksums.fit(len(content))


@given(st.binary(min_size=1, max_size=64), st.data())
def test_any_changed_bit_of_a_block_is_found(content, data):
    _, checksums = written(content)
    bit = data.draw(st.integers(0, len(content) * 8 - 1))
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    assert not checksums.agree(0, bytes(changed))


@pytest.mark.parametrize(
    ("block_bytes", "digits", "fits"),
    [(64, "0" * 16, True), (64, "0" * 8, False), (64, "0" * 24, False), (0, "", False), (12, "0" * 72, False)],
)
def test_checksums_that_cannot_be_those_of_the_file_are_told(block_bytes, digits, fits):
    assert BlockChecksums(block_bytes, digits).fit(100) is fits


@pytest.mark.parametrize("indent", [None, 1])
def test_a_seal_is_part_of_the_json_and_any_change_before_it_is_found(indent):
    content = sealed({"é": [1, {"b": "}"}]}, indent=indent)
    assert json.loads(content)["é"] == [1, {"b": "}"}]
    assert has_seal(content)
    assert is_intact(content)
    for position in range(content.index(b'"crc32"') - 3):
        changed = bytearray(content)
        changed[position] ^= 1
        assert not is_intact(bytes(changed))


def test_json_without_a_seal_is_taken_as_it_is():
    assert not has_seal(b'{"a": 1}')
    assert is_intact(b'{"a": 1}')


def test_what_an_import_writes_has_checksums(store):
    store.add({"AAPL": {0: 1}})
    (index_path,) = store.path.glob("segments/*.json")
    (path,) = store.path.glob("segments/*.arrow")
    (manifest,) = store.path.glob("manifests/*.json")
    assert has_seal(index_path.read_bytes())
    assert has_seal(manifest.read_bytes())
    checksums = SegmentIndex.from_json(index_path.read_bytes()).checksums
    assert checksums.digits == f"{zlib.crc32(path.read_bytes()):08x}"


def without_checksums(store):
    """Makes of a store what earlier versions wrote."""
    for path in (*store.path.glob("segments/*.json"), *store.path.glob("manifests/*.json")):
        content = json.loads(path.read_text())
        content.pop("checksums", None)
        del content["crc32"]
        path.write_text(json.dumps(content))


def test_a_store_from_before_checksums_is_read_added_to_and_merged(store):
    store.add({"AAPL": {0: 1}})
    without_checksums(store)
    assert store.closes() == {"AAPL": {0: 1}}
    for day in range(1, 9):
        store.add({"AAPL": {day: 1}})
    assert store.closes() == {"AAPL": dict.fromkeys(range(9), 1)}
    assert len(store.files()) == 2
    assert check_store(store.path).findings == ()


def test_of_a_store_from_before_checksums_only_the_structure_is_vouched_for(store):
    store.add({"AAPL": {0: 1}})
    without_checksums(store)
    report = check_store(store.path)
    assert not report.is_damaged
    assert [(finding.file.partition("/")[0], finding.problem.partition(":")[0]) for finding in report.findings] == [
        ("segments", "was written before there were checksums"),
        ("manifests", "was written before there were checksums"),
    ]


@pytest.mark.parametrize("pattern", ["segments/*.json", "manifests/*.json"])
def test_a_changed_digit_that_looks_sound_is_found_when_the_file_is_read(store, pattern):
    store.add({"AAPL": {0: 1, 1: 2}})
    (path,) = store.path.glob(pattern)
    content = path.read_text()
    path.write_text(content.replace("AAPL", "AAPM").replace('"1d"', '"2d"'))
    assert path.read_text() != content
    with pytest.raises(Exception, match="is damaged"):
        store.closes()
