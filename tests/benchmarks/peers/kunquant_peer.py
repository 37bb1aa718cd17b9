"""KunQuant: C++ that is generated, compiled by g++ and run by two threads of this process.

The layout is the one that it recommends for batches (STs: blocks of as many symbols as a SIMD register has lanes).
Later runs write to the arrays of the first, which spares them the page faults: its best.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.peers.peer_job import (
    PeerJob,
    PeerReport,
    PeerUnavailableError,
    Values,
    differing_columns,
    load,
    main_of,
    process_peak_bytes,
    timed_runs,
    versions,
)

THREADS = 2
_ALPHA360_CANDLES = 60
_TOLERANCES = {"double": 1e-6, "float": 1e-2}


def measure(job: PeerJob) -> PeerReport:
    """Compiles, compares, and times."""
    if shutil.which("g++") is None:
        raise PeerUnavailableError("there is no g++ on this machine")
    program = _Program(job)
    differing = _compared(job, program)
    run = program.prepare(job.folder)
    begin = time.perf_counter()
    run()
    first_seconds = time.perf_counter() - begin
    timed = timed_runs(job, run)
    return PeerReport(
        seconds=timed.seconds,
        cpu_seconds=timed.cpu_seconds,
        first_seconds=first_seconds,
        peak_bytes=process_peak_bytes(),
        versions=versions("KunQuant", "numpy"),
        differing=differing,
    )


def _compared(job: PeerJob, program: _Program) -> tuple[str, ...]:
    """Names of the columns that differ; the arrays are gone afterwards."""
    blocks = program.prepare(job.checked_folder)()
    tolerance = _TOLERANCES[program.number_type]
    return differing_columns(job, lambda name: _by_symbol(blocks[name]), tolerance=tolerance)


class _Program:
    """The compiled columns of a job."""

    def __init__(self, job: PeerJob) -> None:
        from KunQuant.Driver import KunCompilerConfig  # type: ignore[import-not-found]
        from KunQuant.jit import cfake  # type: ignore[import-not-found]
        from KunQuant.Op import Builder, Output  # type: ignore[import-not-found]
        from KunQuant.runner import KunRunner  # type: ignore[import-not-found]
        from KunQuant.Stage import Function  # type: ignore[import-not-found]

        self.number_type = "float" if job.float32 else "double"
        self._array_type: type[np.floating[Any]] = np.float32 if job.float32 else np.float64
        self._lanes = 16 if job.float32 else 8
        builder = Builder()
        with builder:
            self._fields, columns = _FAMILIES[job.family]()
            for name in job.columns:
                Output(columns[name], name)
        config = KunCompilerConfig(
            input_layout="STs",
            output_layout="STs",
            dtype=self.number_type,
            blocking_len=self._lanes,
            partition_factor=4,
        )
        compiler = cfake.CppCompilerConfig(machine=cfake.NativeCPUFlags())
        self._library = cfake.compileit([("columns", Function(builder.ops), config)], "benchmark", compiler)
        self._module = self._library.getModule("columns")
        self._runner = KunRunner
        self._executor = KunRunner.createMultiThreadExecutor(THREADS)

    def prepare(self, folder: str) -> Callable[[], dict[str, Values]]:
        """A run over the arrays of a folder; each gives the same arrays, filled anew."""
        inputs = {name: self._blocks(values) for name, values in load(folder, *self._fields).items()}
        rows = next(iter(inputs.values())).shape[1]
        outputs: dict[str, Values] = {}

        def run() -> dict[str, Values]:
            given = (outputs,) if outputs else ()
            outputs.update(self._runner.runGraph(self._executor, self._module, inputs, 0, rows, *given))
            return outputs

        return run

    def _blocks(self, values: Values) -> Values:
        """(symbols, rows) as (blocks, rows, lanes)."""
        blocks = values.astype(self._array_type).reshape(-1, self._lanes, values.shape[1])
        return np.ascontiguousarray(blocks.transpose(0, 2, 1))


def _by_symbol(blocks: Values) -> Values:
    """(blocks, rows, lanes) as (symbols, rows)."""
    return blocks.transpose(0, 2, 1).reshape(-1, blocks.shape[1])


def _alpha158() -> tuple[tuple[str, ...], dict[str, Any]]:
    from KunQuant.Op import Input
    from KunQuant.predefined.Alpha158 import AllData  # type: ignore[import-not-found]

    fields = ("open", "close", "high", "low", "volume", "amount")
    data = AllData(**{name: Input(name) for name in fields})
    prices = [("OPEN", data.open), ("HIGH", data.high), ("LOW", data.low), ("VWAP", data.vwap)]
    columns, names = data.build({"kbar": {}, "price": {"windows": [0], "feature": prices}, "rolling": {}})
    return fields, dict(zip(names, columns, strict=True))


def _alpha360() -> tuple[tuple[str, ...], dict[str, Any]]:
    from KunQuant.Op import Input
    from KunQuant.ops import BackRef  # type: ignore[import-not-found]

    fields = ("close", "open", "high", "low", "vwap", "volume")
    inputs = {name: Input(name) for name in fields}
    units = dict.fromkeys(fields, inputs["close"]) | {"volume": inputs["volume"] + 1e-12}
    columns = {
        f"{name.upper()}{candles}": (BackRef(inputs[name], candles) if candles else inputs[name]) / units[name]
        for name in fields
        for candles in range(_ALPHA360_CANDLES)
    }
    return fields, columns


_FAMILIES = {"alpha158": _alpha158, "alpha360": _alpha360}

if __name__ == "__main__":
    main_of(measure)
