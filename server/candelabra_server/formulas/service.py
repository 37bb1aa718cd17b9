"""FormulaService: the text of a formula to something that can be evaluated.

1. prescan.py bounds the text and cuts it into statements.
2. parser.py gives each statement typed nodes.
3. checker.py gives them meaning against the catalogue and puts them in a graph (graph.py), equal ones once.
4. planner.py orders the graph; evaluator.py runs it over candles with the kernels.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from candelabra_server.domain.candles import Candles, FloatColumn
from candelabra_server.errors import FormulaError, FormulaProblem
from candelabra_server.formulas import evaluator
from candelabra_server.formulas.checker import check
from candelabra_server.formulas.graph import Graph
from candelabra_server.formulas.limits import FormulaLimits
from candelabra_server.formulas.nodes import ColumnKind
from candelabra_server.formulas.parser import parse_statement
from candelabra_server.formulas.planner import Plan, make_plan
from candelabra_server.formulas.prescan import prescan
from candelabra_server.formulas.problems import ProblemLog
from candelabra_server.formulas.settings import SettingRules

__all__ = ["ColumnKind", "CompiledFormula", "FormulaService", "OutputColumn"]

_DEFAULTS = FormulaLimits()
_CACHED_FORMULAS = 256


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """A column that a formula gives."""

    name: str
    kind: ColumnKind


@dataclass(frozen=True, slots=True)
class CompiledFormula:
    """A checked formula with its parameters put in. Immutable, and safe to evaluate from several threads.

    Attributes:
        columns: what it gives, in order.
        warm_up_candles: candles that have to stand before the first row of the range for its values to be the same
            as on the whole history.
        fields: names of the candle fields it reads, sorted.
        warnings: what its author should know, one sentence each.
    """

    columns: tuple[OutputColumn, ...]
    warm_up_candles: int
    fields: tuple[str, ...]
    warnings: tuple[str, ...]
    _plan: Plan = field(repr=False)

    def evaluate(self, candles: Candles, *, checkpoint: Callable[[], None] | None = None) -> list[FloatColumn]:
        """One new C-contiguous float64 column for each of `columns`, over all rows of the candles.

        Args:
            candles: only read. Rows that lack part of their warm-up are NaN or, for Qlib's operators, computed from
                what is there.
            checkpoint: called between the steps of the computation; what it raises ends the evaluation.

        Raises:
            SymbolFailure: the candles lack a field that the formula reads (FIELD_NOT_STORED).
        """
        return evaluator.evaluate(self._plan, candles, checkpoint=checkpoint)


_CacheKey = tuple[str, tuple[tuple[str, str], ...], bool]


class FormulaService:
    """Compiles formulas, and remembers those it compiled lately. Safe to use from several threads.

    Raises:
        ConfigurationError: a limit cannot work.
    """

    def __init__(
        self,
        *,
        max_expression_length: int = _DEFAULTS.max_expression_length,
        max_statements: int = _DEFAULTS.max_statements,
        max_nesting: int = _DEFAULTS.max_nesting,
        max_nodes: int = _DEFAULTS.max_nodes,
        max_window: int = _DEFAULTS.max_window,
        max_warm_up_candles: int = _DEFAULTS.max_warm_up_candles,
    ) -> None:
        self._limits = FormulaLimits(
            max_expression_length=max_expression_length,
            max_statements=max_statements,
            max_nesting=max_nesting,
            max_nodes=max_nodes,
            max_window=max_window,
            max_warm_up_candles=max_warm_up_candles,
        )
        self._lock = threading.Lock()
        # Texts that are wrong are remembered too: sending one again must not cost more than sending a right one.
        self._compiled: OrderedDict[_CacheKey, CompiledFormula | tuple[FormulaProblem, ...]] = OrderedDict()

    def worker_config(self) -> dict[str, Any]:
        """What `create_formula_service` makes an equal service from, in JSON values."""
        return {"type": "builtin", **asdict(self._limits)}

    def compile(
        self, expression: str, *, parameters: Mapping[str, float], allow_lookahead: bool = False
    ) -> CompiledFormula:
        """Checks a formula and makes it ready to evaluate.

        Args:
            expression: the text.
            parameters: constants by name; one that the formula does not use becomes a warning.
            allow_lookahead: whether values may depend on later candles; rows that lack those are NaN.

        Raises:
            FormulaError: the formula is wrong; has every mistake found.
        """
        # As text: NaN is not equal to itself, and 0.0 is to -0.0.
        constants = tuple(sorted((name, repr(float(value))) for name, value in parameters.items()))
        key = (expression, constants, allow_lookahead)
        with self._lock:
            found = self._compiled.get(key)
            if found is not None:
                self._compiled.move_to_end(key)
        if found is None:
            found = self._compile(expression, parameters, allow_lookahead=allow_lookahead)
            with self._lock:
                self._compiled[key] = found
                while len(self._compiled) > _CACHED_FORMULAS:
                    self._compiled.popitem(last=False)
        if isinstance(found, CompiledFormula):
            return found
        raise FormulaError(found)

    def _compile(
        self, expression: str, parameters: Mapping[str, float], *, allow_lookahead: bool
    ) -> CompiledFormula | tuple[FormulaProblem, ...]:
        problems = ProblemLog(expression)
        try:
            statements = [parse_statement(source, problems) for source in prescan(expression, self._limits, problems)]
            checked = check(
                statements,
                parameters=parameters,
                rules=SettingRules(self._limits, allow_lookahead),
                graph=Graph(self._limits.max_nodes),
                problems=problems,
            )
            if problems:
                problems.fail()
        except FormulaError as error:
            return error.problems
        plan = make_plan(checked.outputs)
        warnings = checked.warnings
        if plan.look_ahead_candles:
            warnings = (f"values depend on candles up to {plan.look_ahead_candles} rows later", *warnings)
        return CompiledFormula(
            columns=tuple(OutputColumn(output.name, output.series.kind) for output in checked.outputs),
            warm_up_candles=plan.warm_up_candles,
            fields=plan.fields,
            warnings=warnings,
            _plan=plan,
        )
