"""Operations of signals and state."""

from __future__ import annotations

from candelabra_server.formulas.operations.operation import Operation

__all__ = ["SIGNAL_OPERATIONS"]

SIGNAL_OPERATIONS: tuple[Operation, ...] = ()
