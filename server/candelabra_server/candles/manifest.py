"""Manifests: what a store holds in one state, and which state is the present one."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from candelabra_server.candles.checksums import is_intact, sealed
from candelabra_server.candles.file_lock import try_lock_shared
from candelabra_server.candles.store_layout import StoreLayout, unreadable, write_durably
from candelabra_server.domain.timeframe import Timeframe
from candelabra_server.errors import StoreError

__all__ = [
    "FORMAT",
    "Manifest",
    "hold_current",
    "is_state",
    "next_state",
    "read_current_state",
    "read_manifest",
    "write_manifest",
]

FORMAT = 1
"""Version of the store's files; a store of a later version is refused, not misread."""

_HOLD_ATTEMPTS = 1_000
"""Each failed one means that an import was finished in between."""
_STATE = re.compile(r"([0-9]{6,9})-[0-9a-f]{6}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """One state of a store.

    Attributes:
        state: its name, a count of imports and a random part, so that a store which was removed and made
            anew is not taken for the old one; empty for the empty store, which has no file.
        segments: by canonical timeframe, shortest first: names of its segments, oldest import first.
            Of two candles of equal symbol and time, that of the later segment counts.
    """

    state: str = ""
    segments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def read_current_state(layout: StoreLayout) -> str:
    """The present state's name; empty when there is no store yet.

    Raises:
        StoreError: CURRENT is damaged, cannot be read, or is missing though there must have been one: taking such a
            store for an empty one, an import would remove all that it has.
    """
    try:
        content = _read_small_file(layout.current)
    except NotADirectoryError:
        return ""
    except FileNotFoundError as error:
        states = [match for path in layout.manifests.glob("*.json") if (match := _STATE.match(path.name))]
        if any(int(state[1]) > 1 for state in states) and not layout.current.exists():
            raise unreadable(layout.current, error) from error
        return ""
    except OSError as error:
        raise unreadable(layout.current, error) from error
    state = content.strip().decode("ascii", "replace")
    if not is_state(state):
        raise _damaged(layout.current)
    return state


def is_state(name: str) -> bool:
    """Whether this can be the name of a state."""
    return _STATE.fullmatch(name) is not None


def next_state(states: Iterable[str]) -> str:
    """A name for the state after all of these."""
    counts = [int(match[1]) for state in states if (match := _STATE.match(state))]
    return f"{max(counts, default=0) + 1:06d}-{secrets.token_hex(3)}"


def read_manifest(layout: StoreLayout, state: str) -> Manifest:
    """The manifest of a state.

    Raises:
        StoreError: it is not there any more, damaged, or cannot be read.
    """
    path = layout.manifest(state)
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise StoreError(f"{path.name} is not in the candle store any more: nothing held this state") from error
    except OSError as error:
        raise unreadable(path, error) from error
    return _parse(path, state, content)


def write_manifest(layout: StoreLayout, manifest: Manifest) -> None:
    """Writes a new state and makes it the present one; readers see the state before or this one."""
    content = {"format": FORMAT, "segments": {name: list(names) for name, names in manifest.segments.items()}}
    write_durably(layout.manifest(manifest.state), sealed(content, indent=1))
    write_durably(layout.current, f"{manifest.state}\n".encode())


def hold_current(layout: StoreLayout) -> tuple[str, IO[bytes] | None]:
    """The present state's name and a file that holds the state until it is closed; None for the empty store.

    Raises:
        StoreError: the present manifest cannot be read.
    """
    missing_before = ""
    for _ in range(_HOLD_ATTEMPTS):
        state = read_current_state(layout)
        if not state:
            return "", None
        path = layout.manifest(state)
        try:
            file = path.open("rb")
        except FileNotFoundError as error:
            if state == missing_before:  # CURRENT was read again since, so no import has replaced it
                raise unreadable(path, error) from error
            missing_before = state
            continue
        except OSError as error:
            raise unreadable(path, error) from error
        try:
            # Whoever removes a state locks its manifest exclusively first, and does not remove the
            # present one: then CURRENT has changed, and is read again.
            is_held = try_lock_shared(file) and os.fstat(file.fileno()).st_nlink > 0
        except OSError as error:
            file.close()
            raise unreadable(path, error) from error
        if is_held:
            return state, file
        file.close()
    raise StoreError("the candle store changes too quickly to be read")


def _parse(path: Path, state: str, content: bytes) -> Manifest:
    try:
        if not is_intact(content):
            raise ValueError("another checksum")
        parsed: dict[str, Any] = json.loads(content)
        file_format = int(parsed["format"])
        if file_format != FORMAT:
            raise StoreError(
                f"{path.name} has version {file_format} of the candle store's format, this server reads {FORMAT}"
            )
        segments = {
            timeframe.text: tuple(map(_segment_name, parsed["segments"][timeframe.text]))
            for timeframe in sorted(map(Timeframe.parse, parsed["segments"]))
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path) from error
    return Manifest(state, segments)


def _segment_name(name: object) -> str:
    if not isinstance(name, str) or not name or Path(name).name != name:
        raise ValueError(name)
    return name


def _read_small_file(path: Path) -> bytes:
    """Half the time of Path.read_bytes; every job reads CURRENT."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        return os.read(descriptor, 64)
    finally:
        os.close(descriptor)


def _damaged(path: Path) -> StoreError:
    return StoreError(f"{path.name} of the candle store is damaged")
