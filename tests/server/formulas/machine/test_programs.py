"""Programs: what is together in one pass, where values are, and that the same memory serves symbol after symbol."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candelabra_server.domain.candles import Candles
from candelabra_server.formulas.buffers import Buffers
from candelabra_server.formulas.compiled.loading import loaded_machine
from candelabra_server.formulas.compiled.opcodes import Opcode
from candelabra_server.formulas.evaluator import Evaluation
from candelabra_server.formulas.graph import OWN
from candelabra_server.formulas.missing_values import _counts_by_steps, cause_counts
from candelabra_server.formulas.programs import Call, Run, work_room
from candelabra_server.formulas.service import FormulaService
from candelabra_server.processing.formula_description import describe_formula

SERVICE = FormulaService()
DAY = 86_400_000_000
TEXTS = (
    "a = sma(close, 20) / close; b = a - sma(close, 20); c = b",
    "v = 5; w = close; x = close; y = -v",
    "m = macd(close); n = m.hist > 0 and close > open",
    "Corr($close, Log($volume + 1), 10) + Rank($close, 20) * Quantile($close, 20, 0.8)",
    "Std($close, 5) / Std($close, 60) - Mean($close, 60) + EMA($close, 0.1)",
    "Resi($close, 20) + Slope($close, 20) + Rsquare($close, 10)",
    "highest(high, 20) - lowest(low, 20) + close[3]",
    'close@1w / close + symbol("SPY").close',
    "sma(close@1w, 3) + sma(close, 3)",
    "bars_since(close > open) + streak(close > open) + nz(close / 0)",
    "if(close > open, Mad($close, 10), IdxMax($high, 10))",
    "Skew($close, 10) + Kurt($close, 10) + Var($volume, 0)",
    "(close + open) * (high - low) / (close - open) ^ 2",
)


def candles(rows: int, *, seed: int = 1, symbol: str = "X", gaps: float = 0.0) -> Candles:
    chance = np.random.default_rng([seed, rows])
    fields = {name: 100 + np.cumsum(chance.normal(size=rows)) for name in ("open", "high", "low", "close", "volume")}
    for column in fields.values():
        column[chance.random(rows) < gaps] = np.nan
        column.flags.writeable = False
    return Candles(symbol, np.arange(rows, dtype=np.int64) * DAY, fields)


def compiled(text: str):
    return SERVICE.compile(text, parameters={})


def opcodes(formula) -> list[Opcode]:
    return [
        Opcode(int(part.code[start]))
        for part in formula.plan.program.parts
        if isinstance(part, Run)
        for start in part.starts[:-1]
    ]


@pytest.mark.parametrize("rows", [0, 1, 5, 250, 2_500])
@pytest.mark.parametrize("text", TEXTS)
def test_a_formula_has_the_same_values_by_the_machine_and_step_by_step(text, rows):
    formula, own, others = compiled(text), candles(rows, gaps=0.02), {"SPY": candles(rows, seed=2, symbol="SPY")}
    evaluation = Evaluation(formula.plan, own, others)
    assert np.array_equal(evaluation.columns(), evaluation._columns_by_steps(), equal_nan=True)


@pytest.mark.parametrize("text", TEXTS)
def test_the_same_memory_serves_symbols_of_any_length(text):
    formula, buffers = compiled(text), Buffers()
    for rows in (300, 5, 0, 2_000, 40, 1_200):
        own, others = candles(rows), {"SPY": candles(rows, seed=2, symbol="SPY")}
        found = formula.evaluate(own, others=others, buffers=buffers)
        assert np.array_equal(found, formula.evaluate(own, others=others), equal_nan=True)


@pytest.mark.parametrize("text", TEXTS)
def test_why_a_value_is_missing_is_the_same_by_the_machine_and_step_by_step(text):
    for rows, gaps in ((0, 0.0), (30, 0.0), (400, 0.05)):
        formula, own, others = compiled(text), candles(rows, gaps=gaps), {"SPY": candles(rows, seed=2, symbol="SPY")}
        evaluation = Evaluation(formula.plan, own, others)
        for first_row in (0, rows // 2):
            by_machine = cause_counts(formula.plan, evaluation, first_row, Buffers()).tolist()
            assert by_machine == _counts_by_steps(formula.plan, evaluation, first_row).tolist()


def test_windows_over_one_column_are_filled_in_one_pass():
    formula = compiled("a = Std($close, 5); b = Std($close, 60); c = Var($close, 20); d = Std($open, 5)")
    assert opcodes(formula) == [Opcode.MOMENTS, Opcode.MOMENTS]
    ordered = compiled("Rank($close, 20) + Quantile($close, 20, 0.2) + Quantile($close, 60, 0.8) + Med($close, 9)")
    assert opcodes(ordered) == [Opcode.ORDERED, Opcode.ROWS]


def test_averages_of_different_weight_are_not_mixed():
    formula = compiled("a = EMA($close, 0.1); b = EMA($close, 0.5)")
    assert opcodes(formula) == [Opcode.DECAYING, Opcode.DECAYING]


def test_values_in_the_middle_of_a_chain_are_no_columns():
    formula = compiled("(close - open) / (high - low + 1) * 2 + close ** 1")
    program = compiled("(close - open) / (high - low + 1) * 2").plan.program
    assert program.columns[OWN] == 4 + 1
    assert any(isinstance(part, Call) for part in formula.plan.program.parts)


def test_columns_that_nothing_needs_any_more_are_used_again():
    statements = [f"_a{number} = sma(close, {number + 2}) + sma(open, {number + 2})" for number in range(20)]
    total = " + ".join(f"_a{number}" for number in range(20))
    chain = "_x0 = close; " + "; ".join(f"_x{n} = sma(_x{n - 1}, 3)" for n in range(1, 20)) + "; y = _x19"
    assert compiled(chain).plan.program.columns[OWN] <= 4
    assert compiled("; ".join([*statements, f"y = {total}"])).plan.program.columns[OWN] <= 2 + 40 + 1


def test_the_room_for_kernels_is_enough():
    machine = loaded_machine()
    for text in (*TEXTS[:7], "Mean($close, 100000) + Std($close, 4097)", "Corr($close, $open, 0)"):
        program = compiled(text).plan.program
        for rows in (1, 7, 255, 256, 257, 3_000):
            own = candles(rows)
            table = np.empty((program.columns[OWN], rows))
            for number in program.given:
                node = compiled(text).plan.steps[number].node
                table[program.places[number]] = own.fields.get(str(node.settings[0]), 0.0)
            room = work_room(program, rows)
            work = np.full(room + 64, 123.0)
            scratch = Buffers().scratch(program)
            for part in program.parts:
                if isinstance(part, Run):
                    machine.run(part.code, table, scratch, work[:room])
            assert (work[room:] == 123.0).all(), f"{text} over {rows} rows"


def test_explain_tells_what_computes_a_node():
    formula = compiled("Mean($close, 5) / close + Log(close) + macd(close).hist")
    told = {node.operation: node.kernel for node in describe_formula(formula, given={}).nodes}
    assert told["rolling_mean"] == "sums"
    assert told["divide"] == "rows"
    assert told["field"] == told["logarithm"] == told["macd"] == ""


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=4), st.integers(min_value=0, max_value=120))
def test_formulas_put_together_have_the_values_of_each(texts, rows):
    own, others = candles(rows, gaps=0.05), {"SPY": candles(rows, seed=2, symbol="SPY")}
    renamed = [
        text if "=" in text.replace("==", "") and ";" in text else f"only{number} = {text}"
        for number, text in enumerate(texts)
    ]
    singles = list(dict.fromkeys(text for text in renamed if text.startswith("only")))
    if not singles:
        return
    whole = compiled("; ".join(singles)).evaluate(own, others=others)
    for column, text in zip(whole, singles, strict=True):
        assert np.array_equal(column, compiled(text).evaluate(own, others=others)[0], equal_nan=True)


def test_what_overflows_in_longer_candles_is_infinite_and_quiet():
    own = candles(60)
    huge = Candles(own.symbol, own.open_time_micros, {**own.fields, "volume": np.full(60, 1e308)})
    (values,) = compiled("volume@1w").evaluate(huge)
    assert np.isinf(values[-1])
