"""Checksums of a store's files: of candles in blocks, so that damage is found where it lies, of small files in one.

They are CRC-32, from zlib: any run of up to 32 wrong bits is found, of other damage all but one in four thousand
million. Every Python has it, and with today's zlib and processors it is faster than the disk. It is no protection
from somebody who changes files on purpose.

A file of candles has one checksum for every BLOCK_BYTES, kept in its index: a wrong one tells the columns and rows,
and so the symbols, that are touched. A file of JSON ends in a seal, the checksum of what comes before it; one without
a seal was written before there were any.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any
from zlib import crc32

__all__ = ["BLOCK_BYTES", "BlockChecksums", "ChecksummingFile", "has_seal", "is_intact", "sealed"]

BLOCK_BYTES = 1 << 18
"""Of the files that are written: 32,768 values of a column, and 4 MiB of checksums for a file of 128 GiB."""

_DIGITS = 8
_SEAL = re.compile(rb',\s*"crc32":\s*"([0-9a-f]{8})"\s*\}\s*$')
_LONGEST_SEAL = 64


@dataclass(frozen=True, slots=True)
class BlockChecksums:
    """The checksums of a file's blocks.

    Attributes:
        block_bytes: size of every block but the last.
        digits: eight hexadecimal digits a block; one text, since readers have no use for it and lists cost them time.
    """

    block_bytes: int
    digits: str

    def fit(self, file_bytes: int) -> bool:
        """Whether these can be the checksums of a file of this size."""
        if self.block_bytes <= 0 or self.block_bytes % 8:
            return False
        return len(self.digits) == -(-file_bytes // self.block_bytes) * _DIGITS

    def agree(self, number: int, block: bytes) -> bool:
        """Whether a block, counted from 0, is as it was written."""
        return self.digits[number * _DIGITS : (number + 1) * _DIGITS] == f"{crc32(block):08x}"


class ChecksummingFile:
    """Writes a file and computes the checksums of its blocks on the way. Not safe to share between threads."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digits: list[str] = []
        self._crc = 0
        self._filled = 0
        self.closed = False

    def write(self, data: Any) -> int:  # noqa: ANN401 - whatever has the buffer protocol
        """Writes bytes."""
        view = memoryview(data).cast("B")
        start = 0
        while start < len(view):
            part = view[start : start + BLOCK_BYTES - self._filled]
            self._crc = crc32(part, self._crc)
            self._filled += len(part)
            start += len(part)
            if self._filled == BLOCK_BYTES:
                self._end_block()
        return self._file.write(view)

    def flush(self) -> None:
        """Nothing to do: whoever opened the file flushes it."""

    def tell(self) -> int:
        """The position in the file."""
        return self._file.tell()

    def close(self) -> None:
        """Marks the end; whoever opened the file closes it."""
        self.closed = True

    def checksums(self) -> BlockChecksums:
        """Those of all that was written, after which nothing more may be."""
        if self._filled:
            self._end_block()
        return BlockChecksums(BLOCK_BYTES, "".join(self._digits))

    def _end_block(self) -> None:
        self._digits.append(f"{self._crc:08x}")
        self._crc = self._filled = 0


def sealed(content: Mapping[str, Any], *, indent: int | None = None) -> bytes:
    """A file of JSON that ends in a seal; the content has no key `crc32` and at least another."""
    separators = (",", ":") if indent is None else None
    text = json.dumps(content, indent=indent, separators=separators, ensure_ascii=False)
    body = text[:-1].rstrip().encode()
    line = b"" if indent is None else b"\n" + b" " * indent
    return body + b"," + line + b'"crc32": "%08x"}\n' % crc32(body)


def has_seal(content: bytes) -> bool:
    """Whether a file of JSON ends in a seal."""
    return _SEAL.search(content, max(0, len(content) - _LONGEST_SEAL)) is not None


def is_intact(content: bytes) -> bool:
    """Whether a file of JSON is as its seal says, or has none."""
    seal = _SEAL.search(content, max(0, len(content) - _LONGEST_SEAL))
    return seal is None or crc32(memoryview(content)[: seal.start()]) == int(seal[1], 16)
