"""polars: a lazy query over all symbols, grouped by symbol, in this process with two threads.

Of the ways to say it (`over`, a frame a symbol with `collect_all`, `group_by`) this was the fastest.
"""

from __future__ import annotations

import numpy as np
import polars as pl

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
_TOLERANCE = 1e-6


def measure(job: PeerJob) -> PeerReport:
    """Compares, and times."""
    expressions = [_expression(name).alias(name) for name in job.columns]
    checked = _computed(_frame(job.checked_folder), expressions)
    symbols = len(checked)
    differing = differing_columns(
        job, lambda name: checked[name].explode().to_numpy().reshape(symbols, -1), tolerance=_TOLERANCE
    )
    frame = _frame(job.folder)
    timed = timed_runs(job, lambda: _computed(frame, expressions))
    return PeerReport(
        seconds=timed.seconds,
        cpu_seconds=timed.cpu_seconds,
        peak_bytes=process_peak_bytes(),
        versions=versions("polars"),
        differing=differing,
    )


def _frame(folder: str) -> pl.DataFrame:
    arrays = load(folder, *_FIELDS)
    symbols, rows = arrays["close"].shape
    return pl.DataFrame(
        {"symbol": np.repeat(np.arange(symbols), rows), **{name: values.ravel() for name, values in arrays.items()}}
    )


def _computed(frame: pl.DataFrame, expressions: list[pl.Expr]) -> pl.DataFrame:
    return frame.lazy().group_by("symbol", maintain_order=True).agg(expressions).collect()


def _expression(name: str) -> pl.Expr:
    kind, window = name.rstrip("0123456789"), int(name.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    close, volume = pl.col("close"), pl.col("volume")
    price_unit, volume_unit = close, volume + 1e-12
    return {
        "MA": close.rolling_mean(window, min_samples=1) / price_unit,
        "STD": close.rolling_std(window, min_samples=1) / price_unit,
        "MAX": pl.col("high").rolling_max(window, min_samples=1) / price_unit,
        "MIN": pl.col("low").rolling_min(window, min_samples=1) / price_unit,
        "VMA": volume.rolling_mean(window, min_samples=1) / volume_unit,
        "VSTD": volume.rolling_std(window, min_samples=1) / volume_unit,
    }[kind]


if __name__ == "__main__":
    main_of(measure)
