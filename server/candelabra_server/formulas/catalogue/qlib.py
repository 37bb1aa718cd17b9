"""Qlib's operators in Qlib's spelling: missing values are skipped, and a window needs one value."""

from __future__ import annotations

from candelabra_server.formulas.catalogue.function import Family, Function, SettingKind, SettingParameter, kernel

__all__ = ["QLIB_FUNCTIONS"]


def _rolling(name: str, operation: str, summary: str) -> Function:
    return Function(
        name=name,
        family=Family.QLIB,
        inputs=("feature",),
        settings=(SettingParameter(name="N", kind=SettingKind.QLIB_WINDOW),),
        unknown_is_false=True,
        build=kernel(operation),
        warm_up="N - 1",
        summary=summary,
        source=f"Qlib {name}, in float64",
    )


QLIB_FUNCTIONS = (
    Function(
        name="Ref",
        family=Family.QLIB,
        inputs=("feature",),
        settings=(SettingParameter(name="N", kind=SettingKind.QLIB_SHIFT),),
        kind=None,
        kind_from=("feature",),
        build=kernel("shift"),
        warm_up="N",
        summary="the value N candles ago; ahead where N is negative, which a job must allow",
        source="Qlib Ref",
    ),
    _rolling("Mean", "rolling_mean", "mean of the values in the window"),
    _rolling("Std", "rolling_std", "standard deviation, divisor one less than the values; NaN for one value"),
    _rolling("Sum", "rolling_sum", "sum of the values in the window; NaN where there is none"),
    _rolling("Max", "rolling_max", "largest value in the window"),
    _rolling("Min", "rolling_min", "smallest value in the window"),
)
