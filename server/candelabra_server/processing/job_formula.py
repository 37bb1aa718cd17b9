"""A job's formula between its messages and the formula service: what is compiled, and what workers need for it."""

from __future__ import annotations

from collections.abc import Iterable

from candelabra.v1 import ColumnKind, Compatibility, ParameterDeclaration, ProcessingJob
from candelabra.v1 import SavedFormula as SavedFormulaMessage
from candelabra.worker.v1 import SymbolTask
from candelabra_server.formulas.compile_options import DEFAULT_TIMEFRAME, CompileOptions
from candelabra_server.formulas.saved import DeclaredParameter, SavedFormula
from candelabra_server.formulas.scope import Library
from candelabra_server.formulas.service import ColumnKind as OutputKind
from candelabra_server.formulas.service import CompiledFormula, FormulaService

__all__ = ["COLUMN_KINDS", "compile_job", "compile_task", "from_message", "shipped_formulas", "to_message"]

COLUMN_KINDS = {
    OutputKind.NUMBER: ColumnKind.COLUMN_KIND_NUMBER,
    OutputKind.SIGNAL: ColumnKind.COLUMN_KIND_SIGNAL,
}
"""What an output's kind is called in messages."""


def compile_job(job: ProcessingJob, timeframe: str | None, formula_service: FormulaService) -> CompiledFormula:
    """The formula of a job that has one, as its messages say; blocks.

    Args:
        job: has a formula.
        timeframe: canonical; None where the job's own cannot be read, and only mistakes are looked for.
        formula_service: compiles it.

    Raises:
        FormulaError: the text is wrong.
        FormulaNotFoundError: there is no formula of this id.
        InvalidRequestError: a parameter of a saved formula is missing or out of its range.
    """
    options = CompileOptions(
        timeframe=timeframe or DEFAULT_TIMEFRAME,
        allow_lookahead=job.options.allow_lookahead,
        qlib_defects=job.formula.compatibility == Compatibility.COMPATIBILITY_QLIB,
        float32_fields=job.formula.float32_fields,
    )
    parameters = dict(job.parameters)
    if job.formula.id:
        return formula_service.compile_saved(job.formula.id, parameters=parameters, options=options)
    return formula_service.compile(job.formula.expression, parameters=parameters, options=options)


def shipped_formulas(formula: CompiledFormula) -> list[SavedFormulaMessage]:
    """The saved formulas that a worker needs to compile the same; built-in ones it has itself."""
    unique = {(saved.id, saved.version): saved for saved in formula.saved_formulas.values() if not saved.built_in}
    return [to_message(unique[key]) for key in sorted(unique)]


def compile_task(task: SymbolTask, timeframe: str, formula_service: FormulaService) -> CompiledFormula | None:
    """The formula of a worker's task, from what came with the task; None where it has none.

    Raises:
        CandelabraError: it cannot be compiled, as `compile_job` says.
    """
    options = CompileOptions(
        timeframe=timeframe,
        allow_lookahead=task.allow_lookahead,
        qlib_defects=task.qlib_defects,
        float32_fields=task.float32_fields,
    )
    library = _library(task.saved_formulas, formula_service)
    parameters = dict(task.parameters)
    if task.formula_id:
        return formula_service.compile_saved(task.formula_id, parameters=parameters, options=options, library=library)
    if task.formula_expression:
        return formula_service.compile(task.formula_expression, parameters=parameters, options=options, library=library)
    return None


def to_message(formula: SavedFormula) -> SavedFormulaMessage:
    """A saved formula as clients and workers see it."""
    return SavedFormulaMessage(
        id=formula.id,
        version=formula.version,
        etag=formula.etag,
        expression=formula.expression,
        description=formula.description,
        parameters=[
            ParameterDeclaration(
                name=parameter.name,
                default_value=parameter.default,
                minimum=parameter.minimum,
                maximum=parameter.maximum,
                description=parameter.description,
            )
            for parameter in formula.parameters
        ],
        compatibility=(
            Compatibility.COMPATIBILITY_QLIB if formula.qlib_defects else Compatibility.COMPATIBILITY_UNSPECIFIED
        ),
        float32_fields=formula.float32_fields,
        create_time_micros=formula.create_time_micros,
        update_time_micros=formula.update_time_micros,
        built_in=formula.built_in,
    )


def from_message(message: SavedFormulaMessage) -> SavedFormula:
    """The saved formula that a message describes, whatever of it the sender set."""
    return SavedFormula(
        id=message.id,
        version=message.version,
        etag=message.etag,
        expression=message.expression,
        description=message.description,
        parameters=tuple(_parameter(parameter) for parameter in message.parameters),
        qlib_defects=message.compatibility == Compatibility.COMPATIBILITY_QLIB,
        float32_fields=message.float32_fields,
        create_time_micros=message.create_time_micros,
        update_time_micros=message.update_time_micros,
        built_in=message.built_in,
    )


def _parameter(message: ParameterDeclaration) -> DeclaredParameter:
    return DeclaredParameter(
        name=message.name,
        default=message.default_value if message.HasField("default_value") else None,
        minimum=message.minimum if message.HasField("minimum") else None,
        maximum=message.maximum if message.HasField("maximum") else None,
        description=message.description,
    )


def _library(shipped: Iterable[SavedFormulaMessage], formula_service: FormulaService) -> Library:
    """Finds what came with the task first; where several versions of a formula did, its name means the newest."""
    known: dict[str, SavedFormula] = {}
    for message in sorted(shipped, key=lambda message: message.version):
        formula = from_message(message)
        known[formula.id] = known[f"{formula.id}@{formula.version}"] = formula
    return lambda reference: known.get(reference) or formula_service.find(reference)
