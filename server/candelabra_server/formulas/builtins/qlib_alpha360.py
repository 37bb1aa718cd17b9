"""`qlib/alpha360`: the 360 columns of Qlib's Alpha360, made from its rule."""

from __future__ import annotations

from collections.abc import Iterator

from candelabra_server.formulas.saved import SavedFormula

__all__ = ["alpha360"]

_CANDLES = 60
_UNITS = {
    "close": "$close",
    "open": "$close",
    "high": "$close",
    "low": "$close",
    "vwap": "$close",
    "volume": "($volume+1e-12)",
}
"""What each field is divided by, in the order of the columns; a day without trade has no volume."""


def alpha360() -> SavedFormula:
    """The formula: every field over the last 60 candles, oldest first, in units of the newest close or volume.

    Source: Qlib 0.9.7, `Alpha360DL`.
    """
    return SavedFormula(
        id="qlib/alpha360",
        version=1,
        expression="\n".join(f"{name} = {expression}" for name, expression in _columns()),
        description=(
            "Qlib's Alpha360: prices and volume of the last 60 candles in units of the newest, 360 columns in Qlib's "
            "order and under its names. Needs the stored field `vwap`."
        ),
        built_in=True,
    )


def _columns() -> Iterator[tuple[str, str]]:
    for field, unit in _UNITS.items():
        for candles in reversed(range(_CANDLES)):
            past = f"Ref(${field}, {candles})" if candles else f"${field}"
            yield f"{field.upper()}{candles}", f"{past}/{unit}"
