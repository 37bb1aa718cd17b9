"""One attempt: a text that no one would write is compiled, evaluated if it can be, and every promise is checked."""

import hashlib
import itertools
import math
from dataclasses import dataclass

import numpy as np

from candelabra_server.domain.candles import PRICE_FIELDS, Candles, FloatTable
from candelabra_server.errors import FormulaError, FormulaNotFoundError, SymbolFailure
from candelabra_server.formulas.builtins import BUILTIN_FORMULAS
from candelabra_server.formulas.compile_options import CompileOptions
from candelabra_server.formulas.evaluator import Evaluation
from candelabra_server.formulas.problems import MOST_PROBLEMS
from candelabra_server.formulas.saved import DeclaredParameter, SavedFormula
from candelabra_server.formulas.service import ColumnKind, CompiledFormula, FormulaService

PARAMETERS = {"fast": 3.0, "half": 0.5, "none": math.nan, "huge": 1e308}
SAVED = {
    formula.id: formula
    for formula in (
        SavedFormula(
            id="trend",
            version=1,
            expression="sma(close, days) * scale",
            parameters=(
                DeclaredParameter(name="days", minimum=2, maximum=50),
                DeclaredParameter(name="scale", default=1.0),
            ),
        ),
        SavedFormula(id="desk/bands", version=1, expression="_m = sma(close, 3); up = _m + 1; m = macd(close)"),
        SavedFormula(
            id="grows",
            version=1,
            expression="@grows(x + 1) + @grows(x * 2)",
            parameters=(DeclaredParameter(name="x"),),
        ),
        SavedFormula(id="loop", version=1, expression="@back() + 1"),
        SavedFormula(id="back", version=1, expression="@loop()@1w"),
        SavedFormula(id="wrong", version=1, expression="a = clsoe\nb = sma("),
        SavedFormula(id="narrow", version=1, expression="Mean($close, 3) / 3", qlib_defects=True, float32_fields=True),
        *BUILTIN_FORMULAS.values(),
    )
}
ROWS = 50
WARM_UP = 10
_MICROS = {"1d": 86_400_000_000, "1h": 3_600_000_000}
_FIRST = 1_577_836_800_000_000  # 2020-01-01
_NO_NUMBERS = (math.nan, math.inf, -math.inf, 0.0, -0.0, 1e308, 5e-324)


class BrokenPromiseError(AssertionError):
    """The language did what it says it never does."""


@dataclass(frozen=True)
class Attempt:
    """What one attempt is about: the text, and the options of its compilation."""

    text: str
    options: CompileOptions

    @classmethod
    def decode(cls, data: bytes) -> "Attempt":
        """The attempt that bytes stand for: the first has the options, the rest is the text."""
        flags = data[0] if data else 0
        return cls(
            text=data[1:].decode("utf-8", errors="surrogateescape"),
            options=CompileOptions(
                timeframe="1h" if flags & 1 else "1d",
                allow_lookahead=bool(flags & 2),
                qlib_defects=bool(flags & 4),
                float32_fields=bool(flags & 8),
                draft=bool(flags & 16),
            ),
        )


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt: a formula, or the codes of what is wrong with the text."""

    formula: CompiledFormula | None
    codes: tuple[str, ...]


def compile_attempt(attempt: Attempt) -> Outcome:
    """Compiles, with a service of its own, so that no attempt depends on another.

    Raises:
        BrokenPromiseError: the answer makes no sense.
        Exception: any other that `compile` should not have raised.
    """
    try:
        formula = FormulaService().compile(
            attempt.text, parameters=PARAMETERS, options=attempt.options, library=find_saved
        )
    except FormulaError as error:
        _check_problems(attempt.text, error)
        return Outcome(None, tuple(problem.code for problem in error.problems))
    _expect(bool(formula.columns), "no columns")
    names = [column.name for column in formula.columns]
    _expect(len(set(names)) == len(names), f"two columns have one name: {names}")
    _expect(formula.warm_up_candles >= 0, f"the warm-up is {formula.warm_up_candles}")
    return Outcome(formula, ())


def evaluate_attempt(attempt: Attempt) -> Outcome:
    """The same, and evaluates what compiles on candles that the text's hash determines.

    Raises:
        BrokenPromiseError: the columns are not what is promised, or the candles were changed.
        Exception: any but a SymbolFailure.
    """
    outcome = compile_attempt(attempt)
    # A draft is only checked: NaN stands where a window will be.
    if outcome.formula is None or attempt.options.draft:
        return outcome
    seed = int.from_bytes(hashlib.sha256(attempt.text.encode(errors="surrogateescape")).digest()[:8], "big")
    generator = np.random.default_rng(seed)
    candles = _candles("TEST", attempt.options.timeframe, ROWS, generator)
    others = {
        symbol: _candles(symbol, attempt.options.timeframe, int(generator.integers(0, 80)), generator)
        for symbol in outcome.formula.other_symbols
    }
    before = _bits(candles, *others.values())
    try:
        columns = outcome.formula.evaluate(candles, others=others)
        counts = outcome.formula.missing_counts(columns, candles, others=others)
    except SymbolFailure:
        return outcome
    _expect(_bits(candles, *others.values()) == before, "the candles were changed")
    _check_columns(outcome.formula, candles, columns)
    by_steps = Evaluation(outcome.formula.plan, candles, others)._columns_by_steps()
    _expect(np.array_equal(columns, by_steps, equal_nan=True), "the machine's values are not those of the steps")
    for column, causes in zip(columns, counts, strict=True):
        missing = int(np.isnan(column[WARM_UP:]).sum())
        _expect(sum(causes.values()) == missing, f"{missing} values are missing, {causes} are told")
    return outcome


def find_saved(reference: str) -> SavedFormula:
    """The library of all attempts."""
    identifier, _, version = reference.partition("@")
    if identifier in SAVED and version in {"", "1"}:
        return SAVED[identifier]
    raise FormulaNotFoundError(f"there is no formula `{reference}`", metadata={"id": reference})


def _check_problems(text: str, error: FormulaError) -> None:
    _expect(0 < len(error.problems) <= MOST_PROBLEMS, f"{len(error.problems)} problems")
    _expect(bool(str(error)), "the error has no text")
    if error.problems[0].code == "TOO_LONG":
        return  # shows the beginning of the text only
    lines = text.split("\n")
    for problem in error.problems:
        _expect(1 <= problem.line <= len(lines) and problem.source == lines[problem.line - 1], f"place of {problem}")
        room = len(problem.source) + 1 - problem.column
        _expect(room >= 0 and 1 <= problem.length <= max(1, room), f"column of {problem}")
        _expect("\n" not in problem.message, f"a message of several lines: {problem.message!r}")


def _check_columns(formula: CompiledFormula, candles: Candles, columns: FloatTable) -> None:
    _expect(len(columns) == len(formula.columns), f"{len(columns)} columns for {len(formula.columns)} names")
    for described, column in zip(formula.columns, columns, strict=True):
        is_column = isinstance(column, np.ndarray) and column.dtype == np.float64 and column.shape == (len(candles),)
        _expect(is_column and column.flags.c_contiguous, f"`{described.name}` is no column of {len(candles)} rows")
        _expect(
            described.kind is not ColumnKind.SIGNAL or bool(np.isin(column[~np.isnan(column)], (0.0, 1.0)).all()),
            f"signal `{described.name}` has values {np.unique(column)}",
        )
    for first, second in itertools.combinations((*columns[:20], *candles.fields.values()), 2):
        is_given = second is not first and any(second is column for column in columns)
        _expect(
            not np.shares_memory(first, second) or not (is_given or any(first is column for column in columns)),
            "columns share memory",
        )


def _candles(symbol: str, timeframe: str, rows: int, generator: np.random.Generator) -> Candles:
    """Candles with gaps in time; every tenth value or so is none, infinite, zero, or as large or small as can be."""
    step = _MICROS[timeframe]
    times = _FIRST + step * np.cumsum(generator.integers(1, 4, size=rows), dtype=np.int64)
    fields = {}
    for name in (*PRICE_FIELDS, "vwap", "spread"):
        column = generator.normal(100.0, 10.0, size=rows).round(1)
        odd = generator.random(rows) < 0.1
        column[odd] = generator.choice(_NO_NUMBERS, size=int(odd.sum()))
        column.flags.writeable = False
        fields[name] = column
    return Candles(symbol, times, fields, min(WARM_UP, rows))


def _bits(*candles: Candles) -> list[bytes]:
    columns = ((one.open_time_micros, *one.fields.values()) for one in candles)
    return [column.tobytes() for column in itertools.chain.from_iterable(columns)]


def _expect(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - as an assertion
    if not holds:
        raise BrokenPromiseError(otherwise)
