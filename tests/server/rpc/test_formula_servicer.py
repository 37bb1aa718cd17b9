"""Saved formulas as a client sees them."""

import asyncio
import threading
from contextlib import asynccontextmanager

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo

from candelabra.v1 import (
    CheckFormulaRequest,
    Compatibility,
    CreateFormulaRequest,
    DeleteFormulaRequest,
    Formula,
    GetFormulaRequest,
    ListFormulasRequest,
    ListFunctionsRequest,
    ParameterDeclaration,
    SavedFormula,
    UpdateFormulaRequest,
)
from candelabra.v1.formulas_pb2_grpc import FormulaServiceStub
from candelabra.v1.processing_pb2_grpc import ProcessingServiceStub
from candelabra_server.formulas.builtins import BUILTIN_FORMULAS
from candelabra_server.formulas.store import FormulaStore
from candelabra_server.formulas.store_file import FILE_NAME
from support.jobs import job
from support.memory_repository import candles_of
from support.server import serving
from support.statuses import status_of

BUILT_IN = sorted(BUILTIN_FORMULAS)
CODE = grpc.StatusCode


@asynccontextmanager
async def formula_service(folder, *symbols):
    async with serving(*symbols, formulas=folder) as (_server, channel, _engine):
        yield FormulaServiceStub(channel), channel


def run(body):
    return asyncio.run(asyncio.wait_for(body, 90))


def saved(identifier="trend", expression="sma(close, 20)", **fields):
    return SavedFormula(id=identifier, expression=expression, **fields)


async def create(stub, *arguments, **fields):
    return (await stub.CreateFormula(CreateFormulaRequest(formula=saved(*arguments, **fields)))).formula


async def update(stub, *arguments, **fields):
    return (await stub.UpdateFormula(UpdateFormulaRequest(formula=saved(*arguments, **fields)))).formula


async def get(stub, identifier):
    return (await stub.GetFormula(GetFormulaRequest(id=identifier))).formula


async def failure(call):
    """Code, reason, text and violations of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error, info, bad_request = caught.value, ErrorInfo(), BadRequest()
    for detail in status_of(error).details:
        assert detail.Unpack(info) or detail.Unpack(bad_request)
    violations = {violation.field: violation.description for violation in bad_request.field_violations}
    return error.code(), info.reason, error.details(), violations


def test_a_formula_is_created_got_updated_listed_and_deleted(tmp_path):
    given = saved(
        "desk/trend",
        "up = close > Mean($close, days)",
        description="What it is for",
        parameters=[
            ParameterDeclaration(name="days", default_value=20, minimum=2, maximum=200, description="Window"),
        ],
        compatibility=Compatibility.COMPATIBILITY_QLIB,
        float32_fields=True,
    )

    async def body():
        async with formula_service(tmp_path) as (stub, _):
            first = (await stub.CreateFormula(CreateFormulaRequest(formula=given))).formula
            assert (first.version, first.built_in) == (1, False)
            assert first.etag
            assert first.create_time_micros == first.update_time_micros > 1_600_000_000_000_000
            plain = SavedFormula()
            plain.CopyFrom(first)
            for name in ("version", "etag", "create_time_micros", "update_time_micros"):
                plain.ClearField(name)
            assert plain == given
            assert await get(stub, "desk/trend") == first

            second = await update(stub, "desk/trend", "close", etag=first.etag)
            assert (second.version, second.expression, list(second.parameters)) == (2, "close", [])
            assert second.create_time_micros == first.create_time_micros
            assert await get(stub, "desk/trend") == second
            assert await get(stub, "desk/trend@1") == first
            listed = await stub.ListFormulas(ListFormulasRequest(pattern="desk/*"))
            assert list(listed.formulas) == [second]
            assert listed.next_page_token == ""

            await stub.DeleteFormula(DeleteFormulaRequest(id="desk/trend", etag=second.etag))
            assert (await failure(get(stub, "desk/trend")))[:2] == (CODE.NOT_FOUND, "FORMULA_NOT_FOUND")
            assert await get(stub, "desk/trend@1") == first
            assert not (await stub.ListFormulas(ListFormulasRequest(pattern="desk/*"))).formulas

    run(body())


def test_zero_is_a_value_of_a_parameter_and_nothing_is_none(tmp_path):
    zero = ParameterDeclaration(name="a", default_value=0, minimum=0, maximum=0)

    async def body():
        async with formula_service(tmp_path) as (stub, _):
            await create(stub, "trend", "close + a + b", parameters=[zero, ParameterDeclaration(name="b")])
            return (await get(stub, "trend")).parameters

    first, second = run(body())
    assert [first.HasField(name) for name in ("default_value", "minimum", "maximum")] == [True] * 3
    assert [second.HasField(name) for name in ("default_value", "minimum", "maximum")] == [False] * 3


def test_what_the_server_sets_is_ignored_in_a_request(tmp_path):
    async def body():
        async with formula_service(tmp_path) as (stub, _):
            return await create(stub, version=9, etag="mine", built_in=True, create_time_micros=1, update_time_micros=1)

    formula = run(body())
    assert (formula.version, formula.built_in) == (1, False)
    assert formula.etag != "mine"
    assert min(formula.create_time_micros, formula.update_time_micros) > 1


def test_a_job_runs_a_saved_formula_at_the_version_it_names(tmp_path):
    async def body():
        async with formula_service(tmp_path, "A") as (stub, channel):
            await create(stub, "trend", "close * 2")
            await update(stub, "trend", "close * 3")
            values = []
            for identifier in ("trend@1", "trend"):
                request = job("A")
                request.formula.id = identifier
                (result,) = [message async for message in ProcessingServiceStub(channel).Process(request)]
                values.append(list(result.columns[0].values))
            return values

    close = candles_of("A", 100).fields["close"]
    assert run(body()) == [list(close * 2), list(close * 3)]


def test_errors_have_a_code_a_reason_and_a_text_to_act_on(tmp_path):
    async def body():
        async with formula_service(tmp_path) as (stub, _):
            first = await create(stub)
            await update(stub, etag=first.etag)
            old = DeleteFormulaRequest(id="trend", etag=first.etag)
            return [
                await failure(create(stub)),
                await failure(update(stub, etag=first.etag)),
                await failure(stub.DeleteFormula(old)),
                await failure(get(stub, "trand")),
                await failure(get(stub, "trend@7")),
                await failure(update(stub, "trand")),
                await failure(stub.DeleteFormula(DeleteFormulaRequest(id="trand"))),
            ]

    unknown = (CODE.NOT_FOUND, "FORMULA_NOT_FOUND", "there is no formula `trand`; did you mean `trend`?", {})
    changed = "formula `trend` was changed meanwhile and has version 2 now; get it again"
    assert run(body()) == [
        (
            CODE.ALREADY_EXISTS,
            "FORMULA_EXISTS",
            "there is a formula `trend` already; update it, or choose another id",
            {},
        ),
        (CODE.ABORTED, "FORMULA_CHANGED", changed, {}),
        (CODE.ABORTED, "FORMULA_CHANGED", changed, {}),
        unknown,
        (CODE.NOT_FOUND, "FORMULA_NOT_FOUND", "formula `trend` has no version 7; its last is 2", {}),
        unknown,
        unknown,
    ]


@pytest.mark.parametrize("call", [create, update])
def test_a_formula_whose_text_is_wrong_is_refused_with_every_mistake_and_not_saved(tmp_path, call):
    async def body():
        async with formula_service(tmp_path) as (stub, _):
            found = await failure(call(stub, "trend", "smaa(close, 3); b = clos"))
            return found, list((await stub.ListFormulas(ListFormulasRequest(pattern="t*"))).formulas)

    (code, reason, text, violations), listed = run(body())
    assert (code, reason, listed) == (CODE.INVALID_ARGUMENT, "INVALID_FORMULA", [])
    assert "line 1, column 1" in text
    assert "did you mean `sma`?" in text
    assert set(violations) == {"formula.expression"}


def test_everything_that_is_wrong_is_told_at_once(tmp_path):
    twice = [ParameterDeclaration(name="n", minimum=2, maximum=1), ParameterDeclaration(name="n")]

    async def body():
        async with formula_service(tmp_path) as (stub, _):
            return [
                await failure(create(stub, "Trend", "smaa(close, 3)", description="d" * 2_001, compatibility=7)),
                await failure(create(stub, "Trend", "sma(close, n)", parameters=twice)),
                await failure(stub.CreateFormula(CreateFormulaRequest())),
                await failure(stub.UpdateFormula(UpdateFormulaRequest())),
                await failure(create(stub, "trend", " ")),
            ]

    found = run(body())
    assert {code for code, *_ in found} == {CODE.INVALID_ARGUMENT}
    assert [(reason, list(violations)) for _, reason, _, violations in found] == [
        ("INVALID_REQUEST", ["formula.id", "formula.description", "formula.compatibility", "formula.expression"]),
        (
            "INVALID_REQUEST",
            ["formula.id", "formula.parameters[0].name", "formula.parameters[0].minimum", "formula.parameters[1].name"],
        ),
        ("INVALID_REQUEST", ["formula"]),
        ("INVALID_REQUEST", ["formula"]),
        ("INVALID_FORMULA", ["formula.expression"]),
    ]


def test_saved_formulas_may_call_one_another_but_not_themselves(tmp_path):
    async def body():
        async with formula_service(tmp_path) as (stub, _):
            await create(stub, "a", "close + 1")
            await create(stub, "b", "@a() * 2")
            return [await failure(update(stub, "a", "@b()")), await failure(create(stub, "c", "@c() + @nothing()"))]

    cycle, unknown = run(body())
    assert "a saved formula cannot contain itself: `a` → `b` → `a`" in cycle[2]
    assert unknown[1] == "INVALID_FORMULA"


def test_built_in_formulas_are_listed_and_got_and_cannot_be_changed(tmp_path):
    identifier = BUILT_IN[0]

    async def body():
        async with formula_service(tmp_path) as (stub, _):
            await create(stub, "a")
            listed = (await stub.ListFormulas(ListFormulasRequest())).formulas
            assert [(formula.id, formula.built_in) for formula in listed] == [("a", False)] + [
                (name, True) for name in BUILT_IN
            ]
            found = await get(stub, identifier)
            assert (found.built_in, found.version, found) == (True, 1, listed[1])
            return [
                await failure(create(stub, identifier)),
                await failure(update(stub, identifier)),
                await failure(stub.DeleteFormula(DeleteFormulaRequest(id=identifier))),
            ]

    refused = run(body())
    assert [(code, list(violations)) for code, _, _, violations in refused] == [
        (CODE.INVALID_ARGUMENT, ["formula.id"]),
        (CODE.INVALID_ARGUMENT, ["formula.id"]),
        (CODE.INVALID_ARGUMENT, ["id"]),
    ]
    assert all("built in" in text for _, _, text, _ in refused)


def test_pages_follow_one_another(tmp_path):
    names = [f"f{number:02}" for number in range(23)]

    async def body():
        async with formula_service(tmp_path) as (stub, _):
            for name in reversed(names):
                await create(stub, name, "close")
            pages, token = [], ""
            while True:
                page = await stub.ListFormulas(ListFormulasRequest(pattern="f*", page_size=10, page_token=token))
                pages.append([formula.id for formula in page.formulas])
                token = page.next_page_token
                if not token:
                    return pages

    assert run(body()) == [names[:10], names[10:20], names[20:]]


def test_a_page_has_a_hundred_formulas_where_no_size_is_given_and_never_more_than_a_thousand(tmp_path, monkeypatch):
    sizes = []
    original = FormulaStore.list_formulas

    def spy(self, **settings):
        sizes.append(settings["page_size"])
        return original(self, **settings)

    monkeypatch.setattr(FormulaStore, "list_formulas", spy)

    async def body():
        async with formula_service(tmp_path) as (stub, _):
            for size in (0, 1_000, 1_001, 2**31 - 1):
                await stub.ListFormulas(ListFormulasRequest(page_size=size))

    run(body())
    assert sizes == [100, 1_000, 1_000, 1_000]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"page_size": -1}, "page_size"),
        ({"page_token": "&&&"}, "page_token"),
        ({"page_token": "a"}, "page_token"),
        ({"page_token": "/////w=="}, "page_token"),
        ({"page_token": "QQ=="}, "page_token"),
        ({"pattern": "a" * 129}, "pattern"),
    ],
)
def test_a_wrong_listing_is_refused(tmp_path, fields, field):
    async def body():
        async with formula_service(tmp_path) as (stub, _):
            return await failure(stub.ListFormulas(ListFormulasRequest(**fields)))

    code, _, _, violations = run(body())
    assert (code, list(violations)) == (CODE.INVALID_ARGUMENT, [field])


def test_a_damaged_file_is_an_error_that_tells_no_path(tmp_path):
    (tmp_path / FILE_NAME).write_bytes(b"no database" * 100)

    async def body():
        async with formula_service(tmp_path) as (stub, _):
            return [await failure(get(stub, "trend")), await failure(create(stub)), await get(stub, BUILT_IN[0])]

    *failed, built_in = run(body())
    message = f"{FILE_NAME} is damaged, or is no file of saved formulas"
    assert failed == [(CODE.INTERNAL, "STORE_UNREADABLE", message, {})] * 2
    assert built_in.built_in


def test_a_formula_is_checked_and_functions_are_listed(tmp_path):
    async def body():
        async with formula_service(tmp_path) as (stub, _):
            await create(stub, "trend", "sma(close, 20)")
            checked = await stub.CheckFormula(CheckFormulaRequest(formula=Formula(id="trend")))
            wrong = await stub.CheckFormula(CheckFormulaRequest(formula=Formula(expression="@trand()")))
            return checked, wrong, await stub.ListFunctions(ListFunctionsRequest(pattern="sma"))

    checked, wrong, functions = run(body())
    assert [output.warm_up_candles for output in checked.formula.outputs] == [19]
    assert [problem.code for problem in wrong.problems] == ["FORMULA_NOT_FOUND"]
    assert "sma" in [function.name for function in functions.functions]


def test_nothing_that_blocks_runs_on_the_event_loop(tmp_path, monkeypatch):
    threads = []
    for name in ("get", "list_formulas", "create", "update", "delete"):
        original = getattr(FormulaStore, name)

        def spy(self, *arguments, original=original, **settings):
            threads.append(threading.current_thread())
            return original(self, *arguments, **settings)

        monkeypatch.setattr(FormulaStore, name, spy)

    async def body():
        async with formula_service(tmp_path) as (stub, _):
            await create(stub)
            await update(stub)
            await get(stub, "trend")
            await stub.ListFormulas(ListFormulasRequest())
            await stub.DeleteFormula(DeleteFormulaRequest(id="trend"))

    run(body())
    assert len(threads) >= 5
    assert threading.main_thread() not in threads
