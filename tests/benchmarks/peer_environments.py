"""Runs peers in processes of their own; makes the environment of one that needs another than ours.

An environment is `.bench/environments/NAME`, from the pinned versions in `peers/NAME-requirements.txt`. One that was
made from the same file with the same Python is used again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from benchmarks.peers.peer_job import PeerJob, PeerReport
from benchmarks.report import FOLDER

__all__ = ["run_peer"]

_PEERS = Path(__file__).with_name("peers")
_SETUP_SECONDS = 900.0
_MARK = "made-from"
_SHOWN = 300
"""Most characters of what a peer said when it failed."""


def run_peer(name: str, job: PeerJob, *, threads: int, timeout_seconds: float) -> PeerReport:
    """What the peer reports; that it is unavailable, and why, where anything at all goes wrong."""
    try:
        interpreter = _interpreter(name)
        output = subprocess.run(
            [interpreter, "-m", f"benchmarks.peers.{name}_peer", json.dumps(asdict(job))],
            check=True,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            env=_environment(threads),
        ).stdout
        answer = json.loads(output.splitlines()[-1])
    except subprocess.CalledProcessError as error:
        return PeerReport(versions={}, unavailable=f"ended with status {error.returncode}: {_end_of(error.stderr)}")
    except subprocess.TimeoutExpired as error:
        return PeerReport(versions={}, unavailable=f"was not done after {error.timeout:.0f} s")
    except (OSError, IndexError, ValueError) as error:
        return PeerReport(versions={}, unavailable=f"failed: {_end_of(str(error))}")
    return PeerReport(**answer)


def _interpreter(name: str) -> str:
    """The Python that the peer runs with: ours, unless there are requirements of its own."""
    requirements = _PEERS / f"{name}-requirements.txt"
    if not requirements.exists():
        return sys.executable
    folder = FOLDER / "environments" / name
    interpreter = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    mark = folder / _MARK
    if not mark.exists() or mark.read_text() != wanted:
        print(f"making {folder} for {name}, once …", flush=True)  # noqa: T201
        shutil.rmtree(folder, ignore_errors=True)
        for command in (
            [sys.executable, "-m", "venv", str(folder)],
            [str(interpreter), "-m", "pip", "install", "--quiet", "--requirement", str(requirements)],
        ):
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SETUP_SECONDS)
        mark.write_text(wanted)
    return str(interpreter.absolute())


def _environment(threads: int) -> Mapping[str, str]:
    """Ours, with this package on the path and a bound on the threads of every library that counts the processors."""
    limits = {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}
    package = str(Path(__file__).parents[1])
    return {**os.environ, **limits, "POLARS_MAX_THREADS": str(threads), "PYTHONPATH": package}


def _end_of(text: str) -> str:
    return " ".join(text.split())[-_SHOWN:]
