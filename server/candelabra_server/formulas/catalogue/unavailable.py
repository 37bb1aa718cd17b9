"""Names that formulas elsewhere use and that the language has no function for, with what to say of them."""

from __future__ import annotations

__all__ = ["CROSS_SECTIONAL", "ELSEWHERE", "NOT_AVAILABLE", "OF_TWO_VALUES", "is_cross_sectional"]

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

ELSEWHERE = {
    "barssince": "bars_since",
    "crossover": "cross_over",
    "crossunder": "cross_under",
    "decay_linear": "wma",
    "delay": "Ref",
    "delta": "Delta",
    "fixnan": "fix_nan",
    "hhv": "highest",
    "highestbars": "highest_bars",
    "iff": "if",
    "llv": "lowest",
    "lowestbars": "lowest_bars",
    "pivothigh": "pivot_high",
    "pivotlow": "pivot_low",
    "rolling_mean": "sma",
    "rolling_std": "stddev",
    "stdev": "stddev",
    "ts_argmax": "IdxMax",
    "ts_argmin": "IdxMin",
    "ts_corr": "Corr",
    "ts_cov": "Cov",
    "ts_delay": "Ref",
    "ts_delta": "Delta",
    "ts_max": "Max",
    "ts_mean": "Mean",
    "ts_min": "Min",
    "ts_rank": "Rank",
    "ts_std": "Std",
    "ts_stddev": "Std",
    "ts_sum": "Sum",
    "valuewhen": "value_when",
    "where": "if",
}
"""Lower-case names of Pine, Alpha101, pandas and the like, with the function that is meant here."""

OF_TWO_VALUES = {"max": "greatest", "min": "least"}
"""Functions over a window whose name others use for two values, with the function for those."""


def is_cross_sectional(name: str) -> bool:
    """Whether a name that is no function of the language is that of a function over all symbols of a moment."""
    lowered = name.lower()
    return lowered in CROSS_SECTIONAL or lowered.startswith(_PREFIXES)
