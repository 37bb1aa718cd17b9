"""What workers build their repository and formula service from, checked before any worker sees it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from candelabra_server.candles.repository import ICandleRepository
from candelabra_server.errors import ConfigurationError
from candelabra_server.formulas.service import FormulaService

__all__ = ["WorkerConfigs", "worker_configs"]


@dataclass(frozen=True, slots=True)
class WorkerConfigs:
    """Both configurations, each a JSON object as text."""

    candle_repo: str
    formula_service: str


def worker_configs(candle_repo: ICandleRepository, formula_service: FormulaService) -> WorkerConfigs:
    """Both configurations as text.

    Raises:
        ConfigurationError: one is not a JSON object with a `type`; names the key that is wrong.
    """
    return WorkerConfigs(
        candle_repo=_as_json("candle repository", candle_repo.worker_config()),
        formula_service=_as_json("formula service", formula_service.worker_config()),
    )


def _as_json(what: str, config: Mapping[str, Any]) -> str:
    if not isinstance(config, Mapping) or not isinstance(config.get("type"), str):
        raise ConfigurationError(
            f"worker_config() of the {what} must return a dictionary with a text under 'type', "
            f"not {type(config).__name__}"
        )
    for key in config:
        if not isinstance(key, str):
            raise ConfigurationError(f"worker_config() of the {what} has the key {key!r}; keys must be text")
    try:
        return json.dumps(dict(config), sort_keys=True)
    except (TypeError, ValueError) as error:
        key, value = next((key, value) for key, value in config.items() if not _is_json(value))
        raise ConfigurationError(
            f"worker_config() of the {what} has a {type(value).__name__} under {key!r}; only what JSON can "
            "hold may cross to a worker (text, numbers, booleans, None, lists and dictionaries of them)"
        ) from error


def _is_json(value: Any) -> bool:  # noqa: ANN401 - whatever a plug-in has there
    try:
        json.dumps(value, sort_keys=True)
    except (TypeError, ValueError):
        return False
    return True
