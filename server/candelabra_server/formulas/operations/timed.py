"""Operations that look at the clock."""

from __future__ import annotations

from candelabra_server.formulas.kernels import sessions
from candelabra_server.formulas.operations.operation import MissingCause, Operation, whole_history

__all__ = ["TIMED_OPERATIONS"]

TIMED_OPERATIONS = (
    Operation(
        name="session_weighted_mean",
        kernel=sessions.session_weighted_mean,
        warm_up=whole_history,
        timed=True,
        missing=MissingCause.DIVISION_BY_ZERO,
        nanos=lambda *_: 100.0,
    ),
)
