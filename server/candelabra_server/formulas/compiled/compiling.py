"""How kernels are compiled: as IEEE 754 says, so that the same arithmetic gives the same bits as in numpy."""

from __future__ import annotations

from typing import Any

import numba

__all__ = ["compiled", "compiled_with_memory", "inlined"]

_OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": False, "boundscheck": False, "nogil": True}
"""Division by zero gives infinities and NaN; nothing is reassociated or contracted."""
_WITHOUT_MEMORY = _OPTIONS | {"_nrt": False}

compiled = numba.njit(**_WITHOUT_MEMORY)
"""For kernels that make no arrays of their own: without the counting of references to memory, which takes longer than
a view of a column is worth."""
compiled_with_memory = numba.njit(**_OPTIONS | {"_nrt": True})  # said, or it would be as in the caller
"""For kernels that make arrays."""
inlined = numba.njit(inline="always", **_WITHOUT_MEMORY)
"""For views of arrays, which only a function that is put into its caller may give."""
