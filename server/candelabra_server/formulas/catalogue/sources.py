"""Functions that look at other symbols and other timeframes."""

from __future__ import annotations

from typing import Any

from candelabra_server.formulas.catalogue.function import Family, Function, SettingKind, SettingParameter
from candelabra_server.formulas.graph import Graph, Node

__all__ = ["SOURCE_FUNCTIONS", "SYMBOL"]

_RULE = "for every row the last candle of the other symbol that has closed by then"


def _same(_graph: Graph, inputs: tuple[Node, ...], _settings: tuple[Any, ...]) -> tuple[Node, ...]:
    return inputs


def _resample(graph: Graph, inputs: tuple[Node, ...], settings: tuple[Any, ...]) -> tuple[Node, ...]:
    timeframe, reduction = settings
    return (graph.resample(inputs[0], timeframe, reduction),)


SYMBOL = Function(
    name="symbol",
    family=Family.LANGUAGE,
    inputs=(),
    settings=(SettingParameter(name="name", kind=SettingKind.SYMBOL),),
    build=_same,
    warm_up="none",
    summary=f'another symbol, of which a field is asked for: `symbol("SPY").close`; {_RULE}',
    source="Pine request.security, without look-ahead",
)
"""Gives no series by itself: the checker knows it."""

SOURCE_FUNCTIONS = (
    SYMBOL,
    Function(
        name="ChangeInstrument",
        family=Family.QLIB,
        inputs=("feature",),
        settings=(SettingParameter(name="instrument", kind=SettingKind.SYMBOL),),
        settings_first=True,
        symbol_setting="instrument",
        kind=None,
        kind_from=("feature",),
        build=_same,
        warm_up="none",
        summary=f"the feature of another symbol; {_RULE}",
        source="Qlib ChangeInstrument, which gives NaN where the other symbol has no candle of the same time",
    ),
    Function(
        name="Mask",
        family=Family.QLIB,
        inputs=("feature",),
        settings=(SettingParameter(name="instrument", kind=SettingKind.SYMBOL),),
        symbol_setting="instrument",
        kind=None,
        kind_from=("feature",),
        build=_same,
        warm_up="none",
        summary=f"the feature of another symbol; {_RULE}",
        source="Qlib Mask, as ChangeInstrument",
    ),
    Function(
        name="TResample",
        family=Family.QLIB,
        inputs=("feature",),
        settings=(
            SettingParameter(name="freq", kind=SettingKind.TIMEFRAME),
            SettingParameter(
                name="func",
                kind=SettingKind.CHOICE,
                choices=("last", "first", "sum", "mean", "max", "min", "std", "count"),
            ),
        ),
        unknown_is_false=True,
        build=_resample,
        warm_up="two periods",
        summary="the feature's values of the last period that has closed, reduced to one; NaN is skipped",
        source="Qlib TResample, whose rows are the periods and whose value is known only when its period ends",
    ),
)
