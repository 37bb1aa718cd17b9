"""pandas: rolling columns of one symbol after the other, on a tenth of the symbols; its seconds are scaled up."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.peers.peer_job import (
    PeerJob,
    PeerReport,
    differing_columns,
    load,
    main_of,
    process_peak_bytes,
    timed_runs,
    versions,
)

_FIELDS = ("high", "low", "close", "volume")
_PART = 10
_TOLERANCE = 1e-6


def measure(job: PeerJob) -> PeerReport:
    """Compares, and times."""
    checked = [_computed(frame, job.columns) for frame in _frames(job.checked_folder)]
    differing = differing_columns(
        job, lambda name: np.stack([columns[name].to_numpy() for columns in checked]), tolerance=_TOLERANCE
    )
    frames = _frames(job.folder)
    part = frames[: max(1, len(frames) // _PART)]
    timed = timed_runs(job, lambda: [_computed(frame, job.columns) for frame in part])
    scale = len(frames) / len(part)
    return PeerReport(
        seconds=tuple(run * scale for run in timed.seconds),
        cpu_seconds=timed.cpu_seconds * scale,
        peak_bytes=process_peak_bytes(),
        versions=versions("pandas"),
        differing=differing,
    )


def _frames(folder: str) -> list[pd.DataFrame]:
    arrays = load(folder, *_FIELDS)
    return [
        pd.DataFrame({name: values[symbol] for name, values in arrays.items()})
        for symbol in range(len(arrays["close"]))
    ]


def _computed(frame: pd.DataFrame, columns: list[str]) -> dict[str, pd.Series]:
    return {name: _column(frame, name) for name in columns}


def _column(frame: pd.DataFrame, name: str) -> pd.Series:
    kind, window = name.rstrip("0123456789"), int(name.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    field = {"MA": "close", "STD": "close", "MAX": "high", "MIN": "low", "VMA": "volume", "VSTD": "volume"}[kind]
    unit = frame["volume"] + 1e-12 if field == "volume" else frame["close"]
    rolling = frame[field].rolling(window, min_periods=1)
    operation = {"MA": "mean", "STD": "std", "MAX": "max", "MIN": "min", "VMA": "mean", "VSTD": "std"}[kind]
    return getattr(rolling, operation)() / unit


if __name__ == "__main__":
    main_of(measure)
