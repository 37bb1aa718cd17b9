"""Builds the packages once, and makes the environments into which they are installed."""

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.environments import run_checked
from support.interpreters import find_interpreters

ROOT = Path(__file__).resolve().parents[2]
REPORT = pytest.StashKey[list[str]]()


@dataclass(frozen=True)
class Built:
    """What was built: `wheel` and `sdist` from the tree, `wheel_of_sdist` from the sdist alone."""

    wheel: Path
    sdist: Path
    wheel_of_sdist: Path


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """Needs no index: the build backend is installed with the tests, in the version that `make setup` pins."""
    from_tree, from_sdist = tmp_path_factory.mktemp("from_tree"), tmp_path_factory.mktemp("from_sdist")
    run_checked(sys.executable, "-m", "hatchling", "build", "--directory", str(from_tree), cwd=ROOT)
    (wheel,), (sdist,) = from_tree.glob("*.whl"), from_tree.glob("*.tar.gz")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(from_sdist)]
    run_checked(sys.executable, "-m", "pip", "wheel", *options, str(sdist), cwd=from_sdist)
    (wheel_of_sdist,) = from_sdist.glob("*.whl")
    return Built(wheel, sdist, wheel_of_sdist)


@pytest.fixture(scope="session")
def interpreters():
    """The oldest and the newest Python of this machine, which are one where it has one only."""
    found = find_interpreters()
    return {"oldest": found[0], "newest": found[-1]}


@pytest.fixture(scope="session")
def report(pytestconfig):
    """Lines that are printed after the tests: what was really installed."""
    return pytestconfig.stash.setdefault(REPORT, [])


def pytest_terminal_summary(terminalreporter, config):
    for line in config.stash.get(REPORT, []):
        terminalreporter.write_line(line)
