"""The formulas that the server brings along: Qlib's own columns, and nothing that a user's text could not say."""

import numpy as np
import pytest

from candelabra_server.formulas.builtins import BUILTIN_FORMULAS
from candelabra_server.formulas.catalogue import FUNCTIONS, KNOWN_FIELDS
from candelabra_server.formulas.limits import FormulaLimits
from candelabra_server.formulas.nodes import ColumnKind
from candelabra_server.formulas.saved import RESERVED_PREFIXES, id_fault
from reference.qlib_values import qlib_reference

QLIB_SETS = {"qlib/alpha158": "alpha158", "qlib/alpha360": "alpha360"}
WARM_UP = {"qlib/alpha158": 60, "qlib/alpha360": 59}


def columns(formula):
    """Names and expressions as they stand in the text."""
    return [line.split(" = ") for line in formula.expression.splitlines()]


def test_the_built_in_formulas_are_those_of_qlib():
    assert set(BUILTIN_FORMULAS) == set(QLIB_SETS)


@pytest.mark.parametrize("formula", BUILTIN_FORMULAS.values(), ids=BUILTIN_FORMULAS)
def test_a_built_in_formula_is_known_as_one(formula):
    assert BUILTIN_FORMULAS[formula.id] is formula
    assert id_fault(formula.id) is None
    assert formula.id.startswith(RESERVED_PREFIXES)
    assert formula.built_in
    assert formula.version == 1
    assert formula.description
    assert not formula.parameters


@pytest.mark.parametrize("identifier", QLIB_SETS)
def test_names_order_and_expressions_are_those_that_qlib_lists(identifier):
    group = qlib_reference().groups[QLIB_SETS[identifier]]
    names, expressions = zip(*columns(BUILTIN_FORMULAS[identifier]), strict=True)
    assert list(names) == group.names
    assert [text.replace(" ", "") for text in expressions] == [text.replace(" ", "") for text in group.expressions]


@pytest.mark.parametrize(("identifier", "count"), [("qlib/alpha158", 158), ("qlib/alpha360", 360)])
def test_a_set_has_as_many_columns_as_its_name_says(identifier, count):
    names = [name for name, _ in columns(BUILTIN_FORMULAS[identifier])]
    assert len(names) == len(set(names)) == count


@pytest.mark.parametrize("formula", BUILTIN_FORMULAS.values(), ids=BUILTIN_FORMULAS)
def test_no_column_is_called_like_a_function_or_a_field(formula):
    names = {name for name, _ in columns(formula)}
    assert names.isdisjoint(FUNCTIONS)
    assert names.isdisjoint(KNOWN_FIELDS)


@pytest.mark.parametrize("formula", BUILTIN_FORMULAS.values(), ids=BUILTIN_FORMULAS)
def test_the_text_is_one_that_a_user_may_send(service, formula):
    assert len(formula.expression) <= FormulaLimits().max_expression_length
    compiled = service.compile(formula.expression, parameters={})
    assert [column.name for column in compiled.columns] == [name for name, _ in columns(formula)]


@pytest.mark.parametrize("identifier", QLIB_SETS)
def test_a_set_compiles_by_its_id(service, identifier):
    compiled = service.compile_saved(identifier, parameters={})
    assert [column.name for column in compiled.columns] == [name for name, _ in columns(BUILTIN_FORMULAS[identifier])]
    assert {column.kind for column in compiled.columns} == {ColumnKind.NUMBER}
    assert compiled.warm_up_candles == WARM_UP[identifier]
    assert not compiled.warnings


@pytest.mark.parametrize("identifier", QLIB_SETS)
def test_a_column_of_a_set_can_be_used_in_a_formula(service, real_candles, identifier):
    candles = real_candles["AAPL"]
    prices = {**candles.fields, "vwap": candles.fields["close"]}
    candles = type(candles)("AAPL", candles.open_time_micros, prices)
    formula = service.compile(f"@{identifier}().VWAP0 - 1", parameters={})
    np.testing.assert_array_equal(formula.evaluate(candles)[0], 0)
