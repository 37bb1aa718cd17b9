"""The functions as a page shows them: tables made from the catalogue, so that they cannot say anything else."""

from __future__ import annotations

from collections.abc import Iterator

from candelabra_server.formulas.catalogue import FUNCTIONS, Family, Function

__all__ = ["REFERENCE_END", "REFERENCE_START", "function_reference"]

REFERENCE_START = "<!-- functions: made from the catalogue; a test compares -->"
REFERENCE_END = "<!-- end of functions -->"
"""What stands around the tables in server/docs/formulas.md."""


def function_reference() -> str:
    """One Markdown table a family, functions in the catalogue's order."""
    return "\n".join(line for family in Family for line in _table(family)).rstrip()


def _table(family: Family) -> Iterator[str]:
    yield f"### {family.value}"
    yield ""
    yield "| function | gives | outputs | kind | warm-up (candles) | definition |"
    yield "|---|---|---|---|---|---|"
    for function in FUNCTIONS.values():
        if function.family is family:
            cells = (
                f"`{function.signature}`",
                function.summary,
                ", ".join(f"`.{output}`" for output in function.outputs if output),
                _kind(function),
                function.warm_up,
                function.source,
            )
            yield f"| {' | '.join(cells)} |"
    yield ""


def _kind(function: Function) -> str:
    if function.kind is not None:
        return function.kind.value
    return f"as {' and '.join(f'`{name}`' for name in function.kind_from)}"
