"""Formulas that the server brings along, by id: SavedFormula with `built_in=True` and version 1."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from candelabra_server.formulas.builtins.qlib_alpha158 import alpha158
from candelabra_server.formulas.builtins.qlib_alpha360 import alpha360
from candelabra_server.formulas.saved import SavedFormula

__all__ = ["BUILTIN_FORMULAS"]

BUILTIN_FORMULAS: Mapping[str, SavedFormula] = MappingProxyType(
    {formula.id: formula for formula in (alpha158(), alpha360())}
)
"""Built-in formulas by id."""
