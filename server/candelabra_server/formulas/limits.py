"""What a formula may ask for: every limit that a hostile or careless text can run into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from candelabra_server.errors import ConfigurationError

__all__ = ["FormulaLimits"]

# What the parts beneath can bear: tree walks, and TA-Lib's own longest window.
_CEILINGS = {"max_nesting": 64, "max_window": 100_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class FormulaLimits:
    """Bounds on one formula; beyond any of them it is refused with a problem that names the limit.

    Raises:
        ConfigurationError: a limit is not a whole number of 1 or more, or is beyond what the parts beneath can bear.
    """

    max_expression_length: int = 16_384
    """Most characters of the text, comments included."""
    max_total_length: int = 65_536
    """Most characters of the text and the saved formulas in it together, each counted once; built-in ones are not."""
    max_statements: int = 512
    """Most statements."""
    max_nesting: int = 64
    """Deepest nesting: brackets, plus signs, `not` and powers that hang on one another."""
    max_nodes: int = 4_096
    """Most nodes of the graph, equal expressions counted once."""
    max_check_steps: int = 65_536
    """Most steps of the check: expressions looked at and operations asked for, equal ones counted every time. Those of
    a name count again for every other timeframe or symbol, those of a saved formula for other parameters."""
    max_outputs: int = 1_024
    """Most output columns."""
    max_window: int = 100_000
    """Longest window and farthest history, in candles."""
    max_warm_up_candles: int = 1_000_000
    """Most candles before the range that all windows together may need."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if type(value) is not int or value < 1:
                raise ConfigurationError(f"formula limit {name} must be a whole number of 1 or more, not {value!r}")
        for name, most in _CEILINGS.items():
            if getattr(self, name) > most:
                raise ConfigurationError(f"formula limit {name} must be {most} or less, not {getattr(self, name)}")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Limits from configuration; those that are not given keep their defaults.

        Raises:
            ConfigurationError: a key is no limit, or a value cannot work.
        """
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise ConfigurationError(f"unknown formula setting {unknown[0]!r}; known are: {', '.join(known)}")
        return cls(**values)
