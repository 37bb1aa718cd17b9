"""What the system tells of processes, where it has /proc: whether one is stopped, or has outlived its starter."""

from __future__ import annotations

from pathlib import Path

__all__ = ["is_orphaned_worker", "is_stopped"]

_PROC = Path("/proc")
_STOPPED = "T"
_STARTER = b"multiprocessing.forkserver"
"""In the command line of the process that starts workers, and of the workers, which are its forks."""


def is_stopped(process_id: int) -> bool:
    """Whether a signal stopped the process, which does nothing until another one lets it go on."""
    return _state(process_id)[0] == _STOPPED


def is_orphaned_worker(process_id: int) -> bool:
    """Whether this is a worker whose starter is gone: not another process that has got the same id since."""
    _, parent_id = _state(process_id)
    return parent_id > 0 and _STARTER in _command(process_id) and _STARTER not in _command(parent_id)


def _state(process_id: int) -> tuple[str, int]:
    """The letter of the state, and the parent's id; nothing where there is no such process."""
    try:
        # The name, which stands in brackets, may have blanks and brackets itself.
        state, parent_id, *_ = (_PROC / str(process_id) / "stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return "", 0
    return state, int(parent_id)


def _command(process_id: int) -> bytes:
    try:
        return (_PROC / str(process_id) / "cmdline").read_bytes()
    except OSError:
        return b""
