"""The order of a job's results, without workers: the ranges of a symbol together, all else around them."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candelabra.v1 import ColumnInfo, NanReasons, ProcessingResult, ResultInfo
from candelabra_server.errors import SymbolFailure
from candelabra_server.processing.result_order import Done, ResultOrder
from candelabra_server.processing.result_transport import Rows


def whole(symbol, *, symbols=1):
    return Done(symbol, symbols, [symbol.encode()], 1)


def part(symbol, first, stop, total, **info):
    """Rows of a symbol; the message says which."""
    encoded = ResultInfo(candles_read=stop - first, **info).SerializeToString()
    return Done(symbol, 1, [f"{symbol}[{first}:{stop}]".encode()], 1, Rows(total, stop, encoded))


def failed(symbol):
    return Done(symbol, 1, [], 3, failure=SymbolFailure("the worker died"))


def sent(done):
    """The messages in the order in which they go out, without the info that stands behind the last of a symbol."""
    return [(item.symbol, bytes(message).partition(b"]")[0]) for item in done for message in item.messages]


def names(done):
    return [item.symbol for item in done]


def test_whole_symbols_pass_as_they_come():
    order = ResultOrder()
    done = [whole("B"), whole("A"), whole("SCREENED", symbols=40)]
    assert order.add(done) == done
    assert (order.completed, order.open_piece) == (42, None)


def test_other_symbols_wait_until_all_ranges_of_one_are_there():
    order = ResultOrder()
    assert names(order.add([whole("A"), part("BIG", 0, 5, 12), whole("B")])) == ["A", "BIG"]
    assert (order.completed, order.open_piece) == (1, ("BIG", 5))
    assert names(order.add([whole("C")])) == []
    assert names(order.add([part("BIG", 5, 10, 12)])) == ["BIG"]
    assert order.open_piece == ("BIG", 10)
    assert names(order.add([part("BIG", 10, 12, 12), whole("D")])) == ["BIG", "B", "C", "D"]
    assert (order.completed, order.open_piece) == (5, None)


def test_two_large_symbols_in_flight_at_once_come_one_after_the_other():
    order = ResultOrder()
    assert names(order.add([part("BIG", 0, 5, 10)])) == ["BIG"]
    assert names(order.add([part("HUGE", 0, 7, 20)])) == []
    assert order.open_piece == ("BIG", 5)
    assert names(order.add([whole("A")])) == []
    assert names(order.add([part("BIG", 5, 10, 10)])) == ["BIG", "HUGE"]
    assert order.open_piece == ("HUGE", 7)
    assert names(order.add([part("HUGE", 7, 20, 20)])) == ["HUGE", "A"]
    assert (order.completed, order.open_piece) == (3, None)


@pytest.mark.parametrize("end", [failed("BIG"), whole("BIG")], ids=["no worker's answer", "a worker's failure"])
def test_a_range_that_fails_ends_its_symbol_and_lets_the_others_go(end):
    order = ResultOrder()
    order.add([part("BIG", 0, 5, 10), whole("A")])
    assert order.add([end]) == [end, whole("A")]
    assert (order.completed, order.open_piece) == (2, None)
    (next_one,) = order.add([part("NEXT", 0, 4, 4)])  # has no info of the ranges before
    info = ProcessingResult.FromString(next_one.messages[-1].partition(b"]")[2]).info
    assert info.candles_read == 4


def test_what_is_held_is_a_copy_and_what_is_sent_at_once_is_none():
    slot = bytearray(b"BIG A")
    view = memoryview(slot)
    order = ResultOrder()
    order.add([part("BIG", 0, 5, 10)])
    assert order.add([Done("A", 1, [view[4:]], 1)]) == []
    slot[:] = b"-----"
    *_, held = order.add([part("BIG", 5, 10, 10)])
    assert held.messages == [b"A"]
    (passed,) = order.add([Done("B", 1, [view], 1)])
    assert passed.messages[0].obj is slot


def test_the_last_message_has_the_info_of_all_ranges():
    def column(first_valid_row, nan_count, **reasons):
        nan_reasons = NanReasons(**reasons) if reasons else None
        return [ColumnInfo(name="a", first_valid_row=first_valid_row, nan_count=nan_count, nan_reasons=nan_reasons)]

    order = ResultOrder()
    order.add([part("BIG", 0, 5, 12, columns=column(-1, 5, warm_up=5), warnings=["w"], load_micros=3)])
    order.add([part("BIG", 5, 10, 12, columns=column(2, 2, warm_up=2), warnings=["w"], load_micros=4)])
    (last,) = order.add([part("BIG", 10, 12, 12, columns=column(0, 1, missing_input=1), compute_micros=9)])
    info = ProcessingResult.FromString(last.messages[-1].partition(b"]")[2]).info
    assert info.columns == column(7, 8, warm_up=7, missing_input=1)
    assert (info.candles_read, info.load_micros, info.compute_micros, info.warnings) == (12, 7, 9, ["w"])


@given(st.integers(0, 2**32), st.lists(st.integers(1, 4), min_size=1, max_size=8), st.integers(0, 8))
def test_whatever_the_order_of_arrival_every_symbol_goes_out_once_and_its_ranges_together(seed, large, small):
    """Ranges of a symbol come in their order, since each begins where the one before ended; all else comes anyhow."""
    dice = random.Random(seed)
    waiting = {
        f"L{number}": [part(f"L{number}", at, at + 1, ranges) for at in range(ranges)]
        for number, ranges in enumerate(large)
    }
    waiting |= {f"S{number}": [whole(f"S{number}")] for number in range(small)}
    order, out = ResultOrder(), []
    while waiting:
        symbol = dice.choice(list(waiting))
        if order.open_piece is not None and order.open_piece[0] in waiting and dice.random() < 0.3:
            symbol = order.open_piece[0]
        elif order.open_piece is not None and waiting[symbol][0].rows and waiting[symbol][0].rows.next_row > 1:
            symbol = order.open_piece[0]  # only the open symbol's further ranges are ever asked for
        out += sent(order.add([waiting[symbol].pop(0)]))
        if not waiting[symbol]:
            del waiting[symbol]
    assert order.completed == len(large) + small
    assert order.open_piece is None
    changes = [symbol for number, (symbol, _) in enumerate(out) if number == 0 or out[number - 1][0] != symbol]
    assert Counter(changes) == Counter([*(f"L{n}" for n in range(len(large))), *(f"S{n}" for n in range(small))])
    for number, ranges in enumerate(large):
        rows = [f"L{number}[{at}:{at + 1}".encode() for at in range(ranges)]
        assert [message for symbol, message in out if symbol == f"L{number}"] == rows
