"""Whether this process has the compiled machine, and how it gets it.

Importing numba takes long, and compiling the kernels for the first time much longer. So a process has the machine
only where somebody called `load_machine`, which worker processes find done by the forkserver; everywhere else, and
where numba cannot be used, the kernels of numpy compute the same values, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["load_machine", "loaded_machine"]

Machine = Callable[..., Any]


class _Loaded:
    machine: Machine | None = None


def loaded_machine() -> Machine | None:
    """The machine, or None where it has not been loaded."""
    return _Loaded.machine


def load_machine() -> Machine:
    from candelabra_server.formulas.compiled.machine import run_program

    _Loaded.machine = run_program
    return run_program
