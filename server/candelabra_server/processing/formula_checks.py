"""What the language says of a text, and of itself: CheckFormula and ListFunctions."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from candelabra.v1 import (
    CheckFormulaRequest,
    CheckFormulaResponse,
    FunctionDescription,
    FunctionInput,
    FunctionSetting,
    JobOptions,
    ListFunctionsRequest,
    ListFunctionsResponse,
    ProcessingJob,
)
from candelabra_server.config import JobLimits
from candelabra_server.errors import FormulaError, FormulaProblem, InvalidRequestError, Violation
from candelabra_server.formulas.catalogue import FUNCTIONS, Family, Function, SettingParameter
from candelabra_server.formulas.catalogue.function import setting_text
from candelabra_server.formulas.compile_options import DEFAULT_TIMEFRAME
from candelabra_server.formulas.service import FormulaService
from candelabra_server.processing.formula_description import column_kind, describe_formula, problem_messages
from candelabra_server.processing.job_checks import (
    check_formula_fields,
    is_pattern,
    parse_timeframe,
    pattern_expression,
)
from candelabra_server.processing.job_formula import compile_job

__all__ = ["check_formula", "list_functions"]

_UNKNOWN_NAME = "UNKNOWN_NAME"
"""Code of a name that nothing defines."""
_LONGEST_PATTERN = 128
_LIMITS = JobLimits()


def check_formula(request: CheckFormulaRequest, formula_service: FormulaService) -> CheckFormulaResponse:
    """What a formula is, or every mistake in its text; blocks.

    Raises:
        InvalidRequestError: the request itself is wrong: which formula is meant, parameters, timeframe.
        FormulaNotFoundError: there is no formula of this id.
        StoreError: saved formulas cannot be read.
    """
    job = ProcessingJob(
        formula=request.formula,
        parameters=request.parameters,
        options=JobOptions(allow_lookahead=request.allow_lookahead),
    )
    violations = list(check_formula_fields(job, _LIMITS))
    timeframe = parse_timeframe(request.timeframe or DEFAULT_TIMEFRAME, violations)
    if violations:
        raise InvalidRequestError(violations)
    try:
        formula = compile_job(job, timeframe, formula_service)
    except FormulaError as error:
        return CheckFormulaResponse(
            problems=problem_messages(error.problems), missing_parameters=_unknown_names(error.problems)
        )
    return CheckFormulaResponse(formula=describe_formula(formula, given=request.parameters))


def list_functions(request: ListFunctionsRequest) -> ListFunctionsResponse:
    """The functions of the catalogue that are asked for, families in the order of Family.

    Raises:
        InvalidRequestError: there is no such family, or the pattern is too long.
    """
    if len(request.pattern) > _LONGEST_PATTERN:
        violation = Violation(
            "pattern", f"has {len(request.pattern):,} characters; expected {_LONGEST_PATTERN} at most"
        )
        raise InvalidRequestError([violation])
    families = [family for family in Family if request.family in {"", family.value}]
    if not families:
        known = ", ".join(family.value for family in Family)
        raise InvalidRequestError([Violation("family", f"{request.family[:40]!r} is none; expected one of {known}")])
    is_wanted = _matcher(request.pattern)
    return ListFunctionsResponse(
        functions=[
            _describe(function)
            for family in families
            for function in FUNCTIONS.values()
            if function.family is family and is_wanted(function)
        ]
    )


def _unknown_names(problems: Iterable[FormulaProblem]) -> list[str]:
    """Names that nothing defines, each once, in the order of the text."""
    names = (
        problem.source[problem.column - 1 :][: problem.length] for problem in problems if problem.code == _UNKNOWN_NAME
    )
    return list(dict.fromkeys(names))


def _matcher(pattern: str) -> Callable[[Function], bool]:
    """Whether a function is meant by a pattern: by its name, or by a text in its name or summary."""
    wanted = pattern.casefold()
    if is_pattern(wanted):
        expression = pattern_expression(wanted)
        return lambda function: expression.match(function.name.casefold()) is not None
    return lambda function: wanted in function.name.casefold() or wanted in function.summary.casefold()


def _describe(function: Function) -> FunctionDescription:
    implied = function.implied or ("",) * len(function.inputs)
    return FunctionDescription(
        name=function.name,
        family=function.family.value,
        signature=function.signature,
        inputs=[
            FunctionInput(name=name, implied_field=field, condition=name in function.conditions)
            for name, field in zip(function.inputs, implied, strict=True)
        ],
        settings=[_describe_setting(setting) for setting in function.settings],
        outputs=[name for name in function.outputs if name],
        kind=column_kind(function.kind),
        warm_up=function.warm_up,
        summary=function.summary,
        source=function.source,
        warning=function.warning,
    )


def _describe_setting(setting: SettingParameter) -> FunctionSetting:
    return FunctionSetting(
        name=setting.name,
        kind=setting.kind.value,
        default_value=setting_text(setting).partition("=")[2],
        minimum=setting.minimum,
        maximum=setting.maximum,
        choices=setting.choices,
    )
