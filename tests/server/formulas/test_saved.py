"""Saved formulas as values: ids, references and what can be wrong with a draft."""

import math
from dataclasses import FrozenInstanceError, replace

import pytest

from candelabra_server.formulas.saved import (
    DeclaredParameter,
    FormulaReference,
    SavedFormula,
    id_fault,
    own_id_fault,
    violations_of,
)

DRAFT = SavedFormula(id="trend", expression="sma(close, days)", parameters=(DeclaredParameter(name="days"),))


@pytest.mark.parametrize("identifier", ["a", "trend", "t2", "a_", "desk/momentum_2", "a/b/c", "a" * 128])
def test_ids_are_segments_of_lower_case_letters_digits_and_underscores(identifier):
    assert id_fault(identifier) is None
    assert own_id_fault(identifier) is None
    assert FormulaReference.parse(identifier) == FormulaReference(identifier, None)


@pytest.mark.parametrize(
    ("identifier", "fault"),
    [
        ("", "is empty"),
        ("a" * 129, "has 129 characters; an id has at most 128"),
        ("Trend", "'Trend' is not an id"),
        ("2a", "is not an id"),
        ("_a", "is not an id"),
        ("a-b", "is not an id"),
        ("a b", "is not an id"),
        ("a.b", "is not an id"),
        ("a/", "is not an id"),
        ("/a", "is not an id"),
        ("a//b", "is not an id"),
        ("a/2", "is not an id"),
        ("a\n", "is not an id"),
        ("a\0", "is not an id"),
        ("é", "is not an id"),
        ("\u0430", "is not an id"),  # looks like `a`, and is Cyrillic
        ("a٣", "is not an id"),
    ],
)
def test_anything_else_is_no_id(identifier, fault):
    assert fault in id_fault(identifier)
    with pytest.raises(ValueError, match=fault.replace("'", ".")):
        FormulaReference.parse(identifier)
    assert [violation.field for violation in violations_of(replace(DRAFT, id=identifier))] == ["formula.id"]


@pytest.mark.parametrize("identifier", ["qlib/alpha158", "candelabra/x", "qlib/"])
def test_ids_of_built_in_formulas_are_no_users(identifier):
    assert "built in" in own_id_fault(identifier)
    (violation,) = violations_of(replace(DRAFT, id=identifier))
    assert violation.field == "formula.id"
    assert f"`{identifier.partition('/')[0]}/`" in violation.description


def test_an_id_that_only_resembles_a_built_in_one_is_a_users():
    assert [own_id_fault(identifier) for identifier in ("qlib", "qlib_a/b", "desk/qlib/a")] == [None] * 3


def test_a_reference_pins_a_version():
    reference = FormulaReference.parse("desk/trend@30")
    assert reference == FormulaReference("desk/trend", 30)
    assert [str(reference), str(FormulaReference("trend"))] == ["desk/trend@30", "trend"]


@pytest.mark.parametrize("version", ["", "0", "03", "-1", "+1", "1.0", "x", " 1", "1 ", "1@2", "²", "٣", "9" * 11])
def test_a_version_is_a_whole_number_from_one(version):
    with pytest.raises(ValueError, match="a whole number from 1"):
        FormulaReference.parse(f"trend@{version}")


def test_a_right_draft_has_no_violations():
    parameters = (
        DeclaredParameter(name="days", default=20.0, minimum=20.0, maximum=20.0, description="d" * 500),
        DeclaredParameter(name="_", minimum=-1e308, maximum=5e-324),
        DeclaredParameter(name="A" * 64, default=-0.0),
    )
    many = tuple(DeclaredParameter(name=f"p{number}") for number in range(256))
    assert violations_of(DRAFT) == []
    assert violations_of(replace(DRAFT, description="é" * 2_000, parameters=parameters)) == []
    assert violations_of(replace(DRAFT, parameters=many)) == []


@pytest.mark.parametrize(
    ("settings", "field", "description"),
    [
        ({"name": ""}, "name", "'' is not a name"),
        ({"name": "1a"}, "name", "'1a' is not a name"),
        ({"name": "a b"}, "name", "'a b' is not a name"),
        ({"name": "a\n"}, "name", "is not a name"),
        ({"name": "é"}, "name", "'é' is not a name"),
        ({"name": "a" * 65}, "name", "has 65 characters; expected 64 at most"),
        ({"default": math.nan}, "default_value", "must be finite, not nan"),
        ({"default": math.inf}, "default_value", "must be finite, not inf"),
        ({"minimum": -math.inf, "default": 1.0}, "minimum", "must be finite, not -inf"),
        ({"maximum": math.nan}, "maximum", "must be finite, not nan"),
        ({"minimum": 2.0, "maximum": 1.0}, "minimum", "2.0 is above the maximum, 1.0"),
        ({"minimum": 2.0, "maximum": 1.0, "default": 5.0}, "minimum", "2.0 is above the maximum, 1.0"),
        ({"minimum": 2.0, "default": 1.5}, "default_value", "1.5 is below the minimum, 2.0"),
        ({"maximum": 2.0, "default": 2.5}, "default_value", "2.5 is above the maximum, 2.0"),
        ({"description": "d" * 501}, "description", "has 501 characters; expected 500 at most"),
    ],
)
def test_a_wrong_parameter_is_named_by_its_path(settings, field, description):
    wrong = DeclaredParameter(**{"name": "days"} | settings)
    right = DeclaredParameter(name="first", default=1.0)
    (violation,) = violations_of(replace(DRAFT, parameters=(right, wrong)))
    assert violation.field == f"formula.parameters[1].{field}"
    assert description in violation.description


def test_everything_that_is_wrong_is_told_at_once():
    parameters = (
        DeclaredParameter(name="twice", default=math.nan, minimum=math.inf),
        DeclaredParameter(name="twice", description="d" * 501),
    )
    draft = replace(DRAFT, id="Trend", description="d" * 2_001, parameters=parameters)
    assert [violation.field for violation in violations_of(draft)] == [
        "formula.id",
        "formula.description",
        "formula.parameters[0].name",
        "formula.parameters[0].default_value",
        "formula.parameters[0].minimum",
        "formula.parameters[1].name",
        "formula.parameters[1].description",
    ]


def test_too_many_parameters_are_counted_and_not_looked_at():
    parameters = tuple(DeclaredParameter(name="") for _ in range(257))
    (violation,) = violations_of(replace(DRAFT, parameters=parameters))
    assert (violation.field, violation.description) == ("formula.parameters", "are 257; a formula may have 256 at most")


def test_values_cannot_be_changed_and_are_made_by_name():
    with pytest.raises(FrozenInstanceError):
        DRAFT.id = "other"
    with pytest.raises(TypeError):
        SavedFormula("trend", 1, "close")
    assert not hasattr(DRAFT, "__dict__")
