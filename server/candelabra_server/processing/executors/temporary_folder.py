"""The folder in which the standard library puts the sockets of its helper processes, so that it is not left behind.

`multiprocessing` makes one on demand and removes it when the process exits, but not when it is killed. Ours is locked
for as long as the process lives; the next process removes those whose lock is free.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from multiprocessing import process, util
from pathlib import Path
from typing import IO

from candelabra_server.candles.file_lock import try_lock_exclusive, try_lock_shared

__all__ = ["claim_temporary_folder"]

_NAME = "cdlb-"
_LOCK = "lock"
_REMOVE_LAST = -100
"""Priority of the removal: after everything that `multiprocessing` itself does at the end of a process."""


def claim_temporary_folder() -> None:
    """Sees to it that `multiprocessing` has a folder of ours, unless it has one already. Safe to call again."""
    config = process.current_process()._config  # type: ignore[attr-defined] # noqa: SLF001 - where it looks for it
    if "tempdir" in config:
        return
    parent = Path(tempfile.gettempdir())
    _remove_abandoned(parent)
    folder, lock = _make(parent)
    config["tempdir"] = str(folder)
    util.Finalize(None, _remove, args=(folder, lock), exitpriority=_REMOVE_LAST)


def _make(parent: Path) -> tuple[Path, IO[bytes]]:
    while True:
        folder = (
            parent / f"{_NAME}{secrets.token_hex(4)}"
        )  # no longer than its own: the path of a socket has at most about 100 bytes
        folder.mkdir(mode=0o700)
        try:
            lock = (folder / _LOCK).open("wb")
        except FileNotFoundError:  # another process that starts took it for abandoned
            continue
        if try_lock_shared(lock) and (folder / _LOCK).exists():
            return folder, lock
        lock.close()


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob(f"{_NAME}*"):
        try:
            if not folder.is_dir() or folder.is_symlink():
                continue
            with (folder / _LOCK).open("rb+") as lock:
                if try_lock_exclusive(lock):
                    shutil.rmtree(folder, ignore_errors=True)
        except FileNotFoundError:
            continue  # not made whole yet, or gone
        except OSError:  # another user's
            continue


def _remove(folder: Path, lock: IO[bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    lock.close()
