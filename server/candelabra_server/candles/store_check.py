"""check_store: finds what is damaged in a store, and what lies there that nobody needs.

It goes from the name of the present state to its manifest and on to each of its segments (segment_check.py), and then
looks at what else lies in the folders. It only reads, and holds the state as a job does: a server may serve and an
import may run meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from candelabra_server.candles.checksums import has_seal
from candelabra_server.candles.manifest import (
    Manifest,
    hold_current,
    is_state,
    read_current_state,
    read_manifest,
)
from candelabra_server.candles.segment_check import PERMIT, Finding, check_segment
from candelabra_server.candles.store_layout import TEMPORARY_SUFFIX, StoreLayout
from candelabra_server.errors import StoreError

__all__ = ["StoreReport", "check_store"]

_MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class StoreReport:
    """What a check found.

    Attributes:
        state: the present state's name; empty when nothing is stored, or its name cannot be read.
        timeframes: how many it has.
        segments: how many it has.
        bytes_read: of candles.
        older_states: how many are kept for jobs that run, or until the next import.
        findings: damage first.
    """

    state: str = ""
    timeframes: int = 0
    segments: int = 0
    bytes_read: int = 0
    older_states: int = 0
    findings: tuple[Finding, ...] = ()

    @property
    def is_damaged(self) -> bool:
        """Whether candles are lost or in doubt."""
        return any(finding.is_damage for finding in self.findings)


def check_store(store: Path | str, progress: Callable[[int, int], None] = lambda _done, _total: None) -> StoreReport:
    """Checks a store's present state.

    Args:
        store: the store's folder.
        progress: told how many mebibytes were read and how many there are.

    Raises:
        StoreError: there is no such folder.
    """
    layout = StoreLayout(Path(store).absolute())
    if not layout.root.is_dir():
        raise StoreError(f"there is no folder {store}")
    try:
        state, lease = hold_current(layout)
    except StoreError as error:
        return StoreReport(findings=(_lost_state(layout, error),))
    if lease is None:
        states = _states(layout)
        return StoreReport(findings=(_lost_current(states),) if states else tuple(_leftovers(layout, Manifest())))
    with lease:
        try:
            manifest = read_manifest(layout, state)
        except StoreError as error:
            return StoreReport(state, findings=(_lost_manifest(state, error),))
        return _check_state(layout, manifest, progress)


def _check_state(layout: StoreLayout, manifest: Manifest, progress: Callable[[int, int], None]) -> StoreReport:
    segments = [(timeframe, name) for timeframe, names in manifest.segments.items() for name in names]
    total = sum(_size(layout.segment(name)) for _, name in segments)
    done = 0

    def count(read: int) -> None:
        nonlocal done
        done += read
        progress(done // _MEBIBYTE, max(total, done) // _MEBIBYTE)

    findings = [finding for timeframe, name in segments for finding in check_segment(layout, timeframe, name, count)]
    if not has_seal(layout.manifest(manifest.state).read_bytes()):
        findings.append(
            Finding(
                f"manifests/{manifest.state}.json",
                "was written before there were checksums: its structure is sound",
                "nothing need be done; the next import writes one that has a checksum",
                is_damage=False,
            )
        )
    findings.extend(_leftovers(layout, manifest))
    return StoreReport(
        state=manifest.state,
        timeframes=len(manifest.segments),
        segments=len(segments),
        bytes_read=done,
        older_states=sum(state < manifest.state for state in _states(layout)),
        findings=tuple(sorted(findings, key=lambda finding: not finding.is_damage)),
    )


def _lost_state(layout: StoreLayout, error: StoreError) -> Finding:
    """What to say when CURRENT does not lead to a manifest."""
    try:
        state = read_current_state(layout)
    except StoreError as unreadable:
        return _lost_current(_states(layout), unreadable)
    return _lost_manifest(state, error)


def _lost_current(states: Sequence[str], error: StoreError | None = None) -> Finding:
    newest = f"write {states[-1]} into it, the newest state that is there, or " if states else ""
    return Finding(
        "CURRENT",
        f"{_problem(error) if error else 'is missing'}, so nobody knows which state is the present one",
        PERMIT if _is_forbidden(error) else f"{newest}restore it from a backup",
        symbols=None,
    )


def _lost_manifest(state: str, error: StoreError) -> Finding:
    return Finding(
        f"manifests/{state}.json",
        f"{_problem(error)}, so nobody knows which files the present state has",
        PERMIT if _is_forbidden(error) else "restore it from a backup, or import all files again into another folder",
        symbols=None,
    )


def _is_forbidden(error: StoreError | None) -> bool:
    return error is not None and isinstance(error.__cause__, PermissionError)


def _problem(error: StoreError) -> str:
    """What a reader says of a file, without its name."""
    words = error.message.partition(" ")[2]
    return words.removeprefix("of the candle store ").removesuffix(" in the candle store")


def _leftovers(layout: StoreLayout, present: Manifest) -> Iterator[Finding]:
    """Files that the next import removes."""
    folders = (layout.root, layout.manifests, layout.segments)
    # Before the manifests are read: what an import adds from here on is in one of them, or not seen.
    seen = [path for folder in folders if folder.is_dir() for path in sorted(folder.iterdir())]
    named: set[str] = set()
    for state in _states(layout):
        try:
            named.update(*read_manifest(layout, state).segments.values())
        except StoreError:  # an older one: an import has removed it, or it is damaged, and only its jobs need it
            continue
    for path in seen:
        is_unnamed = path.parent == layout.segments and path.suffix in {".arrow", ".json"} and path.stem not in named
        if not (is_unnamed or path.suffix == TEMPORARY_SUFFIX) or not path.exists():
            continue
        is_newer = not present.state or path.name > present.state + "~"
        yield Finding(
            path.relative_to(layout.root).as_posix(),
            "is of an import that runs, or did not end" if is_newer or not is_unnamed else "is of no state any more",
            "nothing need be done: the next import removes it",
            is_damage=False,
        )


def _states(layout: StoreLayout) -> list[str]:
    """The states that have a manifest, sorted."""
    return sorted(path.stem for path in layout.manifests.glob("*.json") if is_state(path.stem))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
