"""Names that formulas elsewhere use and that the language has no function for, with what to say of them."""

from __future__ import annotations

__all__ = ["CROSS_SECTIONAL", "NOT_AVAILABLE", "is_cross_sectional"]

CROSS_SECTIONAL = {
    "rank": "`percent_rank(series, period)` and `Rank(feature, N)` rank a value within the symbol's own history",
    "scale": "",
    "indneutralize": "",
    "ind_neutralize": "",
    "neutralize": "",
    "winsorize": "",
    "demean": "",
    "csranknorm": "",
    "cszscorenorm": "`zscore(series, period)` scores a value within the symbol's own history",
    "group_rank": "",
    "group_neutralize": "",
    "group_mean": "",
    "group_zscore": "",
}
"""Functions over all symbols of a moment, in lower case, with what may be meant instead."""

_PREFIXES = ("cs_", "group_")

NOT_AVAILABLE = {
    "P": "reads point-in-time data, which is not stored",
    "PRef": "reads point-in-time data, which is not stored",
}
"""Qlib's operators that cannot be built on candles, with the rest of a sentence that begins with the name."""


def is_cross_sectional(name: str) -> bool:
    """Whether a name that is no function of the language is that of a function over all symbols of a moment."""
    lowered = name.lower()
    return lowered in CROSS_SECTIONAL or lowered.startswith(_PREFIXES)
