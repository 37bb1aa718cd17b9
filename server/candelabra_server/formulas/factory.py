"""A formula service from its configuration, in the server and in every worker."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from candelabra_server.errors import ConfigurationError
from candelabra_server.formulas.builtins import BUILTIN_FORMULAS
from candelabra_server.formulas.limits import FormulaLimits
from candelabra_server.formulas.service import FormulaService
from candelabra_server.formulas.store import FormulaStore

__all__ = ["create_formula_service"]

_BUILTIN = "builtin"


def create_formula_service(config: Mapping[str, Any]) -> FormulaService:
    """The service that `FormulaService.worker_config` describes.

    Args:
        config: `type` (only "builtin" is known), any of the limits in FormulaLimits, and `store`, the folder of saved
            formulas; without it there are only the built-in ones.

    Raises:
        ConfigurationError: the type or a key is unknown, or a limit cannot work.
    """
    settings = dict(config)
    kind = settings.pop("type", None)
    if kind != _BUILTIN:
        raise ConfigurationError(f"unknown formula service type {kind!r}; known is: {_BUILTIN}")
    store = settings.pop("store", None)
    if store is not None and not isinstance(store, str):
        raise ConfigurationError(f"formula setting store must be a path, not {store!r}")
    return FormulaService(
        limits=FormulaLimits.from_mapping(settings),
        store=None if store is None else FormulaStore(Path(store), built_ins=BUILTIN_FORMULAS.values()),
    )
