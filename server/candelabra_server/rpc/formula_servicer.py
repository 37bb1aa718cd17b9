"""FormulaService: keeps formulas, checks them, and lists the functions that they are made of."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.message import Message

from candelabra.v1 import (
    CheckFormulaRequest,
    CheckFormulaResponse,
    Compatibility,
    CreateFormulaRequest,
    CreateFormulaResponse,
    DeleteFormulaRequest,
    DeleteFormulaResponse,
    GetFormulaRequest,
    GetFormulaResponse,
    ListFormulasRequest,
    ListFormulasResponse,
    ListFunctionsRequest,
    UpdateFormulaRequest,
    UpdateFormulaResponse,
)
from candelabra_server.errors import FormulaError, InvalidRequestError, Reason, Violation
from candelabra_server.formulas.saved import SavedFormula, id_fault, violations_of
from candelabra_server.formulas.service import FormulaService
from candelabra_server.formulas.store import FormulaStore
from candelabra_server.processing.formula_checks import check_formula, list_functions
from candelabra_server.processing.job_formula import from_message, to_message
from candelabra_server.rpc.handlers import unary

__all__ = ["FormulaServicer"]

_PAGE_SIZE = 100
_LARGEST_PAGE = 1_000
_LONGEST_PATTERN = 128


class FormulaServicer:
    """Handles candelabra.v1.FormulaService.

    Args:
        formula_service: checks formulas.
        formula_store: keeps them.
    """

    SERVICE = "candelabra.v1.FormulaService"

    def __init__(self, *, formula_service: FormulaService, formula_store: FormulaStore) -> None:
        self._formula_service = formula_service
        self._store = formula_store

    def handlers(self) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        """The service's methods by name."""
        return {
            "CreateFormula": _in_thread(CreateFormulaRequest, self.create_formula),
            "GetFormula": _in_thread(GetFormulaRequest, self.get_formula),
            "ListFormulas": _in_thread(ListFormulasRequest, self.list_formulas),
            "UpdateFormula": _in_thread(UpdateFormulaRequest, self.update_formula),
            "DeleteFormula": _in_thread(DeleteFormulaRequest, self.delete_formula),
            "CheckFormula": _in_thread(CheckFormulaRequest, self.check_formula),
            "ListFunctions": _in_thread(ListFunctionsRequest, list_functions),
        }

    def create_formula(self, request: CreateFormulaRequest) -> CreateFormulaResponse:
        """Saves a new formula."""
        return CreateFormulaResponse(formula=to_message(self._store.create(self._checked_draft(request))))

    def get_formula(self, request: GetFormulaRequest) -> GetFormulaResponse:
        """The newest version, or the one that is pinned."""
        return GetFormulaResponse(formula=to_message(self._store.get(request.id)))

    def list_formulas(self, request: ListFormulasRequest) -> ListFormulasResponse:
        """One page of the saved and built-in formulas."""
        violations = []
        if len(request.pattern) > _LONGEST_PATTERN:
            description = f"has {len(request.pattern):,} characters; expected {_LONGEST_PATTERN} at most"
            violations.append(Violation("pattern", description))
        if request.page_size < 0:
            violations.append(Violation("page_size", f"must be 0 or more, not {request.page_size}"))
        after_id = _read_token(request.page_token, violations)
        if violations:
            raise InvalidRequestError(violations)
        page_size = min(request.page_size or _PAGE_SIZE, _LARGEST_PAGE)
        page = self._store.list_formulas(pattern=request.pattern, page_size=page_size, after_id=after_id)
        response = ListFormulasResponse(formulas=map(to_message, page.formulas))
        if not page.is_last:
            response.next_page_token = base64.urlsafe_b64encode(page.formulas[-1].id.encode()).decode()
        return response

    def update_formula(self, request: UpdateFormulaRequest) -> UpdateFormulaResponse:
        """Saves a new version of a formula."""
        draft = self._checked_draft(request)
        return UpdateFormulaResponse(formula=to_message(self._store.update(draft, request.formula.etag)))

    def delete_formula(self, request: DeleteFormulaRequest) -> DeleteFormulaResponse:
        """Takes a formula's id out of use."""
        self._store.delete(request.id, request.etag)
        return DeleteFormulaResponse()

    def check_formula(self, request: CheckFormulaRequest) -> CheckFormulaResponse:
        """What a formula is, or what is wrong with it."""
        return check_formula(request, self._formula_service)

    def _checked_draft(self, request: CreateFormulaRequest | UpdateFormulaRequest) -> SavedFormula:
        """The formula that is to be saved, once nothing is wrong with it."""
        if not request.HasField("formula"):
            raise InvalidRequestError([Violation("formula", "is required")])
        draft = from_message(request.formula)
        violations = violations_of(draft)
        if request.formula.compatibility not in Compatibility.values():
            description = f"{request.formula.compatibility} is not known; expected QLIB or none"
            violations.append(Violation("formula.compatibility", description))
        # Without its parameters a text means something else: its mistakes would not be its own.
        if not any(violation.field.startswith("formula.parameters") for violation in violations):
            try:
                self._formula_service.check_saved(draft)
            except FormulaError as error:
                problems = [Violation("formula.expression", str(found), reason=found.code) for found in error.problems]
                raise InvalidRequestError(
                    [*violations, *problems], reason=None if violations else Reason.INVALID_FORMULA
                ) from error
        if violations:
            raise InvalidRequestError(violations)
        return draft


def _in_thread(request_type: type[Message], call: Callable[[Any], Message]) -> grpc.RpcMethodHandler[Any, Any]:
    """An RPC whose work reads files or texts, and so must not hold up the event loop."""

    async def answer(request: Message) -> Message:
        return await asyncio.to_thread(call, request)

    return unary(request_type, answer)


def _read_token(token: str, violations: list[Violation]) -> str:
    """The last id of the previous page; empty for the first page."""
    if not token:
        return ""
    try:
        identifier = base64.urlsafe_b64decode(token.encode()).decode()
    except ValueError:
        identifier = ""
    if id_fault(identifier):
        violations.append(Violation("page_token", "is not a token of this server; start again without one"))
    return identifier
