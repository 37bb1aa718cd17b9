"""TA-Lib, imported without what it would drag along.

`talib` imports pandas and polars where they are installed, only to accept their series: 2.5 s and six threads,
and a forkserver must have one. Both are hidden while it is imported; another thread that imports one of
them at that very moment would not find it, so this module is imported early, while there is one thread.
"""

from __future__ import annotations

import sys
from types import ModuleType

__all__ = ["talib"]

_UNWANTED = ("pandas", "polars")


def _import_talib() -> ModuleType:
    hidden = [name for name in _UNWANTED if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # how Python spells "not importable"
    try:
        import talib  # noqa: PLC0415 - while the others are hidden
    finally:
        for name in hidden:
            del sys.modules[name]
    module: ModuleType = talib
    return module


talib = _import_talib()
"""TA-Lib's module; its functions take and return float64 arrays."""
