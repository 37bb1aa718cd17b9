"""What is known while one text is checked, and what all texts of one compilation share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from candelabra_server.formulas.compile_options import CompileOptions
from candelabra_server.formulas.graph import OWN, Graph, Source
from candelabra_server.formulas.nodes import (
    Arithmetic,
    Bitwise,
    Call,
    Comparison,
    Expression,
    Index,
    Logic,
    Name,
    Postfix,
    Power,
    SavedCall,
    Statement,
    Unary,
)
from candelabra_server.formulas.problems import ProblemLog
from candelabra_server.formulas.saved import SavedFormula
from candelabra_server.formulas.settings import SettingRules
from candelabra_server.formulas.values import Bundle, Series, Value

__all__ = ["Library", "SavedKey", "Scope", "Workspace", "names_in", "parts_of"]

Library = Callable[[str], SavedFormula]
"""The saved formula of a reference such as `trend` or `trend@3`; raises FormulaNotFoundError."""
SavedKey = tuple[str, int, tuple[tuple[str, str], ...], CompileOptions, Source]
"""A saved formula at a version, with its parameters and options, over candles of a source."""


@dataclass(slots=True, kw_only=True)
class Workspace:
    """What all texts of one compilation share.

    Attributes:
        graph: where everything becomes nodes.
        timeframe: of the job, canonical.
        library: finds saved formulas.
        depth: levels of all expressions that are being walked within one another; they share one stack.
        open_formulas: saved formulas that are being checked, outermost first.
        finished: what saved formulas turned out to be.
        sources: every source that anything is evaluated over.
        statements: how many statements were checked, those of saved formulas included.
        parsed: the statements of every text.
        characters: of all texts that were parsed, without built-in ones.
    """

    graph: Graph
    timeframe: str
    library: Library
    depth: int = 0
    open_formulas: list[str] = field(default_factory=list)
    finished: dict[SavedKey, Series | Bundle] = field(default_factory=dict)
    sources: set[Source] = field(default_factory=lambda: {OWN})
    statements: int = 0
    parsed: dict[str, Sequence[Statement]] = field(default_factory=dict)
    characters: int = 0

    @property
    def saved_formulas(self) -> tuple[str, ...]:
        """Those that were called, with their versions, each once."""
        return tuple(dict.fromkeys(f"{identifier}@{version}" for identifier, version, *_ in self.finished))


class Scope:
    """One text: its names, and whose candles the expression at hand is over."""

    def __init__(
        self,
        workspace: Workspace,
        *,
        statements: Sequence[Statement],
        parameters: Mapping[str, float],
        rules: SettingRules,
        options: CompileOptions,
        problems: ProblemLog,
        source: Source = OWN,
    ) -> None:
        self.workspace = workspace
        self.statements = statements
        self.parameters = parameters
        self.rules = rules
        self.options = options
        self.problems = problems
        self.source = source
        self.used_parameters: set[str] = set()
        self.used_functions: dict[str, None] = {}
        self.defined: dict[str, Statement] = {}
        """Statements whose name may be used, in order."""
        self._values: dict[tuple[str, Source], Value] = {}
        self._wrong: set[str] = set()
        self._names: dict[str, frozenset[str]] = {}

    @contextmanager
    def over(self, source: Source) -> Iterator[None]:
        """Everything inside is over candles of another source."""
        outer, graph = self.source, self.workspace.graph
        self.source = graph.source = source
        try:
            yield
        finally:
            self.source = graph.source = outer

    def define(self, statement: Statement, name: str, value: Value) -> None:
        """Makes a name known that was not, with its value over the text's own source."""
        self.defined[name] = statement
        self._values[name, self.source] = value
        if value is None:
            self._wrong.add(name)

    def value_of(self, name: str, evaluate: Callable[[Statement], Value]) -> Value:
        """The value of a defined name over the present source.

        Over a source for which it was not evaluated yet, so is all that it is made of, first to last: no chain of
        names makes this recurse. One that is wrong has no value anywhere: it might be made of itself.
        """
        if name in self._wrong:
            return None
        if (name, self.source) not in self._values:
            needed = self._needed(name)
            for earlier, statement in self.defined.items():
                if earlier in needed and (earlier, self.source) not in self._values:
                    self._values[earlier, self.source] = evaluate(statement)
        return self._values[name, self.source]

    def _needed(self, name: str) -> set[str]:
        """The name and all that its expression is made of, directly or not, but what has its value already."""
        needed: set[str] = set()
        waiting = [name]
        while waiting:
            found = waiting.pop()
            if found not in needed and found in self.defined and (found, self.source) not in self._values:
                needed.add(found)
                waiting.extend(self._names_of(found))
        return needed

    def _names_of(self, name: str) -> frozenset[str]:
        """The names in the expression of a defined one."""
        if name not in self._names:
            expression = self.defined[name].expression
            self._names[name] = frozenset(names_in(expression) if expression is not None else ())
        return self._names[name]


def names_in(expression: Expression) -> Iterator[str]:
    """Every bare name in an expression."""
    return (part.name for part in parts_of(expression) if isinstance(part, Name))


def parts_of(expression: Expression) -> Iterator[Expression]:
    """An expression and everything below it."""
    waiting = [expression]
    while waiting:
        found = waiting.pop()
        yield found
        waiting.extend(_below(found))


def _below(expression: Expression) -> Sequence[Expression]:
    below: Sequence[Expression] = ()
    match expression:
        case Call() | SavedCall():
            below = [argument.value for argument in expression.arguments]
        case Unary():
            below = [expression.operand]
        case Power():
            below = [expression.base, expression.exponent]
        case Arithmetic() | Comparison() | Logic() | Bitwise():
            below = expression.operands
        case Postfix(base=base, trailer=Index(candles=candles)):
            below = [base, candles]
        case Postfix():
            below = [expression.base]
    return below
