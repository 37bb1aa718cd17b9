"""TA-Lib's catalogue, made from its own metadata."""

from __future__ import annotations

from candelabra_server.formulas.catalogue.function import Function

__all__ = ["TALIB_FUNCTIONS"]

TALIB_FUNCTIONS: tuple[Function, ...] = ()
