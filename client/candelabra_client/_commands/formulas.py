"""`candelabra formulas`: formulas under a name."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.table import Table

from candelabra import v1
from candelabra_client._client import Client
from candelabra_client._commands import inputs
from candelabra_client._commands.descriptions import value_table
from candelabra_client._commands.exits import exit_statuses
from candelabra_client._commands.options import (
    DEFAULT_ADDRESS,
    Compat,
    Float32Fields,
    FormulaFile,
    FormulaText,
    Server,
    TimeoutSeconds,
)
from candelabra_client._commands.tables import counted, plain_console

__all__ = ["create", "delete", "list_formulas", "show", "update"]

Id = Annotated[str, typer.Argument(metavar="ID", help="Such as trend or desk/momentum_2.")]
Declared = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        "-p",
        metavar="NAME[=DEFAULT[:MIN[:MAX]]]",
        help="Declare a parameter, such as days=20:2:200; in the order in which calls give them.",
    ),
]
Description = Annotated[str, typer.Option(metavar="TEXT", help="What it is for.")]
Etag = Annotated[str, typer.Option(metavar="ETAG", help="Only while the newest version has this etag.")]


def list_formulas(
    *,
    pattern: Annotated[str, typer.Argument(metavar="[PATTERN]", help="Only ids that match, such as 'desk/*'.")] = "",
    timeout: TimeoutSeconds = 30.0,
    server: Server = DEFAULT_ADDRESS,
) -> None:
    """List saved and built-in formulas."""
    with exit_statuses(), Client(server, timeout=timeout) as client:
        found = client.list_formulas(pattern)
        console = plain_console()
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("id", "version", "parameters", "description"):
            table.add_column(name, justify="right" if name == "version" else "left")
        for formula in found:
            version = "built in" if formula.built_in else str(formula.version)
            table.add_row(formula.id, version, ", ".join(map(_declared, formula.parameters)), formula.description)
        console.print(table)
        console.print(counted(len(found), "formula"), style="dim")


def show(
    *,
    formula_id: Annotated[str, typer.Argument(metavar="ID", help="trend is the newest version, trend@3 that one.")],
    text: Annotated[bool, typer.Option("--text", help="Print the text alone.")] = False,
    timeout: TimeoutSeconds = 30.0,
    server: Server = DEFAULT_ADDRESS,
) -> None:
    """Show a formula."""
    with exit_statuses(), Client(server, timeout=timeout) as client:
        formula = client.get_formula(formula_id)
        if not text:
            _print(formula)
            plain_console().print()
        sys.stdout.write(formula.expression.rstrip("\n") + "\n")


def create(
    *,
    formula_id: Id,
    formula: FormulaText = None,
    formula_file: FormulaFile = None,
    param: Declared = None,
    description: Description = "",
    compat: Compat = None,
    float32_fields: Float32Fields = False,
    timeout: TimeoutSeconds = 30.0,
    server: Server = DEFAULT_ADDRESS,
) -> None:
    """Save a new formula.

    For example: candelabra formulas create trend 'sma(close, days)' --param days=20:2:200
    """
    text = inputs.read_formula(formula, formula_file)
    draft = _draft(formula_id, text, param=param, description=description, compat=compat, narrow=float32_fields)
    with exit_statuses(), Client(server, timeout=timeout) as client:
        _print(client.create_formula(draft))


def update(
    *,
    formula_id: Id,
    formula: FormulaText = None,
    formula_file: FormulaFile = None,
    param: Declared = None,
    description: Description = "",
    compat: Compat = None,
    float32_fields: Float32Fields = False,
    etag: Etag = "",
    timeout: TimeoutSeconds = 30.0,
    server: Server = DEFAULT_ADDRESS,
) -> None:
    """Save a new version of a formula, whole as it is given; the older ones stay."""
    text = inputs.read_formula(formula, formula_file)
    draft = _draft(formula_id, text, param=param, description=description, compat=compat, narrow=float32_fields)
    with exit_statuses(), Client(server, timeout=timeout) as client:
        draft.etag = etag or client.get_formula(formula_id).etag
        _print(client.update_formula(draft))


def delete(
    *, formula_id: Id, etag: Etag = "", timeout: TimeoutSeconds = 30.0, server: Server = DEFAULT_ADDRESS
) -> None:
    """Remove a formula's name; versions that others pin stay readable."""
    with exit_statuses(), Client(server, timeout=timeout) as client:
        client.delete_formula(formula_id, etag=etag or client.get_formula(formula_id).etag)
        plain_console().print(f"{formula_id} is deleted")


def _draft(
    formula_id: str, text: str | None, *, param: list[str] | None, description: str, compat: Compat, narrow: bool
) -> v1.SavedFormula:
    if text is None:
        raise typer.BadParameter("expected the formula's text, - for standard input, or --formula-file")
    none, qlib = v1.Compatibility.COMPATIBILITY_UNSPECIFIED, v1.Compatibility.COMPATIBILITY_QLIB
    return v1.SavedFormula(
        id=formula_id,
        expression=text,
        description=description,
        parameters=[_declaration(value) for value in param or ()],
        compatibility=none if compat is None else qlib,
        float32_fields=narrow,
    )


def _declaration(value: str) -> v1.ParameterDeclaration:
    """A parameter of `NAME[=DEFAULT[:MIN[:MAX]]]`; any of the numbers may be left out."""
    name, _, numbers = value.partition("=")
    fields = ("default_value", "minimum", "maximum")
    try:
        parts = numbers.split(":") if numbers else []
        given = {field: float(part) for field, part in zip(fields, parts, strict=False) if part}
        if len(parts) > len(fields) or not name.strip():
            raise ValueError
    except ValueError:
        raise typer.BadParameter(
            f"{value!r} is not NAME[=DEFAULT[:MIN[:MAX]]], for example days=20:2:200", param_hint="--param"
        ) from None
    return v1.ParameterDeclaration(
        name=name.strip(),
        default_value=given.get("default_value"),
        minimum=given.get("minimum"),
        maximum=given.get("maximum"),
    )


def _declared(parameter: v1.ParameterDeclaration) -> str:
    text = parameter.name
    if parameter.HasField("default_value"):
        text += f"={parameter.default_value:g}"
    if parameter.HasField("minimum") or parameter.HasField("maximum"):
        low = f"{parameter.minimum:g}" if parameter.HasField("minimum") else ""
        high = f"{parameter.maximum:g}" if parameter.HasField("maximum") else ""
        text += f" ({low}..{high})"
    return text


def _print(formula: v1.SavedFormula) -> None:
    rows = [("formula", formula.id if formula.built_in else f"{formula.id}@{formula.version}")]
    rows += [("", formula.description)] if formula.description else []
    rows += [("parameters", ", ".join(map(_declared, formula.parameters)))] if formula.parameters else []
    rows += [("etag", formula.etag)] if formula.etag else []
    plain_console().print(value_table(rows))
