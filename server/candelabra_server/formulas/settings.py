"""Constant arguments: what each kind may be, and how a wrong one is explained."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from candelabra_server.formulas.catalogue.function import SettingKind, SettingParameter
from candelabra_server.formulas.limits import FormulaLimits

__all__ = ["Fault", "SettingRules", "find_fault"]


class Fault(NamedTuple):
    """Why a value cannot be used: a stable code, and the rest of a sentence that begins with the argument."""

    code: str
    message: str


class SettingRules(NamedTuple):
    """What the job and the server allow, and whether Qlib's operators have Qlib's defects too (`compat=qlib`)."""

    limits: FormulaLimits
    allow_lookahead: bool = False
    qlib_defects: bool = False


def find_fault(parameter: SettingParameter, value: float, rules: SettingRules) -> Fault | None:
    """What is wrong with a constant argument, or None."""
    if not math.isfinite(value):
        return Fault("SETTING_NOT_FINITE", f"must be a finite number, not {value:g}")
    if parameter.kind.whole and not value.is_integer():
        return _fraction(parameter, value, rules)
    return _CHECKS[parameter.kind](parameter, value, rules)


def _fraction(parameter: SettingParameter, value: float, rules: SettingRules) -> Fault | None:
    may_be_alpha = parameter.kind in {SettingKind.QLIB_WINDOW_OR_ALPHA, SettingKind.QLIB_SPAN}
    if not (may_be_alpha and 0 < value < 1):
        return Fault("WINDOW_NOT_WHOLE", f"must be a whole number of candles, not {value:g}")
    if parameter.kind is SettingKind.QLIB_WINDOW_OR_ALPHA and not rules.qlib_defects:
        return Fault(
            "WINDOW_FRACTION",
            f"must be a whole number of candles, not {value:g}; Qlib takes a fraction as the alpha of an exponential "
            f"average without saying so: write EMA(feature, {value:g}) for that, or ask for compat=qlib",
        )
    least = 2 / (rules.limits.max_window + 1)
    if value < least:
        return Fault("WINDOW_OUT_OF_RANGE", f"is {value:g}; as an alpha it must be {least:.3g} or more")
    return None


def _window(parameter: SettingParameter, value: float, rules: SettingRules) -> Fault | None:
    least = 1 if parameter.minimum is None else parameter.minimum
    most = rules.limits.max_window if parameter.maximum is None else min(rules.limits.max_window, parameter.maximum)
    if not least <= value <= most:
        return Fault("WINDOW_OUT_OF_RANGE", f"must be from {least:g} to {most:.0f}, not {value:.0f}")
    return None


def _qlib_window(parameter: SettingParameter, value: float, rules: SettingRules) -> Fault | None:
    return None if value == 0 else _window(parameter, value, rules)


def _shift(_parameter: SettingParameter, value: float, rules: SettingRules) -> Fault | None:
    if value < 0 and not rules.allow_lookahead:
        return Fault(
            "LOOKAHEAD", f"is {value:.0f}, which looks into the future; the job must allow that (allow_lookahead)"
        )
    if abs(value) > rules.limits.max_window:
        return Fault("WINDOW_OUT_OF_RANGE", f"must be at most {rules.limits.max_window} candles, not {value:.0f}")
    return None


def _within(parameter: SettingParameter, value: float, _rules: SettingRules) -> Fault | None:
    low, high = parameter.minimum, parameter.maximum
    if (low is None or value >= low) and (high is None or value <= high):
        return None
    if low is not None and high is not None:
        return Fault("SETTING_OUT_OF_RANGE", f"must be from {low:g} to {high:g}, not {value:g}")
    bound = f"{low:g} or more" if high is None else f"{high:g} or less"
    return Fault("SETTING_OUT_OF_RANGE", f"must be {bound}, not {value:g}")


_CHECKS: dict[SettingKind, Callable[[SettingParameter, float, SettingRules], Fault | None]] = {
    SettingKind.WINDOW: _window,
    SettingKind.QLIB_WINDOW: _qlib_window,
    SettingKind.QLIB_WINDOW_OR_ALPHA: _qlib_window,
    SettingKind.QLIB_SPAN: _qlib_window,
    SettingKind.SHIFT: _shift,
    SettingKind.QLIB_SHIFT: _shift,
    SettingKind.WHOLE: _within,
    SettingKind.FACTOR: _within,
}
