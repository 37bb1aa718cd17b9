"""Texts by chance: each compiles and evaluates as promised, or is refused with problems inside it. A short fuzzing.

`make fuzz` does the same for longer, and looks for texts that reach new code.
"""

import sys
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from candelabra_server.errors import FormulaProblem
from candelabra_server.formulas.compile_options import CompileOptions
from candelabra_server.formulas.service import CompiledFormula, FormulaService
from fuzz import __main__ as command
from fuzz import attempts, vocabulary
from fuzz.attempts import Attempt, BrokenPromiseError, evaluate_attempt
from fuzz.mutation import mutated

SEEDS = vocabulary.seeds()
PIECES = vocabulary.pieces()
OPTIONS = st.builds(
    CompileOptions,
    timeframe=st.sampled_from(["1d", "1h"]),
    allow_lookahead=st.booleans(),
    qlib_defects=st.booleans(),
    float32_fields=st.booleans(),
    draft=st.booleans(),
)
CHANCE = st.integers(0, 2**64 - 1).map(Random)


# Texts that broke a promise once.
FOUND = (
    "a = a + 1\nb = a@1w",
    "a = --a\nvolume = a@99999M + 1",
    "open = volume + open\nb = ChangeInstrument('BRK/B', open)",
    "a = Var(3, 3)\nb = sma(a, 3) + volume[14]\nc = b@1M + Ref(low, 3)",
    "a = 1[--1]\nb = a + sma($spread, 3)",
    "a = TResample(1, '1w', 'sum')\nb = (a + close)@1M",
)


def by_chance(examples):
    return settings(
        max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )


@by_chance(200)
@given(text=st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=25).map(" ".join)))
def test_any_text_is_refused_with_problems_inside_it_or_compiles(text):
    evaluate_attempt(Attempt(text, CompileOptions()))


@by_chance(250)
@given(text=st.sampled_from(SEEDS), chance=CHANCE, options=OPTIONS)
def test_a_formula_with_a_few_changes_keeps_every_promise(text, chance, options):
    evaluate_attempt(Attempt(mutated(text, chance), options))


@by_chance(300)
@given(chance=CHANCE, depth=st.integers(1, 3), options=OPTIONS)
def test_an_expression_that_is_mostly_right_keeps_every_promise(chance, depth, options):
    evaluate_attempt(Attempt(vocabulary.expression(chance, depth), options))


@pytest.mark.parametrize("text", FOUND)
def test_what_broke_a_promise_once_keeps_them_all(text):
    for timeframe in ("1d", "1h"):
        evaluate_attempt(Attempt(text, CompileOptions(timeframe=timeframe)))


def test_what_is_made_of_constants_is_over_the_candles_at_hand(service, real_candles):
    candles = real_candles["FB"]
    plain, made = (
        service.compile(f"({text} + close)@1w", parameters={}).evaluate(candles)[0] for text in ("2", "sma(2, 2)")
    )
    np.testing.assert_array_equal(made[20:], plain[20:])


def test_most_of_what_fuzzing_begins_with_are_formulas_of_every_function():
    plain = [vocabulary.call(function, Random(1), plain=True) for function in vocabulary.FUNCTIONS.values()]
    compiled = [evaluate_attempt(Attempt(text, CompileOptions())).formula for text in plain]
    assert sum(formula is not None for formula in compiled) > 0.9 * len(plain)


def test_bytes_stand_for_a_text_and_options():
    attempt = Attempt.decode(b"\x03close\xff")
    assert attempt.text == "close\udcff"
    assert attempt.options == CompileOptions(timeframe="1h", allow_lookahead=True)
    assert Attempt.decode(b"").text == ""


def a_column(value):
    return lambda *_args, **_options: [np.full(attempts.ROWS, value)]


def change_candles(_formula, candles, **_options):
    candles.fields["close"].flags.writeable = True
    candles.fields["close"][:] = 0
    return [np.zeros(attempts.ROWS)]


@pytest.mark.parametrize(
    ("evaluate", "message"),
    [
        (a_column(2.0), "signal `value` has values"),
        (lambda *_args, **_options: [np.zeros(attempts.ROWS, dtype=np.float32)], "is no column of 50 rows"),
        (lambda *_args, **_options: [np.zeros(attempts.ROWS - 1)], "is no column of 50 rows"),
        (lambda *_args, **_options: [np.zeros(attempts.ROWS * 2)[::2]], "is no column of 50 rows"),
        (lambda *_args, **_options: [], "0 columns for 1 names"),
        (lambda _formula, candles, **_options: [candles.fields["close"]], "values|share memory"),
        (change_candles, "the candles were changed"),
    ],
)
def test_a_broken_promise_of_the_evaluation_is_noticed(monkeypatch, evaluate, message):
    monkeypatch.setattr(CompiledFormula, "evaluate", evaluate)
    monkeypatch.setattr(CompiledFormula, "missing_counts", lambda *_args, **_options: [{}])
    with pytest.raises(BrokenPromiseError, match=message):
        evaluate_attempt(Attempt("close > open", CompileOptions()))


def test_values_that_are_missing_without_a_cause_are_noticed(monkeypatch):
    monkeypatch.setattr(CompiledFormula, "missing_counts", lambda *_args, **_options: [{}])
    with pytest.raises(BrokenPromiseError, match="40 values are missing"):
        evaluate_attempt(Attempt("nan + 0", CompileOptions()))


@pytest.mark.parametrize(
    ("change", "message"), [({"line": 2}, "place of"), ({"column": 9}, "column of"), ({"message": "a\nb"}, "lines")]
)
def test_a_problem_outside_the_text_is_noticed(monkeypatch, change, message):
    def compile_text(*_args, **_options):
        problem = {"code": "X", "message": "m", "line": 1, "column": 1, "length": 1, "source": "close"} | change
        raise attempts.FormulaError([FormulaProblem(**problem)])

    monkeypatch.setattr(FormulaService, "compile", compile_text)
    with pytest.raises(BrokenPromiseError, match=message):
        evaluate_attempt(Attempt("close", CompileOptions()))


def test_a_saved_attempt_can_be_made_again(tmp_path, monkeypatch, capsys):
    path = tmp_path / "input"
    path.write_bytes(b"\0smaa(close)")
    monkeypatch.setattr(sys, "argv", ["fuzz", str(path)])
    assert command.main() == 0
    assert "UNKNOWN_FUNCTION" in capsys.readouterr().out
    monkeypatch.setattr(command, "SLOW_SECONDS", 0.0)
    assert command.main() == 1


def test_where_there_is_no_atheris_one_line_says_so(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["fuzz"])
    monkeypatch.setattr(command.platform, "machine", lambda: "arm64")
    assert command.main() == 1
    assert capsys.readouterr().err.startswith("make fuzz needs Linux on x86_64 and Python 3.11 to 3.13")
