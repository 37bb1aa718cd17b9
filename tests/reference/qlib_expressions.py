"""The expressions that Qlib is asked for, one list a group, beside Alpha158 and Alpha360, which it lists itself."""

from __future__ import annotations

__all__ = ["LATE", "OPERATORS", "OTHER_SYMBOL"]

_WINDOWS = (0, 1, 2, 5, 20, 400)
"""0 is expanding; 400 is longer than the candles are many."""
_LONGER_WINDOWS = (5, 60)
_FEWEST_ROWS = {"Skew": 3, "Kurt": 4}
"""Qlib refuses shorter windows, but 0."""
_FRACTIONS = {
    "EMA": 0.3,
    "Mean": 0.3,
    "Sum": 0.3,
    "Std": 0.05,
    "Var": 0.5,
    "Max": 0.3,
    "Min": 0.3,
    "Med": 0.3,
    "Count": 0.3,
}
_ROLLING = (
    "Mean",
    "Sum",
    "Std",
    "Var",
    "Skew",
    "Kurt",
    "Max",
    "Min",
    "IdxMax",
    "IdxMin",
    "Med",
    "Mad",
    "Rank",
    "Count",
    "Delta",
    "Slope",
    "Rsquare",
    "Resi",
    "WMA",
    "EMA",
)
_UP = "$close>Ref($close, 1)"
_OVER_ZERO = "1/$volume"
"""Infinite where the volume is 0."""


def _rolling(name: str, feature: str, windows: tuple[int, ...]) -> list[str]:
    fewest = _FEWEST_ROWS.get(name, 1)
    return [f"{name}({feature}, {window})" for window in windows if window == 0 or window >= fewest]


def _operators() -> list[str]:
    listed: list[str] = []
    for name in _ROLLING:
        listed += _rolling(name, "$close", _WINDOWS)
        listed += _rolling(name, "$volume", _LONGER_WINDOWS)
        listed += _rolling(name, _OVER_ZERO, (5,))
        listed += _rolling(name, f"{_UP}", (5,))
        listed += [f"{name}($close, {_FRACTIONS[name]})"] if name in _FRACTIONS else []
    listed += [f"Quantile($close, {window}, {share})" for window in _WINDOWS for share in (0.2, 0.8)]
    listed += [f"Quantile($volume, 5, {share})" for share in (0, 0.5, 1)]
    listed += [f"Quantile({_OVER_ZERO}, 5, 0.8)", f"Quantile({_UP}, 5, 0.3)"]
    listed += [f"Ref($close, {shift})" for shift in (0, 1, 5, 400, -1, -5)]
    listed += ["Delta($close, -2)"]
    for name in ("Corr", "Cov"):
        listed += [f"{name}($close, $volume, {window})" for window in (1, 2, 5, 20, 60, 400)]
        listed += [f"{name}($close, $close, 5)", f"{name}({_OVER_ZERO}, $close, 5)", f"{name}({_UP}, $close, 10)"]
    return listed


OPERATORS = (
    *_operators(),
    # One row at a time.
    "Abs($close-$open)",
    "Abs($close>$open)",
    "Sign($close-$open)",
    "Sign($close>$open)",
    "Sign(0-$volume)",
    "Log($volume)",
    "Log($close-$open)",
    "Power($close, 2)",
    "Power(2, $close/100)",
    "Power($close-$open, 0.5)",
    "$close**2",
    "2**($close/100)",
    "Add($close, $open)",
    "Add(1, $close)",
    "Sub($close, 1)",
    "1-$close/$open",
    "Mul($close, $volume)",
    "2*$close*3",
    "Div($close, $volume)",
    "Div($close-$close, $close-$close)",
    "0.5/$volume",
    "$close/$open/$low",
    "Greater($close, $open)",
    "Greater($close-$open, 0)",
    "Greater(1/$volume, $close)",
    "Less($close, $open)",
    "Less(0, $open-$close)",
    "Gt($close, $open)",
    "Ge($close, Ref($close, 1))",
    "Lt($close, $open)",
    "Le(Ref($close, 1), $close)",
    "Eq($close, Ref($close, 1))",
    "Ne($close, Ref($close, 1))",
    "$close>=100",
    "100<$close",
    "$close!=Ref($close, 1)",
    "And($close>$open, $volume>Ref($volume, 1))",
    "Or($close>$open, $volume>Ref($volume, 1))",
    "Not($close>$open)",
    "Not(Gt(Ref($close, 1), $close))",
    "($close>$open)&($volume>Ref($volume, 1))",
    "($close>$open)|($volume>Ref($volume, 1))",
    "If($close>$open, $high, $low)",
    "If($close>Ref($close, 1), 1, 0)",
    "If(Gt($close, Ref($close, 1)), $volume, 0-$volume)",
    "If($close-$close, $high, $low)",
    "IsNull($close)",
    "IsNull($close/Ref($close, 1))",
    "IsInf(1/$volume)",
    "FFillNan($close)",
    # One within another.
    "Ref($close, -2)/Ref($close, -1)-1",
    "Ref($close>$open, 1)",
    "Ref(Mean($close, 5), 3)",
    "Mean(Ref($close, 3), 5)",
    "Mean(Mean($close, 5), 5)",
    "Std($close/Ref($close, 1)-1, 20)",
    "Max($high, 10)-Min($low, 10)",
    "EMA(EMA($close, 5), 10)",
    "EMA($close, 12)-EMA($close, 26)",
    "EMA(EMA($close, 12)-EMA($close, 26), 9)",
    "Slope(Log($close), 10)",
    "Rsquare(Log($close), 10)",
    "Resi(Log($close), 10)",
    "Corr(Rank($close, 10), Rank($volume, 10), 5)",
    "Cov($close/Ref($close, 1), $volume/Ref($volume, 1), 20)",
    "Sum(If($close>Ref($close, 1), $volume, 0), 10)/Sum($volume, 10)",
    "Mean(Gt($close, Ref($close, 1)), 10)",
    "Sum(And($close>$open, $volume>Ref($volume, 1)), 10)",
    "Sum(Not($close>Ref($close, 1)), 10)",
    "($close>$open)+($close>Ref($close, 1))",
    "2*($close>$open)-1",
    "($close-Mean($close, 20))/Std($close, 20)",
    "IdxMax($high, 25)-IdxMin($low, 25)",
    "Mean($close, 5)/Mean($close, 20)-1",
)
"""Every operator, over the whole of the candles."""

LATE = (
    *(
        f"{name}($close, {window})"
        for name in ("Mean", "Std", "EMA", "WMA", "Slope", "IdxMax")
        for window in (0, 5, 20)
    ),
    *(f"{name}($close, {_FRACTIONS[name]})" for name in ("EMA", "Mean", "Std")),
    "Ref($close, 0)",
    "Ref($close, 5)",
    "Delta($close, 0)",
    "Delta($close, 5)",
    "Rank($close, 0)",
    "EMA(EMA($close, 5), 10)",
    "Mean(Mean($close, 5), 5)",
    "Corr($close, $volume, 20)",
)
"""Asked for from a later day on: Qlib loads what it takes for enough before it, which it often is not."""

OTHER_SYMBOL = (
    "ChangeInstrument('IBM', $close)",
    "ChangeInstrument('IBM', Mean($close, 5))",
    "$close/ChangeInstrument('IBM', $close)",
    "Corr($close, ChangeInstrument('IBM', $close), 20)",
    "Mean(ChangeInstrument('IBM', $close)>$close, 5)",
    "Mask($close, 'IBM')",
)
"""Looking at the candles of another symbol."""
