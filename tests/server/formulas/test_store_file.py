"""The file of saved formulas under several processes, kills, full disks and damage."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import psutil
import pytest

from candelabra_server.errors import FormulaNotFoundError, StoreError, UnavailableError
from candelabra_server.formulas import store_file
from candelabra_server.formulas.saved import SavedFormula
from candelabra_server.formulas.store import FormulaStore
from candelabra_server.formulas.store_file import FILE_NAME, StoreFile

LIMIT_SECONDS = 60

BEGIN = """
import sys

from candelabra_server.errors import FormulaChangedError, FormulaExistsError
from candelabra_server.formulas.saved import SavedFormula
from candelabra_server.formulas.store import FormulaStore

store, name, rounds = FormulaStore(sys.argv[1]), sys.argv[2], int(sys.argv[3])


def tell(*words):
    print(*words, flush=True)


tell("ready")
sys.stdin.readline()
"""

WRITE = """
try:
    store.create(SavedFormula(id="counter", expression="0"))
    tell("first")
except FormulaExistsError:
    pass
for number in range(rounds):
    store.create(SavedFormula(id=f"{name}/f{number}", expression=name))
    while True:
        found = store.get("counter")
        try:
            store.update(SavedFormula(id="counter", expression=str(int(found.expression) + 1)), found.etag)
            break
        except FormulaChangedError:
            pass
tell("done")
"""

WRITE_UNTIL_KILLED = """
try:
    store.create(SavedFormula(id="shared", expression=name))
except FormulaExistsError:
    pass
for number in range(1_000_000):
    own = store.create(SavedFormula(id=f"{name}/f{number}", expression=f"{name} {number}"))
    shared = store.update(SavedFormula(id="shared", expression=f"{name} {number}"), "")
    tell(own.id, shared.version, shared.expression)
"""


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "candelabra-data"


@pytest.fixture
def store(folder):
    return FormulaStore(folder)


def draft(identifier="trend", expression="close"):
    return SavedFormula(id=identifier, expression=expression)


@contextmanager
def processes(folder, program, names, rounds=0):
    """New interpreters that run the program, each with a name, all from the same moment on."""
    started = []
    try:
        for name in names:
            command = [sys.executable, "-c", BEGIN + program, str(folder), name, str(rounds)]
            pipe = subprocess.PIPE
            started.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True))
        for process in started:
            assert process.stdout.readline() == "ready\n", process.stderr.read()
        for process in started:
            process.stdin.write("\n")
            process.stdin.flush()
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate(timeout=LIMIT_SECONDS)


def test_processes_that_write_at_the_same_time_lose_nothing(store, folder):
    names, rounds = ["a", "b", "c", "d"], 12
    with processes(folder, WRITE, names, rounds) as started:
        ended = [process.communicate(timeout=LIMIT_SECONDS) for process in started]
    assert [errors for _, errors in ended] == [""] * 4
    assert sorted(lines for lines, _ in ended) == ["done\n"] * 3 + ["first\ndone\n"]
    total = len(names) * rounds
    counter = store.get("counter")
    assert (counter.version, counter.expression) == (total + 1, str(total))
    for version in range(1, total + 2):
        assert store.get(f"counter@{version}").expression == str(version - 1)
    listed = store.list_formulas(pattern="*/*", page_size=1_000).formulas
    assert {formula.id: formula.expression for formula in listed} == {
        f"{name}/f{number}": name for name in names for number in range(rounds)
    }


def test_threads_that_write_at_the_same_time_lose_nothing(store):
    def write(number):
        store.create(draft(f"f{number}"))
        return store.get(f"f{number}").id

    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(write, range(64)))
    assert written == [f"f{number}" for number in range(64)]
    assert {formula.id for formula in store.list_formulas(page_size=100).formulas} == set(written)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("lines_before_kill", [0, 1, 3, 10, 25])
def test_killed_processes_lose_nothing_that_was_acknowledged(store, folder, lines_before_kill):
    told = {}
    with processes(folder, WRITE_UNTIL_KILLED, ["a", "b"]) as started:
        for process in started:
            told[process] = [process.stdout.readline() for _ in range(lines_before_kill)]
        for process in started:
            os.kill(process.pid, signal.SIGKILL)
            told[process] += process.stdout.readlines()
            assert process.wait(LIMIT_SECONDS) == -signal.SIGKILL
            assert process.stderr.read() == ""
    acknowledged = [line.rstrip("\n").split(" ", 2) for lines in told.values() for line in lines if line.endswith("\n")]
    assert len(acknowledged) >= 2 * lines_before_kill
    for own, version, expression in acknowledged:
        assert store.get(own).expression == expression
        assert store.get(f"shared@{version}").expression == expression
    store.create(draft("next"))  # whatever they left behind hinders nobody
    _check_whole(folder)
    try:
        newest = store.get("shared").version
    except FormulaNotFoundError:
        newest = 0
    versions = {int(version) for _, version, _ in acknowledged}
    unknown = set(range(1, newest + 1)) - versions
    assert versions <= set(range(1, newest + 1))
    assert len(unknown) <= 3  # the first, and one of each process that it could not tell of any more


def _check_whole(folder):
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_change_is_on_the_disk_before_its_call_returns(store, folder):
    store.create(draft())
    with StoreFile(folder)._connection("rw") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert connection.execute("PRAGMA fullfsync").fetchone() == (1,)


def test_a_transaction_that_was_not_committed_is_not_there(store, folder):
    store.create(draft())

    def change(connection):
        connection.execute("DELETE FROM versions")
        connection.execute("DELETE FROM live")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        StoreFile(folder).write(change)
    assert store.get("trend@1") == store.get("trend")


def test_nobody_else_writes_between_what_a_change_reads_and_what_it_writes(store, folder):
    store.create(draft())

    def change(connection):
        with closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None, timeout=0)) as other:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("DELETE FROM live")
        return connection.execute("SELECT count(*) FROM live").fetchone()

    assert StoreFile(folder).write(change) == (1,)


def test_readers_see_the_state_before_while_another_writes(store, folder):
    saved = store.create(draft())
    with closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM live")
        assert store.get("trend") == saved
        assert store.list_formulas(page_size=9).formulas == (saved,)


def test_a_writer_waits_for_the_lock_and_then_goes_on(store, folder):
    store.create(draft())
    with closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        attempts = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(lambda: (attempts.set(), store.update(draft(), "")))
            assert attempts.wait(LIMIT_SECONDS)
            assert not waiting.done()
            other.execute("ROLLBACK")
            assert waiting.result(LIMIT_SECONDS)[1].version == 2


def test_a_lock_that_is_never_let_go_is_an_error_that_says_so(store, folder, monkeypatch):
    monkeypatch.setattr(store_file, "_BUSY_SECONDS", 0.05)
    store.create(draft())
    with closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError, match="another process keeps the saved formulas locked; try again"):
            store.update(draft(), "")
    assert store.update(draft(), "").version == 2


def test_a_full_disk_is_an_error_that_says_so_and_changes_nothing(store, monkeypatch):
    saved = store.create(draft())
    with monkeypatch.context() as patch:
        patch.setattr(store_file, "_CONNECTION_SETTINGS", ("PRAGMA synchronous = FULL", "PRAGMA max_page_count = 6"))
        with pytest.raises(StoreError, match=r"formulas\.sqlite3 cannot be written: the disk is full"):
            store.update(draft(expression="close " * 10_000), "")
        assert store.get("trend") == saved
    assert store.update(draft(expression="close " * 10_000), "").version == 2


def both_ways(store):
    yield lambda: store.get("trend")
    yield lambda: store.list_formulas(page_size=9)
    yield lambda: store.create(draft("other"))
    yield lambda: store.update(draft(), "")
    yield lambda: store.delete("trend", "")


def refused(store, folder, message):
    """Every call is refused with the message, without a path or a text of SQLite, and the file is left alone."""
    before = (folder / FILE_NAME).read_bytes()
    for call in both_ways(store):
        with pytest.raises(StoreError) as caught:
            call()
        assert type(caught.value) is StoreError
        assert caught.value.message == f"{FILE_NAME} {message}"
    assert (folder / FILE_NAME).read_bytes() == before
    return True


DAMAGED = "is damaged, or is no file of saved formulas"


@pytest.mark.parametrize("content", [b"no database" * 1_000, b"\0" * 8_192, b"x" * 600], ids=["text", "zeros", "short"])
def test_a_file_that_is_no_database_is_refused(store, folder, content):
    folder.mkdir()
    (folder / FILE_NAME).write_bytes(content)
    assert refused(store, folder, DAMAGED)


def test_a_database_of_something_else_is_refused(store, folder):
    folder.mkdir()
    with closing(sqlite3.connect(folder / FILE_NAME)) as other:
        other.execute("CREATE TABLE candles (symbol TEXT)")
    assert refused(store, folder, DAMAGED)


def test_a_file_whose_tables_are_overwritten_is_refused(store, folder):
    store.create(draft())
    content = bytearray((folder / FILE_NAME).read_bytes())
    content[4_096:] = b"\xff" * (len(content) - 4_096)
    (folder / FILE_NAME).write_bytes(content)
    assert refused(store, folder, DAMAGED)


@pytest.mark.parametrize("parameters", ["{", "[1]", '[{"name": "a", "more": 1}]', "1"])
def test_parameters_that_cannot_be_read_are_damage(store, folder, parameters):
    store.create(draft())
    with closing(sqlite3.connect(folder / FILE_NAME)) as other, other:
        other.execute("UPDATE versions SET parameters = ?", (parameters,))
    with pytest.raises(StoreError, match=DAMAGED):
        store.get("trend")


def test_a_file_of_a_newer_release_is_refused_and_left_alone(store, folder):
    store.create(draft())
    with closing(sqlite3.connect(folder / FILE_NAME)) as newer:
        newer.execute("PRAGMA user_version = 2")
    message = (
        "has version 2 of the format of saved formulas, this server reads 1; "
        "use the release that wrote it, or a later one"
    )
    assert refused(store, folder, message)


def test_an_empty_file_is_an_empty_store(store, folder):
    """That is what a process leaves behind that is killed while it makes the file."""
    folder.mkdir()
    (folder / FILE_NAME).touch()
    assert store.list_formulas(page_size=9).formulas == ()
    with pytest.raises(FormulaNotFoundError):
        store.get("trend")
    assert store.create(draft()).version == 1


def test_a_folder_that_cannot_be_one_is_an_error_without_its_path(tmp_path):
    (tmp_path / "file").touch()
    store = FormulaStore(tmp_path / "file" / "folder")
    for call, message in zip(both_ways(store), ["opened", "opened", "made", "made", "made"], strict=True):
        with pytest.raises(StoreError, match=f"cannot be {message}") as caught:
            call()
        assert str(tmp_path) not in caught.value.message


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read and write everything")
def test_a_folder_that_may_not_be_used_is_an_error_that_says_so(store, folder):
    store.create(draft())
    folder.chmod(0)
    try:
        for call in both_ways(store):
            with pytest.raises(StoreError, match="the server must be allowed to write to it and to its folder"):
                call()
    finally:
        folder.chmod(0o700)


def test_a_name_that_is_special_in_addresses_is_an_ordinary_folder(tmp_path):
    folder = tmp_path / "a b?mode=memory#c%20ü"
    FormulaStore(folder).create(draft())
    assert [path.name for path in folder.iterdir()] == [FILE_NAME]
    assert FormulaStore(folder).get("trend").version == 1


def test_missing_folders_are_made_with_the_first_formula(tmp_path):
    store = FormulaStore(tmp_path / "a" / "b" / "c")
    store.create(draft())
    assert (tmp_path / "a" / "b" / "c" / FILE_NAME).is_file()


def test_a_file_that_is_moved_with_its_folder_goes_along(store, folder, tmp_path):
    saved = store.create(draft())
    shutil.move(folder, tmp_path / "elsewhere")
    assert FormulaStore(tmp_path / "elsewhere").get("trend") == saved
    with pytest.raises(FormulaNotFoundError):
        store.get("trend")


@pytest.mark.skipif(not hasattr(psutil.Process, "num_fds"), reason="counts descriptors")
def test_nothing_stays_open(store, folder):
    store.create(draft())
    before = psutil.Process().num_fds()
    for call in (*both_ways(store), lambda: store.create(draft()), lambda: store.get("trend")):
        call()
    with pytest.raises(FormulaNotFoundError):
        store.get("nothing")
    assert psutil.Process().num_fds() == before
    assert [path.name for path in folder.iterdir()] == [FILE_NAME]
