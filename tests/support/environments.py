"""New virtual environments, in which the package is installed and used as its users do."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

INSTALL_SECONDS = 300
RUN_SECONDS = 120
_VERSIONS = "import importlib.metadata as m, json; print(json.dumps([[d.name, d.version] for d in m.distributions()]))"


@dataclass(frozen=True)
class Environment:
    """A virtual environment without pip; this environment's pip installs into it, with the settings it has.

    Attributes:
        folder: where it lies; also what is run starts here, so that nothing of the source tree is found.
    """

    folder: Path

    @property
    def bin(self):
        return self.folder / "bin"

    @property
    def python(self):
        return str(self.bin / "python")

    @property
    def site_packages(self):
        (folder,) = self.folder.glob("lib/python*/site-packages")
        return folder

    def install(self, *requirements):
        """Installs from the index; of what the project needs, nothing is ever built from source."""
        forms = ["--only-binary=:all:", "--no-binary=candelabra"]
        command = ["install", "--quiet", "--no-compile", *forms, *requirements]
        self._pip(*command, seconds=INSTALL_SECONDS)

    def install_built_here(self, distribution_file):
        """Installs one file without its dependencies and without an index."""
        self._pip("install", "--quiet", "--no-deps", "--no-index", "--no-compile", str(distribution_file))

    def check(self):
        """Fails when an installed package misses another, or has the wrong version of it."""
        self._pip("check")

    def borrow(self, *names):
        """Shows it packages of the environment that runs the tests, which must be of the same Python."""
        for name in names:
            files = distribution(name).files
            for top_level in {file.parts[0] for file in files} - {".."}:
                link = self.site_packages / top_level
                if not link.exists():
                    link.symlink_to(Path(distribution(name).locate_file(top_level)))

    def versions(self):
        """Returns what is installed: versions by normalized name."""
        listed = json.loads(self.run("python", "-I", "-c", _VERSIONS).stdout)
        return {canonicalize_name(name): version for name, version in listed}

    def run(self, program, *arguments, **variables):
        """Runs one of its programs to its end; gives status and output as text."""
        return subprocess.run(
            [str(self.bin / program), *map(str, arguments)], cwd=self.folder, env=clean_variables() | variables,
            capture_output=True, text=True, timeout=RUN_SECONDS, check=False,
        )  # fmt: skip

    def _pip(self, *arguments, seconds=RUN_SECONDS):
        run_checked(sys.executable, "-m", "pip", "--python", self.python, *arguments, seconds=seconds)


def new_environment(folder, interpreter=sys.executable):
    """Makes an empty environment in a folder that is not there yet."""
    run_checked(interpreter, "-m", "venv", "--without-pip", str(folder))
    return Environment(folder)


def clean_variables():
    """Returns the environment variables without those that would let the source tree or its settings in."""
    unwanted = re.compile("PYTHONPATH|PYTHONHOME|VIRTUAL_ENV|CANDELABRA_.*")
    return {name: value for name, value in os.environ.items() if not unwanted.fullmatch(name)}


def closure_of(requirements):
    """Returns the names of what requirements bring with them, as this environment has it installed."""
    found = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (requirement.marker is None or requirement.marker.evaluate({"extra": ""})) and name not in found:
            found.add(name)
            waiting += map(Requirement, distribution(name).requires or [])
    return found


def run_checked(*command, cwd=None, seconds=RUN_SECONDS):
    """Runs a command that must succeed; its output is the message when it does not."""
    finished = subprocess.run(
        command, cwd=cwd, env=clean_variables(), capture_output=True, text=True, timeout=seconds, check=False
    )
    assert finished.returncode == 0, f"{command}\n{finished.stdout}{finished.stderr}"
    return finished.stdout
