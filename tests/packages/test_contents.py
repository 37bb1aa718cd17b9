"""What the wheel and the sdist hold: all that a user needs, nothing else, and both the same code.

Fast: runs with `make test`.
"""

import re
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
PACKAGES = [ROOT / folder for folder in PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]]
PUBLIC_PROTOS = {f"candelabra/v1/{path.name}" for path in (ROOT / "protos/candelabra/v1").glob("*.proto")}


@pytest.fixture(scope="module")
def wheel(built):
    return contents(built.wheel)


@pytest.fixture(scope="module")
def metadata(wheel):
    (text,) = [content for name, content in wheel.items() if name.endswith(".dist-info/METADATA")]
    return message_from_bytes(text)


@pytest.fixture(scope="module")
def sdist(built):
    with tarfile.open(built.sdist) as archive:
        names = [PurePosixPath(member.name) for member in archive.getmembers() if member.isfile()]
    assert {name.parts[0] for name in names} == {f"candelabra-{PROJECT['version']}"}
    return {PurePosixPath(*name.parts[1:]).as_posix() for name in names}


def contents(path):
    """The bytes of every file in a wheel by name."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def files_of(package):
    """Names, as a wheel has them, of all files of a package in the tree."""
    return {
        path.relative_to(package.parent).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_has_every_file_of_the_three_packages_the_public_proto_files_and_nothing_else(wheel):
    assert [package.name for package in PACKAGES] == ["candelabra", "candelabra_server", "candelabra_client"]
    expected = PUBLIC_PROTOS.union(*map(files_of, PACKAGES))
    assert {name for name in wheel if ".dist-info/" not in name} == expected


def test_proto_files_stand_beside_their_stubs_and_those_of_the_workers_stay_at_home(wheel):
    protos = {name for name in wheel if name.endswith(".proto")}
    assert protos == {"candelabra/v1/processing.proto", "candelabra/v1/formulas.proto", "candelabra/v1/candles.proto"}
    for name in protos:
        assert wheel[name] == (ROOT / "protos" / name).read_bytes()
        assert name.replace(".proto", "_pb2.py") in wheel
        assert name.replace(".proto", "_pb2.pyi") in wheel


def test_every_package_says_that_it_is_typed(wheel):
    assert {f"{package.name}/py.typed" for package in PACKAGES} <= wheel.keys()


def test_the_metadata_says_what_pyproject_does(metadata):
    assert (metadata["Name"], metadata["Version"]) == ("candelabra", PROJECT["version"])
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == PROJECT["requires-python"]
    assert metadata.get_all("Classifier") == sorted(PROJECT["classifiers"])
    assert {"server", "cli", "demo"} <= set(metadata.get_all("Provides-Extra"))
    assert set(metadata.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])
    assert metadata.get_payload(decode=True).decode() == (ROOT / "README.md").read_text()


def test_the_base_install_needs_the_client_s_four_libraries_only(metadata):
    requirements = [Requirement(text) for text in metadata.get_all("Requires-Dist")]
    base = {requirement.name for requirement in requirements if requirement.marker is None}
    assert base == {"grpcio", "grpcio-status", "numpy", "protobuf"}


def test_both_commands_and_the_licence_are_in_the_wheel(wheel):
    info = f"candelabra-{PROJECT['version']}.dist-info"
    assert wheel[f"{info}/licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()
    commands = re.findall(r"^([\w-]+) = ", wheel[f"{info}/entry_points.txt"].decode(), re.MULTILINE)
    assert sorted(commands) == ["candelabra", "candelabra-server"]


def test_the_sdist_has_what_is_needed_to_work_on_the_project_and_nothing_that_was_made(sdist):
    folders = {name.split("/")[0] for name in sdist if "/" in name}
    assert folders == {"protos", "server", "client", "tests"}
    assert {"LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "pyproject.toml"} <= sdist
    assert {"server/constraints.txt", "protos/generate.py", "client/examples/python/script.py"} <= sdist
    assert not [name for name in sdist if re.search(r"__pycache__|\.pyc$|_cache/|\.venv|candelabra-data", name)]


def test_the_sdist_gives_the_same_wheel_as_the_tree(built, wheel):
    from_sdist = contents(built.wheel_of_sdist)
    assert built.wheel_of_sdist.name == built.wheel.name
    assert sorted(from_sdist) == sorted(wheel)
    assert [name for name in wheel if from_sdist[name] != wheel[name]] == []
