"""A formula service from its configuration, in the server and in every worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from candelabra_server.errors import ConfigurationError
from candelabra_server.formulas.limits import FormulaLimits
from candelabra_server.formulas.service import FormulaService

__all__ = ["create_formula_service"]

_BUILTIN = "builtin"


def create_formula_service(config: Mapping[str, Any]) -> FormulaService:
    """The service that `FormulaService.worker_config` describes.

    Args:
        config: `type` (only "builtin" is known), and any of the limits in FormulaLimits.

    Raises:
        ConfigurationError: the type or a key is unknown, or a limit cannot work.
    """
    limits = dict(config)
    kind = limits.pop("type", None)
    if kind != _BUILTIN:
        raise ConfigurationError(f"unknown formula service type {kind!r}; known is: {_BUILTIN}")
    return FormulaService(**asdict(FormulaLimits.from_mapping(limits)))
