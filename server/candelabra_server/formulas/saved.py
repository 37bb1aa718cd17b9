"""What a saved formula is: its fields, its declared parameters, its id, and how others refer to it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from candelabra_server.errors import Violation

__all__ = [
    "RESERVED_PREFIXES",
    "DeclaredParameter",
    "FormulaReference",
    "SavedFormula",
    "id_fault",
    "own_id_fault",
    "violations_of",
]

RESERVED_PREFIXES = ("qlib/", "candelabra/")
"""Ids that begin so are those of built-in formulas."""

_ID = re.compile(r"[a-z][a-z0-9_]*(?:/[a-z][a-z0-9_]*)*")
_VERSION = re.compile(r"[1-9][0-9]{0,9}")
_PARAMETER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST_ID = 128
_LONGEST_DESCRIPTION = 2_000
_MOST_PARAMETERS = 256
_LONGEST_PARAMETER_NAME = 64
_LONGEST_PARAMETER_DESCRIPTION = 500
_SHOWN_CHARACTERS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredParameter:
    """One parameter that a saved formula takes.

    Attributes:
        name: as the formula's text uses it.
        default: value where none is given; None where one must be.
        minimum: smallest value that is accepted; None for no bound.
        maximum: largest value that is accepted; None for no bound.
        description: what it does.
    """

    name: str
    default: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedFormula:
    """One version of a formula under a name. A draft is one that the store has not given a version yet.

    Attributes:
        id: segments of `[a-z][a-z0-9_]*` with `/` between.
        version: counted from 1; 0 for a draft.
        expression: the text.
        description: what it is for.
        parameters: in the order in which `@id(…)` takes them by position.
        qlib_defects: Qlib's operators give the values that Qlib gives, also where those are wrong.
        float32_fields: fields are rounded to 32 bits before anything is computed from them.
        etag: differs between all versions; empty for a draft and for a built-in formula.
        create_time_micros: when version 1 was saved, UTC microseconds since 1970.
        update_time_micros: when this version was saved, likewise.
        built_in: the server brought it along.
    """

    id: str
    version: int = 0
    expression: str
    description: str = ""
    parameters: tuple[DeclaredParameter, ...] = ()
    qlib_defects: bool = False
    float32_fields: bool = False
    etag: str = ""
    create_time_micros: int = 0
    update_time_micros: int = 0
    built_in: bool = False


@dataclass(frozen=True, slots=True)
class FormulaReference:
    """How a formula is named by those who use it; `version` is None for the newest."""

    id: str
    version: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """The reference that `trend` or `trend@3` is.

        Raises:
            ValueError: it can be none; says why.
        """
        identifier, separator, version = text.partition("@")
        if fault := id_fault(identifier):
            raise ValueError(fault)
        if separator and not _VERSION.fullmatch(version):
            raise ValueError("what follows `@` must be a version, a whole number from 1, as in `trend@3`")
        return cls(identifier, int(version) if separator else None)

    def __str__(self) -> str:
        return self.id if self.version is None else f"{self.id}@{self.version}"


def id_fault(identifier: str) -> str | None:
    """The rest of a sentence that says why this cannot be a formula's id, or None where it can."""
    if not identifier:
        return "is empty; expected an id such as `trend`"
    if len(identifier) > _LONGEST_ID:
        return f"has {len(identifier):,} characters; an id has at most {_LONGEST_ID}"
    if not _ID.fullmatch(identifier):
        return (
            f"{identifier[:_SHOWN_CHARACTERS]!r} is not an id; expected lower-case letters, digits and `_`, first a "
            "letter, with `/` between such segments, as in `desk/momentum_2`"
        )
    return None


def own_id_fault(identifier: str) -> str | None:
    """As `id_fault`, of an id under which a user wants to save or delete something."""
    if identifier.startswith(RESERVED_PREFIXES):
        prefix = identifier.partition("/")[0]
        return f"begins with `{prefix}/`: such formulas are built in, and cannot be made, changed or deleted"
    return id_fault(identifier)


def violations_of(draft: SavedFormula) -> list[Violation]:
    """Everything that is wrong with a formula that a user wants to save, its text excepted; empty where nothing is.

    The paths are those of a message that has it as `formula`.
    """
    violations = []
    if fault := own_id_fault(draft.id):
        violations.append(Violation("formula.id", fault))
    if len(draft.description) > _LONGEST_DESCRIPTION:
        violations.append(Violation("formula.description", _too_long(draft.description, most=_LONGEST_DESCRIPTION)))
    if len(draft.parameters) > _MOST_PARAMETERS:
        violations.append(
            Violation(
                "formula.parameters",
                f"are {len(draft.parameters):,}; a formula may have {_MOST_PARAMETERS} at most",
            )
        )
        return violations
    uses = Counter(parameter.name for parameter in draft.parameters)
    for index, parameter in enumerate(draft.parameters):
        for name, description in _parameter_faults(parameter, is_unique=uses[parameter.name] == 1):
            violations.append(Violation(f"formula.parameters[{index}].{name}", description))
    return violations


def _parameter_faults(parameter: DeclaredParameter, *, is_unique: bool) -> Iterator[tuple[str, str]]:
    """Field and fault of everything that is wrong with a parameter."""
    name = parameter.name
    if len(name) > _LONGEST_PARAMETER_NAME:
        yield "name", _too_long(name, most=_LONGEST_PARAMETER_NAME)
    elif not _PARAMETER_NAME.fullmatch(name):
        yield "name", f"{name!r} is not a name; expected letters, digits and `_`, not first a digit"
    elif not is_unique:
        yield "name", f"`{name}` is declared more than once"
    if len(parameter.description) > _LONGEST_PARAMETER_DESCRIPTION:
        yield "description", _too_long(parameter.description, most=_LONGEST_PARAMETER_DESCRIPTION)
    yield from _number_faults(parameter)


def _number_faults(parameter: DeclaredParameter) -> Iterator[tuple[str, str]]:
    default, minimum, maximum = parameter.default, parameter.minimum, parameter.maximum
    numbers = {"default_value": default, "minimum": minimum, "maximum": maximum}
    unfit = {name: value for name, value in numbers.items() if value is not None and not math.isfinite(value)}
    if unfit:
        for name, value in unfit.items():
            yield name, f"must be finite, not {value}"
    elif minimum is not None and maximum is not None and minimum > maximum:
        yield "minimum", f"{minimum!r} is above the maximum, {maximum!r}"
    elif default is not None and minimum is not None and default < minimum:
        yield "default_value", f"{default!r} is below the minimum, {minimum!r}"
    elif default is not None and maximum is not None and default > maximum:
        yield "default_value", f"{default!r} is above the maximum, {maximum!r}"


def _too_long(text: str, *, most: int) -> str:
    return f"has {len(text):,} characters; expected {most:,} at most"
