"""How kernels are compiled: as IEEE 754 says, so that the same arithmetic gives the same bits as in numpy."""

from __future__ import annotations

import numba

__all__ = ["callable_from_python", "compiled"]

_OPTIONS = {"error_model": "numpy", "fastmath": False, "boundscheck": False, "nogil": True}
"""Division by zero gives infinities and NaN; nothing is reassociated or contracted."""

compiled = numba.njit(**_OPTIONS, no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""For what other kernels call: without the wrappers that Python would need, which take longer to compile than it."""
callable_from_python = numba.njit(**_OPTIONS, no_cfunc_wrapper=True)
