"""Texts that are made to cost much are refused with a clear error, or cost little; none needs much stack."""

import asyncio
import inspect
import sys
import threading
from contextlib import contextmanager

import pytest

from candelabra.v1 import ExplainJobRequest, GetServerInfoRequest
from candelabra.v1.processing_pb2_grpc import ProcessingServiceStub
from candelabra_server.errors import FormulaError, FormulaNotFoundError
from candelabra_server.formulas import checker, prescan, problems, scope, service
from candelabra_server.formulas.builtins import BUILTIN_FORMULAS
from candelabra_server.formulas.saved import DeclaredParameter, SavedFormula
from candelabra_server.formulas.service import FormulaService
from candelabra_server.formulas.store import FormulaStore
from support.jobs import job
from support.server import serving

LENGTH = 16_384
FRAMES = 700  # of the thousand that Python allows
TOKENS = 4_000  # as many are looked at in about 5 ms

REFUSED_UNPARSED = {
    "a text beyond the length": ("close + " * 3_000, "TOO_LONG"),
    "ten million characters": ("a" * 10_000_000, "TOO_LONG"),
    "a hundred thousand statements": ("a=1;" * 100_000, "TOO_LONG"),
    "four thousand statements": ("a=1;" * 4_000, "TOO_MANY_STATEMENTS"),
    "a hundred thousand parentheses": ("(" * 100_000, "TOO_LONG"),
    "eight thousand parentheses": ("(" * 8_000 + "1" + ")" * 8_000, "TOO_DEEP"),
    "five thousand brackets": ("a[" * 5_000 + "1" + "]" * 5_000, "TOO_DEEP"),
    "calls in calls": ("sma(" * 3_000, "TOO_DEEP"),
    "saved formulas in saved formulas": ("@f(" * 4_000, "TOO_DEEP"),
    "a chain of signs": ("-" * 10_000 + "1", "TOO_DEEP"),
    "a chain of mixed signs": ("- + " * 3_000 + "1", "TOO_DEEP"),
    "a chain of not": ("not " * 4_000 + "close", "TOO_DEEP"),
    "a chain of powers": ("2" + "**2" * 5_000, "TOO_DEEP"),
    "a chain of powers of signed numbers": ("2" + "^-1e-1" * 2_500, "TOO_DEEP"),
    "signs and parentheses by turns": ("-(" * 5_000 + "1" + ")" * 5_000, "TOO_DEEP"),
    "not and parentheses after an operator": ("1 < not (" * 1_000, "TOO_DEEP"),
    "NUL bytes": ("\0" * 16_000, "BAD_CHARACTER"),
    "a NUL byte behind a formula": ("close\0", "BAD_CHARACTER"),
    "a NUL byte in a remark": ("close # \0", "BAD_CHARACTER"),
    "look-alike letters": ("\u0441lose + \u0441lose", "BAD_CHARACTER"),
    "nothing but look-alike letters": ("\u0441" * 16_000, "BAD_CHARACTER"),
    "half of a character in a text": ('symbol("\ud800").close', "BAD_CHARACTER"),
    "a text that turns the direction of writing": ('symbol("\u202eYPS").close', "BAD_CHARACTER"),
    "a terminal's commands in a text": ('symbol("\x1b[2J").close', "BAD_CHARACTER"),
    "only separators": (";" * 16_000, "EMPTY"),
    "only remarks": ("#\n" * 8_000, "EMPTY"),
    "a closing bracket at once": (")" * 16_000, "UNBALANCED"),
}
REFUSED = {
    "a huge window": ("sma(close, 999999999999999999999)", "WINDOW_OUT_OF_RANGE"),
    "windows within windows": ("sma(" * 12 + "close" + ", 100000)" * 12, "WARM_UP_TOO_LONG"),
    "a huge shift": ("close[1e300]", "WINDOW_OUT_OF_RANGE"),
    "a number too large": ("1e999", "CONSTANT_INFINITE"),
    "a number of sixteen thousand digits": ("9" * 16_000, "CONSTANT_INFINITE"),
    "towers of powers": ("9 ** 9 ** 9 ** 9 ** 9 ** 9", "CONSTANT_INFINITE"),
    "thousands of products": ("9" + "*9" * 8_000, "CONSTANT_INFINITE"),
    "products that double with every line": (
        "\n".join(["a0 = 9", *(f"a{row} = a{row - 1} * a{row - 1}" for row in range(1, 400))]), "CONSTANT_INFINITE"
    ),
    "an index of an index": ("close" + "[1]" * 5_000, "TOO_DEEP"),
    "a timeframe of a timeframe": ("close" + "@1w" * 5_000, "TOO_DEEP"),
    "thousands of members": ("close" + ".a" * 8_000, "TOO_DEEP"),
    "thousands of arguments": ("sma(" + "1," * 8_000 + ")", "TOO_MANY_ARGUMENTS"),
    "thousands of named arguments": ("sma(" + ",".join(f"a{row}=1" for row in range(2_000)) + ")", "UNKNOWN_ARGUMENT"),
    "thousands of commas": ("sma(" + "," * 16_000 + ")", "SYNTAX"),
    "every rank of operator in sixty parentheses": ("(1 or 1 and 1 < 1 + 1 * " * 60 + "1" + ")" * 60, "TOO_DEEP"),
    "an operator too many": ("1+" * 8_000, "SYNTAX"),
    "thousands of unknown names": (" + ".join(f"x{row}" for row in range(2_000)), "UNKNOWN_NAME"),
    "thousands of saved formulas that are none": ("+".join(f"@x{row}()" for row in range(1_800)), "FORMULA_NOT_FOUND"),
    "hundreds of symbols": ("+".join(f'symbol("s{row}").close' for row in range(700)), "TOO_MANY_SOURCES"),
    "a symbol of thousands of characters": (f'symbol("{"x" * 16_000}").close', "UNKNOWN_CHOICE"),
    "a timeframe of thousands of blanks": (f'TResample(close, "{" " * 16_000}!", "last")', "TIMEFRAME"),
    "more operations than there may be": ("a = close\nb = a" + "+a" * 5_000, "TOO_LARGE"),
    "a sum over every timeframe": (
        "a = 1" + "+1" * 7_000 + "\nb = " + "+".join(f"a@{days}d" for days in range(2, 33)), "TOO_LARGE"
    ),
    "calls over every timeframe": (
        "a = " + "+".join(["sma(1, 2)"] * 1_500) + "\nb = " + "+".join(f"a@{days}d" for days in range(2, 33)),
        "TOO_LARGE",
    ),
    "a name made of itself, over longer candles": ("a = a + 1\nb = a@1w\nc = b@1M", "NOT_YET_DEFINED"),
    "two names made of each other, over other candles": (
        'a = b + 1\nb = ChangeInstrument("X", a)\nc = ChangeInstrument("Y", a)', "NOT_YET_DEFINED"
    ),
    "a field made of itself, over longer candles": ("open = open + 1\nb = open@1w", "NAME_TAKEN"),
    "a name defined twice, over longer candles": ("a = a + 1\na = close\nb = a@1w", "NOT_YET_DEFINED"),
    "a name for no value": ("nan = 1\nb = nan", "NAME_TAKEN"),
    "a word of the language as a name": ("and = 1", "SYNTAX"),
}  # fmt: skip
ALLOWED = {
    "sixty-four parentheses": "(" * 64 + "close" + ")" * 64,
    "sixty calls in calls": "sma(" * 60 + "close" + ", 2)" * 60,
    "a hundred indices of indices": "close" + "[1]" * 100,
    "a hundred timeframes of timeframes": "close" + "@1w" * 100,
    "every rank of operator in every parenthesis": "(1 or 1 and not 1 < 1 + 1 * -1 ^ " * 12 + "close" + ")" * 12,
    "a tree of the greatest depth": "(1 or 1 and 1 < 1 + 1 * " * 23 + "close" + ")" * 23,
    "the same with calls": "sma(2 ^ 1 + 1 * " * 29 + "close" + ")" * 29,
    "a very long chain of sums": "1" + "+1" * 8_000,
    "a very long chain of sums of fields": "close" + "+close" * 2_600,
    "a very long chain of comparisons": "1" + "<1" * 8_000,
    "thousands of equal terms": "close > 1" + " and close > 1" * 1_100,
    "a name over thirty symbols": (
        "a = close" + " + close" * 100 + "\nb = " + "+".join(f'ChangeInstrument("s{row}", a)' for row in range(30))
    ),
    "names over other candles that would double with every line": "\n".join(
        ["a0 = close", *(f'a{row} = ChangeInstrument("A", a{row - 1}) + ChangeInstrument("B", a{row - 1})'
                         for row in range(1, 200))]
    ),
    "names of functions as names": "sma = sma(close, 3)\nif = if(sma > 1, sma, 2)\nmacd = macd(sma).hist",
    "a text of other letters and marks": "a = symbol('\"ТЕСТ\" / 株;#').close",
    "ten thousand blank lines": "\n" * 10_000 + "close",
}  # fmt: skip


@contextmanager
def little_stack():
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + FRAMES)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


@pytest.fixture(autouse=True)
def _tables():
    """The parser's tables are made; they are not what is measured."""
    FormulaService().compile("close", parameters={})


def refused(text, *, parameters=None, find=None, formula_service=None):
    with pytest.raises(FormulaError) as caught:
        (formula_service or FormulaService()).compile(text, parameters=parameters or {}, library=find)
    assert len(caught.value.problems) <= 20
    return caught.value.problems


def counted(monkeypatch, owner, name):
    """Calls of a function from now on, by their first arguments; it still does what it did."""
    calls = []
    original = getattr(owner, name)

    def count(*arguments, **options):
        calls.append(arguments[:1])
        return original(*arguments, **options)

    monkeypatch.setattr(owner, name, count)
    return calls


def library(**texts):
    """Saved formulas by id, each a text or a text and the names of its parameters; and what was asked for."""
    asked = []

    def find(reference):
        asked.append(reference)
        if reference not in texts:
            raise FormulaNotFoundError(f"there is no formula `{reference}`")
        text, *names = (texts[reference],) if isinstance(texts[reference], str) else texts[reference]
        parameters = tuple(DeclaredParameter(name=name) for name in names)
        return SavedFormula(id=reference, version=1, expression=text, parameters=parameters)

    return find, asked


@pytest.mark.parametrize("name", REFUSED_UNPARSED)
def test_what_the_pre_scan_can_tell_costs_little_and_never_reaches_the_parser(monkeypatch, name):
    parsed = counted(monkeypatch, checker, "parse_statement")
    tokens = counted(monkeypatch, prescan._Scan, "_follow")
    text, code = REFUSED_UNPARSED[name]
    assert {problem.code for problem in refused(text)} == {code}
    assert not parsed
    assert len(tokens) <= (0 if code == "TOO_LONG" else TOKENS)


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_text_is_refused_as_any_other(name):
    text, code = REFUSED[name]
    assert len(text) <= LENGTH
    with little_stack():
        assert refused(text)[0].code == code


@pytest.mark.parametrize("name", ALLOWED)
def test_what_only_looks_hostile_compiles_with_little_stack(name):
    with little_stack():
        formula = FormulaService().compile(ALLOWED[name], parameters={})
    assert formula.columns


def test_equal_expressions_are_one_node_however_often_they_are_written(monkeypatch):
    lines = ["a0 = close + open", *(f"a{row} = a{row - 1} * a{row - 1}" for row in range(1, 250))]
    with little_stack():
        formula = FormulaService().compile("\n".join(lines), parameters={})
    assert len(formula.plan.steps) == 2 + 250
    lines = ALLOWED["names over other candles that would double with every line"]
    doubled = FormulaService().compile(lines, parameters={})
    assert len(doubled.plan.steps) < 200 * 9


def test_of_a_text_that_is_too_long_only_the_beginning_is_kept():
    formula_service = FormulaService()
    (problem,) = refused("close\n" + "a" * 10_000_000, formula_service=formula_service)
    assert (problem.line, problem.column, problem.length, problem.source) == (1, 1, 1, "close")
    (problem,) = refused("a" * 10_000_000, formula_service=formula_service)
    assert len(problem.source) == 100
    assert not formula_service._compiled


def test_formulas_that_are_remembered_take_a_bounded_number_of_steps(monkeypatch):
    monkeypatch.setattr(service, "_CACHED_STEPS", 25)
    formula_service = FormulaService()
    for row in range(20):
        formula_service.compile(f"close + open + high + {row}", parameters={})
    assert [key[0][-2:] for key in formula_service._compiled] == ["17", "18", "19"]
    formula_service.compile("+".join(f"close[{row}]" for row in range(1, 50)), parameters={})
    assert not formula_service._compiled
    formula_service.compile("close", parameters={})
    assert len(formula_service._compiled) == 1


def test_a_text_that_is_wrong_in_many_ways_is_not_compared_with_all_names_it_brings(monkeypatch):
    compared = counted(monkeypatch, problems, "_edit_distance")
    names = ";".join(f"abcdefghijklmnopqrstuvwxyzabcdefghij{row:04}=1" for row in range(300))
    text = f"{names};z=" + "+".join(f"jihgfedcbazyxwvutsrqponmlkjihgfedcba{row:04}" for row in range(50))
    assert {problem.code for problem in refused(text)} == {"UNKNOWN_NAME"}
    assert len(compared) <= 20 * 30 * 2


def test_what_a_name_is_made_of_is_looked_up_once(monkeypatch):
    walked = counted(monkeypatch, scope, "names_in")
    lines = ["a0 = close", *(f"a{row} = a{row - 1} + 1" for row in range(1, 100))]
    FormulaService().compile(
        "\n".join([*lines, "b = " + "+".join(f"a{row}@{days}d" for days in range(2, 12) for row in range(100))]),
        parameters={},
    )
    assert len(walked) == 100


def test_problems_of_one_line_share_its_text():
    found = refused("+".join(f"x{row}" for row in range(2_000)))
    assert len({id(problem.source) for problem in found}) == 1


def test_saved_formulas_that_call_the_next_twice_are_checked_once(monkeypatch):
    checked = counted(monkeypatch, checker, "prescan")
    find, asked = library(**{f"f{row}": f"@f{row + 1}() + @f{row + 1}()" for row in range(12)}, f12="close * 2")
    with little_stack():
        formula = FormulaService().compile("@f0()", parameters={}, library=find)
    assert len(formula.plan.steps) == 2 + 1 + 12
    assert len(checked) == 1 + 13
    assert sorted(asked) == sorted(f"f{row}" for row in range(13))


def test_saved_formulas_that_call_the_next_twice_in_different_ways_are_refused_before_they_cost_much(monkeypatch):
    parsed = counted(monkeypatch, checker, "parse_statement")
    texts = {f"f{row}": (f"@f{row + 1}(x * 2) + @f{row + 1}(x * 2 + 1)", "x") for row in range(12)}
    find, _ = library(**texts, f12=("close * x", "x"))
    with little_stack():
        (problem,) = refused("@f0(1)", find=find)
    assert problem.code == "SAVED_FORMULA_WRONG"
    assert problem.message.endswith("saved formulas have more than 4096 statements together, the limit")
    assert len(parsed) == 1 + 13


def test_a_long_saved_formula_called_in_hundreds_of_ways_is_refused():
    find, _ = library(f=("x" + "+1" * 1_000, "x"))
    text = "+".join(f"@f({row})" for row in range(1_500))
    assert {problem.code for problem in refused(text, find=find)} == {"SAVED_FORMULA_WRONG", "TOO_LARGE"}


def test_many_long_saved_formulas_are_refused_before_they_are_parsed(monkeypatch):
    parsed = counted(monkeypatch, checker, "parse_statement")
    find, _ = library(**{f"f{row}": "close" + " " * 16_000 + f"+ {row}" for row in range(10)})
    found = refused("+".join(f"@f{row}()" for row in range(10)), find=find)
    assert found[0].message.endswith("the formula and those it calls have more than 65536 characters, the limit")
    assert len(parsed) == 1 + 4


def test_a_saved_formula_that_is_wrong_is_looked_at_up_to_its_first_mistake():
    names = {f"g{row}": "+".join(f"@none_{row}_{other}()" for other in range(50)) for row in range(50)}
    find, asked = library(**names)
    found = refused("+".join(f"@g{row}()" for row in range(50)), find=find)
    assert {problem.code for problem in found} == {"SAVED_FORMULA_WRONG"}
    assert len(asked) == 20 * 2


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"a": "@a()"}, "a saved formula cannot contain itself: `a` → `a`"),
        ({"a": "@b()", "b": "@c() + @c()", "c": "@a() + @b()"}, "cannot contain itself: `a` → `b` → `c` → `a`"),
        ({"a": "@b()@1w", "b": "@a()@2w"}, "cannot contain itself: `a` → `b` → `a`"),
        ({"a": "@b(1)", "b": ("@b(x + 1)", "x")}, "cannot contain itself: `a` → `b` → `b`"),
    ],
)
def test_recursive_saved_formulas_are_refused(texts, message):
    find, _ = library(**texts)
    with little_stack():
        (problem,) = refused("@a()", find=find)
    assert problem.code == "SAVED_FORMULA_WRONG"
    assert problem.message.endswith(message)


def test_recursive_saved_formulas_of_a_store_are_refused_when_run_and_when_saved(tmp_path):
    store = FormulaStore(tmp_path, built_ins=BUILTIN_FORMULAS.values())
    for identifier, text in {"one": "@two()", "two": "@one() + @one()"}.items():
        store.create(SavedFormula(id=identifier, expression=text))
    formula_service = FormulaService(store=store)
    with little_stack():
        assert refused("@one()", formula_service=formula_service)[0].code == "SAVED_FORMULA_WRONG"
        with pytest.raises(FormulaError, match="cannot contain itself"):
            formula_service.compile_saved("one", parameters={})
        with pytest.raises(FormulaError, match="cannot contain itself"):
            formula_service.check_saved(SavedFormula(id="two", expression="@one()"))


def test_two_hundred_and_fifty_six_parameters_cost_no_more_than_their_number(monkeypatch):
    names = [f"parameter_{row:03}" for row in range(256)]
    find, _ = library(f=("+".join(names), *names))
    text = f"a = @f({', '.join(names)}); b = @f({', '.join(f'{name}={name}' for name in names)}); c = {names[0]}"
    formula = FormulaService().compile(text, parameters=dict.fromkeys(names, 1.0), library=find)
    assert formula.used_parameters == frozenset(names)
    assert len(formula.plan.steps) == 2
    compared = counted(monkeypatch, problems, "_edit_distance")
    found = refused("+".join(f"parametre_{row:03}" for row in range(900)), parameters=dict.fromkeys(names, 1.0))
    assert {problem.code for problem in found} == {"UNKNOWN_NAME"}
    assert len(compared) <= 20 * 30 * 2


@pytest.mark.parametrize(("name", "text"), [("nan", "nan + close"), ("close", "close + 1")])
def test_a_parameter_does_not_shadow_what_the_language_means(name, text):
    assert refused(text, parameters={name: 1.0})[0].code == "PARAMETER_NAME_TAKEN"


def call_process(stub):
    return stub.Process(job("S1", "close")).read()


def call_explain(stub):
    return stub.ExplainJob(ExplainJobRequest(job=job("S1", "close")))


@pytest.mark.parametrize("call", [call_process, call_explain])
def test_a_text_that_takes_long_to_compile_holds_nobody_else_up(monkeypatch, call):
    entered, released = threading.Event(), threading.Event()
    in_time = []
    compile_text = FormulaService.compile

    def slow_compile(self, *arguments, **options):
        entered.set()
        in_time.append(released.wait(20))
        return compile_text(self, *arguments, **options)

    async def body():
        async with serving("S1") as (_, channel, _engine):
            monkeypatch.setattr(FormulaService, "compile", slow_compile)
            stub = ProcessingServiceStub(channel)
            slow = asyncio.ensure_future(call(stub))
            assert await asyncio.to_thread(entered.wait, 20)
            info = await stub.GetServerInfo(GetServerInfoRequest(), timeout=15)
            answered_first = not slow.done()
            released.set()
            return info, answered_first, await slow

    info, answered_first, answer = asyncio.run(asyncio.wait_for(body(), 60))
    assert info.workers == 2
    assert answered_first
    assert in_time[0]
    assert answer.ByteSize()
