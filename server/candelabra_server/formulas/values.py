"""What an expression turns out to be while a formula is checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from candelabra_server.formulas.graph import Node
from candelabra_server.formulas.nodes import ColumnKind

__all__ = ["Bundle", "OtherSymbol", "Series", "TextValue", "Value"]


@dataclass(frozen=True, slots=True)
class Series:
    """One value a row, or a constant."""

    node: Node
    kind: ColumnKind = ColumnKind.NUMBER


@dataclass(frozen=True, slots=True)
class Bundle:
    """Several values under one name: the outputs of a function or the columns of a saved formula, in their order."""

    function: str
    outputs: Mapping[str, Series | Bundle]

    @property
    def choices(self) -> str:
        """How one of them is written."""
        return ", ".join(f"`.{name}`" for name in self.outputs)


@dataclass(frozen=True, slots=True)
class TextValue:
    """A text, which only an argument can be."""

    text: str


@dataclass(frozen=True, slots=True)
class OtherSymbol:
    """`symbol("SPY")`: what is behind the dot is one of its fields."""

    symbol: str


Value = Series | Bundle | TextValue | OtherSymbol | None
"""None: something is wrong with it, and has been told; whatever uses it has no value either."""
