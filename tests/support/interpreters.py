"""The Python interpreters of this machine that the project admits, found by looking."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ADMITTED = [
    match[1]
    for classifier in PROJECT["classifiers"]
    if (match := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", classifier))
]
LONGEST_SECONDS = 30

# Builds without ssl cannot reach an index, builds without ctypes cannot run numpy.
_PROBE = """
import ctypes, json, ssl, sys, venv
print(json.dumps([sys.executable, sys.implementation.name, *sys.version_info]))
"""


@dataclass(frozen=True, order=True)
class Interpreter:
    """One interpreter; the order is that of the versions.

    Attributes:
        version: such as (3, 11, 7).
        path: of the program.
    """

    version: tuple[int, int, int]
    path: str

    def __str__(self):
        return "Python " + ".".join(map(str, self.version))


def find_interpreters():
    """Returns released CPythons, the newest patch release of each version, in order; this one at least.

    They are looked for as `python3.x` in the folders of PATH and in pyenv's.
    """
    candidates = {sys.executable}
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for version in ADMITTED:
        name = f"python{version}"
        candidates.update(
            found for folder in os.get_exec_path() if (found := shutil.which(name, path=folder)) is not None
        )
        candidates.update(str(path) for path in pyenv.glob(f"versions/*/bin/{name}"))
    newest = {}
    for found in sorted(filter(None, map(_probe, candidates))):
        newest[found.version[:2]] = found
    return list(newest.values())


def _probe(path):
    """Returns what a program says it is; None when it does not run, as a shim without a version behind it."""
    try:
        finished = subprocess.run(
            [path, "-I", "-c", _PROBE], capture_output=True, text=True, timeout=LONGEST_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    executable, implementation, major, minor, micro, level, _ = json.loads(finished.stdout)
    if implementation != "cpython" or level != "final" or f"{major}.{minor}" not in ADMITTED:
        return None
    return Interpreter((major, minor, micro), executable)
