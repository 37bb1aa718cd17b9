"""unpack: the bytes of a file, unpacked when they are gzip, zstd or a zip of one file."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Callable, Sequence

import pyarrow as pa

from candelabra_server.candles.problem_log import FileProblems

__all__ = ["unpack"]


def unpack(content: bytes, problems: FileProblems) -> bytes | None:
    """The content itself when it is not packed; None, and a problem, when it does not unpack."""
    for name, magic, unpacker in _PACKINGS:
        if content.startswith(magic):
            try:
                return unpacker(content)
            except _SeveralFilesError as error:
                problems.in_file(f"is a zip of {len(error.names)} files; expected one, or unpack it into a folder")
            except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError):
                problems.in_file(f"is damaged or truncated: its {name} data ends early or does not unpack")
            return None
    return content


class _SeveralFilesError(Exception):
    """A zip holds no file, or several."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(names)
        self.names = names


def _unpack_zip(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
        if len(names) != 1:
            raise _SeveralFilesError(names)
        return archive.read(names[0])


def _unpack_zstd(content: bytes) -> bytes:
    with pa.input_stream(pa.BufferReader(content), compression="zstd") as stream:
        unpacked: bytes = stream.read()
    return unpacked


_PACKINGS: Sequence[tuple[str, bytes, Callable[[bytes], bytes]]] = (
    ("gzip", b"\x1f\x8b", gzip.decompress),
    ("zip", b"PK\x03\x04", _unpack_zip),
    ("zstd", b"\x28\xb5\x2f\xfd", _unpack_zstd),
)
