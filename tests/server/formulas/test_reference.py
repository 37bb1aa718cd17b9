"""The reference page says what the catalogue says, and its examples run."""

import math
import re
from pathlib import Path

import pytest

from candelabra_server.errors import FormulaError
from candelabra_server.formulas.catalogue import FUNCTIONS
from candelabra_server.formulas.catalogue.reference import dependence_class, function_reference

PAGE = Path(__file__).parents[3] / "server" / "docs" / "formulas.md"
FUNCTIONS_PAGE = PAGE.with_name("functions.md")
TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```formula\n(.*?)```", TEXT, re.DOTALL)
MISTAKES = re.findall(r"```mistake\n(.*?)```\n+```text\n(.*?)\n```", TEXT, re.DOTALL)


def test_the_page_of_functions_is_current():
    assert FUNCTIONS_PAGE.read_text(encoding="utf-8") == function_reference(), (
        "write server/docs/functions.md anew: python -c 'from candelabra_server.formulas.catalogue import reference; "
        "print(reference.function_reference(), end=str())'"
    )


def test_every_function_stands_in_the_tables_with_its_signature():
    tables = function_reference()
    assert all(f"| `{function.signature}` |" in tables for function in FUNCTIONS.values())


@pytest.mark.parametrize(
    ("name", "expected"),
    [("sma", "exact"), ("ema", "1e-9"), ("bars_since", "whole history"), ("Mean", "exact"), ("symbol", "exact")],
)
def test_every_function_has_a_class_of_dependence_on_the_start(name, expected):
    assert dependence_class(FUNCTIONS[name]) == expected
    assert {dependence_class(function) for function in FUNCTIONS.values()} == {"exact", "1e-9", "whole history"}


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_of_the_page_compiles_and_has_values(service, real_candles, example):
    formula = service.compile(example, parameters={"fast": 10, "slow": 30})
    columns = formula.evaluate(real_candles["AAPL"])
    assert not any(math.isnan(column[-1]) for column in columns)


@pytest.mark.parametrize(("mistake", "answer"), MISTAKES)
def test_a_mistake_of_the_page_gets_the_answer_that_stands_there(service, mistake, answer):
    with pytest.raises(FormulaError) as caught:
        service.compile(mistake.rstrip("\n"), parameters={})
    assert str(caught.value) == answer


def test_the_page_has_examples():
    assert len(EXAMPLES) >= 4
    assert MISTAKES


def test_every_code_of_a_problem_stands_on_the_page():
    package = PAGE.parents[1] / "candelabra_server" / "formulas"
    sources = "".join(path.read_text(encoding="utf-8") for path in package.glob("*.py"))
    codes = set(re.findall(r'(?:problems\.add|Fault)\(\s*"([A-Z_]+)"', sources))
    assert len(codes) > 20
    table = TEXT.split("| code | what is wrong |")[1]
    assert codes == set(re.findall(r"`([A-Z_]{5,})`", table))
