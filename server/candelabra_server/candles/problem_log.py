"""ProblemLog: everything that is wrong with the files of an import, in one report of limited length."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from candelabra_server.errors import ImportProblem, ImportRefusedError

__all__ = ["FileProblems", "ProblemLog"]


class ProblemLog:
    """Problems of all files, in the order of files and lines; keeps the first ones and counts all."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._problems: list[ImportProblem] = []
        self._count = 0

    @property
    def room(self) -> int:
        """How many more problems are kept."""
        return self._limit - len(self._problems)

    @property
    def limit(self) -> int:
        """How many problems are kept in all."""
        return self._limit

    def add(self, file: str, line: int | None, message: str) -> None:
        """Logs one problem."""
        self._count += 1
        if self.room > 0:
            self._problems.append(ImportProblem(file, line, message))

    def count_further(self, count: int) -> None:
        """Counts problems that are not described."""
        self._count += count

    def raise_if_any(self) -> None:
        """Refuses the import when there are problems.

        Raises:
            ImportRefusedError: with the problems kept and how many there are.
        """
        if self._count:
            raise ImportRefusedError(self._problems, problem_count=self._count)


class FileProblems:
    """Problems of one file, found check by check and reported line by line."""

    def __init__(self, log: ProblemLog, file: str) -> None:
        self.locate: Callable[[int], int | None] = lambda row: row + 1
        self._log = log
        self._file = file
        self._in_rows: list[tuple[int, str]] = []
        self._in_lines: list[tuple[int | None, str]] = []
        self._count = 0

    def __bool__(self) -> bool:
        return self._count > 0

    def in_file(self, message: str) -> None:
        """The whole file is meant."""
        self.in_line(None, message)

    def in_line(self, line: int | None, message: str) -> None:
        """A line of the file is meant."""
        self._count += 1
        self._in_lines.append((line, message))

    def in_rows(self, rows: npt.NDArray[np.intp], describe: Callable[[int], str]) -> None:
        """Candles are meant; only the first ones, as many as the report keeps, are described."""
        self._count += len(rows)
        self._in_rows += [(row, describe(row)) for row in rows[: self._log.limit].tolist()]

    def report(self) -> None:
        """Hands everything to the log, sorted by line."""
        found = self._in_lines + [(self.locate(row), message) for row, message in self._in_rows]
        found.sort(key=lambda problem: (problem[0] is not None, problem[0] or 0))
        for line, message in found:
            self._log.add(self._file, line, message)
        self._log.count_further(self._count - len(found))
