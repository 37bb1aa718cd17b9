"""The cache of compiled kernels: when it counts as filled, what is told when it cannot be, who has the machine."""

import json
import logging
import shutil
import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest

from candelabra_server.errors import ConfigurationError
from candelabra_server.formulas.compiled import loading
from candelabra_server.formulas.compiled.loading import CACHE_VARIABLE, cache_folder, is_warm, load_machine, warm_up
from candelabra_server.processing.executors.start_method import _ONE_THREAD, _environment


@pytest.fixture
def filled(tmp_path, monkeypatch):
    """A copy of the filled cache, and the settings that point to it."""
    original = cache_folder()
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "kernels"))
    shutil.copytree(original, cache_folder())
    return cache_folder()


@pytest.fixture
def not_loaded(monkeypatch):
    monkeypatch.setattr(loading._Loaded, "machine", None)
    monkeypatch.setattr(loading._Loaded, "failed", False)


@pytest.fixture
def compiles(monkeypatch):
    """Stands in for compiling, which takes a minute: writes a file where the kernels would be."""
    folders = []

    def stub(folder):
        folder.mkdir(parents=True)
        (folder / "kernels.nbc").write_bytes(b"code")
        folders.append(folder)

    monkeypatch.setattr(loading, "_machine_of", stub)
    return folders


def test_a_filled_cache_is_warm(filled):
    assert is_warm()


def test_a_cache_that_is_not_there_is_cold(tmp_path, monkeypatch, not_loaded):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "nothing"))
    assert not is_warm()
    assert not load_machine()
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"gone.nbc": 4}', b"\xff", b'{"a": "b"}'])
def test_a_cache_whose_list_is_wrong_is_cold(filled, text):
    (filled / "complete.json").write_bytes(text)
    assert not is_warm()


def test_a_cache_with_a_file_cut_short_is_cold(filled):
    name = max(json.loads((filled / "complete.json").read_text()).items(), key=lambda item: item[1])[0]
    path = filled / name
    path.write_bytes(path.read_bytes()[:-1])
    assert not is_warm()


def test_a_cache_that_cannot_be_loaded_is_told_once_and_done_without(filled, not_loaded, monkeypatch, caplog):
    def broken(_folder):
        raise RuntimeError("damaged")

    monkeypatch.setattr(loading, "_machine_of", broken)
    with caplog.at_level(logging.WARNING):
        assert not load_machine()
        assert not load_machine()
    (record,) = caplog.records
    assert "formulas run without them" in record.message
    assert not is_warm()  # so that the next warm-up makes it anew


def test_warming_up_fills_the_cache_once(tmp_path, monkeypatch, compiles):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "kernels"))
    assert warm_up()
    assert is_warm()
    assert not warm_up()
    assert len(compiles) == 1
    assert [path.name for path in (tmp_path / "kernels").iterdir()] == [cache_folder().name]


def test_warming_up_replaces_what_is_damaged(filled, compiles):
    (filled / "complete.json").unlink()
    assert warm_up()
    assert is_warm()
    assert [path.name for path in filled.iterdir() if path.suffix == ".nbc"] == ["kernels.nbc"]


def test_two_that_warm_up_at_once_do_not_disturb_each_other(tmp_path, monkeypatch, compiles):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "kernels"))
    stub = loading._machine_of

    def while_another_does_it(folder):
        monkeypatch.setattr(loading, "_machine_of", stub)
        assert warm_up()
        stub(folder)

    monkeypatch.setattr(loading, "_machine_of", while_another_does_it)
    assert warm_up()
    assert is_warm()
    assert len(list((tmp_path / "kernels").iterdir())) == 1


def test_a_folder_that_cannot_be_written_is_told_with_what_to_do(tmp_path, monkeypatch, compiles):
    (tmp_path / "file").touch()
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file" / "kernels"))
    with pytest.raises(ConfigurationError, match=f"{tmp_path}.*set {CACHE_VARIABLE}"):
        warm_up()
    assert not compiles


def test_without_numba_warming_up_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "kernels"))
    monkeypatch.setitem(sys.modules, "numba.core", None)
    with pytest.raises(ConfigurationError, match="numba cannot be imported"):
        warm_up()


def test_another_version_of_a_library_has_a_cache_of_its_own(monkeypatch):
    before = loading._fingerprint.__wrapped__()
    version = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "0.1" if name == "numba" else version(name))
    assert loading._fingerprint.__wrapped__() != before


@pytest.mark.parametrize("variable", ["NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"])
def test_what_numba_is_told_of_the_processor_has_a_cache_of_its_own(variable, monkeypatch):
    monkeypatch.delenv(variable, raising=False)
    before = loading._fingerprint.__wrapped__()
    monkeypatch.setenv(variable, "generic")
    assert loading._fingerprint.__wrapped__() != before


def test_a_call_that_was_not_compiled_is_refused_and_not_compiled():
    with pytest.raises(TypeError):
        loading.loaded_machine().count_missing(np.zeros((2, 3), dtype=np.float32), 0, np.zeros(2, dtype=np.int64))


def run(code: str) -> str:
    """What an interpreter prints, started as the forkserver is."""
    command = [sys.executable, "-c", code]
    with _environment(_ONE_THREAD):
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


def test_what_workers_do_is_imported_without_numba():
    imported = "import sys, candelabra_server.processing.worker_functions; print('numba' in sys.modules)"
    assert run(imported) == "False"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts threads in /proc, which only Linux has")
def test_the_preload_has_the_machine_and_starts_no_thread():
    preloaded = (
        "import os, candelabra_server.processing.worker_preload\n"
        "from candelabra_server.formulas.compiled.loading import loaded_machine\n"
        "print(loaded_machine() is not None, len(os.listdir('/proc/self/task')))"
    )
    assert run(preloaded) == "True 1"


def test_the_command_says_that_there_is_nothing_to_do():
    done = subprocess.run(
        [sys.executable, "-m", "candelabra_server.cli", "warm-up"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == f"the kernels are compiled already, in {cache_folder()}\n"
