"""Texts that are made to cost much are refused, or cost little."""

import inspect
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candelabra_server.errors import FormulaError
from candelabra_server.formulas import service as service_module
from candelabra_server.formulas.limits import FormulaLimits
from candelabra_server.formulas.service import FormulaService

REFUSED_UNPARSED = {
    "a text beyond the length": ("close + " * 3000, "TOO_LONG"),
    "ten million characters": ("a" * 10_000_000, "TOO_LONG"),
    "a hundred thousand parentheses": ("(" * 100_000, "TOO_LONG"),
    "eight thousand parentheses": ("(" * 8000 + "1" + ")" * 8000, "TOO_DEEP"),
    "eight thousand brackets": ("a[" * 5000 + "1" + "]" * 5000, "TOO_DEEP"),
    "calls in calls": ("sma(" * 3000, "TOO_DEEP"),
    "a chain of signs": ("-" * 10_000 + "1", "TOO_DEEP"),
    "a chain of mixed signs": ("- + " * 3000 + "1", "TOO_DEEP"),
    "a chain of not": ("not " * 4000 + "close", "TOO_DEEP"),
    "a chain of powers": ("2" + "**2" * 5000, "TOO_DEEP"),
    "a chain of powers of signed numbers": ("2" + "^-1e-1" * 2500, "TOO_DEEP"),
    "signs and parentheses by turns": ("-(" * 5000 + "1" + ")" * 5000, "TOO_DEEP"),
    "not and parentheses after an operator": ("1 < not (" * 1000, "TOO_DEEP"),
    "too many statements": (";".join(f"a{row}=1" for row in range(300)), "TOO_MANY_STATEMENTS"),
    "control characters": ("\0" * 16_000, "BAD_CHARACTER"),
    "only separators": (";" * 16_000, "EMPTY"),
}
REFUSED = {
    "an index of an index": ("close" + "[1]" * 5000, "TOO_LARGE"),
    "thousands of arguments": ("sma(" + "1," * 8000 + ")", "TOO_MANY_ARGUMENTS"),
    "thousands of commas": ("sma(" + "," * 16_000 + ")", "SYNTAX"),
    "every rank of operator in sixty parentheses": ("(1 or 1 and 1 < 1 + 1 * " * 60 + "1" + ")" * 60, "TOO_DEEP"),
    "thousands of members": ("close" + ".a" * 8000, "NO_OUTPUTS"),
    "an operator too many": ("1+" * 8000, "SYNTAX"),
    "thousands of unknown names": (" + ".join(f"x{row}" for row in range(2000)), "UNKNOWN_NAME"),
}
ALLOWED = {
    "sixty-four parentheses": "(" * 64 + "close" + ")" * 64,
    "sixty calls in calls": "sma(" * 60 + "close" + ", 2)" * 60,
    "every rank of operator in every parenthesis": (
        "(1 or 1 and not 1 < 1 + 1 * -1 ^ " * 12 + "close" + ")" * 12
    ),
    "a tree of the greatest depth": "(1 or 1 and 1 < 1 + 1 * " * 23 + "close" + ")" * 23,
    "the same with calls": "sma(2 or 1 + 1 * " * 29 + "close" + ")" * 29,
    "thousands of sums": "1" + "+1" * 8000,
    "thousands of comparisons": "1" + "<1" * 8000,
    "thousands of equal terms": "close" + " and close" * 1600,
    "sharing that would double with every line": "\n".join(
        ["a0 = close + open", *(f"a{row} = a{row - 1} * a{row - 1}" for row in range(1, 250))]
    ),
    "a number of sixteen thousand digits": "9" * 16_000,
    "towers of powers": "9 ** 9 ** 9 ** 9 ** 9 ** 9",
    "ten thousand blank lines": "\n" * 10_000 + "close",
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED_UNPARSED)
def test_what_the_pre_scan_can_tell_never_reaches_the_parser(monkeypatch, name):
    def parse(*_):
        pytest.fail("parsed")

    monkeypatch.setattr(service_module, "parse_statement", parse)
    text, code = REFUSED_UNPARSED[name]
    with pytest.raises(FormulaError) as caught:
        FormulaService().compile(text, parameters={})
    assert {problem.code for problem in caught.value.problems} == {code}


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_text_is_refused_as_any_other(service, name):
    text, code = REFUSED[name]
    with pytest.raises(FormulaError) as caught:
        service.compile(text, parameters={})
    assert caught.value.problems[0].code == code
    assert len(caught.value.problems) <= 20


@pytest.mark.parametrize("name", ALLOWED)
def test_what_only_looks_hostile_compiles_with_little_stack(name):
    frames = len(inspect.stack(0))
    before = sys.getrecursionlimit()
    FormulaService().compile("close", parameters={})  # imports and tables are not what is measured
    sys.setrecursionlimit(frames + 700)
    try:
        formula = FormulaService().compile(ALLOWED[name], parameters={})
    finally:
        sys.setrecursionlimit(before)
    assert [column.name for column in formula.columns][:1] in (["value"], ["a0"])


def test_equal_expressions_are_one_node_however_often_they_are_written(service):
    formula = service.compile(ALLOWED["sharing that would double with every line"], parameters={})
    assert len(formula._plan.steps) == 2 + 250


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    text=st.one_of(
        st.text(max_size=60),
        st.lists(
            st.sampled_from(
                [
                    *"()[]+-*/%^<>=,.;\n#$ ", "**", "==", "!=", "<=", "and", "or", "not", "if", "close", "$close", "1",
                    "0.5", "1e3", "sma", "Ref", "macd", "atr", "period", "a", "b", "fast", "hist", "a =",
                    "sma(close, 3)",                     "Mean($close, 2)", "(close", "close)", "[1]", ".hist",
                ]
            ),
            max_size=25,
        ).map(" ".join),
    )
)  # fmt: skip
def test_any_text_compiles_or_is_refused_with_problems_inside_it(text):
    service = FormulaService(limits=FormulaLimits(max_window=50))
    problems, columns = (), ()
    try:
        columns = service.compile(text, parameters={"fast": 3.0}).columns
    except FormulaError as error:
        problems = error.problems
    assert bool(problems) != bool(columns)
    lines = text.split("\n")
    for problem in problems:
        assert problem.source == lines[problem.line - 1]
        assert 1 <= problem.column <= len(problem.source) + 1
        assert 1 <= problem.length <= max(1, len(problem.source) + 1 - problem.column)
        assert str(problem)
