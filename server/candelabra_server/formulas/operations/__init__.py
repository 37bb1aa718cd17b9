"""Every operation that a node of the graph can be, as data; one module a kind of operation."""

from __future__ import annotations

from candelabra_server.formulas.operations.arithmetic import ARITHMETIC_OPERATIONS
from candelabra_server.formulas.operations.operation import (
    ALIGN,
    ALL_HISTORY,
    CONSTANT,
    FIELD,
    OUTPUT,
    REDUCE,
    REMAINING_WEIGHT,
    Exactness,
    MissingCause,
    Operation,
    Setting,
)
from candelabra_server.formulas.operations.qlib import QLIB_OPERATIONS
from candelabra_server.formulas.operations.signals import SIGNAL_OPERATIONS
from candelabra_server.formulas.operations.talib import TALIB_OPERATIONS
from candelabra_server.formulas.operations.timed import TIMED_OPERATIONS
from candelabra_server.formulas.operations.windows import WINDOW_OPERATIONS

__all__ = [
    "ALIGN",
    "ALL_HISTORY",
    "CONSTANT",
    "FIELD",
    "OPERATIONS",
    "OUTPUT",
    "REDUCE",
    "REMAINING_WEIGHT",
    "Exactness",
    "MissingCause",
    "Operation",
    "Setting",
]

OPERATIONS = {
    operation.name: operation
    for operation in (
        ALIGN,
        CONSTANT,
        FIELD,
        OUTPUT,
        REDUCE,
        *ARITHMETIC_OPERATIONS,
        *WINDOW_OPERATIONS,
        *QLIB_OPERATIONS,
        *SIGNAL_OPERATIONS,
        *TIMED_OPERATIONS,
        *TALIB_OPERATIONS,
    )
}
"""All operations by name."""
