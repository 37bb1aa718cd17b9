"""Advisory locks on open files: what holds a store's states and what admits one importer.

A lock lives as long as its file is open, also when the process is killed. On POSIX they are `flock`
locks, which two handles of one process hold against each other as well. Windows has no shared lock to
take from Python; there an open handle by itself keeps a file from being removed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, Any

__all__ = ["remove_unless_locked", "try_lock_exclusive", "try_lock_shared"]

if sys.platform == "win32":
    import msvcrt

    def try_lock_exclusive(file: IO[Any]) -> bool:
        """Locks an open file for this handle alone; False when another handle has it locked."""
        file.seek(0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def try_lock_shared(file: IO[Any]) -> bool:
        """Nothing to do: the open handle holds the file."""
        return not file.closed

    def remove_unless_locked(path: Path) -> bool:
        """Removes a file unless it is locked shared; whether it is gone."""
        try:
            path.unlink(missing_ok=True)
        except PermissionError:  # someone has it open
            return False
        return True

else:
    import fcntl

    def try_lock_exclusive(file: IO[Any]) -> bool:
        """Locks an open file for this handle alone; False when another handle has it locked."""
        return _try_lock(file, fcntl.LOCK_EX)

    def try_lock_shared(file: IO[Any]) -> bool:
        """Locks an open file against exclusive locks; False when another handle has one."""
        return _try_lock(file, fcntl.LOCK_SH)

    def remove_unless_locked(path: Path) -> bool:
        """Removes a file unless it is locked shared; whether it is gone."""
        try:
            with path.open("rb") as file:
                if not try_lock_exclusive(file):
                    return False
                path.unlink()
        except FileNotFoundError:
            return True
        return True

    def _try_lock(file: IO[Any], kind: int) -> bool:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
