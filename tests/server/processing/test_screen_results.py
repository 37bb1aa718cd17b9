"""What comes of workers' answers: rows at once or sorted, counters, and few messages."""

import math
from functools import cmp_to_key

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candelabra.v1 import ColumnKind, ScreenFailure, SymbolError
from candelabra_server.processing import screen_results
from candelabra_server.processing.job_plan import JobPlan
from candelabra_server.processing.screen_plan import OrderKey, ScreenColumn, ScreenPlan
from candelabra_server.processing.screen_results import ScreenResults
from support.memory_repository import MemorySnapshot
from support.screens import answered, rows_of

NAN = math.nan


def plan(symbols, *, columns=("a", "b"), order=(), limit=0):
    snapshot = MemorySnapshot(symbols)
    snapshot.close()
    return ScreenPlan(
        job=JobPlan(
            job_id="mine",
            symbols=tuple(symbols),
            weight=1,
            symbol_seconds=60.0,
            seconds=60.0,
            until_micros=0,
            snapshot=snapshot,
            shared_bytes=b"",
        ),
        columns=tuple(ScreenColumn(name, ColumnKind.COLUMN_KIND_NUMBER) for name in columns),
        filter_column=None,
        order=tuple(OrderKey(*key) for key in order),
        limit=limit,
        warnings=("take care",),
    )


def failure(symbol):
    return ScreenFailure(symbol=symbol, error=SymbolError(reason="NO_CANDLES", message="none"))


def same(rows):
    """Rows as they can be compared."""
    return [tuple("NaN" if value != value else value for value in row) for row in rows]


def test_rows_of_a_screen_that_is_not_sorted_are_passed_on_at_once():
    results = ScreenResults(plan(["A", "B", "C", "D"]))
    (first,) = results.add(2, answered([("B", 7, 1.0, NAN), ("A", 6, 2.0, 3.0)], candles_read=20))
    assert same(rows_of([first])) == [("B", 7, 1.0, "NaN"), ("A", 6, 2.0, 3.0)]
    assert [(column.name, column.kind) for column in first.columns] == [("a", 1), ("b", 1)]
    assert (first.screen_id, first.symbols_total, first.symbols_done, first.symbols_passed) == ("mine", 4, 2, 2)
    assert not first.last
    assert not first.HasField("info")
    assert results.add(2, answered([], failures=[failure("D")], candles_read=5)) == []
    (last,) = results.finish(1234)
    assert last.last
    assert (last.symbols_done, last.symbols_passed, last.symbols_failed) == (4, 2, 1)
    assert [told.symbol for told in last.failures] == ["D"]
    assert [column.name for column in last.columns] == ["a", "b"]
    assert not last.symbols
    assert (last.info.snapshot_id, last.info.candles_read, last.info.cpu_micros) == ("memory-1", 25, 1234)
    assert list(last.info.warnings) == ["take care"]


def test_a_screen_without_symbols_that_pass_still_tells_its_columns():
    (last,) = ScreenResults(plan(["A"], order=[(0, True)])).finish(0)
    assert [column.name for column in last.columns] == ["a", "b"]
    assert last.last


def test_sorted_rows_come_at_the_end_with_missing_values_last_and_ties_by_name():
    rows = [("D", 1, NAN, 1.0), ("C", 2, 5.0, 1.0), ("B", 3, 5.0, 1.0), ("A", 4, NAN, 0.0), ("E", 5, 9.0, NAN)]
    for descending, names in ((False, "BCEAD"), (True, "EBCAD")):
        results = ScreenResults(plan("ABCDE", order=[(0, descending)]))
        for row in rows:
            assert results.add(1, answered([row])) == []
        (last,) = results.finish(0)
        assert last.last
        assert "".join(last.symbols) == names


def test_a_limit_alone_sends_the_first_by_name_and_counts_all_that_passed():
    results = ScreenResults(plan(["B", "C", "A"], limit=2))
    results.add(3, answered([("B", 1, 1, 1), ("C", 1, 2, 2), ("A", 1, 3, 3)]))
    (last,) = results.finish(0)
    assert rows_of([last]) == [("A", 1, 3, 3), ("B", 1, 1, 1)]
    assert last.symbols_passed == 3


VALUES = st.sampled_from([-math.inf, -1.0, -0.0, 0.0, 2.5, math.inf, NAN])
ROWS = st.lists(st.tuples(VALUES, VALUES), max_size=40)
KEYS = st.lists(
    st.tuples(st.sampled_from([0, 1, None]), st.booleans()), max_size=3, unique_by=lambda key: key[0]
)  # fmt: skip


def by(order):
    """The slow twin of the order: compares two rows key by key."""

    def compare(left, right):
        for column, descending in (*order, (None, False)):
            one, other = (row[0] if column is None else row[2 + column] for row in (left, right))
            missing = [value != value for value in (one, other)]
            if any(missing):
                if all(missing):
                    continue
                return 1 if missing[0] else -1
            if one != other:
                return (1 if one > other else -1) * (-1 if descending else 1)
        return 0

    return cmp_to_key(compare)


@given(values=ROWS, order=KEYS, limit=st.integers(0, 12), chunk=st.integers(1, 9), seed=st.randoms())
def test_any_rows_come_as_a_plain_sort_gives_them(values, order, limit, chunk, seed):
    names = [f"S{number:02}" for number in range(len(values))]
    rows = [(name, number, *pair) for number, (name, pair) in enumerate(zip(names, values, strict=True))]
    expected = sorted(rows, key=by(order)) if order or limit else rows
    shuffled = rows.copy()
    if order or limit:
        seed.shuffle(shuffled)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(screen_results, "_KEPT_BEYOND_LIMIT", 3)
        results = ScreenResults(plan(names, order=order, limit=limit))
        messages = []
        for first in range(0, len(rows), chunk):
            part = shuffled[first : first + chunk]
            messages += results.add(len(part), answered(part) if part else answered([]))
            if limit and results._kept is not None:
                assert results._kept._count <= max(2 * limit + 3, limit)
        messages += results.finish(0)
    assert same(rows_of(messages)) == same(expected[: limit or None])
    assert [message.last for message in messages] == [False] * (len(messages) - 1) + [True]
    assert messages[-1].symbols_passed == len(rows)


@pytest.mark.parametrize("order", [(), [(0, True)]])
def test_no_message_is_much_larger_than_a_mebibyte(order):
    names = [f"a-rather-long-name-of-a-symbol-{number:06}" for number in range(40_000)]
    results = ScreenResults(plan(names, order=order))
    messages = results.add(40_000, answered([(name, 1, number, -number) for number, name in enumerate(names)]))
    messages += results.finish(0)
    assert max(message.ByteSize() for message in messages) <= 1_048_576
    assert 3 <= len(messages) <= 6
    assert sorted(symbol for message in messages for symbol in message.symbols) == names


@pytest.mark.parametrize("order", [(), [(0, True)]])
def test_progress_is_told_now_and_then_where_no_rows_are_sent(order):
    results = ScreenResults(plan([f"S{number}" for number in range(1_000)], order=order))
    told = [message.symbols_done for _ in range(100) for message in results.add(10, answered([]))]
    assert told == [250, 500, 750, 1_000]


def test_failures_are_listed_once_each_and_at_most_a_thousand_of_them():
    results = ScreenResults(plan([f"S{number}" for number in range(1_500)]))
    messages = []
    for first in range(0, 1_500, 100):
        failures = [failure(f"S{number}") for number in range(first, first + 100)]
        messages += results.add(100, answered([], failures=failures))
    messages += results.finish(0)
    listed = [told.symbol for message in messages for told in message.failures]
    assert listed == [f"S{number}" for number in range(1_000)]
    assert messages[-1].symbols_failed == 1_500
    assert max(len(message.failures) for message in messages) < 500
