"""Where the files of a store lie, and how one is written so that it is there whole or not at all.

CURRENT                            the name of the present state
manifests/000012-5f3a9c.json       what the store holds in one state: segments by timeframe; never changed
segments/000012-5f3a9c-1d.arrow    the candles of one import, an Arrow IPC file; never changed
segments/000012-5f3a9c-1d.json     where in that file every column and symbol lies; never changed
import.lock                        locked by the one importer

Files are only added and removed, but for CURRENT, which is replaced.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from candelabra_server.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["TEMPORARY_SUFFIX", "StoreLayout", "sync_file", "unreadable", "write_durably", "writing"]

TEMPORARY_SUFFIX = ".tmp"
"""Ends the names of files that are being written."""

_ADVICE = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some space there",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EACCES: "allow this user to write there, or choose another folder with --store",
    errno.EPERM: "allow this user to write there, or choose another folder with --store",
    errno.EROFS: "choose a folder that can be written with --store",
    errno.EEXIST: "choose a folder with --store",
    errno.ENOTDIR: "choose a folder with --store",
}
"""What to do, by cause; causes that are not here are those of the machine."""


@dataclass(frozen=True, slots=True)
class StoreLayout:
    """Names of a store's files.

    Attributes:
        root: the store's folder, absolute.
    """

    root: Path

    @property
    def current(self) -> Path:
        """The file that names the present state."""
        return self.root / "CURRENT"

    @property
    def import_lock(self) -> Path:
        """The file that an importer locks."""
        return self.root / "import.lock"

    @property
    def manifests(self) -> Path:
        """The folder of manifests."""
        return self.root / "manifests"

    @property
    def segments(self) -> Path:
        """The folder of segments."""
        return self.root / "segments"

    def manifest(self, state: str) -> Path:
        """The manifest of one state."""
        return self.manifests / f"{state}.json"

    def segment(self, name: str) -> Path:
        """The candles of a segment."""
        return self.segments / f"{name}.arrow"

    def segment_index(self, name: str) -> Path:
        """The index of a segment."""
        return self.segments / f"{name}.json"


def write_durably(path: Path, content: bytes) -> None:
    """Writes or replaces a file; after a crash at any moment it has the old content or the new, whole."""
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)  # noqa: PTH105 - beside the other calls on the file system that tests watch
    _sync_directory(path.parent)


def sync_file(path: Path) -> None:
    """Returns when a file that was written and its name are on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    _sync_directory(path.parent)


@contextmanager
def writing(layout: StoreLayout) -> Iterator[None]:
    """Turns an error of the file system into a StoreError that says where, why and what to do; importers get it."""
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "look after the disk")
        raise StoreError(
            f"the candle store {layout.root} cannot be written: {_cause(error)}; {advice}, then import again: "
            "what was stored is as it was"
        ) from error


def unreadable(path: Path, error: OSError) -> StoreError:
    """The error for a file that cannot be read; it may reach clients, so it has the file's name but not its folder."""
    if isinstance(error, FileNotFoundError):
        return StoreError(f"{path.name} is missing in the candle store")
    return StoreError(f"{path.name} of the candle store cannot be read: {_cause(error)}")


def _cause(error: OSError) -> str:
    return error.strerror or "input/output error"


def _sync_directory(path: Path) -> None:
    """Makes names in a folder durable; Windows has no such call and needs none."""
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
