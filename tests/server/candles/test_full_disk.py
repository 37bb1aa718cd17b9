"""Imports that cannot write: a full disk, no permission, a read-only folder, and clocks that jump."""

import errno
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from candelabra_server.candles import checksums, segment_writer, store_layout
from candelabra_server.candles.store_check import check_store
from candelabra_server.errors import StoreError
from support.command import BIN

NEW = "date,symbol,open,high,low,close,volume\n2020-01-02,AAPL,7,7,7,7,7\n"
OLD = {"AAPL": {0: 1, 1: 2}}


class FailingDisk:
    """Counts what an import asks of the file system, and lets one step fail."""

    def __init__(self, root, monkeypatch):
        self.root = str(root)
        self.steps = 0
        self.failing_step = 0
        self.number = 0
        self.is_on = False
        sys.addaudithook(self.audit)
        for owner, name in ((os, "fsync"), (os, "replace"), (checksums.ChecksummingFile, "write")):
            monkeypatch.setattr(owner, name, self.stepping(getattr(owner, name)))

    def step(self, path=None):
        self.steps += self.is_on
        if self.is_on and self.steps == self.failing_step:
            raise OSError(self.number, os.strerror(self.number), path)

    def stepping(self, function):
        def call(*arguments):
            self.step()
            return function(*arguments)

        return call

    def audit(self, event, arguments):
        if not self.is_on or event not in {"open", "os.mkdir"} or not str(arguments[0]).startswith(self.root):
            return
        if event == "os.mkdir" or (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            self.step(arguments[0])

    @contextmanager
    def failing_at(self, step, number):
        self.steps, self.failing_step, self.number, self.is_on = 0, step, number, True
        try:
            yield
        finally:
            self.is_on = False


@pytest.fixture
def disk(store, monkeypatch):
    return FailingDisk(store.path, monkeypatch)


def left_over(store):
    """Temporary files, and files that no state names."""
    return [finding.file for finding in check_store(store.path).findings]


@pytest.mark.parametrize("is_first", [True, False], ids=["first import", "further import"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=["full disk", "failing disk"])
def test_an_import_that_fails_at_any_step_leaves_the_old_candles_and_nothing_else(store, disk, is_first, number):
    old = {} if is_first else OLD
    step = 0
    failed = 0
    while True:
        step += 1
        shutil.rmtree(store.path, ignore_errors=True)
        if not is_first:
            store.add(OLD)
        message = ""
        with disk.failing_at(step, number):
            try:
                store.add({"AAPL": {1: 7}})
            except StoreError as error:
                message = error.message
        found = store.closes() if store.repository().timeframes() else {}
        if not message:  # there are no more steps, or only the last flush failed, after which readers have the new ones
            assert found == {"AAPL": {**old.get("AAPL", {}), 1: 7}}
            if disk.steps < step:
                break
            continue
        failed += 1
        assert message.startswith(f"the candle store {store.path} cannot be written: {os.strerror(number)}; ")
        assert message.endswith(", then import again: what was stored is as it was")
        assert found == old
        if store.path.exists():
            assert left_over(store) == []
    assert failed > 12


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files there")
def test_a_file_system_that_takes_no_more_bytes_is_told_and_leaves_the_old_candles(store, write):
    store.add(OLD)
    before = store.files()
    rows = "".join(f"2020-01-02,S{number},7,7,7,7,7\n" for number in range(2_000))
    file = write("new.csv", NEW.partition("\n")[0] + "\n" + rows)
    program = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
from candelabra_server.cli import main
sys.argv[0] = "candelabra-server"
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program, "import", str(file), "--timeframe", "1d", "--store", str(store.path)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == (
        f"the candle store {store.path} cannot be written: File too large; raise the limit on the size of files "
        "(ulimit -f), then import again: what was stored is as it was\n"
    )
    assert store.files() == before
    assert left_over(store) == []
    assert store.closes() == OLD


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "free some space there"),
        (errno.EDQUOT, "free some space there"),
        (errno.EROFS, "choose a folder that can be written with --store"),
        (errno.EACCES, "allow this user to write there, or choose another folder with --store"),
        (errno.EIO, "look after the disk"),
    ],
)
def test_what_to_do_depends_on_the_cause(store, monkeypatch, number, advice):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    store.add(OLD)
    monkeypatch.setattr(segment_writer, "_write_arrow", fail)
    with pytest.raises(StoreError, match=rf"cannot be written: {os.strerror(number)}; {advice}, then import again"):
        store.add({"AAPL": {0: 3}})


def test_an_import_whose_last_flush_fails_has_happened(store, monkeypatch, caplog):
    store.add(OLD)
    sync = store_layout._sync_directory

    def fail_at_root(path):
        if path == store.path:
            raise OSError(errno.EIO, "Input/output error")
        sync(path)

    monkeypatch.setattr(store_layout, "_sync_directory", fail_at_root)
    store.add({"AAPL": {0: 3}})
    assert "may not be on the disk yet: Input/output error" in caplog.text
    assert store.closes() == {"AAPL": {0: 3, 1: 2}}


def without_roots_rights():
    """What to put before a command so that permissions count for it."""
    if sys.platform == "win32":
        pytest.skip("permissions are others there")
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root may do everything, and there is no setpriv to give that up")
    return [setpriv, "--bounding-set=-all", "--inh-caps=-all"]


def run_command(*arguments):
    return subprocess.run(
        [*without_roots_rights(), BIN / "candelabra-server", *map(str, arguments)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("folder", [".", "segments", "manifests"])
def test_a_folder_that_may_not_be_written_is_told_and_left_as_it_is(store, write, folder):
    store.add(OLD)
    before = store.files()
    (store.path / folder).chmod(0o500)
    try:
        done = run_command("import", write("new.csv", NEW), "--timeframe", "1d", "--store", store.path)
    finally:
        (store.path / folder).chmod(0o700)
    assert done.returncode == 1
    assert done.stderr == (
        f"the candle store {store.path} cannot be written: Permission denied; allow this user to write there, or "
        "choose another folder with --store, then import again: what was stored is as it was\n"
    )
    assert store.files() == before
    assert store.closes() == OLD
    store.add({"NEW": {0: 1}})
    assert left_over(store) == []


def test_a_folder_in_which_none_may_be_made_is_told(store, write, tmp_path):
    parent = tmp_path / "parent"
    parent.mkdir(mode=0o500)
    try:
        done = run_command("import", write("new.csv", NEW), "--timeframe", "1d", "--store", parent / "store")
    finally:
        parent.chmod(0o700)
    assert done.returncode == 1
    assert done.stderr.startswith(f"the candle store {parent / 'store'} cannot be written: Permission denied; allow")


def test_a_file_that_may_not_be_read_is_told_apart_from_a_damaged_one(store, write):
    store.add(OLD)
    (path,) = store.path.glob("segments/*.arrow")
    path.chmod(0)
    checked = run_command("check-store", "--store", store.path)
    assert checked.returncode == 1
    assert checked.stdout.splitlines()[0] == (
        f"damaged: segments/{path.name} (1d: AAPL): cannot be read: Permission denied; allow this user to read it"
    )
    file = write("new.csv", NEW)
    done = run_command("import", file, "--timeframe", "1d", "--store", store.path, "--drop-damaged")
    assert done.returncode == 1
    assert f"{path.name} of the candle store cannot be read: Permission denied" in done.stderr
    path.chmod(0o600)
    assert store.closes() == OLD  # it was not given up


@pytest.mark.parametrize("pattern", ["CURRENT", "manifests/*.json", "segments/*.json"])
def test_of_any_file_that_may_not_be_read_it_is_said_what_to_do(store, pattern):
    store.add(OLD)
    (path,) = store.path.glob(pattern)
    path.chmod(0)
    checked = run_command("check-store", "--store", store.path)
    assert checked.returncode == 1
    assert re.search(r"cannot be read: Permission denied.*; allow this user to read it$", checked.stdout, re.MULTILINE)


# Clocks


@pytest.mark.parametrize("jump", [-1e9, 1e9], ids=["backwards", "forwards"])
def test_imports_and_reads_do_not_depend_on_the_clock_of_the_day(store, monkeypatch, jump):
    now = [time.time()]
    monkeypatch.setattr(time, "time", lambda: now[0])
    monkeypatch.setattr(time, "time_ns", lambda: int(now[0] * 1e9))
    repository = store.repository()
    for day in range(12):  # with a merge on the way
        store.add({"AAPL": {day: day}})
        now[0] += jump
        for path in store.path.rglob("*"):
            os.utime(path, (max(0, now[0]), max(0, now[0])))
        assert store.closes(repository) == {"AAPL": {day: day for day in range(day + 1)}}
    report = check_store(store.path)
    assert (report.findings, report.older_states) == ((), 0)
