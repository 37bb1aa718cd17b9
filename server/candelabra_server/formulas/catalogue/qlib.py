"""Qlib's operators in Qlib's spelling: missing values are skipped, and a window needs one value."""

from __future__ import annotations

from candelabra_server.formulas.catalogue.qlib_rows import QLIB_ROW_FUNCTIONS
from candelabra_server.formulas.catalogue.qlib_windows import QLIB_WINDOW_FUNCTIONS

__all__ = ["QLIB_FUNCTIONS"]

QLIB_FUNCTIONS = (*QLIB_WINDOW_FUNCTIONS, *QLIB_ROW_FUNCTIONS)
