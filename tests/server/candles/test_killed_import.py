"""An import that is killed before any of its steps on the file system leaves the old state or the new one."""

import shutil
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills itself with SIGKILL")

IMPORT_AND_DIE = """
import os, signal, sys

store, file, last_step, max_segments = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
steps = 0
is_counting = False


def step(*_):
    global steps
    steps += is_counting
    if steps == last_step:
        os.kill(os.getpid(), signal.SIGKILL)


def stepping(function):
    def call(*arguments, **further):
        step()
        return function(*arguments, **further)

    return call


def audit(event, arguments):
    is_write = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    if (is_write or event in {"os.mkdir", "os.remove"}) and str(arguments[0]).startswith(store):
        step()


from candelabra_server.candles import file_reading, segment_writer, store_writer
from candelabra_server.candles.importing import import_files

store_writer.MAX_SEGMENTS = max_segments
os.fsync, os.replace = stepping(os.fsync), stepping(os.replace)
segment_writer._write_arrow = stepping(segment_writer._write_arrow)
segment_writer._column_offsets = stepping(segment_writer._column_offsets)
sys.addaudithook(audit)
is_counting = True
import_files([file], timeframe="1d", store=store)
is_counting = False
print(steps)
"""

NEW = "date,symbol,open,high,low,close,volume\n2020-01-02,AAPL,7,7,7,7,7\n2020-01-09,AAPL,8,8,8,8,8\n"


@pytest.mark.parametrize("segments", [0, 2], ids=["first import", "import that merges"])
def test_an_import_killed_at_any_step_leaves_the_old_candles_or_the_new_ones(store, write, tmp_path, segments):
    for number in range(segments):
        store.add({"AAPL": {0: 1, 1: number + 2}, "IBM": {number: 9}})
    base = store.path.rename(tmp_path / "base") if segments else None
    old = {"AAPL": {0: 1, 1: segments + 1}, "IBM": dict.fromkeys(range(segments), 9)} if segments else {}
    new = {**old, "AAPL": {**old.get("AAPL", {}), 1: 7, 8: 8}}
    file = write("new.csv", NEW)
    is_new_seen = is_old_seen = False
    step = 0
    while True:
        step += 1
        shutil.rmtree(store.path, ignore_errors=True)
        if base:
            shutil.copytree(base, store.path)
        done = subprocess.run(
            [sys.executable, "-c", IMPORT_AND_DIE, str(store.path), str(file), str(step), "2"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        found = store.closes() if store.repository().timeframes() else {}
        assert found in (old, new)
        assert found == new or not is_new_seen  # steps come in order: what is done stays done
        is_new_seen = is_new_seen or found == new
        is_old_seen = is_old_seen or found == old
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        store.add({"NEXT": {0: 1}})  # the next import is not hindered, and cleans up
        assert store.closes() == {**found, "NEXT": {0: 1}}
        assert len(store.files("manifests")) == 1
        named = store.repository().snapshot("1d")
        with named:
            names = {segment.name for segment in named.view.segments}
        assert store.files() == sorted(f"{name}.{ending}" for name in names for ending in ("arrow", "json"))
        assert {path.name for path in store.path.iterdir()} == {"CURRENT", "import.lock", "manifests", "segments"}
    assert is_old_seen
    assert is_new_seen
    assert int(done.stdout) == step - 1
    assert step > 15
