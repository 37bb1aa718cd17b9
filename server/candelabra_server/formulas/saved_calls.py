"""`@id(…)`: a saved formula called from a formula."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from candelabra_server.errors import FormulaError, FormulaNotFoundError
from candelabra_server.formulas.call_checker import CallChecker
from candelabra_server.formulas.catalogue import SettingKind, SettingParameter
from candelabra_server.formulas.compile_options import CompileOptions
from candelabra_server.formulas.nodes import Argument, SavedCall
from candelabra_server.formulas.problems import Span, quoted
from candelabra_server.formulas.saved import SavedFormula
from candelabra_server.formulas.scope import Scope
from candelabra_server.formulas.values import Bundle, Series, Value

__all__ = ["SavedCallChecker"]

_MOST_OPEN = 16
"""Most saved formulas within one another."""


class SavedCallChecker:
    """Checks the saved formulas that one text calls."""

    def __init__(self, scope: Scope, calls: CallChecker, check_text: Callable[..., Any]) -> None:
        self._scope = scope
        self._calls = calls
        self._check_text = check_text
        self._problems = scope.problems

    def call(self, call: SavedCall) -> Value:
        """What the saved formula gives: a series, or several by the names of its columns."""
        workspace = self._scope.workspace
        try:
            formula = workspace.library(call.reference)
        except FormulaNotFoundError as error:
            self._problems.add("FORMULA_NOT_FOUND", error.message, call.name_span)
            return None
        parameters = self._parameters(formula, call)
        if parameters is None:
            return None
        constants = tuple(sorted((name, repr(value)) for name, value in parameters.items()))
        options = replace(
            self._scope.options,
            qlib_defects=self._scope.options.qlib_defects or formula.qlib_defects,
            float32_fields=self._scope.options.float32_fields or formula.float32_fields,
        )
        key = (formula.id, formula.version, constants, options, self._scope.source)
        if key not in workspace.finished:
            value = self._resolve(formula, call, parameters, options)
            if value is None:
                return None
            workspace.finished[key] = value
        return workspace.finished[key]

    def _resolve(
        self, formula: SavedFormula, call: SavedCall, parameters: Mapping[str, float], options: CompileOptions
    ) -> Series | Bundle | None:
        workspace = self._scope.workspace
        if formula.id in workspace.open_formulas:
            chain = " → ".join(f"`{identifier}`" for identifier in (*workspace.open_formulas, formula.id))
            self._problems.add("FORMULA_CYCLE", f"a saved formula cannot contain itself: {chain}", call.name_span)
            return None
        if len(workspace.open_formulas) == _MOST_OPEN:
            message = f"more than {_MOST_OPEN} saved formulas within one another"
            self._problems.add("FORMULA_TOO_DEEP", message, call.name_span)
            return None
        workspace.open_formulas.append(formula.id)
        try:
            checked = self._check_text(
                formula.expression,
                workspace=workspace,
                parameters=parameters,
                options=options,
                limits=self._scope.rules.limits,
                source=self._scope.source,
                trusted=formula.built_in,
            )
        except FormulaError as error:
            first = error.problems[0]
            message = f"the saved formula `{call.reference}` is wrong: line {first.line}, {first.message}"
            self._problems.add("SAVED_FORMULA_WRONG", message, call.name_span)
            return None
        finally:
            workspace.open_formulas.pop()
        columns: dict[str, Series | Bundle] = dict(checked.values)
        return next(iter(columns.values())) if list(columns) == ["value"] else Bundle(f"@{call.reference}", columns)

    def _parameters(self, formula: SavedFormula, call: SavedCall) -> dict[str, float] | None:
        """Every declared parameter with its value, or None if anything is wrong."""
        declared = {parameter.name: parameter for parameter in formula.parameters}
        signature = f"@{call.reference}({', '.join(_shown(parameter) for parameter in formula.parameters)})"
        values: dict[str, float] = {}
        wrong = False
        places = iter(declared)
        seen: set[str] = set()
        for argument in call.arguments:
            name = argument.name if argument.name is not None else next(places, None)
            if name is None or name not in declared or name in seen:
                self._misplaced(argument, name if name in seen else None, signature, declared)
                wrong = True
                continue
            seen.add(name)
            parameter = declared[name]
            rule = SettingParameter(
                name=name, kind=SettingKind.FACTOR, minimum=parameter.minimum, maximum=parameter.maximum
            )
            value = self._calls.setting(rule, argument.value, f"`{name}` of `@{call.reference}`")
            if isinstance(value, int | float):
                values[name] = float(value)
            wrong = wrong or value is None
        if wrong:
            return None
        defaults = {name: parameter.default for name, parameter in declared.items() if name not in seen}
        missing = [name for name, default in defaults.items() if default is None]
        if missing:
            message = f"`{signature}` lacks {' and '.join(f'`{name}`' for name in missing)}"
            self._problems.add("MISSING_ARGUMENT", message, call.span, signature=signature)
            return None
        return values | {name: default for name, default in defaults.items() if default is not None}

    def _misplaced(self, argument: Argument, twice: str | None, signature: str, declared: Iterable[str]) -> None:
        """Notes an argument that is one too many, given twice, or meant for a parameter that is not there."""
        span = argument.span
        if twice is not None:
            code, message = "DUPLICATE_ARGUMENT", f"`{twice}` of `{signature}` is given twice"
        elif argument.name is None:
            code, message = "TOO_MANY_ARGUMENTS", f"more arguments than `{signature}` takes"
        else:
            span = Span(span.start, span.start + len(argument.name))
            code, message = "UNKNOWN_ARGUMENT", f"`{signature}` has no parameter {quoted(argument.name)}"
        known = declared if code == "UNKNOWN_ARGUMENT" else None
        self._problems.add(code, message, span, known=known, signature=signature)


def _shown(parameter: Any) -> str:  # noqa: ANN401 - a DeclaredParameter
    return parameter.name if parameter.default is None else f"{parameter.name}={parameter.default:g}"
