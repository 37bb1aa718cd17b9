"""The folder of helper processes' sockets."""

import multiprocessing
import os
import subprocess
import sys
from multiprocessing import process, util
from pathlib import Path

import pytest

from candelabra_server.processing.executors import temporary_folder
from candelabra_server.processing.executors.temporary_folder import claim_temporary_folder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its helper processes have no sockets in files")


@pytest.fixture
def parent(tmp_path, monkeypatch):
    """The folder for temporary files of a process that has claimed none yet; removals at its end are kept."""
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(process.current_process(), "_config", {})
    finalizers = []
    monkeypatch.setattr(util, "Finalize", lambda *_, args, **__: finalizers.append(args))
    yield tmp_path, finalizers
    for arguments in finalizers:
        temporary_folder._remove(*arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_process_claims_one_folder_and_removes_it_at_its_end(parent):
    folder, finalizers = parent
    claim_temporary_folder()
    claim_temporary_folder()
    (made,) = folder.iterdir()
    assert util.get_temp_dir() == str(made)
    assert made.stat().st_mode & 0o777 == 0o700
    assert len(finalizers) == 1


def test_the_folder_of_another_process_that_lives_stays(parent):
    folder, _ = parent
    claim_temporary_folder()
    (first,) = folder.iterdir()
    process.current_process()._config.clear()
    claim_temporary_folder()
    assert len(list(folder.iterdir())) == 2
    assert first.exists()


def test_what_a_killed_process_left_is_removed_and_nothing_else(parent):
    folder, _ = parent
    others = [folder / "cdlb-file", folder / "cdlb-link", folder / "cdlb-empty"]
    others[0].touch()
    others[1].symlink_to(folder)
    others[2].mkdir()
    abandoned = folder / "cdlb-abandoned"
    abandoned.mkdir()
    (abandoned / "lock").touch()
    (abandoned / "listener").touch()
    claim_temporary_folder()
    assert not abandoned.exists()
    assert all(other.exists() for other in others)
    others[0].unlink()
    others[1].unlink()
    others[2].rmdir()


def test_a_folder_that_cannot_be_read_is_left_alone(parent, monkeypatch):
    folder, _ = parent
    odd = folder / "cdlb-odd"
    (odd / "lock").mkdir(parents=True)  # which cannot be opened as a file
    claim_temporary_folder()
    assert odd.exists()
    (odd / "lock").rmdir()
    odd.rmdir()


def test_a_folder_that_another_process_takes_for_abandoned_is_made_again(parent, monkeypatch):
    """It looks just before the lock is there, or just before it is locked."""
    folder, _ = parent
    thefts = iter([True, False])
    real = temporary_folder.try_lock_shared

    def late(lock):
        if next(thefts):
            made = Path(lock.name).parent
            Path(lock.name).unlink()
            made.rmdir()
        return real(lock)

    monkeypatch.setattr(temporary_folder, "try_lock_shared", late)
    real_mkdir, removed = Path.mkdir, []

    def mkdir(path, *arguments, **options):
        real_mkdir(path, *arguments, **options)
        if not removed:
            removed.append(path)
            path.rmdir()

    with monkeypatch.context() as context:
        context.setattr(Path, "mkdir", mkdir)
        claim_temporary_folder()
    assert len(list(folder.iterdir())) == 1


def test_a_process_that_ends_well_leaves_nothing(tmp_path):
    code = (
        "from candelabra_server.processing.executors.temporary_folder import claim_temporary_folder as claim\n"
        "claim()\nimport os, tempfile\nassert len(os.listdir(tempfile.gettempdir())) == 1"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=environment)
    assert list(tmp_path.iterdir()) == []
    assert multiprocessing.current_process()._config.get("tempdir") != str(tmp_path)
