"""Connections that are cut at random bytes, hundreds of times: each symbol comes once, with its values."""

import itertools
import zlib
from functools import cache
from random import Random

import numpy as np
import pytest

from candelabra import v1
from candelabra_client import RetryPolicy, ServerUnavailable
from support.proxy import Cut, proxying, random_cuts
from support.scripted_server import Script, answer_each, passed, rows, serving

ENDURING = RetryPolicy(max_attempts=10_000, initial_backoff_seconds=0.001, max_backoff_seconds=0.002)
# Backoffs of a test's connections are its own, and the shortest that gRPC allows.
CHANNEL = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 100),
]
LASTING = {"retry": ENDURING, "channel_options": CHANNEL}
PART_ROWS = 200
SYMBOLS = [f"S{number}" for number in range(40)]


@cache
def values_of(symbol):
    """Values that a symbol's name determines, some NaN among them: one part to six, the last one not full."""
    random = np.random.default_rng(zlib.crc32(symbol.encode()))
    values = random.standard_normal(random.integers(1, 6 * PART_ROWS))
    values[random.random(len(values)) < 0.1] = np.nan
    return values


def value_of(symbol):
    return float(zlib.crc32(symbol.encode()) % 97)  # so that some are equal


@cache
def parts_of(symbol):
    values = values_of(symbol)
    starts = range(0, len(values), PART_ROWS)
    return [
        rows(symbol, values[first : first + PART_ROWS], first_row=first, last=first == starts[-1]) for first in starts
    ]


def answer_in_parts(job, context):
    numbers = itertools.count(1)
    for symbol in job.symbols:
        for part in parts_of(symbol):
            message = v1.ProcessingResult()
            message.CopyFrom(part)
            message.job_id, message.sequence, message.symbols_total = "made-1", next(numbers), len(job.symbols)
            yield message


def answer_in_batches(request, context):
    """Three symbols a batch, sorted by value where the request says so; the last message has no symbols."""
    values = {symbol: value_of(symbol) for symbol in request.symbols}
    names = sorted(request.symbols, key=values.__getitem__) if request.order_by else list(request.symbols)
    for first in range(0, len(names), 3):
        batch = names[first : first + 3]
        yield passed(*batch, value=[values[name] for name in batch], total=len(names), done=first + len(batch))
    yield passed(total=len(names), last=True)


def assert_whole(results, symbols):
    assert sorted(result.symbol for result in results) == sorted(symbols)
    for result in results:
        np.testing.assert_array_equal(result["value"], values_of(result.symbol))
        assert len(result.open_times) == len(result["value"])


@pytest.mark.parametrize("seed", range(6))
def test_a_job_gives_each_symbol_once_however_often_it_is_cut(user, seed):
    script = Script(answers=[answer_in_parts])
    with serving(script) as address:
        with proxying(address, random_cuts(Random(seed), most_bytes=60_000)) as proxy:
            results = user(proxy.address, **LASTING).iterate(SYMBOLS)

    assert_whole(results, SYMBOLS)
    assert len(proxy.cuts) >= 10


@pytest.mark.parametrize("order", [{}, {"order_by": "value"}], ids=["unsorted", "sorted"])
@pytest.mark.parametrize("seed", range(3))
def test_a_screen_gives_each_symbol_once_however_often_it_is_cut(user, seed, order):
    symbols = [f"S{number}" for number in range(900)]
    script = Script(screen_answers=[answer_in_batches])
    with serving(script) as address:
        # It is sent whole each time, and so is through when a connection lives long enough: early cuts only.
        draw = random_cuts(Random(seed), most_bytes=20_000)
        cuts = itertools.chain((draw() for _ in range(25)), itertools.repeat(None))
        with proxying(address, lambda: next(cuts)) as proxy:
            batches = user(proxy.address, **LASTING).screen(symbols=symbols, **order)

    found = [symbol for batch in batches for symbol in batch.symbols]
    values = [value for batch in batches for value in batch["value"].tolist()]
    expected = {symbol: value_of(symbol) for symbol in symbols}
    assert sorted(found) == sorted(symbols)
    np.testing.assert_array_equal(values, [expected[symbol] for symbol in found])
    assert len(proxy.cuts) >= 20
    if order:
        assert found == sorted(symbols, key=expected.__getitem__)


@pytest.mark.parametrize("reset", [False, True], ids=["end", "reset"])
def test_a_short_job_is_whole_wherever_its_connection_is_cut(user, reset):
    """In the connection's settings, in headers, in and between messages, and at every byte of the trailers."""
    symbols = ["S1", "NOPE", "S2"]
    script = Script(answers=[answer_each])
    with serving(script) as address, proxying(address) as proxy:
        user(proxy.address, **LASTING).gather(symbols)
        whole, random = proxy.bytes_down, Random(7)
        # Few in the settings: after each of these gRPC waits 100 ms before it connects again.
        positions = [*random.sample(range(50), 5), *random.sample(range(50, whole), 40), *range(whole - 40, whole)]
        for after_bytes in positions:
            cuts = itertools.chain([Cut(after_bytes, reset=reset)], itertools.repeat(None))
            proxy.next_cut = lambda cuts=cuts: next(cuts)
            results = user(proxy.address, **LASTING).iterate(symbols)

            assert sorted(result.symbol for result in results) == sorted(symbols), after_bytes
            assert [result.row_count for result in results if result.ok] == [3, 3]

    assert len(proxy.cuts) > len(positions) / 2  # a later connection may need fewer bytes than the first
    assert len(script.jobs) <= 1 + 2 * len(positions)


@pytest.mark.parametrize("seed", range(2))
def test_real_results_of_some_megabytes_come_as_if_nothing_had_been_cut(user, demo_address, seed):
    columns = [f"m{days} = sma(close, {days})" for days in range(2, 22)]
    job = {"formula": "\n".join(columns), "max_message_bytes": 65_536}
    symbols = ["AAPL", "FB", "GOOG", "IBM", "MSFT", "SYN00*"]
    expected = user(demo_address).gather(symbols, **job)
    largest = 8 * max(result.row_count for result in expected) * (1 + len(columns))
    with proxying(demo_address, random_cuts(Random(seed), most_bytes=3 * largest)) as proxy:
        results = user(proxy.address, **LASTING).iterate(symbols, **job)

    assert sorted(result.symbol for result in results) == sorted(expected.symbols)
    for result in results:
        assert result.columns == expected[result.symbol].columns
        np.testing.assert_array_equal(result.open_time_micros, expected[result.symbol].open_time_micros)
        for column in result.columns:
            np.testing.assert_array_equal(result[column], expected[result.symbol][column])
    assert len(proxy.cuts) >= 5


@pytest.mark.parametrize("seed", range(2))
def test_a_real_screen_comes_as_if_nothing_had_been_cut(user, demo_address, seed):
    screen = {"formula": "change = close / Ref(close, 5) - 1", "order_by": "change desc", "symbols": "SYN0*"}
    expected = user(demo_address).screened(**screen)
    draw = random_cuts(Random(seed), most_bytes=30_000)
    cuts = itertools.chain((draw() for _ in range(20)), itertools.repeat(None))
    with proxying(demo_address, lambda: next(cuts)) as proxy:
        result = user(proxy.address, **LASTING).screened(**screen)

    assert result.symbols == expected.symbols
    np.testing.assert_array_equal(result["change"], expected["change"])
    assert result.symbols_passed == expected.symbols_passed
    assert len(proxy.cuts) >= 5


def test_a_job_outlasts_a_server_that_cannot_be_reached_for_a_while(user):
    script = Script(answers=[answer_in_parts])
    with serving(script) as address, proxying(address) as proxy:

        def away(progress):
            if progress.symbols_done == 1:
                proxy.refuse(2)

        cuts = itertools.chain([Cut(40_000)], itertools.repeat(None))
        proxy.next_cut = lambda: next(cuts)
        results = user(proxy.address, **LASTING).iterate(SYMBOLS, progress=away)

    assert_whole(results, SYMBOLS)
    assert (proxy.refused, len(proxy.cuts), len(script.jobs)) == (2, 1, 2)


def test_attempts_end_when_nothing_arrives_any_more(user):
    policy = RetryPolicy(max_attempts=3, initial_backoff_seconds=0.001)
    script = Script(answers=[answer_in_parts])
    with serving(script) as address:
        with proxying(address, lambda: Cut(400)) as proxy:
            with pytest.raises(ServerUnavailable):
                user(proxy.address, retry=policy, channel_options=CHANNEL).gather(SYMBOLS)

    assert len(script.jobs) == 3


def test_a_single_attempt_means_that_a_cut_ends_the_job(user):
    script = Script(answers=[answer_in_parts])
    with serving(script) as address:
        with proxying(address, lambda: Cut(40_000)) as proxy:
            with pytest.raises(ServerUnavailable):
                user(proxy.address, retry=RetryPolicy(max_attempts=1)).gather(SYMBOLS)

    assert len(script.jobs) == len(proxy.cuts) == 1
