"""The committed stubs are current, and run on the oldest versions that the project admits."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GENERATED = ROOT / "protos/generated"
DEPENDENCIES = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]


def floor(package):
    (requirement,) = [entry for entry in DEPENDENCIES if re.match(rf"{package}[>=<]", entry)]
    return as_numbers(re.search(r">=([\d.]+)", requirement)[1])


def as_numbers(text):
    return tuple(int(number) for number in text.split("."))


def test_no_stub_asks_for_a_newer_grpcio_than_the_project_does():
    guards = {
        re.search(r"GRPC_GENERATED_VERSION = '([\d.]+)'", path.read_text())[1]
        for path in GENERATED.rglob("*_pb2_grpc.py")
    }
    assert len(guards) == 1
    assert as_numbers(guards.pop()) <= floor("grpcio")


def test_no_message_asks_for_a_newer_protobuf_than_the_project_does():
    guards = {
        re.search(r"Protobuf Python Version: ([\d.]+)", path.read_text())[1] for path in GENERATED.rglob("*_pb2.py")
    }
    assert len(guards) == 1
    assert as_numbers(guards.pop()) <= floor("protobuf")


def test_the_check_passes_on_what_is_committed_and_sees_what_was_edited(tmp_path):
    shutil.copytree(ROOT / "protos", tmp_path / "protos")
    assert check(tmp_path).returncode == 0
    with (tmp_path / "protos/generated/candelabra/v1/__init__.py").open("a") as edited:
        edited.write("# edited")
    finished = check(tmp_path)
    assert finished.returncode == 1
    assert "protos/generated/candelabra/v1/__init__.py is not current" in finished.stderr


def check(root):
    return subprocess.run(
        [sys.executable, root / "protos/generate.py", "--check"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
