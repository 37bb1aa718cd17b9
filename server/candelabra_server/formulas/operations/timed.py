"""Operations that look at the clock: sessions and resampling."""

from __future__ import annotations

from candelabra_server.formulas.operations.operation import Operation

__all__ = ["TIMED_OPERATIONS"]

TIMED_OPERATIONS: tuple[Operation, ...] = ()
