"""The command `candelabra-server check-store`: what it finds, what it says of it, and that it only reads."""

import json
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from candelabra_server.candles.checksums import BLOCK_BYTES, sealed
from candelabra_server.candles.store_check import check_store
from candelabra_server.candles.store_writer import StoreWriter
from support.command import BIN

IMPORT_AGAIN = (
    "restore it from a backup, or import the files with these candles again with --drop-damaged, which gives up "
    "all others in it"
)


@pytest.fixture
def check(store):
    def run_check():
        return subprocess.run(
            [BIN / "candelabra-server", "check-store", "--store", store.path],
            capture_output=True, text=True, timeout=60, check=False, env=os.environ | {"COLUMNS": "80"},
        )  # fmt: skip

    return run_check


@pytest.fixture
def filled(store):
    store.add({symbol: {0: 1, 1: 2} for symbol in ("AAPL", "IBM", "MSFT")})
    return store


def only(store, pattern):
    (path,) = store.path.glob(pattern)
    return path


def change_json(path, **changes):
    """Changes a file of JSON as only a mistake of ours could: its seal is right."""
    content = json.loads(path.read_text())
    content.pop("crc32", None)
    path.write_bytes(sealed(content | changes))


def everything(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# The command


def test_a_sound_store_is_told_so_and_left_as_it_is(filled, check):
    before = everything(filled.path)
    finished = check()
    assert (finished.returncode, finished.stderr) == (0, "")
    size = only(filled, "segments/*.arrow").stat().st_size
    state = only(filled, "manifests/*").stem
    assert finished.stdout == (
        f"{filled.path}: sound\n  checked  {size / 1e6:.1f} MB of candles, segments: 1, timeframes: 1, state: {state}\n"
    )
    assert everything(filled.path) == before


def test_damage_is_a_line_with_the_file_the_symbols_and_what_to_do_and_a_status_of_one(store, check):
    store.add({f"S{number}": {0: 1} for number in range(7)})
    store.add({"IBM": {0: 1}}, timeframe="1m")
    path = only(store, "segments/*-1d.arrow")
    os.truncate(path, 1_000)
    size = json.loads(path.with_suffix(".json").read_text())["file_bytes"]
    finished = check()
    assert finished.returncode == 1
    assert finished.stdout.splitlines()[:2] == [
        f"damaged: segments/{path.name} (1d: S0, S1, S2, S3, S4 and 2 more symbols): has 1,000 bytes, not {size:,}; "
        + IMPORT_AGAIN,
        f"{store.path}: 1 of its files damaged",
    ]
    assert "Traceback" not in finished.stderr


def test_a_folder_that_is_not_there_is_told_in_a_line(store, check):
    finished = check()
    assert (finished.returncode, finished.stderr) == (1, f"there is no folder {store.path}\n")


def test_an_empty_folder_is_an_empty_store(store, check):
    store.path.mkdir()
    finished = check()
    assert (finished.returncode, finished.stdout) == (0, f"{store.path}: empty\n")


def test_what_it_says_to_do_works(filled, check, write, run):
    os.truncate(only(filled, "segments/*.arrow"), 1_000)
    assert check().returncode == 1
    lines = "".join(f"2020-01-01,{symbol},1,1,1,1,1\n" for symbol in ("AAPL", "IBM", "MSFT"))
    file = write("all.csv", "date,symbol,open,high,low,close,volume\n" + lines)
    finished = subprocess.run(
        [BIN / "candelabra-server", "import", file, "--timeframe", "1d", "--store", filled.path, "--drop-damaged"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert re.search(r"^  dropped  000001-\w{6}-1d, which was damaged", finished.stdout, re.MULTILINE)
    assert filled.closes() == {symbol: {0: 1} for symbol in ("AAPL", "IBM", "MSFT")}
    assert check().returncode == 0


# What it finds


def damage_found(store):
    report = check_store(store.path)
    return [(finding.file, finding.problem, finding.symbols) for finding in report.findings if finding.is_damage]


def test_a_missing_file_of_each_kind_is_found(filled):
    for pattern, symbols in (
        ("segments/*.arrow", ["AAPL", "IBM", "MSFT"]),
        ("segments/*.json", None),
    ):
        path = only(filled, pattern)
        content = path.read_bytes()
        path.unlink()
        assert damage_found(filled) == [(f"segments/{path.name}", "is missing", symbols)]
        path.write_bytes(content)
    path = only(filled, "manifests/*.json")
    path.unlink()
    assert damage_found(filled) == [
        (f"manifests/{path.name}", "is missing, so nobody knows which files the present state has", None)
    ]


def test_a_manifest_that_names_a_file_that_never_was_is_found(filled):
    manifest = only(filled, "manifests/*.json")
    names = json.loads(manifest.read_text())["segments"]
    change_json(manifest, segments=names | {"1h": ["000001-ffffff-1h"]})
    assert damage_found(filled) == [("segments/000001-ffffff-1h.json", "is missing", None)]
    assert filled.closes()  # the other timeframe is read


@pytest.mark.parametrize("content", [b"nonsense", b"", b"\xff\xfe"])
def test_a_damaged_name_of_the_present_state_comes_with_the_one_to_write(filled, content):
    state = only(filled, "manifests/*.json").stem
    current = filled.path / "CURRENT"
    current.write_bytes(content)
    (finding,) = check_store(filled.path).findings
    assert (finding.file, finding.problem) == (
        "CURRENT",
        "is damaged, so nobody knows which state is the present one",
    )
    assert finding.remedy.startswith(f"write {state} into it")
    current.write_text(state)
    assert check_store(filled.path).findings == ()
    current.unlink()
    (finding,) = check_store(filled.path).findings
    assert finding.problem.startswith("is missing")


@pytest.mark.parametrize("pattern", ["manifests/*.json", "segments/*.json", "segments/*.arrow"])
def test_every_changed_byte_is_found(filled, pattern):
    """But for the blanks around a seal and its name, without which the file is as sound."""
    path = only(filled, pattern)
    content = path.read_bytes()
    end = content.rindex(b'"crc32"') - 3 if path.suffix == ".json" else len(content)
    for position in range(0, end, 7):
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(changed)
        assert check_store(filled.path).is_damaged, position


def test_a_wrong_block_is_pinned_to_its_column_and_symbols(store):
    rows = BLOCK_BYTES // 8
    store.add({f"S{number}": dict.fromkeys(range(rows // 4), 1) for number in range(16)})
    path = only(store, "segments/*.arrow")
    index = json.loads(path.with_suffix(".json").read_text())
    begin = index["columns"]["high"]["offset"]
    block = -(-begin // BLOCK_BYTES)  # the first that is of this column from its first byte to its last
    with path.open("rb+") as file:
        file.seek(block * BLOCK_BYTES + 5)
        file.write(b"?")
    ((file, problem, symbols),) = damage_found(store)
    assert re.fullmatch(r"1 of \d+ blocks have another checksum, in high", problem)
    first = (block * BLOCK_BYTES - begin) // 8
    names = sorted(f"S{number}" for number in range(16))
    positions = range(first // (rows // 4), (first + rows - 1) // (rows // 4) + 1)
    assert symbols == [names[position] for position in positions]
    assert 4 <= len(symbols) <= 5


def test_a_wrong_block_that_no_column_lies_in_touches_no_symbol(filled, check):
    path = only(filled, "segments/*.arrow")
    size = path.stat().st_size
    change_json(path.with_suffix(".json"), checksums={"block_bytes": 8, "crc32": "0" * 8 * -(-size // 8)})
    ((_, problem, _),) = damage_found(filled)
    assert "have another checksum, in open_time, open, high, low, close, volume" in problem
    index = json.loads(path.with_suffix(".json").read_text())
    columns = index["columns"].values()
    content = path.read_bytes()
    blocks = [content[start : start + 8] for start in range(0, size, 8)]
    digits = [f"{zlib.crc32(block):08x}" for block in blocks]
    assert all(column["offset"] // 8 < len(digits) - 1 for column in columns)
    digits[-1] = "00000000"
    change_json(path.with_suffix(".json"), checksums={"block_bytes": 8, "crc32": "".join(digits)})
    assert "(1d: no symbol): 1 of" in check().stdout
    assert "where only other programs read" in check().stdout


def without_checksums(path):
    content = json.loads(path.read_text())
    del content["checksums"], content["crc32"]
    path.write_text(json.dumps(content))


def set_values(path, column, row, values):
    offset = json.loads(path.with_suffix(".json").read_text())["columns"][column]["offset"]
    with path.open("rb+") as file:
        file.seek(offset + row * 8)
        file.write(np.asarray(values).tobytes())


@pytest.mark.parametrize(
    ("column", "row", "value", "problem"),
    [
        ("close", 2, np.inf, "1 values are infinite or negative, in close"),
        ("volume", 3, -1.0, "1 values are infinite or negative, in volume"),
        ("open_time", 3, 0, "1 times are not later than the one before them, in open_time"),
        ("open_time", 3, 18_262 * 86_400_000_000, "1 times are not later than the one before them, in open_time"),
    ],
    ids=["infinite", "negative", "unsorted", "duplicate"],
)
def test_values_that_no_import_lets_in_are_found_also_without_checksums(filled, column, row, value, problem):
    path = only(filled, "segments/*.arrow")
    without_checksums(path.with_suffix(".json"))
    set_values(path, column, row, value)
    assert damage_found(filled) == [(f"segments/{path.name}", problem, ["IBM"])]


def test_times_are_compared_across_blocks(store):
    rows = BLOCK_BYTES // 8 + 5_000
    store.add({"AAPL": dict.fromkeys(range(rows), 1)})
    path = only(store, "segments/*.arrow")
    without_checksums(path.with_suffix(".json"))
    offset = json.loads(path.with_suffix(".json").read_text())["columns"]["open_time"]["offset"]
    row = (BLOCK_BYTES - offset % BLOCK_BYTES) // 8  # the first in a block
    set_values(path, "open_time", row, store.first + (row - 1) * 86_400_000_000)
    assert damage_found(store) == [
        (f"segments/{path.name}", "1 times are not later than the one before them, in open_time", ["AAPL"])
    ]


@pytest.mark.parametrize("change", ["symbols", "starts", "offsets"])
def test_an_index_that_contradicts_its_file_is_found(store, change):
    store.add({"AAPL": {0: 1, 1: 1}, "IBM": {2: 1, 3: 1}, "MSFT": {4: 1, 5: 1}})
    index_path = only(store, "segments/*.json")
    index = json.loads(index_path.read_text())
    columns = index["columns"]
    changes = {
        "symbols": {"symbols": ["AAPL", "IBM", "MSFX"]},
        "starts": {"starts": [0, 1, 4, 6]},
        "offsets": {"columns": columns | {"open": columns["high"], "high": columns["open"]}},
    }
    change_json(index_path, **changes[change])
    path = index_path.with_suffix(".arrow")
    ((file, problem, _),) = damage_found(store)
    assert (file, problem) == (f"segments/{path.name}", "and its index contradict each other")


def test_a_file_that_is_no_arrow_file_is_found_also_without_checksums(filled):
    path = only(filled, "segments/*.arrow")
    without_checksums(path.with_suffix(".json"))
    size = path.stat().st_size
    content = path.read_bytes()
    path.write_bytes(content[:-200] + bytes(200))
    assert damage_found(filled)[0][:2] == (f"segments/{path.name}", "cannot be read as an Arrow file")
    path.write_bytes(bytes(size))
    assert ("does not begin as an Arrow file") in {problem for _, problem, _ in damage_found(filled)}


# What is left over, and what goes on meanwhile


def test_leftovers_are_named_and_are_no_damage(filled, check):
    for name in ("segments/000000-aaaaaa-1d.arrow", "segments/000009-aaaaaa-1d.json", "CURRENT.tmp"):
        (filled.path / name).write_text("")
    finished = check()
    assert finished.returncode == 0
    to_do = "nothing need be done: the next import removes it"
    assert finished.stdout.splitlines()[:3] == [
        f"note: CURRENT.tmp: is of an import that runs, or did not end; {to_do}",
        f"note: segments/000000-aaaaaa-1d.arrow: is of no state any more; {to_do}",
        f"note: segments/000009-aaaaaa-1d.json: is of an import that runs, or did not end; {to_do}",
    ]
    filled.add({"NEW": {0: 1}})
    assert check_store(filled.path).findings == ()


def test_it_works_while_an_import_runs_and_keeps_none_from_running(filled):
    with StoreWriter(filled.path):
        assert check_store(filled.path).findings == ()

    def add_once(_done, _total):
        if len(filled.files("manifests")) == 1:
            filled.add({"AAPL": {0: 1, 1: 2}, "IBM": {0: 3, 1: 4}, "MSFT": {0: 5, 1: 6}})

    state = only(filled, "manifests/*.json").stem
    report = check_store(filled.path, add_once)
    assert (report.state, report.findings) == (state, ())  # its files stayed until it was done
    assert len(filled.files()) == 4
    assert check_store(filled.path).older_states == 1
    filled.add({"NEW": {0: 1}})
    assert check_store(filled.path).older_states == 0


def test_progress_ends_with_all(filled):
    told = []
    check_store(filled.path, lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks at what a process opened")
def test_it_opens_nothing_for_writing(filled):
    opened = []
    watching = True

    def audit(event, arguments):
        if watching and event == "open" and str(arguments[0]).startswith(str(filled.path)):
            opened.append(arguments[2] & (os.O_WRONLY | os.O_RDWR))

    sys.addaudithook(audit)
    check_store(filled.path)
    watching = False
    assert len(opened) >= 4
    assert not any(opened)
