"""FormulaStore: saved formulas with all their versions, and the built-in ones beside them."""

from __future__ import annotations

import contextlib
import fnmatch
import heapq
import json
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from candelabra_server.errors import (
    FormulaChangedError,
    FormulaExistsError,
    FormulaNotFoundError,
    InvalidRequestError,
    Violation,
)
from candelabra_server.formulas.problems import closest_name, quoted
from candelabra_server.formulas.saved import (
    DeclaredParameter,
    FormulaReference,
    SavedFormula,
    own_id_fault,
    violations_of,
)
from candelabra_server.formulas.store_file import StoreFile, damaged

__all__ = ["FormulaPage", "FormulaStore"]

_COLUMNS = """
    SELECT id, version, expression, description, parameters, qlib_defects, float32_fields, update_time_micros,
        (SELECT update_time_micros FROM versions AS first WHERE first.id = versions.id AND first.version = 1)
"""
_SELECT_ONE = f"{_COLUMNS} FROM versions WHERE id = ? AND version = ?"
# CROSS keeps SQLite from walking through all versions instead of all ids.
_SELECT_LIVE = (
    f"{_COLUMNS} FROM live CROSS JOIN versions USING (id, version) WHERE id > ? AND is_wanted(id) ORDER BY id"
)
_SELECT_SIMILAR = "SELECT id FROM live WHERE length(id) BETWEEN ? AND ? ORDER BY id LIMIT 1000"
"""The limit keeps a wrong id cheap; with more formulas than that, not every suggestion is found."""
_MOST_PAGE_CHARACTERS = 500_000

_Found = tuple[SavedFormula | None, int]
"""A formula, if there is one, and the highest version that its id ever had; 0 if it never had any."""


@dataclass(frozen=True, slots=True)
class FormulaPage:
    """Some of the formulas, sorted by id; `is_last` when no more follow."""

    formulas: tuple[SavedFormula, ...]
    is_last: bool


class FormulaStore:
    """Finds formulas and keeps those that users save. Safe from several threads and processes; calls block.

    Args:
        folder: of the candle store; the file of saved formulas is made there with the first one.
        built_ins: formulas that are found like saved ones and cannot be changed.

    Attributes:
        folder: the same, absolute.

    Every call raises StoreError where the file cannot be read or written, and UnavailableError where others kept it
    locked for ten seconds. A change is on the disk when its call returns, and did not happen where it raises.
    """

    def __init__(self, folder: str | Path, *, built_ins: Iterable[SavedFormula] = ()) -> None:
        self.folder = Path(folder).absolute()
        self._file = StoreFile(self.folder)
        self._built_ins = {formula.id: formula for formula in built_ins}

    def get(self, reference: str) -> SavedFormula:
        """The newest version of `trend`, or version 3 for `trend@3`: that one also when the id was deleted.

        Raises:
            FormulaNotFoundError: there is none; the message suggests a close id.
        """
        with self._suggestions(reference):
            try:
                wanted = FormulaReference.parse(reference)
            except ValueError as error:
                raise FormulaNotFoundError(f"there is no formula {quoted(reference)}: {error}") from error
            found, last_version = self._find_built_in(wanted)
            if not last_version:
                found, last_version = self._file.read(lambda connection: _find(connection, wanted)) or (None, 0)
            if found is None:
                raise _not_found(wanted, last_version)
            return found

    def list_formulas(self, *, pattern: str = "", page_size: int, after_id: str = "") -> FormulaPage:
        """The newest versions of formulas whose ids come after `after_id`, sorted by id.

        They are at most `page_size`, and fewer where they are so long that a client with gRPC's limit of 4 MiB could
        not receive them. In a pattern, `*` stands for any characters and `?` for one; an empty one is met by
        all ids.
        """
        # Brackets are ordinary characters: only * and ? are special.
        expression = re.compile(fnmatch.translate(pattern.replace("[", "[[]") or "*"))

        def is_wanted(identifier: str) -> bool:
            return expression.match(identifier) is not None

        built_in = [
            formula
            for identifier, formula in sorted(self._built_ins.items())
            if identifier > after_id and is_wanted(identifier)
        ]

        def find(connection: sqlite3.Connection) -> FormulaPage:
            connection.create_function("is_wanted", 1, is_wanted, deterministic=True)
            saved = map(_formula, connection.execute(_SELECT_LIVE, (after_id,)))
            return _page(heapq.merge(saved, built_in, key=lambda formula: formula.id), page_size)

        return self._file.read(find) or _page(built_in, page_size)

    def create(self, draft: SavedFormula) -> SavedFormula:
        """Saves a new formula, as version 1, or as the next one of an id that was deleted.

        Raises:
            InvalidRequestError: the draft is wrong; its text is not looked at.
            FormulaExistsError: the id is in use.
        """

        def change(connection: sqlite3.Connection) -> SavedFormula:
            found, last_version = _find(connection, FormulaReference(draft.id))
            if found is not None:
                message = f"there is a formula {quoted(draft.id)} already; update it, or choose another id"
                raise FormulaExistsError(message, metadata={"id": draft.id})
            return _save(connection, draft, version=last_version + 1)

        _check(draft)
        return self._file.write(change)

    def update(self, draft: SavedFormula, etag: str) -> SavedFormula:
        """Saves a new version; with an etag, only if the newest one has it.

        Raises:
            InvalidRequestError: the draft is wrong; its text is not looked at.
            FormulaNotFoundError: no formula has the id.
            FormulaChangedError: the newest version has another etag.
        """

        def change(connection: sqlite3.Connection) -> SavedFormula:
            return _save(connection, draft, version=_present(connection, draft.id, etag).version + 1)

        _check(draft)
        with self._suggestions(draft.id):
            return self._file.write(change)

    def delete(self, identifier: str, etag: str) -> None:
        """Takes an id out of use; its versions stay readable by number. With an etag, only if the newest one has it.

        Raises:
            InvalidRequestError: a user's formula cannot have the id.
            FormulaNotFoundError: no formula has the id.
            FormulaChangedError: the newest version has another etag.
        """

        def change(connection: sqlite3.Connection) -> None:
            _present(connection, identifier, etag)
            connection.execute("DELETE FROM live WHERE id = ?", (identifier,))

        if fault := own_id_fault(identifier):
            raise InvalidRequestError([Violation("id", fault)])
        with self._suggestions(identifier):
            self._file.write(change)

    def _find_built_in(self, wanted: FormulaReference) -> _Found:
        formula = self._built_ins.get(wanted.id)
        if formula is None:
            return None, 0
        return formula if wanted.version in {None, formula.version} else None, formula.version

    @contextlib.contextmanager
    def _suggestions(self, reference: str) -> Iterator[None]:
        """Adds the closest id to the error of one that never was; here, where no lock is held any more."""
        try:
            yield
        except FormulaNotFoundError as error:
            if "last_version" in error.metadata:
                raise
            identifier = reference.partition("@")[0]
            lengths = (len(identifier) * 2 // 3, len(identifier) * 4 // 3 + 1)

            def find(connection: sqlite3.Connection) -> list[str]:
                return [row[0] for row in connection.execute(_SELECT_SIMILAR, lengths)]

            close = closest_name(identifier, [*(self._file.read(find) or []), *self._built_ins])
            if close is None:
                raise
            raise FormulaNotFoundError(
                f"{error.message}; did you mean `{close}`?", metadata={**error.metadata, "suggestion": close}
            ) from error


def _find(connection: sqlite3.Connection, wanted: FormulaReference) -> _Found:
    (last_version,) = connection.execute("SELECT max(version) FROM versions WHERE id = ?", (wanted.id,)).fetchone()
    version = wanted.version
    if version is None:
        row = connection.execute("SELECT version FROM live WHERE id = ?", (wanted.id,)).fetchone()
        version = row[0] if row else None
    row = connection.execute(_SELECT_ONE, (wanted.id, version)).fetchone()
    return _formula(row) if row else None, last_version or 0


def _present(connection: sqlite3.Connection, identifier: str, etag: str) -> SavedFormula:
    """The newest version, once it is known to have the etag."""
    found, last_version = _find(connection, FormulaReference(identifier))
    if found is None:
        raise _not_found(FormulaReference(identifier), last_version)
    if etag not in {"", found.etag}:
        raise FormulaChangedError(
            f"formula {quoted(identifier)} was changed meanwhile and has version {found.version} now; get it again",
            metadata={"id": identifier, "version": str(found.version)},
        )
    return found


def _save(connection: sqlite3.Connection, draft: SavedFormula, *, version: int) -> SavedFormula:
    row = (
        draft.id,
        version,
        draft.expression,
        draft.description,
        json.dumps([asdict(parameter) for parameter in draft.parameters]),
        draft.qlib_defects,
        draft.float32_fields,
        time.time_ns() // 1_000,
    )
    connection.execute("INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    connection.execute("INSERT OR REPLACE INTO live VALUES (?, ?)", (draft.id, version))
    return _formula(connection.execute(_SELECT_ONE, (draft.id, version)).fetchone())


def _formula(row: tuple[Any, ...]) -> SavedFormula:
    identifier, version, expression, description, parameters, qlib_defects, float32_fields, updated, created = row
    try:
        declared = tuple(DeclaredParameter(**entry) for entry in json.loads(parameters))
        etag = f"{version:x}-{updated:x}"
    except (ValueError, TypeError) as error:
        raise damaged() from error
    return SavedFormula(
        id=identifier,
        version=version,
        expression=expression,
        description=description,
        parameters=declared,
        qlib_defects=bool(qlib_defects),
        float32_fields=bool(float32_fields),
        etag=etag,
        create_time_micros=created,
        update_time_micros=updated,
    )


def _page(formulas: Iterable[SavedFormula], page_size: int) -> FormulaPage:
    """As many of the formulas as a page may have."""
    page: list[SavedFormula] = []
    characters = 0
    for formula in formulas:
        characters += _size(formula)
        if page and (len(page) == page_size or characters > _MOST_PAGE_CHARACTERS):
            return FormulaPage(tuple(page), is_last=False)
        page.append(formula)
    return FormulaPage(tuple(page), is_last=True)


def _size(formula: SavedFormula) -> int:
    """Its texts' characters, each at most 4 bytes, with an allowance for the rest."""
    declared = sum(len(parameter.name) + len(parameter.description) + 50 for parameter in formula.parameters)
    return len(formula.expression) + len(formula.description) + declared + 200


def _not_found(wanted: FormulaReference, last_version: int) -> FormulaNotFoundError:
    metadata = {"id": str(wanted)}
    if not last_version:
        return FormulaNotFoundError(f"there is no formula {quoted(str(wanted))}", metadata=metadata)
    if wanted.version is None:
        message = (
            f"formula {quoted(wanted.id)} was deleted; version {last_version} was its last and can still be pinned"
        )
    else:
        message = f"formula {quoted(wanted.id)} has no version {wanted.version}; its last is {last_version}"
    return FormulaNotFoundError(message, metadata=metadata | {"last_version": str(last_version)})


def _check(draft: SavedFormula) -> None:
    if violations := violations_of(draft):
        raise InvalidRequestError(violations)
