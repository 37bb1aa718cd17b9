"""What an expression turns out to be while a formula is checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from candelabra_server.formulas.graph import Node
from candelabra_server.formulas.nodes import ColumnKind

__all__ = ["Bundle", "Series", "Value"]


@dataclass(frozen=True, slots=True)
class Series:
    """One value a row, or a constant."""

    node: Node
    kind: ColumnKind = ColumnKind.NUMBER


@dataclass(frozen=True, slots=True)
class Bundle:
    """Several columns of one function, by the names of its outputs, in their order."""

    function: str
    outputs: Mapping[str, Series]

    @property
    def choices(self) -> str:
        """How one of them is written."""
        return ", ".join(f"`.{name}`" for name in self.outputs)


Value = Series | Bundle | None
"""None: something is wrong with it, and has been told; whatever uses it has no value either."""
