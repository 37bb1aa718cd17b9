"""`make fuzz`: two fuzzing processes for some CPU time, one that compiles and one that also evaluates; a report.

Exits with 1 when anything was found. `python -m fuzz FILE…` makes the attempts that were saved once more, without
the instruments that make fuzzing slow.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import tomllib
import traceback
import warnings
from pathlib import Path

from fuzz.attempts import Attempt, evaluate_attempt
from fuzz.vocabulary import seeds

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / ".fuzz"
TARGETS = ("compile", "evaluate")
SLOW_SECONDS = 1.0
_NEWEST_PYTHON = (3, 13)


def main() -> int:
    """Fuzzes, or repeats what was found; 1 when a promise is broken."""
    parser = argparse.ArgumentParser(prog="make fuzz", description="Fuzzes the formula language.")
    parser.add_argument("--cpu-seconds", type=float, default=600.0, help="of both processes together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("files", nargs="*", type=Path, help="saved inputs: only make these attempts again")
    arguments = parser.parse_args()
    if arguments.files:
        return max([repeat(path) for path in arguments.files])
    if refusal := unfit():
        print(refusal, file=sys.stderr)
        return 1
    return fuzz(arguments.cpu_seconds, arguments.seed)


def unfit() -> str | None:
    """Why there can be no fuzzing here, or None."""
    here = f"{platform.system()} on {platform.machine()}, Python {platform.python_version()}"
    fits = sys.platform == "linux" and platform.machine() == "x86_64" and sys.version_info[:2] <= _NEWEST_PYTHON
    newest = ".".join(map(str, _NEWEST_PYTHON))
    return None if fits else f"make fuzz needs Linux on x86_64 and Python 3.11 to {newest}: atheris; this is {here}"


def fuzz(cpu_seconds: float, seed: int) -> int:
    """Runs both processes to their end and reports; 1 when anything was found."""
    packages = install_atheris()
    findings = FOLDER / "findings"
    findings.mkdir(parents=True, exist_ok=True)
    print(f"fuzzing for {cpu_seconds:g} s of CPU with seed {seed}, {len(seeds())} texts to begin with", flush=True)
    processes = {}
    for number, target in enumerate(TARGETS):
        write_corpus(FOLDER / f"corpus-{target}")
        (FOLDER / f"{target}.json").unlink(missing_ok=True)
        options = ["--cpu-seconds", str(cpu_seconds / len(TARGETS)), "--seed", str(seed + number)]
        with (FOLDER / f"{target}.log").open("wb") as log:
            processes[target] = subprocess.Popen(
                [sys.executable, "-m", "fuzz.worker", target, *options, "--folder", str(FOLDER)],
                env=os.environ | {"PYTHONPATH": os.pathsep.join((str(REPOSITORY / "tests"), str(packages)))},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
    try:
        codes = {target: process.wait() for target, process in processes.items()}
    finally:
        for process in processes.values():
            process.kill()
    return max([report(target, code) for target, code in codes.items()])


def install_atheris() -> Path:
    """The folder that atheris is in: its own, since nothing else needs it."""
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        (requirement,) = tomllib.load(file)["dependency-groups"]["fuzz"]
    folder = Path(sys.prefix) / "fuzz" / requirement
    if not folder.exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), requirement]
        subprocess.run(command, check=True)
    return folder


def write_corpus(folder: Path) -> None:
    """The texts to begin with, and nothing from earlier: the same seed then does the same."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, text in enumerate(seeds()):
        (folder / f"{number:04}").write_bytes(b"\0" + text.encode())


def report(target: str, code: int) -> int:
    """Prints what became of a process; 1 when it found anything or did not end by itself."""
    path = FOLDER / f"{target}.json"
    if not path.exists():
        print(f"{target}: ended with {code}; its output is in {FOLDER / f'{target}.log'}")
        return 1
    result = json.loads(path.read_text())
    print(
        f"{target}: {result['executions']:,} executions in {result['cpu_seconds']:.0f} s of CPU; "
        f"{result['compiled']:,} formulas, {len(result['codes'])} codes of problems; "
        f"slowest {result['slowest_seconds']:.2f} s, peak memory {result['peak_mib']:.0f} MiB"
    )
    for what, finding in result["findings"].items():
        print(f"  {what}, {finding['times']} times: {' '.join(finding['files'])}")
    return 1 if result["findings"] else 0


def repeat(path: Path) -> int:
    """Makes a saved attempt again and prints what comes of it; 1 when a promise is broken."""
    warnings.simplefilter("error")
    attempt = Attempt.decode(path.read_bytes())
    evaluate_attempt(Attempt("close", attempt.options))  # imports and tables are not what is measured
    print(f"{path}: {attempt}")
    began = time.process_time()
    try:
        outcome = evaluate_attempt(attempt)
    except Exception:  # noqa: BLE001 - whatever it is, it is what was found
        traceback.print_exc()
        return 1
    seconds = time.process_time() - began
    print(f"  {'a formula' if outcome.formula else ' '.join(outcome.codes)}, {seconds:.3f} s of CPU")
    return int(seconds > SLOW_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
