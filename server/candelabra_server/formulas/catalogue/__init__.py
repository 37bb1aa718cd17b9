"""The catalogue: every function of the language, as data."""

from __future__ import annotations

from candelabra_server.formulas.catalogue.function import Family, Function, SettingKind, SettingParameter
from candelabra_server.formulas.catalogue.language import LANGUAGE_FUNCTIONS
from candelabra_server.formulas.catalogue.measures import MEASURE_FUNCTIONS
from candelabra_server.formulas.catalogue.qlib import QLIB_FUNCTIONS
from candelabra_server.formulas.catalogue.signals import SIGNAL_FUNCTIONS
from candelabra_server.formulas.catalogue.sources import SOURCE_FUNCTIONS, SYMBOL
from candelabra_server.formulas.catalogue.talib import TALIB_FUNCTIONS
from candelabra_server.formulas.catalogue.technical import TECHNICAL_FUNCTIONS
from candelabra_server.formulas.catalogue.unavailable import (
    CROSS_SECTIONAL,
    ELSEWHERE,
    NOT_AVAILABLE,
    OF_TWO_VALUES,
    is_cross_sectional,
)

__all__ = [
    "CROSS_SECTIONAL",
    "ELSEWHERE",
    "FUNCTIONS",
    "KNOWN_FIELDS",
    "NOT_AVAILABLE",
    "OF_TWO_VALUES",
    "SYMBOL",
    "Family",
    "Function",
    "SettingKind",
    "SettingParameter",
    "is_cross_sectional",
]

FUNCTIONS = {
    function.name: function
    for function in (
        *LANGUAGE_FUNCTIONS,
        *SOURCE_FUNCTIONS,
        *TECHNICAL_FUNCTIONS,
        *SIGNAL_FUNCTIONS,
        *MEASURE_FUNCTIONS,
        *TALIB_FUNCTIONS,
        *QLIB_FUNCTIONS,
    )
}
"""All functions by name."""

KNOWN_FIELDS = ("open", "high", "low", "close", "volume", "vwap")
"""Fields that may be written without `$`."""
