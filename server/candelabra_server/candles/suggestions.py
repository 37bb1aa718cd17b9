"""Suggestions: stored symbols that a misspelt one may mean."""

from __future__ import annotations

import string
from collections.abc import Container, Iterator, Sequence

__all__ = ["close_names"]

_LIMIT = 3
_ALPHABET = string.ascii_uppercase + string.digits + ".-_/"
_LONGEST = 16
"""Longer names have too many neighbours to try."""


def close_names(name: str, known: Sequence[Container[str]]) -> list[str]:
    """Up to three known names that are one edit away from `name`, or just the one in another case.

    All neighbours of the name are made and looked up. Comparing it to every stored symbol would take
    a hundred times longer, and a job may ask for thousands of symbols that are not there.
    """
    if len(name) > _LONGEST:
        return []
    for other in (name.strip(), name.strip().upper(), name.strip().lower()):
        if any(other in names for names in known):
            return [other]
    neighbours = set(_neighbours(name.strip().upper()))
    found = {neighbour for names in known for neighbour in neighbours if neighbour in names}
    return sorted(found, key=lambda other: (abs(len(other) - len(name)), other))[:_LIMIT]


def _neighbours(name: str) -> Iterator[str]:
    for at in range(len(name) + 1):
        head, tail = name[:at], name[at:]
        yield head + tail[1:]
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]
        for letter in _ALPHABET:
            yield head + letter + tail
            yield head + letter + tail[1:]
