"""create_candle_repository: from a configuration, in any process, to the repository it describes."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from typing import Any

from candelabra_server.candles.repository import ICandleRepository
from candelabra_server.errors import CandelabraError, ConfigurationError

__all__ = ["create_candle_repository"]

_PLUG_IN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_EXPECTED = 'expected "arrow" for the embedded store or "package.module:factory" for a repository of your own'


def create_candle_repository(config: Mapping[str, Any]) -> ICandleRepository:
    """Builds the repository that a configuration describes.

    Args:
        config: `{"type": "arrow", "path": FOLDER}` is the embedded store. `{"type":
            "package.module:factory", …}` is a repository of the user's own: `factory` is imported and
            called with the whole dictionary. What implements a type is imported here, when it is asked for.

    Raises:
        ConfigurationError: unknown type, a setting that is missing or wrong, or a factory that cannot be
            imported, fails or returns something else. Its message holds no text of foreign exceptions;
            those are its cause.
    """
    kind = config.get("type")
    if not isinstance(kind, str) or not kind:
        raise ConfigurationError(f'the candle repository\'s configuration has no "type"; {_EXPECTED}')
    if kind == "arrow":
        return _create_arrow(config)
    if _PLUG_IN.fullmatch(kind):
        return _create_plugged_in(kind, config)
    raise ConfigurationError(f"unknown candle repository type {kind[:80]!r}; {_EXPECTED}")


def _create_arrow(config: Mapping[str, Any]) -> ICandleRepository:
    from candelabra_server.candles.arrow_store import ArrowCandleRepository  # noqa: PLC0415 - only when configured

    path = config.get("path")
    if not isinstance(path, str) or not path:
        raise ConfigurationError('the candle repository of type "arrow" needs "path": the store\'s folder, as text')
    unknown = sorted(set(config) - {"type", "path"})
    if unknown:
        raise ConfigurationError(
            f'the candle repository of type "arrow" has no setting {", ".join(map(repr, unknown))}; '
            'its settings are "path"'
        )
    return ArrowCandleRepository(path)


def _create_plugged_in(kind: str, config: Mapping[str, Any]) -> ICandleRepository:
    module_name, _, attribute = kind.partition(":")
    try:
        factory: Any = importlib.import_module(module_name)
    except Exception as error:
        raise ConfigurationError(
            f"the candle repository {kind!r} cannot be used: importing module {module_name} failed with "
            f"{type(error).__name__}; it has to be importable in worker processes too"
        ) from error
    for name in attribute.split("."):
        factory = getattr(factory, name, None)
    if not callable(factory):
        raise ConfigurationError(
            f"the candle repository {kind!r} cannot be used: module {module_name} has no callable {attribute}"
        )
    try:
        repository = factory(config)
    except CandelabraError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"the candle repository {kind!r} cannot be built from its configuration: "
            f"its factory failed with {type(error).__name__}"
        ) from error
    if not isinstance(repository, ICandleRepository):
        raise ConfigurationError(
            f"the candle repository {kind!r} cannot be used: "
            f"its factory returned {type(repository).__name__}, not an ICandleRepository"
        )
    return repository
