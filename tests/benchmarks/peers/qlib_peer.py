"""Qlib: `D.features` over its own binary files, two processes, without caches. It computes with 32 bits."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from benchmarks.peers.peer_job import (
    PeerJob,
    PeerReport,
    Values,
    differing_columns,
    load,
    main_of,
    process_peak_bytes,
    timed_runs,
    versions,
)

KERNELS = 2
_FIELDS = ("open", "high", "low", "close", "volume", "vwap")
_FIRST_DAY = "2007-01-01"
_TOLERANCE = 1e-3


def measure(job: PeerJob) -> PeerReport:
    """Writes the files, compares, and times."""
    expressions = _expressions(job)
    differing = _compared(job, expressions)
    provider = Path(job.folder)
    _write_provider(provider)
    timed = timed_runs(job, lambda: _features(provider, expressions))
    return PeerReport(
        seconds=timed.seconds,
        cpu_seconds=timed.cpu_seconds,
        peak_bytes=process_peak_bytes(children=KERNELS),
        versions=versions("pyqlib", "pandas", "numpy"),
        differing=differing,
    )


def _compared(job: PeerJob, expressions: list[str]) -> tuple[str, ...]:
    """Names of the columns that differ; the frame is gone afterwards."""
    frame = _features(Path(job.checked_folder), expressions)
    rows = np.load(job.checked_values, mmap_mode="r").shape[2]
    columns = dict(zip(job.columns, frame.columns, strict=True))
    return differing_columns(job, lambda name: frame[columns[name]].to_numpy().reshape(-1, rows), tolerance=_TOLERANCE)


def _expressions(job: PeerJob) -> list[str]:
    """Qlib's own text of the columns."""
    from qlib.contrib.data.loader import Alpha158DL, Alpha360DL  # type: ignore[import-not-found]

    loader = {"alpha158": Alpha158DL, "alpha360": Alpha360DL}[job.family]
    expressions, names = loader.get_feature_config()
    by_name = dict(zip(names, expressions, strict=True))
    return [by_name[name] for name in job.columns]


def _features(folder: Path, expressions: list[str]):
    import qlib  # type: ignore[import-not-found]
    from qlib.data import D  # type: ignore[import-not-found]
    from qlib.data.cache import H  # type: ignore[import-not-found]

    provider = _write_provider(folder)
    qlib.init(
        provider_uri=str(provider),
        kernels=KERNELS,
        expression_cache=None,
        dataset_cache=None,
        skip_if_reg=False,
        logging_level=40,
    )
    H.clear()
    return D.features(D.instruments("all"), expressions, freq="day", disk_cache=0)


def _write_provider(folder: Path) -> Path:
    """The arrays in Qlib's format: a file a symbol and field, little-endian, the number of its first day in front."""
    provider = folder / "qlib"
    if provider.exists():
        return provider
    unfinished = folder / "qlib.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    arrays: dict[str, Values] = load(str(folder), *_FIELDS)
    symbols, rows = arrays["close"].shape
    names = [f"S{symbol:05d}" for symbol in range(symbols)]
    for symbol, name in enumerate(names):
        place = unfinished / "features" / name.lower()
        place.mkdir(parents=True)
        for field, values in arrays.items():
            np.concatenate([[0], values[symbol]]).astype("<f4").tofile(place / f"{field}.day.bin")
    days = np.busday_offset(_FIRST_DAY, np.arange(rows), roll="forward").astype(str).tolist()
    for part, lines in {
        "calendars/day.txt": days,
        "instruments/all.txt": [f"{name}\t{days[0]}\t{days[-1]}" for name in names],
    }.items():
        (unfinished / part).parent.mkdir()
        (unfinished / part).write_text("\n".join(lines) + "\n")
    unfinished.rename(provider)
    return provider


if __name__ == "__main__":
    main_of(measure)
