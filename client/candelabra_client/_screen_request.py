"""Builds the `ScreenRequest` of a call from the arguments that users write."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from candelabra.v1 import JobOptions, ScreenRequest
from candelabra_client._request import (
    CompatName,
    DateLike,
    build_formula,
    parameter_values,
    symbol_list,
    time_limit_millis,
    to_iso,
)

__all__ = ["OrderBy", "build_screen"]

OrderBy: TypeAlias = str | Iterable[str]
"""What to sort by: `"rsi desc, symbol"`, or the same names one by one."""


def build_screen(
    formula: str | None,
    *,
    formula_id: str | None,
    symbols: str | Iterable[str],
    timeframe: str,
    as_of: DateLike | None,
    filter_by: str | None,
    order_by: OrderBy | None,
    limit: int | None,
    parameters: Mapping[str, float] | None,
    compat: CompatName | None,
    float32_fields: bool,
    weight: float | None,
    symbol_time_limit: float | None,
    screen_id: str | None,
) -> ScreenRequest:
    """Returns the message; what it means is checked by the server, here only what it cannot express.

    Raises:
        TypeError: a value of the wrong type.
        ValueError: a compat that does not exist, or a number that does not fit its field.
    """
    names = symbol_list(symbols)
    for name in names:
        _text("a symbol", name)
    options = JobOptions(weight=weight, symbol_time_limit_millis=time_limit_millis(symbol_time_limit))
    return ScreenRequest(
        screen_id=_text("screen_id", screen_id),
        symbols=names,
        timeframe=_text("timeframe", timeframe),
        as_of="" if as_of is None else to_iso(as_of),
        formula=build_formula(
            _text("formula", formula),
            formula_id=_text("formula_id", formula_id),
            compat=compat,
            float32_fields=float32_fields,
        ),
        parameters=parameter_values(parameters),
        filter=_text("filter", filter_by),
        order_by=_order(order_by),
        limit=_count("limit", limit),
        options=options if options.ListFields() else None,
    )


def _text(name: str, value: Any) -> Any:  # noqa: ANN401 - whatever a caller without a type checker gives
    """Returns text or None as it is; TypeError for anything else."""
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"{name} is {value!r}; expected text, got {type(value).__name__}")


def _order(order_by: OrderBy | None) -> str | None:
    if order_by is None or isinstance(order_by, str):
        return order_by
    if not isinstance(order_by, Iterable):
        raise TypeError(f"order_by is {order_by!r}; expected text such as 'rsi desc', or several")
    return ", ".join(_text("a name in order_by", name) for name in order_by)


def _count(name: str, value: Any) -> int | None:  # noqa: ANN401 - as above
    try:
        return None if value is None else operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}; expected a whole number, got {type(value).__name__}") from None
