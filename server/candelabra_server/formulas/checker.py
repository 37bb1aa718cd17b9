"""Meaning: names, kinds and arguments of one text, everything wrong noted, everything right put in a graph.

1. The text is cut (prescan.py) and parsed (parser.py) into statements.
2. Each statement's name is checked against fields, parameters and earlier names.
3. Its expression becomes nodes of the graph (expressions.py, calls in call_checker.py, saved formulas in
   saved_calls.py, which comes back here with their texts); a mistake gives no value, and what uses it is silent.
4. What the statements name becomes output columns; what is odd but no mistake becomes warnings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from candelabra_server.formulas.catalogue import FUNCTIONS, KNOWN_FIELDS
from candelabra_server.formulas.compile_options import CompileOptions
from candelabra_server.formulas.expressions import NO_VALUE, ExpressionChecker
from candelabra_server.formulas.graph import OWN, GraphTooLargeError, Source
from candelabra_server.formulas.limits import FormulaLimits
from candelabra_server.formulas.nodes import Statement
from candelabra_server.formulas.parser import parse_statement
from candelabra_server.formulas.prescan import prescan
from candelabra_server.formulas.problems import MOST_PROBLEMS, ProblemLog, Span, quoted
from candelabra_server.formulas.scope import Scope, Workspace
from candelabra_server.formulas.settings import SettingRules
from candelabra_server.formulas.values import Bundle, OtherSymbol, Series, TextValue, Value

__all__ = ["Checked", "Output", "check_text"]

DEFAULT_NAME = "value"
"""Column of a lone expression."""
_HIDDEN = "_"
"""Names that begin with it are no columns."""
_MOST_PROBLEMS_OF_A_CALL = 1
"""The caller tells the first: looking for more would cost the more the deeper the calls are."""


@dataclass(frozen=True, slots=True)
class Output:
    """One column to be."""

    name: str
    series: Series


@dataclass(frozen=True, slots=True)
class Checked:
    """A text that can be computed.

    Attributes:
        values: what its names stand for, in order, without the hidden ones.
        outputs: the same as columns: several where a name stands for several.
        warnings: what its author should know.
        used_parameters: names of the parameters that it uses.
    """

    values: Mapping[str, Series | Bundle]
    outputs: tuple[Output, ...]
    warnings: tuple[str, ...]
    used_parameters: frozenset[str]


def check_text(
    text: str,
    *,
    workspace: Workspace,
    parameters: Mapping[str, float],
    options: CompileOptions,
    limits: FormulaLimits,
    source: Source = OWN,
    trusted: bool = False,
) -> Checked:
    """Checks one text, and the saved formulas that it calls.

    Args:
        text: the formula.
        workspace: what all texts of the compilation share.
        parameters: values by name.
        options: what the job says about the meaning.
        limits: bounds on one formula.
        source: whose candles the text is over.
        trusted: the text was brought along by the server: its length has no limit.

    Raises:
        FormulaError: has every mistake found.
    """
    problems = ProblemLog(text, most=_MOST_PROBLEMS_OF_A_CALL if workspace.depth else MOST_PROBLEMS)
    statements = _statements(text, workspace, limits, problems, trusted=trusted)
    rules = SettingRules(limits, options.allow_lookahead, options.qlib_defects)
    scope = Scope(
        workspace,
        statements=statements,
        parameters=parameters,
        rules=rules,
        options=options,
        problems=problems,
        source=source,
    )
    workspace.statements += len(statements)
    if workspace.depth and workspace.statements > limits.max_nodes:
        message = f"saved formulas have more than {limits.max_nodes} statements together, the limit"
        problems.add("TOO_LARGE", message, statements[0].span)
        problems.fail()
    checked = _Checker(scope).run()
    if problems:
        problems.fail()
    return checked


def _statements(
    text: str, workspace: Workspace, limits: FormulaLimits, problems: ProblemLog, *, trusted: bool
) -> Sequence[Statement]:
    """What the text consists of. That of a saved formula is parsed once, and has no mistakes."""
    if text in workspace.parsed:
        return workspace.parsed[text]
    parts = prescan(text, limits, problems, trusted=trusted)
    workspace.characters += 0 if trusted else len(text)
    if workspace.characters > limits.max_total_length:
        message = f"the formula and those it calls have more than {limits.max_total_length} characters, the limit"
        problems.add("TOO_LARGE", message, Span(0, 1))
        problems.fail()
    statements = tuple(parse_statement(part, problems) for part in parts)
    if problems and workspace.depth:
        problems.fail()
    workspace.parsed[text] = statements
    return statements


class _Checker:
    """One walk over the statements of one text."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._problems = scope.problems
        self._expressions = ExpressionChecker(scope, check_text)

    def run(self) -> Checked:
        """Checks every statement in order."""
        values: dict[str, Series | Bundle] = {}
        for statement in self._scope.statements:
            if self._problems.full:
                break
            try:
                value = self._expressions.statement(statement)
            except GraphTooLargeError as error:
                self._problems.add("TOO_LARGE", str(error), statement.span)
                break
            name = self._define(statement, value)
            if isinstance(value, TextValue | OtherSymbol):
                self._problems.add("NO_SERIES", "this gives no values; expected a series of numbers", statement.span)
            elif value is not None and not name.startswith(_HIDDEN):
                values[name] = value
        outputs = tuple(output for name, value in values.items() for output in _columns(name, value))
        self._check_outputs(outputs)
        return Checked(values, outputs, self._warnings(), frozenset(self._scope.used_parameters))

    def _check_outputs(self, outputs: tuple[Output, ...]) -> None:
        most = self._scope.rules.limits.max_outputs
        last = self._scope.statements[-1].name_span
        if not outputs and not self._problems:
            self._problems.add("NO_OUTPUT", "every name begins with `_`, so there is no column", last)
        if len(outputs) > most:
            self._problems.add("TOO_MANY_OUTPUTS", f"the formula has {len(outputs)} columns; the limit is {most}", last)

    def _warnings(self) -> tuple[str, ...]:
        """What is odd, but no mistake."""
        unused = sorted(set(self._scope.parameters) - self._scope.used_parameters)
        return (
            *(f"parameter {quoted(name)} is not used by the formula" for name in unused),
            *(f"`{name}`: {FUNCTIONS[name].warning}" for name in self._scope.used_functions if FUNCTIONS[name].warning),
        )

    def _define(self, statement: Statement, value: Value) -> str:
        """Makes a statement's value known by its name; returns the name of its column."""
        name, span, scope = statement.name, statement.name_span, self._scope
        if name is None:
            if len(scope.statements) > 1:
                self._problems.add(
                    "UNNAMED",
                    "this expression has no name; where there are several statements, write `name = expression`",
                    span,
                )
            return DEFAULT_NAME
        taken = (
            (name in KNOWN_FIELDS, "a field; choose another name, or write `==` for equality"),
            (name == NO_VALUE, "the constant for no value; choose another name"),
            (name in scope.parameters, "a parameter of the job; choose another name"),
            (name in scope.defined, "defined already; choose another name"),
        )
        for is_taken, what in taken:
            if is_taken:
                self._problems.add("NAME_TAKEN", f"{quoted(name)} is {what}", span)
                return name  # and the name keeps its meaning
        scope.define(statement, name, value)
        return name


def _columns(name: str, value: Series | Bundle) -> Iterator[Output]:
    if isinstance(value, Series):
        yield Output(name, value)
        return
    for output, series in value.outputs.items():
        yield from _columns(f"{name}.{output}", series)
