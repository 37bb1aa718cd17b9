"""The search for Pythons, on which the other tests here rest: what runs is found, what does not is passed over."""

import sys

import pytest

from support.interpreters import find_interpreters


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The only folder in which programs are looked for."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    return tmp_path


def put_program(path, script):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def put_python(path, version, *, implementation="cpython", level="final"):
    put_program(path, f"""echo '["{path}", "{implementation}", {version.replace(".", ", ")}, "{level}", 0]'""")


def test_where_there_is_nothing_else_this_python_is_the_oldest_and_the_newest(folder):
    (found,) = find_interpreters()
    assert (found.version, found.path) == (sys.version_info[:3], sys.executable)


def test_pythons_are_found_on_the_path_and_in_pyenv_in_order_of_their_versions(folder):
    put_python(folder / "python3.14", "3.14.9")
    put_python(folder / "pyenv/versions/3.14.10/bin/python3.14", "3.14.10")
    put_python(folder / "pyenv/versions/3.11/bin/python3.11", "3.11.99")
    found = find_interpreters()
    assert [str(found[0]), str(found[-1])] == ["Python 3.11.99", "Python 3.14.10"]


def test_what_does_not_run_or_is_no_released_cpython_that_the_project_admits_is_passed_over(folder):
    put_program(folder / "python3.14", "echo 'no version behind this shim' >&2; exit 127")
    put_python(folder / "python3.13", "3.13.0", implementation="pypy")
    put_python(folder / "python3.12", "3.12.0", level="candidate")
    put_python(folder / "python3.10", "3.10.13")
    (found,) = find_interpreters()
    assert found.path == sys.executable
