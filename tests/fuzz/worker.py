"""One fuzzing process: lets atheris find texts that reach new code, and writes down every broken promise.

A finding does not end the process: its input is saved, and equal ones (by exception and place) are only counted.
"""

import argparse
import hashlib
import json
import os
import random
import resource
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["candelabra_server.formulas", "candelabra_server.domain"]):
    from fuzz.attempts import Attempt, compile_attempt, evaluate_attempt

from candelabra_server.formulas.compiled.loading import load_machine
from fuzz.mutation import mutated
from fuzz.vocabulary import expression

TARGETS = {"compile": compile_attempt, "evaluate": evaluate_attempt}
SLOW_SECONDS = 1.0
_LONGEST_INPUT = 4_096
_HANG_SECONDS = 60
_MOST_MEMORY_MIB = 2_048
_SHARE_OF_BLIND_MUTATIONS = 0.1
_SHARE_OF_NEW_TEXTS = 0.4
_MOST_SAVED = 20


class Fuzzer:
    """Counts, times and judges the attempts of one process, until its CPU time is used up."""

    def __init__(self, target: str, *, cpu_seconds: float, findings: Path, report: Path) -> None:
        self._target = target
        self._cpu_seconds = cpu_seconds
        self._findings = findings
        self._report = report
        self._executions = 0
        self._compiled = 0
        self._slowest_seconds = 0.0
        self._codes: Counter[str] = Counter()
        self._found: dict[str, dict[str, Any]] = {}

    def attempt(self, data: bytes) -> None:
        """Makes one attempt; ends the process after the last."""
        began = time.thread_time()
        try:
            outcome = TARGETS[self._target](Attempt.decode(data))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            place = traceback.extract_tb(error.__traceback__)[-1]
            self._note(f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno}", data)
        else:
            self._compiled += outcome.formula is not None
            self._codes.update(set(outcome.codes))
        seconds = time.thread_time() - began
        self._slowest_seconds = max(self._slowest_seconds, seconds)
        if seconds > SLOW_SECONDS:
            self._note(f"more than {SLOW_SECONDS:g} s of CPU", data)
        self._executions += 1
        if time.process_time() > self._cpu_seconds:
            self._end()

    def _note(self, what: str, data: bytes) -> None:
        finding = self._found.setdefault(what, {"times": 0, "files": []})
        finding["times"] += 1
        if len(finding["files"]) < _MOST_SAVED:
            path = self._findings / f"{self._target}-{hashlib.sha256(data).hexdigest()[:16]}"
            path.write_bytes(data)
            finding["files"].append(str(path))

    def _end(self) -> None:
        report = {
            "target": self._target,
            "executions": self._executions,
            "compiled": self._compiled,
            "cpu_seconds": time.process_time(),
            "slowest_seconds": self._slowest_seconds,
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024,
            "codes": dict(self._codes),
            "findings": self._found,
        }
        self._report.write_text(json.dumps(report))
        sys.stdout.flush()
        os._exit(0)  # libFuzzer has no other end that is no failure


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Changes an input: mostly as a text, now and then as mere bytes or in its options, or begins anew."""
    chance = random.Random(seed)
    if chance.random() < _SHARE_OF_BLIND_MUTATIONS:
        return atheris.Mutate(data, max_size)
    options = data[:1] if data and chance.random() < 0.9 else bytes([chance.randrange(32)])
    text = data[1:].decode("utf-8", errors="surrogateescape")
    if chance.random() < _SHARE_OF_NEW_TEXTS:
        text = expression(chance, chance.randint(1, 3))
    return (options + mutated(text, chance).encode("utf-8", errors="surrogateescape"))[:max_size]


def main() -> None:
    """Fuzzes one target until its CPU time is used up."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.worker")
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--cpu-seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="has corpus-TARGET and findings")
    arguments = parser.parse_args()
    load_machine()
    warnings.simplefilter("error")
    findings = arguments.folder / "findings"
    fuzzer = Fuzzer(
        arguments.target,
        cpu_seconds=arguments.cpu_seconds,
        findings=findings,
        report=arguments.folder / f"{arguments.target}.json",
    )
    atheris.Setup(
        [
            "fuzz",
            f"-seed={arguments.seed}",
            f"-max_len={_LONGEST_INPUT}",
            f"-timeout={_HANG_SECONDS}",
            f"-rss_limit_mb={_MOST_MEMORY_MIB}",
            f"-artifact_prefix={findings}/{arguments.target}-",
            "-len_control=0",
            "-reload=0",
            "-print_final_stats=1",
            str(arguments.folder / f"corpus-{arguments.target}"),
        ],
        fuzzer.attempt,
        custom_mutator=mutate,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
