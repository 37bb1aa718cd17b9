"""How kernels are compiled: as IEEE 754 says, so that the same arithmetic gives the same bits as in numpy."""

from __future__ import annotations

import numba

__all__ = ["compiled"]

compiled = numba.njit(error_model="numpy", fastmath=False, boundscheck=False, nogil=True)
"""Division by zero gives infinities and NaN; nothing is reassociated or contracted."""
