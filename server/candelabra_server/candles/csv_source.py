"""CsvSource: the lines of one CSV file, read fast as columns and, when something is wrong, slowly by line."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from functools import cached_property

import pyarrow as pa
from pyarrow import csv as arrow_csv

from candelabra_server.candles.problem_log import FileProblems
from candelabra_server.candles.source_table import SourceTable
from candelabra_server.candles.vendor_names import BINANCE_HEADER

__all__ = ["CsvSource"]

_BOM = b"\xef\xbb\xbf"
_FIRST_LINE = re.compile(rb"\s*([^\r\n]*)(\r\n|\r|\n|$)")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_EPOCH_TIME = re.compile(r"\d{12,17}", re.ASCII)
"""Milliseconds or microseconds since 1970."""
_DELIMITERS = ",;\t|"
_BLOCK_BYTES = 1 << 22


class CsvSource:
    """A CSV file in memory.

    Its first line that is not blank is the header, unless most of it is numbers: then columns are named as
    `header` says, or as Binance's when they look it. The delimiter is the one of `, ; tab |` that the first
    line has most of. Blank lines are skipped.
    """

    def __init__(self, content: bytes, header: Sequence[str], problems: FileProblems) -> None:
        self._content = content
        self._given_header = header
        self._problems = problems
        self._has_bad_lines = False

    def read(self) -> SourceTable | None:
        """All columns as text; None, and problems, when the file is no table."""
        content, problems = self._content, self._problems
        try:
            text_start = len(_BOM) if content.startswith(_BOM) else 0
            content.decode("utf-8")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            problems.in_line(line, "is not text in UTF-8; expected CSV, Parquet or Arrow")
            return None
        if not content[text_start:].strip():
            problems.in_file("is empty")
            return None
        names = self._names
        if not self._names_fit():
            return None
        first_line = _FIRST_LINE.match(content, text_start)
        body_start = len(content)
        if first_line:
            body_start = first_line.end() if self._has_header else first_line.start(1)
        if not re.compile(rb"\S").search(content, body_start):
            problems.in_file("has a header and no candles")
            return None
        keys = [f"c{number}" for number in range(len(names))]
        try:
            table = arrow_csv.read_csv(
                pa.py_buffer(memoryview(content)[body_start:]),
                read_options=arrow_csv.ReadOptions(column_names=keys, block_size=_BLOCK_BYTES),
                parse_options=arrow_csv.ParseOptions(
                    delimiter=self._delimiter, invalid_row_handler=self._skip_bad_line
                ),
                convert_options=arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(keys, pa.string()), check_utf8=False, strings_can_be_null=False
                ),
            )
        except pa.ArrowInvalid:
            problems.in_file("cannot be read as CSV; is it another kind of file?")
            return None
        return SourceTable(names, [column.combine_chunks() for column in table.columns], self._bad_lines)

    def line_of(self, row: int) -> int | None:
        """The line of a candle, counted from 1."""
        lines = self._lines[0]
        return lines[row] if row < len(lines) else None

    def _bad_lines(self) -> Sequence[tuple[int, str]]:
        if not self._has_bad_lines:
            return ()
        expected = _count(len(self._names))
        place = "in the header" if self._has_header else "in the first line"
        return [(line, f"expected {expected} as {place}, found {found}") for line, found in self._lines[1]]

    def _names_fit(self) -> bool:
        """Whether every column has a name; a problem when not."""
        found = len(self._first_row)
        if self._has_header or len(self._names) == found:
            return True
        if self._given_header:
            self._problems.in_line(1, f"has {_count(found)}, but --header names {len(self._names)}")
        else:
            self._problems.in_line(
                1,
                f"has no header line; name its {_count(found)} in their order, such as "
                "--header time,open,high,low,close,volume",
            )
        return False

    @cached_property
    def _first_line(self) -> str:
        match = _FIRST_LINE.match(self._content.removeprefix(_BOM))
        return match[1].decode() if match else ""

    @cached_property
    def _delimiter(self) -> str:
        return max(_DELIMITERS, key=self._first_line.count)

    @cached_property
    def _first_row(self) -> Sequence[str]:
        row = next(csv.reader([self._first_line], delimiter=self._delimiter), [])
        return [name.strip() for name in row]

    @cached_property
    def _has_header(self) -> bool:
        """Names of columns are no numbers."""
        numbers = sum(1 for cell in self._first_row if _NUMBER.fullmatch(cell))
        return 2 * numbers <= len(self._first_row)

    @cached_property
    def _names(self) -> Sequence[str]:
        if self._has_header:
            return self._first_row
        is_kline = len(self._first_row) == len(BINANCE_HEADER) and _EPOCH_TIME.fullmatch(self._first_row[0])
        return self._given_header or (BINANCE_HEADER if is_kline else ())

    @cached_property
    def _lines(self) -> tuple[Sequence[int], Sequence[tuple[int, int]]]:
        """Lines of the rows that have all columns; lines of the others and how many columns they have."""
        good, bad = [], []
        width = len(self._names)
        for line, cells in self._numbered_rows():
            if len(cells) == width:
                good.append(line)
            elif any(cell.strip() for cell in cells):
                bad.append((line, len(cells)))
        return good[1:] if self._has_header else good, bad

    def _numbered_rows(self) -> Iterator[tuple[int, Sequence[str]]]:
        text = io.StringIO(self._content.removeprefix(_BOM).decode(), newline=None)
        reader = csv.reader(text, delimiter=self._delimiter)
        line = 1
        try:
            for cells in reader:
                if cells:
                    yield line, cells
                line = reader.line_num + 1
        except csv.Error:  # rows from here on have no line
            return

    def _skip_bad_line(self, row: arrow_csv.InvalidRow) -> str:
        self._has_bad_lines = self._has_bad_lines or bool(row.text.strip())
        return "skip"


def _count(number: int) -> str:
    return f"{number} column" if number == 1 else f"{number} columns"
