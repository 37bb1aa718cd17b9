"""Symbols that are larger than a slot: rows in ranges, delivered in order, the same as in one piece."""

import asyncio
from contextlib import aclosing

import numpy as np
import pytest

from candelabra.v1 import Precision, ProcessingResult
from candelabra_server.formulas.service import FormulaService
from candelabra_server.processing.processing_engine import ProcessingEngine
from candelabra_server.processing.result_transport import TransportSettings
from support.jobs import job
from support.memory_repository import FIRST, candles_of
from support.sized_repository import HOUR, SizedRepository

ROWS = 130_000
"""Some four slots of 1 MiB with one column, and nine with the candles' own."""
SMALL_SLOTS, LARGE_SLOTS = (TransportSettings(slot_bytes=mebibytes * 1024 * 1024) for mebibytes in (1, 64))
SIZES = {"BIG": ROWS, "HUGE": 2 * ROWS, "LARGE": ROWS + 1, **{f"S{number:02}": 100 for number in range(40)}}
LOOK_AHEAD = "Ref(close, -3) / Ref(close, 40000) - 1"
FORMULAS = [
    "close * 2",
    "mean = sma(close, 50); spread = highest(high, 200) - lowest(low, 20); deviation = stddev(close, 30)",
    "if(close > sma(close, 500), nan, close)",
    'close / symbol("LARGE").close',
]


def make_engine(transport, symbols=SIZES, **settings):
    return ProcessingEngine(SizedRepository(symbols, **settings), FormulaService(), max_workers=2, transport=transport)


async def collect(engine, request):
    async with aclosing(engine.stream(request)) as messages:
        return [ProcessingResult.FromString(message) async for message in messages]


def stream(transport, request, symbols=SIZES, **settings):
    """The messages; sees that the parts of a symbol come together, in order and without gaps."""
    with make_engine(transport, symbols, **settings) as engine:
        messages = asyncio.run(asyncio.wait_for(collect(engine, request), 60))
    assert [message.sequence for message in messages] == list(range(1, len(messages) + 1))
    symbol, row = None, 0
    for message in messages:
        assert symbol in (None, message.symbol)
        assert message.HasField("error") or message.row_offset == row
        assert message.HasField("info") == (message.last_part and not message.HasField("error"))
        row += len(message.open_time_micros)
        symbol, row = (None, 0) if message.last_part else (message.symbol, row)
    assert symbol is None
    assert messages[-1].symbols_done == messages[-1].symbols_total
    return messages


def joined(messages):
    """By symbol: its times, its columns by name as arrays, and its info without the times taken."""
    parts = {}
    for message in messages:
        parts.setdefault(message.symbol, []).append(message)
    return {symbol: _joined(of_symbol) for symbol, of_symbol in parts.items()}


def _joined(parts):
    columns = {}
    for part in parts:
        for column in part.columns:
            columns.setdefault(column.name, []).append(np.array(column.values or column.values_f32))
    columns = {name: np.concatenate(values) for name, values in columns.items()}
    times = np.concatenate([np.array(part.open_time_micros) for part in parts])
    info = [
        (column.name, column.first_valid_row, column.nan_count, str(column.nan_reasons))
        for column in parts[-1].info.columns
    ]
    return times, columns, info


def assert_same(cut, whole):
    assert cut.keys() == whole.keys()
    for symbol, (times, columns, info) in cut.items():
        whole_times, whole_columns, whole_info = whole[symbol]
        np.testing.assert_array_equal(times, whole_times)
        assert columns.keys() == whole_columns.keys()
        for name, values in columns.items():
            assert values.tobytes() == whole_columns[name].tobytes(), (symbol, name)
        assert info == whole_info


def look_ahead_job(symbols):
    request = job(symbols, LOOK_AHEAD)
    request.options.allow_lookahead = True
    return request


def float32_job(symbols):
    request = job(symbols, FORMULAS[1])
    request.output.precision = Precision.PRECISION_FLOAT32
    return request


REQUESTS = {
    **{text: job(["BIG"], text) for text in FORMULAS},
    "candles": job(["BIG"]),
    "float32": float32_job(["BIG"]),
    LOOK_AHEAD: look_ahead_job(["BIG"]),
    "last rows": job(["BIG"], "sma(close, 50)"),
    "many": job(list(SIZES), FORMULAS[1]),
}
REQUESTS["last rows"].output.last_n = 120_000


@pytest.mark.parametrize("request_name", REQUESTS)
def test_a_symbol_in_ranges_of_rows_is_the_same_as_in_one_piece(request_name):
    request = REQUESTS[request_name]
    cut, whole = stream(SMALL_SLOTS, request), stream(LARGE_SLOTS, request)
    assert_same(joined(cut), joined(whole))


def test_what_is_told_of_a_symbol_in_ranges_is_of_all_its_rows():
    messages = stream(SMALL_SLOTS, job("BIG", "sma(close, 50)"))
    info = messages[-1].info
    assert (info.columns[0].nan_count, info.columns[0].first_valid_row) == (49, 49)
    assert info.columns[0].nan_reasons.warm_up == 49
    assert info.warm_up_candles_used == 0
    ranges = 3
    assert info.candles_read == ROWS + 49 * (ranges - 1)  # each range but the first looks back
    assert info.snapshot_id == "memory-1"
    assert messages[-1].row_offset + len(messages[-1].open_time_micros) == ROWS


def test_averages_that_never_forget_differ_by_rounding_only():
    cut, whole = (joined(stream(slots, job("BIG", "ema(close, 20)")))["BIG"] for slots in (SMALL_SLOTS, LARGE_SLOTS))
    np.testing.assert_array_equal(cut[0], whole[0])
    np.testing.assert_allclose(cut[1]["value"], whole[1]["value"], rtol=1e-12)


@pytest.mark.parametrize("formula", [FORMULAS[1], None])
def test_a_batch_joins_the_ranges_of_each_symbol(formula):
    symbols = ["S01", "BIG", "S02"]
    with make_engine(SMALL_SLOTS) as cut, make_engine(LARGE_SLOTS) as whole:
        found, expected = (asyncio.run(engine.process_batch(job(symbols, formula))) for engine in (cut, whole))
    assert [result.symbol for result in found] == symbols
    assert all(result.last_part and result.row_offset == 0 for result in found)
    assert sorted(result.symbols_done for result in found) == [1, 2, 3]
    assert_same(joined(found), joined(expected))


def test_every_large_symbol_of_a_job_comes_whole_whatever_is_in_flight_beside_it():
    symbols = ["BIG", "HUGE", "LARGE", "S00", "S01"]
    for order in (symbols, symbols[::-1]):
        found = joined(stream(SMALL_SLOTS, job(order, "c = close; o = open")))
        assert {symbol: len(times) for symbol, (times, _, _) in found.items()} == {
            name: SIZES[name] for name in symbols
        }


@pytest.mark.parametrize("load", [2, 4])
def test_a_worker_that_is_killed_between_ranges_costs_a_retry_and_loses_nothing(tmp_path, load):
    request = job(["BIG", "S00", "S01", "S02"], FORMULAS[1])
    whole = joined(stream(LARGE_SLOTS, request))
    loads = tmp_path / "loads"
    messages = stream(SMALL_SLOTS, request, loads=str(loads), kills_at=load)
    assert_same(joined(messages), whole)
    assert max(message.attempts for message in messages) == 2


def test_ranges_that_fail_end_their_symbol_with_an_error_behind_its_first_rows(tmp_path):
    loads = tmp_path / "loads"
    messages = stream(SMALL_SLOTS, job("BIG", "close"), loads=str(loads), fails_at=2)
    assert [message.HasField("error") for message in messages] == [False] * (len(messages) - 1) + [True]
    assert messages[0].open_time_micros
    assert messages[-1].last_part


def test_ranges_that_fail_are_an_error_in_a_batch(tmp_path):
    with make_engine(SMALL_SLOTS, loads=str(tmp_path / "loads"), fails_at=2) as engine:
        (result,) = asyncio.run(engine.process_batch(job("BIG", "close")))
    assert result.error.message == "BIG cannot be read any more"
    assert not result.columns


def test_a_worker_that_is_killed_while_it_writes_a_result_of_many_slots_costs_a_retry(tmp_path):
    """52 MB in slots of 16 MiB; the death comes within the second of them.

    Pool trap 1: large results do not take the pipe.
    """
    rows, marker = 1_100_000, tmp_path / "killed"
    sizes = {"GIANT": rows}
    messages = stream(TransportSettings(), job("GIANT"), sizes, marker=str(marker), kills_in_part=20)
    assert marker.exists()
    assert sum(message.ByteSize() for message in messages) > 50e6
    assert {message.attempts for message in messages} == {1, 2}
    times = np.concatenate([message.open_time_micros for message in messages])
    np.testing.assert_array_equal(times, FIRST + HOUR * np.arange(rows))
    closes = np.concatenate([message.columns[3].values for message in messages])
    np.testing.assert_array_equal(closes, candles_of("GIANT", rows).fields["close"])
