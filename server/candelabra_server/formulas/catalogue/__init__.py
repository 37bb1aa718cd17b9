"""The catalogue: every function of the language, as data."""

from __future__ import annotations

from candelabra_server.formulas.catalogue.function import Family, Function, SettingKind, SettingParameter
from candelabra_server.formulas.catalogue.language import LANGUAGE_FUNCTIONS
from candelabra_server.formulas.catalogue.qlib import QLIB_FUNCTIONS
from candelabra_server.formulas.catalogue.signals import SIGNAL_FUNCTIONS
from candelabra_server.formulas.catalogue.talib import TALIB_FUNCTIONS
from candelabra_server.formulas.catalogue.technical import TECHNICAL_FUNCTIONS

__all__ = ["FUNCTIONS", "KNOWN_FIELDS", "Family", "Function", "SettingKind", "SettingParameter"]

FUNCTIONS = {
    function.name: function
    for function in (
        *LANGUAGE_FUNCTIONS,
        *TECHNICAL_FUNCTIONS,
        *SIGNAL_FUNCTIONS,
        *TALIB_FUNCTIONS,
        *QLIB_FUNCTIONS,
    )
}
"""All functions by name."""

KNOWN_FIELDS = ("open", "high", "low", "close", "volume", "vwap")
"""Fields that may be written without `$`."""
