"""Writes files so that one is there whole or as it was before."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

__all__ = ["replaced"]


@contextmanager
def replaced(path: Path, *, binary: bool = True) -> Iterator[IO[Any]]:
    """Gives the stream of a new file, UTF-8 where it is text, that takes the path's place when the body has succeeded.

    The file is written beside its place and moved there at the end; when the body fails, what was there stays.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") if binary else beside.open("w", encoding="utf-8", newline="") as stream:
            yield stream
        beside.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()
