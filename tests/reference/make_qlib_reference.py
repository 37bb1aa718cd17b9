"""Makes qlib_values.npz: what Qlib itself computes from real candles, for the tests to compare with.

    python tests/reference/make_qlib_reference.py [FOLDER]

An environment is made in FOLDER, or in a temporary one, and filled from the package index; one that is there
already is used again. Python must be 3.11 or 3.12, for which pyqlib 0.9.7 has builds. Nothing else is read from the
network, and running it again gives the same file, byte for byte.

1. This file makes the environment. pyqlib is installed without its dependencies, most of which (notebooks, trainers)
   only models need; PACKAGES has the rest, and mlflow-skinny for mlflow, which Qlib imports when it starts.
2. record_qlib_values.py runs in that environment: it writes the candles as Qlib stores them, asks Qlib for every
   expression, and writes the file.
3. qlib_expressions.py has the expressions; those of Alpha158 and Alpha360 are asked of Qlib's own loaders.
4. qlib_values.py reads the file, for the tests.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUTPUT = HERE / "qlib_values.npz"
QLIB = "pyqlib==0.9.7"
PACKAGES = (
    "bokeh-sampledata==2026.1",
    "dill==0.4.1",
    "filelock==4.2.12",
    "fire==0.7.1",
    "jinja2==3.1.6",
    "joblib==1.6.0",
    "loguru==0.7.3",
    "mlflow-skinny==2.22.5",
    "numpy==2.2.6",
    "packaging==24.2",
    "pandas==2.2.3",
    "pydantic-settings==2.16.3",
    "pymongo==4.20.0",
    "python-redis-lock==4.0.1",
    "pyyaml==6.0.3",
    "redis==8.1.0",
    "requests==2.34.2",
    "ruamel.yaml==0.19.1",
    "scipy==1.17.1",
    "setuptools==65.5.0",
    "tqdm==4.70.1",
)


def main() -> int:
    """Makes the environment, and the file in it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="of the environment; a temporary one if none is named")
    arguments = parser.parse_args()
    if sys.version_info[:2] not in {(3, 11), (3, 12)}:
        parser.error("pyqlib 0.9.7 has builds for Python 3.11 and 3.12 only; run this with one of them")
    if arguments.folder is not None:
        return _record(arguments.folder.resolve())
    with tempfile.TemporaryDirectory() as folder:
        return _record(Path(folder))


def _record(folder: Path) -> int:
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "--only-binary=:all:", *PACKAGES], check=True)
    subprocess.run([*install, "--no-deps", QLIB], check=True)
    record = [str(python), "-m", "reference.record_qlib_values", str(OUTPUT)]
    environment = os.environ | {"PYTHONPATH": str(HERE.parent)}
    return subprocess.run(record, check=False, cwd=folder, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
