"""The compiled machine: where it is cached, how it gets there, and whether this process has it.

Compiling the kernels takes about a minute, so it is done ahead, by `warm_up`, and kept on disk: one folder a
fingerprint of everything that the compiled code depends on, and in it a list of its files, written last. `load_machine`
takes the machine from there and never compiles. Where it has not been loaded, the kernels of numpy compute the same
values, to the bit, several times slower: that is so in every process that does no work of a worker, while the cache
is being filled, and where numba cannot be used at all.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import logging
import os
import platform
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import platformdirs

from candelabra_server.errors import ConfigurationError

__all__ = ["Machine", "cache_folder", "is_warm", "load_machine", "loaded_machine", "make_cache_folder", "warm_up"]

logger = logging.getLogger(__name__)

_CODE = "Array(int64, 1, 'C', readonly=True)"
_TABLE = "float64[:, ::1]"
_SPLICE = (
    "int64(uint8[::1], int64, Array(uint8, 1, 'C', readonly=True), int64[::1], {}[::1], int64, int64, int64, "
    "int64[::1], int64[::1])"
)
_SIGNATURES = {
    "run": f"void({_CODE}, {_TABLE}, {_TABLE}, float64[::1])",
    "count_missing": f"int64({_TABLE}, int64, int64[::1])",
    "trace_missing": f"void({_CODE}, {_TABLE}, int8[:, ::1], int64, int64[:, ::1])",
    "splice": _SPLICE.format("float64"),
    "splice_float32": _SPLICE.format("float32"),
}
"""What is compiled: the fields of Machine."""

CACHE_VARIABLE = "CANDELABRA_KERNEL_CACHE"
"""Names the folder of the cache; without it, the user's own cache folder is taken."""
_LIST = "complete.json"
_DEPENDENCIES = ("llvmlite", "numba", "numpy")
_TARGETS = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")
"""Where these are set, numba compiles for another processor than this one."""


class Machine(NamedTuple):
    """The compiled functions that Python calls. They let other threads run, and may run in several at once."""

    run: Any
    """See machine.run_program."""
    count_missing: Any
    """See tracing.count_missing."""
    trace_missing: Any
    """See tracing.trace_missing."""
    splice: Any
    """See splicing.splice."""
    splice_float32: Any
    """See splicing.splice_float32."""


class _Loaded:
    """This process's machine: the only state of the module."""

    machine: Machine | None = None
    failed: bool = False


def loaded_machine() -> Machine | None:
    """The machine, where this process has it."""
    return _Loaded.machine


def cache_folder() -> Path:
    """Where the compiled kernels of this version, on this processor and these libraries, are kept."""
    chosen = os.environ.get(CACHE_VARIABLE)
    base = Path(chosen) if chosen else platformdirs.user_cache_path("candelabra", appauthor=False) / "kernels"
    return base / _fingerprint()


def is_warm() -> bool:
    """Whether the cache has everything that `load_machine` needs."""
    folder = cache_folder()
    try:
        sizes = json.loads((folder / _LIST).read_bytes())
        return bool(sizes) and all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def load_machine() -> bool:
    """Takes the machine from the cache, if it is there; whether this process has it now.

    Takes a second for the first time. What is wrong with a cache is logged, not raised: the formulas go on without.
    """
    if _Loaded.machine is None and not _Loaded.failed and is_warm():
        try:
            _Loaded.machine = _machine_of(cache_folder())
            logger.info("compiled kernels taken from %s", cache_folder())
        except Exception:  # whatever is wrong with what is on the disk, values do not depend on it
            _Loaded.failed = True
            with contextlib.suppress(OSError):  # a warm-up makes it anew then
                (cache_folder() / _LIST).unlink()
            logger.exception("cannot load the compiled kernels: formulas run without them, several times slower")
    return _Loaded.machine is not None


def make_cache_folder() -> Path:
    """The folder that holds the caches of all versions, made where it is missing.

    Raises:
        ConfigurationError: it cannot be written.
    """
    base = cache_folder().parent
    try:
        base.mkdir(parents=True, exist_ok=True)
        if not os.access(base, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise _unwritable(base, error) from error
    return base


def warm_up() -> bool:
    """Compiles the machine into the cache, unless it is there; whether there was anything to do. Takes a minute.

    Raises:
        ConfigurationError: the cache cannot be written, or numba cannot be used.
    """
    if is_warm():
        return False
    base, folder = make_cache_folder(), cache_folder()
    try:
        # Made beside its place and moved there: nobody sees a half of it, and two that fill it do not meet.
        with tempfile.TemporaryDirectory(prefix=".filling-", dir=base, ignore_cleanup_errors=True) as fresh:
            filled = Path(fresh) / folder.name
            _machine_of(filled)
            files = [path for path in filled.rglob("*") if path.is_file()]
            sizes = {path.relative_to(filled).as_posix(): path.stat().st_size for path in files}
            (filled / _LIST).write_text(json.dumps(sizes))
            _replace(filled, folder)
    except OSError as error:
        raise _unwritable(base, error) from error
    except ImportError as error:
        raise ConfigurationError("numba cannot be imported, so there are no compiled kernels") from error
    return True


def _unwritable(base: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"cannot write the kernel cache {base}: {error.strerror}; set {CACHE_VARIABLE} to a folder that can be written"
    )


def _machine_of(folder: Path) -> Machine:
    """The machine, from what a folder has of it; compiled into the folder where that is nothing."""
    from numba.core import config  # noqa: PLC0415 - the import that must not happen everywhere

    before = config.CACHE_DIR  # type: ignore[attr-defined]  # made when it is imported
    config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
    try:
        from candelabra_server.formulas.compiled.machine import run_program  # noqa: PLC0415 - the same
        from candelabra_server.formulas.compiled.splicing import splice, splice_float32  # noqa: PLC0415
        from candelabra_server.formulas.compiled.tracing import count_missing, trace_missing  # noqa: PLC0415

        machine = Machine(run_program, count_missing, trace_missing, splice, splice_float32)
        for function in machine:
            function.enable_caching()
    finally:
        config.CACHE_DIR = before  # type: ignore[attr-defined]
    for name, signature in _SIGNATURES.items():
        function = getattr(machine, name)
        function.disable_compile(False)  # as it is left by the warm-up in the same process
        function.compile(signature)
        function.disable_compile()  # a call that does not fit is an error, not another minute
    return machine


def _replace(fresh: Path, folder: Path) -> None:
    """Moves a folder to its place; what is there, and is not complete, goes."""
    try:
        fresh.rename(folder)
    except OSError:
        if is_warm():
            return  # another process was first
        folder.rename(fresh.parent / "replaced")
        fresh.rename(folder)


@functools.cache
def _fingerprint() -> str:
    """Of what the compiled code depends on: its sources, the libraries, Python and the processor.

    And of when the sources of what is called were changed, since numba looks at that too: where the two did not agree
    about what is in the cache, `load_machine` would compile.
    """
    digest = hashlib.sha256()
    digest.update(repr(_SIGNATURES).encode())
    here = Path(__file__)
    for path in sorted(set(here.parent.glob("*.py")) - {here}):
        digest.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    for path in (here.parent / name for name in ("machine.py", "splicing.py", "tracing.py")):
        digest.update(f"{path.stat().st_mtime_ns}\n".encode())
    versions = [f"{name} {_version(name)}" for name in _DEPENDENCIES]
    digest.update("\n".join([*versions, sys.version, platform.machine(), _processor()]).encode())
    digest.update("".join(f"{name}={os.environ[name]}\n" for name in _TARGETS if name in os.environ).encode())
    return digest.hexdigest()[:20]


def _processor() -> str:
    """What tells a processor from others, where a cache on a network drive may meet several."""
    try:
        described = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return "\n".join(sorted({line for line in described if line.startswith(("model name", "flags", "Features"))}))


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
