"""Functions that are part of the language itself."""

from __future__ import annotations

from candelabra_server.formulas.catalogue.function import Family, Function, kernel

__all__ = ["LANGUAGE_FUNCTIONS"]

LANGUAGE_FUNCTIONS = (
    Function(
        name="if",
        family=Family.LANGUAGE,
        inputs=("condition", "then", "otherwise"),
        kind=None,
        kind_from=("then", "otherwise"),
        build=kernel("choose"),
        warm_up="none",
        summary="`then` where the condition is true, `otherwise` where it is false, NaN where it is unknown",
        source="three-valued logic (Kleene)",
    ),
)
