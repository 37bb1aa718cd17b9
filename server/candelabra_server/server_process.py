"""What the server's process is given before it serves: an event loop, and memory that it keeps."""

from __future__ import annotations

import asyncio
import ctypes
import sys

__all__ = ["keep_freed_memory", "new_event_loop"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Of glibc's mallopt(3)."""
_KEPT_BYTES = 64 * 1024 * 1024
_MOST_IN_HEAP_BYTES = 32 * 1024 * 1024
"""The most that glibc takes."""


def new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's, which spends a tenth to a fifth less on a small message; on Windows, which has none, asyncio's own."""
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    import uvloop  # noqa: PLC0415 - is not installed on Windows

    return uvloop.new_event_loop()


def keep_freed_memory() -> None:
    """Lets glibc keep up to 64 MiB of what is freed in a heap, instead of giving it back; elsewhere does nothing.

    Messages of a megabyte and more come and go all the time. Memory that is given back in between costs a page fault
    every 4 KiB when it is taken again, as much as the sending itself.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc; Windows has no handle of the process itself
        return
    mallopt(_MMAP_THRESHOLD, _MOST_IN_HEAP_BYTES)
    mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
