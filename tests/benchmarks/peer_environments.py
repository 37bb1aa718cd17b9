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
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.peers.peer_job import PeerJob, PeerReport
from benchmarks.process_tree import end_tree
from benchmarks.report import FOLDER

__all__ = ["PeerFailedError", "ask_peer", "run_peer"]

_PEERS = Path(__file__).with_name("peers")
_SETUP_SECONDS = 900.0
_MARK = "made-from"
_SHOWN = 300
"""Most characters of what a peer said when it failed."""


class PeerFailedError(Exception):
    """A peer has no answer; the message says why."""


def run_peer(name: str, job: PeerJob, *, threads: int, timeout_seconds: float) -> PeerReport:
    """What the peer reports; that it is unavailable, and why, where anything at all goes wrong."""
    try:
        answer = ask_peer(
            f"{name}_peer", asdict(job), environment=name, threads=threads, timeout_seconds=timeout_seconds
        )
    except PeerFailedError as error:
        return PeerReport(versions={}, unavailable=str(error))
    return PeerReport(**answer)


def ask_peer(
    program: str, request: Mapping[str, Any], *, environment: str, threads: int, timeout_seconds: float
) -> dict[str, Any]:
    """What a program of `peers` answers: the JSON object on the last line that it prints.

    Args:
        program: a module there; its only argument is the request as JSON.
        request: what it is asked for.
        environment: whose Python it runs with; ours where it has no requirements of its own.
        threads: bound of every library that counts the processors.
        timeout_seconds: it is killed after that, with all processes that it started.

    Raises:
        PeerFailedError: anything at all went wrong.
    """
    try:
        command = [_interpreter(environment), "-m", f"benchmarks.peers.{program}", json.dumps(request)]
        output = _output_of(command, _environment(threads), timeout_seconds)
        answer: dict[str, Any] = json.loads(output.splitlines()[-1])
    except subprocess.CalledProcessError as error:
        raise PeerFailedError(f"ended with status {error.returncode}: {_end_of(error.stderr)}") from error
    except subprocess.TimeoutExpired as error:
        raise PeerFailedError(f"was not done after {error.timeout:.0f} s") from error
    except (OSError, IndexError, ValueError) as error:
        raise PeerFailedError(f"failed: {_end_of(str(error))}") from error
    return answer


def _output_of(command: Sequence[str], environment: Mapping[str, str], timeout_seconds: float) -> str:
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            output, errors = process.communicate(timeout=timeout_seconds)
        except BaseException:
            end_tree(process.pid)
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output, errors)
    return output


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
