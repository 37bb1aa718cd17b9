"""TA-Lib's functions as operations."""

from __future__ import annotations

from candelabra_server.formulas.operations.operation import Operation

__all__ = ["TALIB_OPERATIONS"]

TALIB_OPERATIONS: tuple[Operation, ...] = ()
