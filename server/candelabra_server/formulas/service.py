"""FormulaService: the text of a formula to something that can be evaluated.

1. prescan.py bounds the text and cuts it into statements; parser.py gives each typed nodes.
2. checker.py gives them meaning against the catalogue and puts them in a graph (graph.py), equal ones once.
3. planner.py orders the graph; evaluator.py runs it over candles with the kernels.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from candelabra_server.domain.candles import Candles, FloatColumn, FloatTable
from candelabra_server.errors import (
    FormulaError,
    FormulaNotFoundError,
    FormulaProblem,
    InvalidRequestError,
    Reason,
    Violation,
)
from candelabra_server.formulas.buffers import Buffers
from candelabra_server.formulas.builtins import BUILTIN_FORMULAS
from candelabra_server.formulas.checker import Checked, check_text
from candelabra_server.formulas.compile_options import CompileOptions
from candelabra_server.formulas.evaluator import Evaluation
from candelabra_server.formulas.graph import Graph
from candelabra_server.formulas.limits import FormulaLimits
from candelabra_server.formulas.missing_values import (
    CAUSES,
    cause_counts,
    count_missing,
    lacks_only_warm_up,
    named,
    warm_up_only,
)
from candelabra_server.formulas.nodes import ColumnKind
from candelabra_server.formulas.operations import MissingCause
from candelabra_server.formulas.planner import Plan, make_plan
from candelabra_server.formulas.prescan import refuse_long_text
from candelabra_server.formulas.problems import closest_name, quoted
from candelabra_server.formulas.saved import SavedFormula
from candelabra_server.formulas.scope import Library, Workspace
from candelabra_server.formulas.store import FormulaStore

__all__ = [
    "CAUSES",
    "ColumnKind",
    "CompiledFormula",
    "FormulaService",
    "MissingCause",
    "OutputColumn",
    "bound_parameters",
]

_CACHED_FORMULAS = 256
_CACHED_STEPS = 131_072
"""Of all plans together, about 600 bytes each: 256 formulas at the limit of operations would take half a gigabyte."""
_SHORTEST_TIMEFRAME = "1s"
"""Every longer one consists of whole candles of it."""
_DEFAULT_OPTIONS = CompileOptions()


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """A column that a formula gives."""

    name: str
    kind: ColumnKind


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledFormula:
    """A checked formula with its parameters put in. Immutable, and safe to evaluate from several threads.

    Attributes:
        columns: what it gives, in order.
        parameters: the values it was compiled with, by name.
        used_parameters: those of them that it uses.
        saved_formulas: those that it is or calls, by the reference under which they were found.
        warnings: what its author should know, one sentence each.
        plan: what is computed.
        lacks_only_warm_up: over candles without gaps, only rows before which there are too few have no value.
    """

    columns: tuple[OutputColumn, ...]
    parameters: Mapping[str, float]
    used_parameters: frozenset[str]
    saved_formulas: Mapping[str, SavedFormula]
    warnings: tuple[str, ...]
    plan: Plan = field(repr=False)
    lacks_only_warm_up: bool = field(repr=False)

    @property
    def warm_up_candles(self) -> int:
        """Candles before the range that its values need: then they are the same as on the whole history.

        Where they need every candle, a number that no store reaches.
        """
        return self.plan.warm_up_candles

    @property
    def other_symbols(self) -> Mapping[str, int]:
        """Symbols that it reads beside the job's own, with the candles before the range that they need."""
        return self.plan.other_symbols

    def evaluate(
        self,
        candles: Candles,
        *,
        others: Mapping[str, Candles] | None = None,
        checkpoint: Callable[[], None] | None = None,
        buffers: Buffers | None = None,
    ) -> FloatTable:
        """The values of each of `columns`, over all rows of the candles: one row of the table a column, C-contiguous.

        Args:
            candles: only read. Rows that lack part of their warm-up are NaN or, for Qlib's operators, computed from
                what is there.
            others: candles of `other_symbols`, over the time of all rows and their own warm-up before; only read.
            checkpoint: called between the steps of the computation; what it raises ends the evaluation.
            buffers: where the columns are, until the next evaluation with them; None for new memory.

        Raises:
            SymbolFailure: the candles lack a field that the formula reads (FIELD_NOT_STORED).
        """
        return Evaluation(self.plan, candles, others or {}, checkpoint).columns(buffers)

    @property
    def is_local(self) -> bool:
        """Whether candles of several symbols may stand one behind the other, as `evaluate_stack` takes them.

        A row's values are then the same bits whatever stands before its warm-up.
        """
        return self.plan.is_local

    def evaluate_stack(
        self,
        fields: Mapping[str, FloatColumn],
        rows: int,
        *,
        checkpoint: Callable[[], None] | None = None,
        buffers: Buffers | None = None,
    ) -> FloatTable:
        """As `evaluate`, over candles of several symbols one behind the other, of a formula that `is_local`.

        Rows that stand nearer to their symbol's first than `warm_up_candles` have no meaning.

        Args:
            fields: columns by name; only read.
            rows: how many they have.
            checkpoint: as for `evaluate`.
            buffers: likewise.
        """
        candles = Candles("", np.arange(rows), fields)
        return Evaluation(self.plan, candles, {}, checkpoint).columns(buffers)

    def fields_of(self, symbol: str) -> tuple[str, ...]:
        """The fields of another symbol that it reads, sorted."""
        return tuple(
            sorted({name for source, names in self.plan.fields.items() if source.symbol == symbol for name in names})
        )

    def missing_counts(
        self,
        columns: FloatTable,
        candles: Candles,
        *,
        others: Mapping[str, Candles] | None = None,
        checkpoint: Callable[[], None] | None = None,
        buffers: Buffers | None = None,
    ) -> list[Mapping[MissingCause, int]]:
        """How many rows of the range have no value in each column, by cause; nothing where all have one.

        Args:
            columns: what `evaluate` gave for the same candles.
            candles: as they were given to `evaluate`.
            others: likewise.
            checkpoint: likewise.
            buffers: others than those which hold `columns`, or None.
        """
        counts, last = count_missing(columns, candles.warm_up)
        missing = np.array(counts, dtype=np.int64)
        return named(self.cause_counts(missing, last, candles, others=others, checkpoint=checkpoint, buffers=buffers))

    def cause_counts(
        self,
        missing: npt.NDArray[np.int64],
        last_missing: int,
        candles: Candles,
        *,
        others: Mapping[str, Candles] | None = None,
        checkpoint: Callable[[], None] | None = None,
        buffers: Buffers | None = None,
        end_row: int | None = None,
    ) -> npt.NDArray[np.int64]:
        """The same as a table, a row a column and a number for each of CAUSES, where it is known what is missing.

        What has NaN is run again, up to the last row that has one, to see where each began. Where nothing but
        the warm-up can be the cause, it is not.

        Args:
            missing: how many rows of the range, up to `end_row`, have no value in each column.
            last_missing: the last of all rows, warm-up included, in which any column has none.
            candles: as they were given to `evaluate`.
            others: likewise.
            checkpoint: likewise.
            buffers: others than those which hold the columns, or None.
            end_row: of all rows, warm-up included; rows from it on are only looked ahead at. None: there are none.
        """
        if not missing.any():
            return warm_up_only(missing)
        if self.lacks_only_warm_up and all(np.isfinite(candles.fields[name]).all() for name in self.fields_of("")):
            return warm_up_only(missing)
        rows = len(candles) if self.plan.look_ahead_candles else last_missing + 1
        evaluation = Evaluation(self.plan, candles.first(rows), others or {}, checkpoint)
        return cause_counts(self.plan, evaluation, candles.warm_up, buffers or Buffers(), end_row=end_row)


@dataclass(frozen=True, slots=True)
class _Compiled:
    """What came of a text, and what it found under the references to saved formulas (None: nothing)."""

    outcome: CompiledFormula | tuple[FormulaProblem, ...]
    found: Mapping[str, SavedFormula | None]

    @property
    def steps(self) -> int:
        """How many its plan has."""
        return len(self.outcome.plan.steps) if isinstance(self.outcome, CompiledFormula) else 0


_CacheKey = tuple[str, tuple[tuple[str, str], ...], CompileOptions, bool]


class FormulaService:
    """Compiles formulas, and remembers those it compiled lately. Safe to use from several threads.

    Args:
        limits: bounds on one formula; None for the defaults.
        store: where saved formulas are kept; without it there are only the built-in ones.
    """

    def __init__(self, *, limits: FormulaLimits | None = None, store: FormulaStore | None = None) -> None:
        self._limits = limits or FormulaLimits()
        self._store = store
        store_config = {} if store is None else {"store": str(store.folder)}
        self._config = {"type": "builtin", **asdict(self._limits), **store_config}
        self._lock = threading.Lock()
        # Texts that are wrong are remembered too: sending one again must not cost more than sending a right one.
        self._compiled: OrderedDict[_CacheKey, _Compiled] = OrderedDict()
        self._cached_steps = 0

    def worker_config(self) -> dict[str, Any]:
        """What `create_formula_service` makes an equal service from, in JSON values."""
        return dict(self._config)

    def find(self, reference: str) -> SavedFormula:
        """The saved or built-in formula of a reference such as `trend` or `trend@3`. Blocks.

        Raises:
            FormulaNotFoundError: there is none.
            StoreError: the formulas cannot be read.
        """
        if self._store is not None:
            return self._store.get(reference)
        identifier, _, version = reference.partition("@")
        builtin = BUILTIN_FORMULAS.get(identifier)
        if builtin is not None and version in {"", str(builtin.version)}:
            return builtin
        close = closest_name(identifier, BUILTIN_FORMULAS)
        hint = f"; did you mean `{close}`?" if close else ""
        raise FormulaNotFoundError(f"there is no formula {quoted(reference)}{hint}", metadata={"id": reference})

    def compile(
        self,
        expression: str,
        *,
        parameters: Mapping[str, float],
        options: CompileOptions = _DEFAULT_OPTIONS,
        library: Library | None = None,
    ) -> CompiledFormula:
        """Checks a formula and makes it ready to evaluate.

        Args:
            expression: the text.
            parameters: constants by name; one that the formula does not use becomes a warning.
            options: what the job says about its meaning.
            library: finds the saved formulas that it calls; None for `find`.

        Raises:
            FormulaError: the formula is wrong; has every mistake found.
        """
        return self._compile_text(expression, parameters, options, library or self.find, trusted=False)

    def compile_saved(
        self,
        reference: str,
        *,
        parameters: Mapping[str, float],
        options: CompileOptions = _DEFAULT_OPTIONS,
        library: Library | None = None,
    ) -> CompiledFormula:
        """The same for a saved formula: defaults stand in for parameters that are not given.

        Raises:
            FormulaNotFoundError: there is none under this reference.
            InvalidRequestError: a parameter is missing or out of its range.
            FormulaError: its text is wrong, as when a formula that it calls was changed.
        """
        find = library or self.find
        formula = find(reference)
        compiled = self._compile_text(
            formula.expression,
            bound_parameters(formula, parameters),
            replace(
                options,
                qlib_defects=options.qlib_defects or formula.qlib_defects,
                float32_fields=options.float32_fields or formula.float32_fields,
            ),
            find,
            trusted=formula.built_in,
        )
        return replace(compiled, saved_formulas={reference: formula, **compiled.saved_formulas})

    def check_saved(self, draft: SavedFormula) -> None:
        """Checks the text of a formula that is to be saved, for any job that could run it.

        A parameter without a default may be anything yet, the timeframe any, and later candles may be looked at.

        Raises:
            FormulaError: the text is wrong, or calls itself through other saved formulas.
        """
        parameters = {
            parameter.name: math.nan if parameter.default is None else parameter.default
            for parameter in draft.parameters
        }
        options = CompileOptions(
            timeframe=_SHORTEST_TIMEFRAME,
            allow_lookahead=True,
            qlib_defects=draft.qlib_defects,
            float32_fields=draft.float32_fields,
            draft=True,
        )
        workspace = Workspace(
            graph=Graph(self._limits, options.timeframe),
            timeframe=options.timeframe,
            library=lambda reference: draft if reference == draft.id else self.find(reference),
            open_formulas=[draft.id],
        )
        check_text(draft.expression, workspace=workspace, parameters=parameters, options=options, limits=self._limits)

    def _compile_text(
        self,
        expression: str,
        parameters: Mapping[str, float],
        options: CompileOptions,
        library: Library,
        *,
        trusted: bool,
    ) -> CompiledFormula:
        if not trusted:
            refuse_long_text(expression, self._limits)  # before it can fill the cache
        # As text: NaN is not equal to itself, and 0.0 is to -0.0.
        constants = tuple(sorted((name, repr(float(value))) for name, value in parameters.items()))
        key = (expression, constants, options, trusted)
        with self._lock:
            compiled = self._compiled.get(key)
            if compiled is not None:
                self._compiled.move_to_end(key)
        if compiled is None or not _is_current(compiled, library):
            compiled = self._check_and_plan(expression, parameters, options, library, trusted=trusted)
            self._remember(key, compiled)
        if isinstance(compiled.outcome, CompiledFormula):
            return compiled.outcome
        raise FormulaError(compiled.outcome)

    def _remember(self, key: _CacheKey, compiled: _Compiled) -> None:
        """Keeps what came of a text, in place of what was asked for longest ago."""
        with self._lock:
            replaced = self._compiled.pop(key, None)
            self._cached_steps += compiled.steps - (replaced.steps if replaced else 0)
            self._compiled[key] = compiled
            while len(self._compiled) > _CACHED_FORMULAS or self._cached_steps > _CACHED_STEPS:
                _, oldest = self._compiled.popitem(last=False)
                self._cached_steps -= oldest.steps

    def _check_and_plan(
        self,
        expression: str,
        parameters: Mapping[str, float],
        options: CompileOptions,
        library: Library,
        *,
        trusted: bool,
    ) -> _Compiled:
        found: dict[str, SavedFormula | None] = {}

        def recording(reference: str) -> SavedFormula:
            known = found.get(reference)
            if known is not None:
                return known
            found[reference] = None
            formula = library(reference)
            found[reference] = formula
            return formula

        workspace = Workspace(
            graph=Graph(self._limits, options.timeframe), timeframe=options.timeframe, library=recording
        )
        try:
            checked = check_text(
                expression,
                workspace=workspace,
                parameters=parameters,
                options=options,
                limits=self._limits,
                trusted=trusted,
            )
        except FormulaError as error:
            return _Compiled(error.problems, found)
        return _Compiled(_planned(checked, parameters, options, found), found)


def bound_parameters(formula: SavedFormula, given: Mapping[str, float]) -> dict[str, float]:
    """Every parameter that is given, and the defaults of those that are not.

    Raises:
        InvalidRequestError: one is missing or out of its range.
    """
    values = dict(given)
    violations = []
    for parameter in formula.parameters:
        value = values.get(parameter.name, parameter.default)
        if value is None:
            violations.append(Violation(f"parameters[{parameter.name}]", f"is required by formula `{formula.id}`"))
            continue
        values[parameter.name] = value
        low = -math.inf if parameter.minimum is None else parameter.minimum
        high = math.inf if parameter.maximum is None else parameter.maximum
        if not low <= value <= high:
            violations.append(
                Violation(f"parameters[{parameter.name}]", f"must be from {low:g} to {high:g}, not {value:g}")
            )
    if violations:
        raise InvalidRequestError(violations, reason=Reason.INVALID_REQUEST)
    return values


def _planned(
    checked: Checked,
    parameters: Mapping[str, float],
    options: CompileOptions,
    found: Mapping[str, SavedFormula | None],
) -> CompiledFormula:
    plan = make_plan(checked.outputs, options.timeframe)
    warnings = checked.warnings
    if plan.look_ahead_candles:
        warnings = (f"values depend on candles up to {plan.look_ahead_candles} rows later", *warnings)
    return CompiledFormula(
        columns=tuple(OutputColumn(output.name, output.series.kind) for output in checked.outputs),
        parameters=dict(parameters),
        used_parameters=checked.used_parameters,
        saved_formulas={reference: formula for reference, formula in found.items() if formula is not None},
        warnings=warnings,
        plan=plan,
        lacks_only_warm_up=lacks_only_warm_up(plan),
    )


def _found(library: Library, reference: str) -> SavedFormula | None:
    try:
        return library(reference)
    except FormulaNotFoundError:
        return None


def _is_current(compiled: _Compiled, library: Library) -> bool:
    """Whether the saved formulas that a compilation found are still what is found."""
    return all(_found(library, reference) == formula for reference, formula in compiled.found.items())
