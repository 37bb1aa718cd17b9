"""Which files an import reads: those that are named, and all with a known ending below a folder that is named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from candelabra_server.candles.problem_log import ProblemLog

__all__ = ["ENDINGS", "FoundFiles", "find_files", "stem"]

ENDINGS = (".csv", ".txt", ".tsv", ".parquet", ".pq", ".arrow", ".feather", ".ipc")
"""Endings of files that are taken from folders; each also with an ending of PACKED behind it."""
PACKED = (".gz", ".zip", ".zst")


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """Files to read.

    Attributes:
        files: in the order that they were named in; of a folder, sorted by path.
        skipped: files in folders with other endings, sorted within each folder; hidden ones are not among them.
    """

    files: Sequence[Path]
    skipped: Sequence[Path]


def stem(path: Path) -> str:
    """A file's name without its known endings."""
    name = path.name
    while Path(name).suffix.lower() in {*ENDINGS, *PACKED}:
        name = Path(name).stem
    return name


def find_files(paths: Iterable[Path | str], store: Path, log: ProblemLog) -> FoundFiles:
    """Finds the files of an import; a folder without any is a problem.

    Files that are named are taken whatever their endings, also when they do not exist. Hidden files and
    folders are passed over, and so is the store itself, whose files would otherwise be read into it.
    """
    files: list[Path] = []
    skipped: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            files.append(path)
            continue
        try:
            below = list(_below(path, store.resolve()))
        except OSError as error:
            log.add(str(error.filename), None, f"cannot be read: {error.strerror}")
            continue
        known = [file for file in below if _has_known_ending(file)]
        if not known:
            log.add(str(path), None, f"has no file to import; read are files ending in {describe_endings()}")
        files += known
        skipped += [file for file in below if not _has_known_ending(file)]
    return FoundFiles(files, skipped)


def describe_endings() -> str:
    """The known endings, for a message."""
    return f"{' '.join(ENDINGS)}, also with {', '.join(PACKED[:-1])} or {PACKED[-1]} behind, and {PACKED[1]} alone"


def _below(folder: Path, store: Path) -> Iterator[Path]:
    """All files in a folder and its folders, sorted by path."""
    if folder.resolve() == store:
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if not path.is_symlink():  # a link to a folder above would have no end
                yield from _below(path, store)
        elif path.is_file():
            yield path


def _has_known_ending(path: Path) -> bool:
    ending = path.suffix.lower()
    if ending in PACKED:
        inner = Path(path.stem).suffix.lower()
        return inner in ENDINGS or ending == ".zip"
    return ending in ENDINGS
