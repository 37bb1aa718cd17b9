"""Calls about formulas, written once for both clients: checking, explaining, functions, saved formulas.

Answers are the messages of `candelabra.v1` themselves: their comments say what each field means.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from candelabra import v1
from candelabra_client._exchange import Exchange, answered
from candelabra_client._request import JobArguments, build_job, parameter_values

__all__ = [
    "check_request",
    "checked",
    "created",
    "deleted",
    "explained",
    "functions",
    "got",
    "updated",
]


def explained(symbols: str | Iterable[str], job: JobArguments) -> Exchange[v1.ExplainJobResponse]:
    """Returns what a job would do."""
    request = v1.ExplainJobRequest(job=build_job(symbols, **job))
    return (yield from answered("ExplainJob", request, v1.ExplainJobResponse))


def check_request(
    formula: v1.Formula | None,
    *,
    parameters: Mapping[str, float] | None,
    timeframe: str,
    allow_lookahead: bool,
) -> v1.CheckFormulaRequest:
    """Returns the message; raises TypeError for a value of the wrong type."""
    return v1.CheckFormulaRequest(
        formula=formula,
        parameters=parameter_values(parameters),
        timeframe=timeframe,
        allow_lookahead=allow_lookahead,
    )


def checked(request: v1.CheckFormulaRequest) -> Exchange[v1.CheckFormulaResponse]:
    """Returns what a formula is."""
    return (yield from answered("CheckFormula", request, v1.CheckFormulaResponse))


def functions(pattern: str, family: str) -> Exchange[list[v1.FunctionDescription]]:
    """Returns functions of the language."""
    request = v1.ListFunctionsRequest(pattern=pattern, family=family)
    response = yield from answered("ListFunctions", request, v1.ListFunctionsResponse)
    return list(response.functions)


def created(formula: v1.SavedFormula) -> Exchange[v1.SavedFormula]:
    """Returns the formula as it was saved."""
    request = v1.CreateFormulaRequest(formula=formula)
    return (yield from answered("CreateFormula", request, v1.CreateFormulaResponse)).formula


def got(formula_id: str) -> Exchange[v1.SavedFormula]:
    """Returns one formula."""
    request = v1.GetFormulaRequest(id=formula_id)
    return (yield from answered("GetFormula", request, v1.GetFormulaResponse)).formula


def updated(formula: v1.SavedFormula) -> Exchange[v1.SavedFormula]:
    """Returns the new version."""
    request = v1.UpdateFormulaRequest(formula=formula)
    return (yield from answered("UpdateFormula", request, v1.UpdateFormulaResponse)).formula


def deleted(formula_id: str, etag: str) -> Exchange[None]:
    """Removes a formula's name."""
    yield from answered("DeleteFormula", v1.DeleteFormulaRequest(id=formula_id, etag=etag), v1.DeleteFormulaResponse)
