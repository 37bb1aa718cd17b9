"""What the store of saved formulas gives: versions, etags, pages, errors."""

import random
import re
import time
from dataclasses import replace

import pytest

from candelabra_server.errors import (
    FormulaChangedError,
    FormulaExistsError,
    FormulaNotFoundError,
    InvalidRequestError,
    Reason,
)
from candelabra_server.formulas import store as store_module
from candelabra_server.formulas.saved import DeclaredParameter, SavedFormula
from candelabra_server.formulas.store import FormulaStore

BUILT_INS = (
    SavedFormula(id="qlib/beta", version=2, expression="Mean($close, 5)", built_in=True),
    SavedFormula(id="candelabra/alpha", version=1, expression="sma(close, 5)", built_in=True),
)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "candelabra-data"


@pytest.fixture
def store(folder):
    return FormulaStore(folder)


def draft(identifier="trend", expression="sma(close, 20)", **fields):
    return SavedFormula(id=identifier, expression=expression, **fields)


def ids(page):
    return [formula.id for formula in page.formulas]


def fields_of(caught):
    return [(violation.field, violation.description) for violation in caught.value.violations]


def test_a_saved_formula_is_found_as_it_was_given_with_version_etag_and_times(store):
    parameters = (
        DeclaredParameter(name="days", default=0.1 + 0.2, minimum=-0.0, maximum=1e308, description='a "b"\n'),
        DeclaredParameter(name="b", default=5e-324),
        DeclaredParameter(name="a"),
    )
    given = draft(
        "desk/trend_2",
        "up = close > sma(close, days);\n# ü漢🕯\0",
        description="What it is for: ü漢🕯\0'",
        parameters=parameters,
        qlib_defects=True,
        float32_fields=True,
    )
    before = time.time_ns() // 1_000
    saved = store.create(given)
    after = time.time_ns() // 1_000
    assert replace(saved, version=0, etag="", create_time_micros=0, update_time_micros=0) == given
    assert str(saved.parameters[0].minimum) == "-0.0"
    assert saved.version == 1
    assert saved.etag
    assert before <= saved.create_time_micros == saved.update_time_micros <= after
    assert store.get("desk/trend_2") == store.get("desk/trend_2@1") == saved
    assert store.list_formulas(page_size=10).formulas == (saved,)


def test_what_the_store_sets_is_not_taken_from_a_draft(store):
    given = draft(version=7, etag="mine", create_time_micros=1, update_time_micros=2, built_in=True)
    saved = store.create(given)
    assert (saved.version, saved.built_in) == (1, False)
    assert saved.etag != "mine"
    assert min(saved.create_time_micros, saved.update_time_micros) > 1_600_000_000_000_000


def test_another_store_over_the_same_folder_finds_the_same(store, folder):
    saved = store.create(draft())
    assert FormulaStore(str(folder)).get("trend") == saved


def test_an_update_adds_a_version_and_leaves_the_old_one_readable(store):
    first = store.create(draft(description="old", parameters=(DeclaredParameter(name="days"),)))
    second = store.update(draft(expression="ema(close, 9)"), first.etag)
    assert (second.version, second.expression, second.description, second.parameters) == (2, "ema(close, 9)", "", ())
    assert second.create_time_micros == first.create_time_micros
    assert second.update_time_micros >= first.update_time_micros
    assert second.etag != first.etag
    assert store.get("trend") == store.get("trend@2") == second
    assert store.get("trend@1") == first
    assert store.list_formulas(page_size=10).formulas == (second,)


def test_an_update_from_an_old_version_is_refused_and_changes_nothing(store, folder):
    mine = yours = store.create(draft())
    newest = FormulaStore(folder).update(draft(expression="yours"), yours.etag)
    with pytest.raises(FormulaChangedError, match="`trend` was changed meanwhile and has version 2 now") as caught:
        store.update(draft(expression="mine"), mine.etag)
    assert caught.value.reason == Reason.FORMULA_CHANGED
    assert caught.value.metadata == {"id": "trend", "version": "2"}
    assert store.get("trend") == newest
    assert store.update(draft(expression="mine"), newest.etag).version == 3


def test_an_update_without_an_etag_replaces_whatever_is_there(store):
    store.create(draft())
    store.update(draft(expression="a"), "")
    assert store.update(draft(expression="b"), "").version == 3
    assert store.get("trend").expression == "b"


def test_an_update_to_the_same_text_is_a_version_too(store):
    etags = {store.create(draft()).etag} | {store.update(draft(), "").etag for _ in range(3)}
    assert len(etags) == 4
    assert store.get("trend").version == 4


def test_an_id_in_use_cannot_be_created_again(store):
    saved = store.create(draft())
    with pytest.raises(FormulaExistsError, match="there is a formula `trend` already; update it") as caught:
        store.create(draft(expression="other"))
    assert caught.value.reason == Reason.FORMULA_EXISTS
    assert caught.value.metadata == {"id": "trend"}
    assert store.get("trend") == saved


def test_a_deleted_formula_is_gone_but_its_versions_stay(store):
    first = store.create(draft())
    second = store.update(draft(expression="b"), "")
    store.delete("trend", "")
    assert store.list_formulas(page_size=10).formulas == ()
    assert [store.get("trend@1"), store.get("trend@2")] == [first, second]
    message = "formula `trend` was deleted; version 2 was its last and can still be pinned"
    for call in (
        lambda: store.get("trend"),
        lambda: store.update(draft(), ""),
        lambda: store.update(draft(), second.etag),
        lambda: store.delete("trend", ""),
    ):
        with pytest.raises(FormulaNotFoundError, match=re.escape(message)) as caught:
            call()
        assert caught.value.metadata == {"id": "trend", "last_version": "2"}


def test_a_deleted_id_that_is_created_again_goes_on_counting(store):
    first = store.create(draft())
    store.update(draft(expression="b"), "")
    store.delete("trend", "")
    third = store.create(draft(expression="c"))
    assert (third.version, third.create_time_micros) == (3, first.create_time_micros)
    assert [store.get(f"trend@{version}").expression for version in (1, 2, 3)] == [first.expression, "b", "c"]
    with pytest.raises(FormulaChangedError):
        store.update(draft(), first.etag)


def test_a_delete_from_an_old_version_is_refused(store):
    first = store.create(draft())
    second = store.update(draft(), first.etag)
    with pytest.raises(FormulaChangedError):
        store.delete("trend", first.etag)
    assert store.get("trend") == second
    store.delete("trend", second.etag)
    with pytest.raises(FormulaNotFoundError):
        store.get("trend")


@pytest.mark.parametrize("reference", ["trend", "trend@1", "qlib/beta", "Trend", "", "a" * 5_000, "trend@", "\0", "'"])
def test_nothing_is_found_where_nothing_was_saved_and_nothing_is_made(store, folder, reference):
    with pytest.raises(FormulaNotFoundError, match="there is no formula") as caught:
        store.get(reference)
    assert caught.value.reason == Reason.FORMULA_NOT_FOUND
    assert len(caught.value.message) < 300
    assert store.list_formulas(page_size=10).formulas == ()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("reference", "suggestion"),
    [("trand", "trend"), ("Trend", "trend"), ("desk/momentun@3", "desk/momentum"), ("qlib/bata", "qlib/beta")],
)
def test_an_unknown_id_is_answered_with_a_close_one(folder, reference, suggestion):
    store = FormulaStore(folder, built_ins=BUILT_INS)
    store.create(draft("trend"))
    store.create(draft("desk/momentum"))
    with pytest.raises(FormulaNotFoundError, match=f"did you mean `{suggestion}`") as caught:
        store.get(reference)
    assert caught.value.metadata["suggestion"] == suggestion


def test_a_deleted_formula_is_not_suggested_and_neither_is_a_far_one(store):
    store.create(draft("trend"))
    store.delete("trend", "")
    store.create(draft("momentum"))
    with pytest.raises(FormulaNotFoundError) as caught:
        store.get("trand")
    assert caught.value.message == "there is no formula `trand`"


def test_a_version_that_never_was_is_answered_with_the_last_one(store):
    store.create(draft("trend"))
    store.create(draft("trend2"))
    with pytest.raises(FormulaNotFoundError) as caught:
        store.get("trend@9999999999")
    assert caught.value.message == "formula `trend` has no version 9999999999; its last is 1"


def test_pages_follow_one_another_sorted_by_id(store):
    names = [f"{folder}f{number}" for folder in ("", "a/", "z/") for number in range(12)]
    for name in random.Random(1).sample(names, len(names)):
        store.create(draft(name))
    store.update(draft("f3", "newest"), "")
    store.delete("f4", "")
    expected = sorted(set(names) - {"f4"})
    for size in (1, 2, 7, 34, 35, 36):
        listed, after = [], ""
        while True:
            page = store.list_formulas(page_size=size, after_id=after)
            assert len(page.formulas) == size or page.is_last
            listed += page.formulas
            if page.is_last:
                break
            after = page.formulas[-1].id
        assert [formula.id for formula in listed] == expected
        assert {formula.version for formula in listed if formula.id == "f3"} == {2}


def test_a_page_goes_on_after_an_id_that_was_deleted_meanwhile(store):
    for name in ("a", "b", "c"):
        store.create(draft(name))
    store.delete("b", "")
    assert ids(store.list_formulas(page_size=9, after_id="b")) == ["c"]


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("", ["a", "a/b", "ab", "b/a", "qlib/beta"]),
        ("*", ["a", "a/b", "ab", "b/a", "qlib/beta"]),
        ("a", ["a"]),
        ("a*", ["a", "a/b", "ab"]),
        ("*/*", ["a/b", "b/a", "qlib/beta"]),
        ("a?", ["ab"]),
        ("?/?", ["a/b", "b/a"]),
        ("qlib/*", ["qlib/beta"]),
        ("[ab]", []),
        ("A", []),
        ("a\n", []),
    ],
)
def test_a_pattern_chooses_ids(folder, pattern, matches):
    store = FormulaStore(folder, built_ins=[BUILT_INS[0]])
    for name in ("b/a", "ab", "a", "a/b"):
        store.create(draft(name))
    assert ids(store.list_formulas(pattern=pattern, page_size=9)) == matches


def test_a_page_of_long_formulas_is_cut_to_what_any_client_receives(folder, monkeypatch):
    monkeypatch.setattr(store_module, "_MOST_PAGE_CHARACTERS", 3_000)
    store = FormulaStore(folder, built_ins=BUILT_INS)
    parameters = tuple(DeclaredParameter(name=f"p{number}", description="d" * 490) for number in range(8))
    for fields in ({"expression": "x" * 1_100}, {"description": "d" * 1_100}, {"parameters": parameters}):
        store.create(draft(f"f{next(iter(fields))[0]}", **fields))
    pages = [store.list_formulas(page_size=9)]
    while not pages[-1].is_last:
        pages.append(store.list_formulas(page_size=9, after_id=pages[-1].formulas[-1].id))
    assert [ids(page) for page in pages] == [["candelabra/alpha", "fd", "fe"], ["fp"], ["qlib/beta"]]


@pytest.mark.parametrize("pattern", ["*a" * 60 + "*c", "*" * 127 + "c", "?*" * 60 + "c"])
def test_no_pattern_takes_exponential_time(store, pattern):
    store.create(draft("a" * 128))
    assert ids(store.list_formulas(pattern=pattern, page_size=9)) == []
    assert ids(store.list_formulas(pattern=pattern[:-1], page_size=9)) == ["a" * 128]


def test_the_last_page_is_known_to_be_the_last_with_a_pattern_too(store):
    for name in ("a1", "a2", "b1"):
        store.create(draft(name))
    assert not store.list_formulas(pattern="a*", page_size=1).is_last
    assert store.list_formulas(pattern="a*", page_size=2).is_last


def test_built_in_formulas_are_found_and_listed_among_the_saved_ones(folder):
    store = FormulaStore(folder, built_ins=BUILT_INS)
    assert store.list_formulas(page_size=9).formulas == (BUILT_INS[1], BUILT_INS[0])
    saved = store.create(draft("desk/trend"))
    beta, alpha = BUILT_INS
    assert store.list_formulas(page_size=9).formulas == (alpha, saved, beta)
    assert store.list_formulas(page_size=1, after_id=alpha.id).formulas == (saved,)
    assert store.list_formulas(page_size=1, after_id=saved.id).formulas == (beta,)
    assert [store.get("qlib/beta"), store.get("qlib/beta@2")] == [beta, beta]
    with pytest.raises(FormulaNotFoundError, match="has no version 1; its last is 2"):
        store.get("qlib/beta@1")


@pytest.mark.parametrize("call", ["create", "update", "delete"])
def test_built_in_formulas_cannot_be_changed(folder, call):
    store = FormulaStore(folder, built_ins=BUILT_INS)
    with pytest.raises(InvalidRequestError, match="built in, and cannot be made, changed or deleted") as caught:
        if call == "delete":
            store.delete("qlib/beta", "")
        elif call == "update":
            store.update(draft("qlib/beta"), "")
        else:
            store.create(draft("qlib/gamma"))
    assert [field for field, _ in fields_of(caught)] == ["id" if call == "delete" else "formula.id"]
    assert store.get("qlib/beta") == BUILT_INS[0]


def test_a_wrong_draft_is_refused_with_everything_that_is_wrong_and_not_saved(store, folder):
    wrong = draft("Trend", parameters=(DeclaredParameter(name="days", minimum=2.0, maximum=1.0),))
    for call in (lambda: store.create(wrong), lambda: store.update(wrong, "")):
        with pytest.raises(InvalidRequestError) as caught:
            call()
        assert [field for field, _ in fields_of(caught)] == ["formula.id", "formula.parameters[0].minimum"]
    with pytest.raises(InvalidRequestError) as caught:
        store.delete("trend@1", "")
    assert fields_of(caught)[0][1].startswith("'trend@1' is not an id")
    assert not folder.exists()


class Model:
    """The same store as a dictionary."""

    def __init__(self):
        self.versions = {}
        self.live = set()

    def create(self, identifier, text):
        if identifier in self.live:
            return "exists"
        self.live.add(identifier)
        return self._save(identifier, text)

    def update(self, identifier, text, version):
        return self._why_not(identifier, version) or self._save(identifier, text)

    def delete(self, identifier, version):
        if fault := self._why_not(identifier, version):
            return fault
        self.live.discard(identifier)
        return None

    def _why_not(self, identifier, version):
        if identifier not in self.live:
            return "not found"
        return "changed" if version not in {None, len(self.versions[identifier])} else None

    def _save(self, identifier, text):
        self.versions.setdefault(identifier, []).append(text)
        return len(self.versions[identifier])


def test_any_sequence_of_calls_gives_what_a_dictionary_gives(store):
    faults = {FormulaExistsError: "exists", FormulaNotFoundError: "not found", FormulaChangedError: "changed"}
    chance, model, etags, seen = random.Random(7), Model(), {}, set()

    def outcome(call):
        try:
            saved = call()
        except tuple(faults) as error:
            return faults[type(error)]
        if saved is None:
            return None
        etags[saved.id, saved.version] = saved.etag
        return saved.version

    for step in range(250):
        identifier, text = chance.choice(["a", "b", "a/b"]), f"text {step}"
        last = len(model.versions.get(identifier, []))
        version = chance.choice([None, last, max(1, last - 1)]) if last else None
        etag = etags.get((identifier, version), "")
        kind = chance.choice(["create", "update", "update", "delete"])
        if kind == "create":
            got = outcome(lambda i=identifier, t=text: store.create(draft(i, t)))
            expected = model.create(identifier, text)
        elif kind == "update":
            got = outcome(lambda i=identifier, t=text, e=etag: store.update(draft(i, t), e))
            expected = model.update(identifier, text, version)
        else:
            got = outcome(lambda i=identifier, e=etag: store.delete(i, e))
            expected = model.delete(identifier, version)
        assert got == expected, (step, kind, identifier, version)
        seen.add((kind, str(got) if isinstance(got, str) else "done"))
    assert ids(store.list_formulas(page_size=9)) == sorted(model.live)
    for identifier, texts in model.versions.items():
        for version, text in enumerate(texts, 1):
            assert store.get(f"{identifier}@{version}").expression == text
    assert len(seen) == 8  # every kind of call with every outcome it can have
