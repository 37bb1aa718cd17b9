"""`qlib/alpha158`: the 158 columns of Qlib's Alpha158, made from its rule."""

from __future__ import annotations

from collections.abc import Iterator

from candelabra_server.formulas.saved import SavedFormula

__all__ = ["alpha158"]

_LENGTH = "($high-$low+1e-12)"
"""The candle's length, with what keeps one that has none from dividing by zero."""
_CANDLE = {
    "KMID": "($close-$open)/$open",
    "KLEN": "($high-$low)/$open",
    "KMID2": f"($close-$open)/{_LENGTH}",
    "KUP": "($high-Greater($open, $close))/$open",
    "KUP2": f"($high-Greater($open, $close))/{_LENGTH}",
    "KLOW": "(Less($open, $close)-$low)/$open",
    "KLOW2": f"(Less($open, $close)-$low)/{_LENGTH}",
    "KSFT": "(2*$close-$high-$low)/$open",
    "KSFT2": f"(2*$close-$high-$low)/{_LENGTH}",
}
_PRICES = ("open", "high", "low", "vwap")
_WINDOWS = (5, 10, 20, 30, 60)

_LOWEST = "Min($low, {d})"
_HIGHEST = "Max($high, {d})"
_RISEN = "Mean($close>Ref($close, 1), {d})"
_FALLEN = "Mean($close<Ref($close, 1), {d})"
_TURNOVER = "Abs($close/Ref($close, 1)-1)*$volume"


def _gains(field: str) -> str:
    return f"Sum(Greater({field}-Ref({field}, 1), 0), {{d}})"


def _losses(field: str) -> str:
    return f"Sum(Greater(Ref({field}, 1)-{field}, 0), {{d}})"


def _moves(field: str) -> str:
    return f"(Sum(Abs({field}-Ref({field}, 1)), {{d}})+1e-12)"


_ROLLING = {
    "ROC": "Ref($close, {d})/$close",
    "MA": "Mean($close, {d})/$close",
    "STD": "Std($close, {d})/$close",
    "BETA": "Slope($close, {d})/$close",
    "RSQR": "Rsquare($close, {d})",
    "RESI": "Resi($close, {d})/$close",
    "MAX": f"{_HIGHEST}/$close",
    "MIN": f"{_LOWEST}/$close",
    "QTLU": "Quantile($close, {d}, 0.8)/$close",
    "QTLD": "Quantile($close, {d}, 0.2)/$close",
    "RANK": "Rank($close, {d})",
    "RSV": f"($close-{_LOWEST})/({_HIGHEST}-{_LOWEST}+1e-12)",
    "IMAX": "IdxMax($high, {d})/{d}",
    "IMIN": "IdxMin($low, {d})/{d}",
    "IMXD": "(IdxMax($high, {d})-IdxMin($low, {d}))/{d}",
    "CORR": "Corr($close, Log($volume+1), {d})",
    "CORD": "Corr($close/Ref($close, 1), Log($volume/Ref($volume, 1)+1), {d})",
    "CNTP": _RISEN,
    "CNTN": _FALLEN,
    "CNTD": f"{_RISEN}-{_FALLEN}",
    "SUMP": f"{_gains('$close')}/{_moves('$close')}",
    "SUMN": f"{_losses('$close')}/{_moves('$close')}",
    "SUMD": f"({_gains('$close')}-{_losses('$close')})/{_moves('$close')}",
    "VMA": "Mean($volume, {d})/($volume+1e-12)",
    "VSTD": "Std($volume, {d})/($volume+1e-12)",
    "WVMA": f"Std({_TURNOVER}, {{d}})/(Mean({_TURNOVER}, {{d}})+1e-12)",
    "VSUMP": f"{_gains('$volume')}/{_moves('$volume')}",
    "VSUMN": f"{_losses('$volume')}/{_moves('$volume')}",
    "VSUMD": f"({_gains('$volume')}-{_losses('$volume')})/{_moves('$volume')}",
}
"""One column a window; `{d}` is its length."""


def alpha158() -> SavedFormula:
    """The formula: the candle's shape, prices over the close, then each family over all windows.

    Source: Qlib 0.9.7, `Alpha158DL` as it is without a configuration.
    """
    return SavedFormula(
        id="qlib/alpha158",
        version=1,
        expression="\n".join(f"{name} = {expression}" for name, expression in _columns()),
        description=(
            "Qlib's Alpha158: 158 columns for models that learn from daily candles, in Qlib's order and under its "
            "names. Needs the stored field `vwap`."
        ),
        built_in=True,
    )


def _columns() -> Iterator[tuple[str, str]]:
    yield from _CANDLE.items()
    for field in _PRICES:
        yield f"{field.upper()}0", f"${field}/$close"
    for family, expression in _ROLLING.items():
        for window in _WINDOWS:
            yield f"{family}{window}", expression.format(d=window)
