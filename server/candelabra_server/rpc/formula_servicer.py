"""FormulaService: keeps formulas, checks them, and lists the functions that they are made of."""

from __future__ import annotations

import asyncio
import base64
import binascii
from functools import partial
from typing import Any

import grpc

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
    ListFunctionsResponse,
    UpdateFormulaRequest,
    UpdateFormulaResponse,
)
from candelabra_server.errors import FormulaError, InvalidRequestError, Reason, Violation
from candelabra_server.formulas.saved import SavedFormula, violations_of
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
        """The service's methods by name. All of them read files or texts, and so work in another thread."""
        check = partial(check_formula, formula_service=self._formula_service)
        return {
            "CreateFormula": unary(CreateFormulaRequest, partial(asyncio.to_thread, self.create_formula)),
            "GetFormula": unary(GetFormulaRequest, partial(asyncio.to_thread, self.get_formula)),
            "ListFormulas": unary(ListFormulasRequest, partial(asyncio.to_thread, self.list_formulas)),
            "UpdateFormula": unary(UpdateFormulaRequest, partial(asyncio.to_thread, self.update_formula)),
            "DeleteFormula": unary(DeleteFormulaRequest, partial(asyncio.to_thread, self.delete_formula)),
            "CheckFormula": unary(CheckFormulaRequest, partial(asyncio.to_thread, check)),
            "ListFunctions": unary(ListFunctionsRequest, partial(asyncio.to_thread, list_functions)),
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


def _read_token(token: str, violations: list[Violation]) -> str:
    """The last id of the previous page; empty for the first page."""
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except (ValueError, binascii.Error):
        violations.append(Violation("page_token", "is not a token of this server; start again without one"))
        return ""
