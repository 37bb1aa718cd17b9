"""StoreFile: the SQLite file of saved formulas, its schema, and its transactions.

How nothing is lost:

1. Every change is one transaction that takes the file's write lock before it looks at anything (`BEGIN IMMEDIATE`),
   so what it decides from is what it changes.
2. The file is in WAL mode with `synchronous = FULL`: a change is on the disk when the call returns. What a process
   had begun when it was killed is not there for the next one that opens the file.
3. Every call opens the file anew and closes it: threads share nothing, and no process keeps a lock.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from candelabra_server.errors import StoreError, UnavailableError

__all__ = ["FILE_NAME", "StoreFile", "damaged"]

FILE_NAME = "formulas.sqlite3"
"""The file in the folder of the candle store; SQLite keeps `-wal` and `-shm` beside it while it is open."""

_FORMAT = 1
"""Version of the schema, kept as SQLite's `user_version`; a file of another version is refused, not misread."""
# A version is never changed. `live` says which ids are in use, and which of their versions is the newest; a deleted
# id is only taken out of there.
_SCHEMA = (
    """
    CREATE TABLE versions (
        id TEXT NOT NULL,
        version INTEGER NOT NULL,
        expression TEXT NOT NULL,
        description TEXT NOT NULL,
        parameters TEXT NOT NULL,
        qlib_defects INTEGER NOT NULL,
        float32_fields INTEGER NOT NULL,
        update_time_micros INTEGER NOT NULL,
        PRIMARY KEY (id, version)
    )
    """,
    "CREATE TABLE live (id TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL)",
    f"PRAGMA user_version = {_FORMAT}",
)
_CONNECTION_SETTINGS = (
    "PRAGMA synchronous = FULL",  # also where SQLite was built with another default
    "PRAGMA fullfsync = ON",  # on macOS fsync alone does not reach the disk
)
_BUSY_SECONDS = 10.0
"""How long a call waits for others that write: each change of theirs takes a few milliseconds."""
_BUSY_PAUSE_SECONDS = 0.005
_BUSY_CODES = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_NOT_OPENED = "cannot be opened; the server must be allowed to write to it and to its folder"
_FAULTS = {
    sqlite3.SQLITE_FULL: "cannot be written: the disk is full; nothing was changed",
    sqlite3.SQLITE_IOERR: "cannot be read or written: the disk reports an error, or is full; nothing was changed",
    sqlite3.SQLITE_CANTOPEN: _NOT_OPENED,
    sqlite3.SQLITE_PERM: _NOT_OPENED,
    sqlite3.SQLITE_READONLY: _NOT_OPENED,
}
_DAMAGED = "is damaged, or is no file of saved formulas"

_Result = TypeVar("_Result")


class StoreFile:
    """The file in a folder, which is made by the first change. Safe from several threads and processes; calls block.

    Every call raises StoreError where the file cannot be read or written, and UnavailableError where others kept it
    locked for ten seconds; no message names the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder.absolute() / FILE_NAME

    def read(self, query: Callable[[sqlite3.Connection], _Result]) -> _Result | None:
        """What the query gives, all of it from one state of the file; None where nothing was ever saved."""
        try:
            self._path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _store_error(_NOT_OPENED) from error

        def run() -> _Result | None:
            with self._connection("rw") as connection:
                connection.execute("BEGIN")
                return query(connection) if _format_of(connection) else None

        return _with_patience(run)

    def write(self, change: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """What the change gives, once all of it is on the disk; where it raises, nothing is changed.

        Nobody else can write while it runs. It may run more than once.
        """
        try:
            _make_folder(self._path.parent)
        except OSError as error:
            raise _store_error("cannot be made: its folder is not there and cannot be made") from error

        def run() -> _Result:
            with self._connection("rwc") as connection:
                connection.execute("BEGIN")
                is_new = not _format_of(connection)
                connection.execute("COMMIT")
                if is_new:  # the mode stays in the file, and cannot be set inside a transaction
                    connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("BEGIN IMMEDIATE")
                if not _format_of(connection):
                    for statement in _SCHEMA:
                        connection.execute(statement)
                result = change(connection)
                connection.execute("COMMIT")
                return result

        return _with_patience(run)

    @contextlib.contextmanager
    def _connection(self, mode: str) -> Iterator[sqlite3.Connection]:
        """The open file; a transaction that was not committed is undone in the end."""
        address = f"{self._path.as_uri()}?mode={mode}"
        connection = sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
        with contextlib.closing(connection):
            for setting in _CONNECTION_SETTINGS:
                connection.execute(setting)
            yield connection


def damaged() -> StoreError:
    """Says that what is in the file cannot be what was written to it."""
    return _store_error(_DAMAGED)


def _with_patience(run: Callable[[], _Result]) -> _Result:
    """The result of a whole transaction, which is tried again while the file is locked.

    SQLite waits by itself for most locks, but not for others that are just making, mending or closing the file.
    """
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            return run()
        except sqlite3.Error as error:
            # The low byte is the kind of error; the rest tells which of SQLite's steps it was.
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
            if code not in _BUSY_CODES:
                raise _store_error(_FAULTS.get(code, _DAMAGED)) from error
            if time.monotonic() > deadline:
                raise UnavailableError("another process keeps the saved formulas locked; try again") from error
        time.sleep(_BUSY_PAUSE_SECONDS)


def _format_of(connection: sqlite3.Connection) -> int:
    """The version of the file's schema; 0 for a file that has nothing in it yet. To be asked in a transaction."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version not in {0, _FORMAT}:
        raise _store_error(
            f"has version {version} of the format of saved formulas, this server reads {_FORMAT}; "
            "use the release that wrote it, or a later one"
        )
    if version == 0 and connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        raise damaged()
    return int(version)


def _make_folder(folder: Path) -> None:
    """Makes the folder where it is missing, and returns when its name is on the disk."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    if os.name == "posix":  # Windows has no such call and needs none
        descriptor = os.open(folder.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _store_error(fault: str) -> StoreError:
    return StoreError(f"{FILE_NAME} {fault}")
