"""Signals and state: what happened, and what has happened since."""

from __future__ import annotations

from candelabra_server.formulas.catalogue.function import Function

__all__ = ["SIGNAL_FUNCTIONS"]

SIGNAL_FUNCTIONS: tuple[Function, ...] = ()
