"""What every candle repository must do: the embedded store and one that a user plugged in."""

import json
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candelabra_server.candles.candle_batch import CandleBatch
from candelabra_server.candles.factory import create_candle_repository
from candelabra_server.candles.importing import import_batches
from candelabra_server.candles.problem_log import ProblemLog
from candelabra_server.candles.store_writer import StoreWriter
from candelabra_server.domain.candles import PRICE_FIELDS
from candelabra_server.domain.date_range import DateRange
from candelabra_server.errors import Reason, SymbolFailure, TimeframeNotStoredError

DAY = 86_400_000_000
MINUTE = 60_000_000
FIRST = 18_262 * DAY  # 2020-01-01


def columns_of(count, step, level, **further):
    close = [level + number for number in range(count)]
    prices = {"open": close, "high": [value + 1 for value in close], "low": [value - 1 for value in close]}
    times = [FIRST + number * step for number in range(count)]
    return {"open_time": times, **prices, "close": close, "volume": [None, *range(1, count)], **further}


CANDLES = {
    "1m": {"AAPL": columns_of(3, MINUTE, 10)},
    "1d": {
        "MSFT": columns_of(5, DAY, 50),
        "AAPL": columns_of(40, DAY, 100, vwap=[100.5] * 40),
        "BRK.B": columns_of(1, DAY, 9),
    },
    "1M": {"IBM": columns_of(2, 31 * DAY, 10)},
}


def arrow_config(folder):
    for timeframe, symbols in CANDLES.items():
        batches = [
            CandleBatch(
                source=symbol,
                symbols=[symbol],
                codes=np.zeros(len(columns["open_time"]), dtype=np.int32),
                open_times=np.array(columns["open_time"]),
                columns={
                    name: np.array(values, dtype=np.float64) for name, values in columns.items() if name != "open_time"
                },
            )
            for symbol, columns in symbols.items()
        ]
        with StoreWriter(folder) as writer:
            import_batches(batches, timeframe=timeframe, writer=writer, log=ProblemLog(20), started=0.0)
    return {"type": "arrow", "path": str(folder)}


def plugged_in_config(folder):
    return {"type": "contracts.in_memory_repository:create", "candles": CANDLES}


@pytest.fixture(scope="module", params=[arrow_config, plugged_in_config], ids=["arrow", "plugged-in"])
def repository(request, tmp_path_factory):
    return create_candle_repository(request.param(tmp_path_factory.mktemp("store")))


def load(repository, symbol="AAPL", start="", end="", *, timeframe="1d", warm_up_candles=0, snapshot_id=""):
    return repository.load(
        symbol, timeframe, DateRange.parse(start, end), warm_up_candles=warm_up_candles, snapshot_id=snapshot_id
    )


def test_timeframes_are_listed_from_short_to_long_with_their_symbol_counts(repository):
    assert list(repository.timeframes().items()) == [("1m", 1), ("1d", 3), ("1M", 1)]


def test_a_snapshot_has_an_id_and_the_symbols_sorted(repository):
    with repository.snapshot("1d") as snapshot:
        assert snapshot.id
        assert list(snapshot.symbols) == ["AAPL", "BRK.B", "MSFT"]


def test_a_snapshot_can_be_closed_twice(repository):
    snapshot = repository.snapshot("1d")
    snapshot.close()
    snapshot.close()


@pytest.mark.parametrize("ask", [lambda repo: repo.snapshot("4h"), lambda repo: repo.list_symbols("4h")])
def test_a_timeframe_that_is_not_stored_is_an_error_that_names_those_that_are(repository, ask):
    with pytest.raises(TimeframeNotStoredError, match=r"4h.*1m, 1d, 1M") as caught:
        ask(repository)
    assert caught.value.reason == Reason.TIMEFRAME_NOT_STORED


def test_symbols_are_listed_with_count_first_and_last_time_and_fields(repository):
    listed = list(repository.list_symbols("1d"))
    assert [entry.symbol for entry in listed] == ["AAPL", "BRK.B", "MSFT"]
    assert [entry.candle_count for entry in listed] == [40, 1, 5]
    assert [entry.first_open_time_micros for entry in listed] == [FIRST] * 3
    assert [entry.last_open_time_micros for entry in listed] == [FIRST + 39 * DAY, FIRST, FIRST + 4 * DAY]
    assert [set(entry.fields) for entry in listed] == [{*PRICE_FIELDS, "vwap"}, set(PRICE_FIELDS), set(PRICE_FIELDS)]


def test_an_unbounded_range_gives_every_candle(repository):
    candles = load(repository)
    assert candles.symbol == "AAPL"
    assert candles.warm_up == 0
    assert candles.open_time_micros.tolist() == CANDLES["1d"]["AAPL"]["open_time"]
    assert candles.fields["close"].tolist() == CANDLES["1d"]["AAPL"]["close"]
    assert set(candles.fields) == {*PRICE_FIELDS, "vwap"}


def test_a_field_that_is_not_stored_of_a_symbol_is_not_among_its_fields(repository):
    assert set(load(repository, "MSFT").fields) == set(PRICE_FIELDS)


def test_both_ends_of_a_range_are_inclusive(repository):
    candles = load(repository, start="2020-01-10", end="2020-01-12")
    assert candles.fields["close"].tolist() == [109, 110, 111]


def test_a_range_of_times_is_exact_to_the_microsecond(repository):
    start, end = "2020-01-01T00:00:00.000001Z", "2020-01-01T00:02:00Z"
    assert load(repository, start=start, end=end, timeframe="1m").fields["close"].tolist() == [11, 12]


def test_warm_up_candles_come_before_the_range(repository):
    candles = load(repository, start="2020-01-10", end="2020-01-12", warm_up_candles=4)
    assert candles.warm_up == 4
    assert candles.fields["close"].tolist() == list(range(105, 112))


def test_there_are_fewer_warm_up_candles_where_the_history_begins(repository):
    candles = load(repository, start="2020-01-03", end="2020-01-03", warm_up_candles=100)
    assert candles.warm_up == 2
    assert candles.fields["close"].tolist() == [100, 101, 102]


def test_a_missing_value_is_nan(repository):
    assert np.isnan(load(repository).fields["volume"][0])


def test_columns_are_read_only_contiguous_and_of_one_type(repository):
    candles = load(repository, start="2020-01-10", warm_up_candles=3)
    assert candles.open_time_micros.dtype == np.int64
    for column in (candles.open_time_micros, *candles.fields.values()):
        assert len(column) == len(candles)
        assert column.flags.c_contiguous
        assert not column.flags.writeable
    assert {column.dtype for column in candles.fields.values()} == {np.dtype(np.float64)}


def test_an_unknown_symbol_is_a_failure_of_that_symbol(repository):
    with pytest.raises(SymbolFailure, match="NOPE") as caught:
        load(repository, "NOPE")
    assert caught.value.reason == Reason.UNKNOWN_SYMBOL
    assert caught.value.metadata["symbol"] == "NOPE"


@pytest.mark.parametrize(
    ("start", "end"), [("", "2019-12-31"), ("2020-02-10", ""), ("2020-01-01T00:00:01Z", "2020-01-01T23:00:00Z")]
)
def test_a_range_without_candles_is_a_failure_that_names_what_is_stored(repository, start, end):
    with pytest.raises(SymbolFailure, match="2020-01-01 to 2020-02-09") as caught:
        load(repository, start=start, end=end, warm_up_candles=5)
    assert caught.value.reason == Reason.NO_CANDLES


def test_a_snapshot_id_means_the_same_to_a_repository_built_from_the_worker_configuration(repository):
    other = create_candle_repository(json.loads(json.dumps(dict(repository.worker_config()))))
    with repository.snapshot("1d") as snapshot:
        candles = load(other, "MSFT", snapshot_id=snapshot.id)
    assert candles.fields["close"].tolist() == CANDLES["1d"]["MSFT"]["close"]


def test_threads_load_at_the_same_time(repository):
    found: list[float] = []

    def work():
        with repository.snapshot("1d") as snapshot:
            found.extend(
                load(repository, name, snapshot_id=snapshot.id).fields["close"][0] for name in snapshot.symbols
            )

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(found) == sorted([100.0, 9.0, 50.0] * 8)


@given(first=st.integers(-3, 45), length=st.integers(0, 45), warm_up=st.integers(0, 50))
def test_any_range_and_warm_up_are_a_slice_of_the_whole(repository, first, length, warm_up):
    times = CANDLES["1d"]["AAPL"]["open_time"]
    date_range = DateRange(FIRST + first * DAY, FIRST + (first + length) * DAY)
    inside = [row for row, time in enumerate(times) if date_range.start_micros <= time <= date_range.end_micros]
    if not inside:
        with pytest.raises(SymbolFailure):
            repository.load("AAPL", "1d", date_range, warm_up_candles=warm_up, snapshot_id="")
        return
    candles = repository.load("AAPL", "1d", date_range, warm_up_candles=warm_up, snapshot_id="")
    begin = max(0, inside[0] - warm_up)
    assert candles.warm_up == inside[0] - begin
    assert candles.open_time_micros.tolist() == times[begin : inside[-1] + 1]


def load_last(repository, symbol="AAPL", end="", *, warm_up_candles=0, fields=PRICE_FIELDS):
    return repository.load_last(
        symbol, "1d", DateRange.parse_end(end), warm_up_candles=warm_up_candles, fields=fields, snapshot_id=""
    )


@given(days=st.integers(-3, 45), warm_up=st.one_of(st.integers(0, 50), st.just(2**60)))
def test_the_last_candle_up_to_any_time_is_the_last_one_of_the_whole(repository, days, warm_up):
    end = FIRST + days * DAY
    known = [row for row, time in enumerate(CANDLES["1d"]["AAPL"]["open_time"]) if time <= end]
    fields = ("close", "vwap")
    if not known:
        with pytest.raises(SymbolFailure, match="2020-01-01 to 2020-02-09") as caught:
            repository.load_last("AAPL", "1d", end, warm_up_candles=warm_up, fields=fields, snapshot_id="")
        assert caught.value.reason == Reason.NO_CANDLES
        return
    candles = repository.load_last("AAPL", "1d", end, warm_up_candles=warm_up, fields=fields, snapshot_id="")
    rows = known[max(0, len(known) - 1 - warm_up) :]
    assert candles.warm_up == len(rows) - 1
    assert candles.open_time_micros.tolist() == [FIRST + row * DAY for row in rows]
    assert candles.fields["close"].tolist() == [100 + row for row in rows]
    assert set(candles.fields["vwap"]) == {100.5}


def test_the_last_candle_up_to_a_date_is_of_its_whole_day(repository):
    assert load_last(repository, end="2020-01-10").fields["close"].tolist() == [109]
    assert load_last(repository, end="2020-01-10T12:00:00Z").fields["close"].tolist() == [109]


def test_where_a_field_that_is_needed_is_not_stored_all_that_are_stored_come(repository):
    assert set(load_last(repository, "MSFT", fields=("close", "vwap")).fields) == set(PRICE_FIELDS)


def test_the_last_candle_of_a_symbol_that_is_not_stored_is_a_failure(repository):
    with pytest.raises(SymbolFailure, match="NOPE") as caught:
        load_last(repository, "NOPE")
    assert caught.value.reason == Reason.UNKNOWN_SYMBOL
