"""Ends a process with all that it has started."""

from __future__ import annotations

import contextlib

import psutil

__all__ = ["end_tree"]


def end_tree(pid: int) -> None:
    """Kills a process that was started here, and all that it started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in (*process.children(recursive=True), process):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
