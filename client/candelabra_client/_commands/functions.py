"""`candelabra functions`: what formulas are made of."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer
from google.protobuf import json_format
from rich.console import Console
from rich.table import Table

from candelabra import v1
from candelabra_client._client import Client
from candelabra_client._commands.descriptions import value_table
from candelabra_client._commands.exits import FAILED, error_text, exit_statuses
from candelabra_client._commands.options import DEFAULT_ADDRESS, Server, TimeoutSeconds
from candelabra_client._commands.tables import counted, plain_console

__all__ = ["functions"]


def functions(
    *,
    pattern: Annotated[
        str, typer.Argument(metavar="[PATTERN]", help="A name, a pattern such as 'cdl*', or a word of the summary.")
    ] = "",
    family: Annotated[str, typer.Option(metavar="FAMILY", help="Only of this family, such as Qlib.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    timeout: TimeoutSeconds = 30.0,
    server: Server = DEFAULT_ADDRESS,
) -> None:
    """List the functions of the language; one that is named in full is described in full."""
    with exit_statuses(), Client(server, timeout=timeout) as client:
        found = client.functions(pattern, family=family)
        named = [function for function in found if function.name == pattern]
        if as_json:
            for function in named or found:
                sys.stdout.write(json.dumps(json_format.MessageToDict(function)) + "\n")
        elif named:
            _describe(plain_console(), named[0])
        elif found:
            _list(plain_console(), found)
        else:
            error_text(f"no function matches {pattern!r}; `candelabra functions` lists them all")
            raise typer.Exit(FAILED)


def _list(console: Console, found: list[v1.FunctionDescription]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("function", "gives", "family"):
        table.add_column(name, no_wrap=name == "family")
    for function in found:
        table.add_row(function.signature, function.summary, function.family)
    console.print(table)
    console.print(counted(len(found), "function"), style="dim")


def _describe(console: Console, function: v1.FunctionDescription) -> None:
    console.print(function.signature, style="bold")
    console.print(function.summary)
    console.print()
    kind = v1.ColumnKind.Name(function.kind).removeprefix("COLUMN_KIND_").lower()
    rows = [
        ("family", function.family),
        ("gives", "what its inputs are" if kind == "unspecified" else f"{kind}s"),
        *[("outputs", ", ".join(f".{output}" for output in function.outputs))][: bool(function.outputs)],
        *[(f"input {given.name}", _input(given)) for given in function.inputs],
        *[(f"setting {setting.name}", _setting(setting)) for setting in function.settings],
        ("warm-up", function.warm_up),
        ("definition", function.source),
        *[("note", function.warning)][: bool(function.warning)],
    ]
    console.print(value_table(rows))


def _input(given: v1.FunctionInput) -> str:
    what = "a signal" if given.condition else "a series"
    return f"{what}; {given.implied_field} where all are left out" if given.implied_field else what


def _setting(setting: v1.FunctionSetting) -> str:
    parts = [setting.kind]
    if setting.choices:
        parts = [", ".join(setting.choices)]
    if setting.HasField("minimum"):
        parts.append(f"at least {setting.minimum:g}")
    if setting.HasField("maximum"):
        parts.append(f"at most {setting.maximum:g}")
    if setting.default_value:
        parts.append(f"default {setting.default_value}")
    return "; ".join(parts)
