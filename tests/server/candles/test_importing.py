import gzip

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather, ipc, parquet

from candelabra_server.domain.date_range import DateRange

DAY = 86_400_000_000
HEADER = "Date,Open,High,Low,Close,Volume\n"
ROWS = "2020-01-01,10,12,9,11,100\n2020-01-02,11,13,10,12,200\n"
PRICES = {"open": [10.0, 11], "high": [12.0, 13], "low": [9.0, 10], "close": [11.0, 12], "volume": [100, 200]}
DATES = ["2020-01-01", "2020-01-02"]
USUAL = ["open", "high", "low", "close", "volume"]


def load(store, symbol="AAPL", timeframe="1d"):
    return store.repository().load(symbol, timeframe, DateRange(), warm_up_candles=0, snapshot_id="")


def assert_two_candles(store, symbol="AAPL"):
    candles = load(store, symbol)
    assert ((candles.open_time_micros - store.first) // DAY).tolist() == [0, 1]
    assert {name: candles.fields[name].tolist() for name in USUAL} == PRICES


@pytest.mark.parametrize(
    "text",
    [
        HEADER + ROWS,
        (HEADER + ROWS).rstrip("\n"),
        (HEADER + ROWS).replace("\n", "\r\n"),
        (HEADER + ROWS).replace("\n", "\n\n"),
        "\n  \n" + HEADER + ROWS,
        "\ufeff" + HEADER + ROWS,
        " DATE , OPEN,high ,Low,cLOSE, Volume \n" + ROWS,
        "<DATE>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>\n" + ROWS,
        (HEADER + ROWS).replace(",", ";"),
        (HEADER + ROWS).replace(",", "\t"),
        (HEADER + ROWS).replace(",", " , "),
        HEADER + '"2020-01-01","10","12","9","11","100"\n"2020-01-02","11","13","10","12","200"\n',
        HEADER + "\n   \n" + ROWS + " \n",
        HEADER + "2020-01-01T00:00:00Z,10,12,9,11,1e2\n2020-01-02T01:00:00+01:00,11.0,+13,10.,12,2E+02\n",
    ],
)
def test_usual_kinds_of_csv_are_read_without_options(store, run, write, text):
    summary = run(write("AAPL.csv", text))
    assert (summary.rows, summary.symbols, summary.files, summary.replaced_rows) == (2, 1, 1, 0)
    assert (summary.first_open_time_micros, summary.last_open_time_micros) == (store.first, store.first + DAY)
    assert_two_candles(store)


@pytest.mark.parametrize("column", ["date", "Time", "TIMESTAMP", "datetime", "open_time", "Open time"])
@pytest.mark.parametrize(
    "times",
    [
        DATES,
        ["2020-01-01 00:00:00", "2020-01-02 00:00"],
        ["2020-01-01T00:00:00.000000Z", "2020-01-02T00:00:00.000000000Z"],
        ["2019-12-31T19:00:00-05:00", "2020-01-02T05:30:00+05:30"],
        ["2019-12-31 19:00:00-0500", "2020-01-02 00:00:00 UTC"],
        [" 2020-01-01 ", "2020-01-02"],
        ["20200101", "20200102"],
        ["1577836800", "1577923200"],
        ["1577836800000", "1577923200000"],
        ["1577836800000000", "1577923200000000"],
        ["1577836800000000000", "1577923200000000000"],
        ["1577836800.0", "1577923200.0"],
    ],
)
def test_times_are_read_in_every_usual_spelling(store, run, write, column, times):
    rows = [f"{time},{line.partition(',')[2]}" for time, line in zip(times, ROWS.splitlines(), strict=True)]
    run(write("AAPL.csv", HEADER.replace("Date", column) + "\n".join(rows)))
    assert_two_candles(store)


def test_fractions_of_microseconds_are_cut_off(store, run, write):
    run(write("AAPL.csv", HEADER + "2020-01-01T00:00:00.000001999Z,1,1,1,1,1"), timeframe="1s")
    assert load(store, timeframe="1s").open_time_micros.tolist() == [store.first + 1]


def test_a_date_column_and_a_time_column_are_one_time(store, run, write):
    run(
        write(
            "AAPL.csv", "date,time,open,high,low,close,volume\n2020-01-01,09:30,1,1,1,1,1\n2020-01-01,09:31,1,1,1,1,1"
        ),
        timeframe="1m",
    )
    minutes = (load(store, timeframe="1m").open_time_micros - store.first) // 60_000_000
    assert minutes.tolist() == [570, 571]


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("AAPL.csv", "AAPL"),
        ("BRK.B.csv", "BRK.B"),
        ("btc-perp.CSV", "btc-perp"),
        ("6EH4.XCME.txt", "6EH4.XCME"),
        ("AAPL", "AAPL"),
        ("AAPL.US.csv.csv", "AAPL.US"),
    ],
)
def test_a_file_without_a_symbol_column_is_of_the_symbol_in_its_name(store, run, write, name, symbol):
    run(write(name, HEADER + ROWS))
    assert_two_candles(store, symbol)


def test_a_given_symbol_is_that_of_files_without_the_column(store, run, write):
    run(write("prices.csv", HEADER + ROWS), symbol="AAPL")
    assert_two_candles(store)


@pytest.mark.parametrize("column", ["symbol", "Ticker"])
def test_a_symbol_column_separates_symbols_in_any_order(store, run, write, column):
    rows = ["2020-01-01,MSFT,1", "2020-01-01,AAPL,2", "2020-01-02,MSFT,3", "2020-01-02, AAPL ,4"]
    text = f"date,{column},open,high,low,close,volume\n" + "\n".join(f"{row}" + f",{row[-1]}" * 4 for row in rows)
    summary = run(write("prices.csv", text), symbol="not used")
    assert (summary.rows, summary.symbols) == (4, 2)
    assert store.closes() == {"AAPL": {0: 2, 1: 4}, "MSFT": {0: 1, 1: 3}}


def test_gzip_is_recognised_by_its_content(store, run, tmp_path):
    path = tmp_path / "AAPL.csv.gz"
    path.write_bytes(gzip.compress((HEADER + ROWS).encode()))
    run(path)
    assert_two_candles(store)


def typed_table():
    return pa.table({"Date": pa.array(DATES).cast(pa.date32()), **{name.title(): PRICES[name] for name in USUAL}})


def write_arrow_file(table, path):
    with ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=1)


def write_arrow_stream(table, path):
    with ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table)


@pytest.mark.parametrize(
    ("ending", "write_table"),
    [
        ("parquet", parquet.write_table),
        ("feather", feather.write_feather),
        ("arrow", write_arrow_file),
        ("arrow", write_arrow_stream),
    ],
)
def test_parquet_and_arrow_files_are_read(store, run, tmp_path, ending, write_table):
    path = tmp_path / f"AAPL.{ending}"
    write_table(typed_table(), str(path))
    run(path)
    assert_two_candles(store)


@pytest.mark.parametrize(
    "kind",
    [
        pa.timestamp("s"),
        pa.timestamp("ms", "UTC"),
        pa.timestamp("us", "America/New_York"),
        pa.timestamp("ns"),
        pa.date64(),
        pa.string(),
        pa.large_string(),
        pa.dictionary(pa.int32(), pa.string()),
    ],
)
def test_typed_times_are_read_from_parquet(store, run, tmp_path, kind):
    times = pa.array(DATES)
    if pa.types.is_timestamp(kind):
        times = times.cast(pa.timestamp(kind.unit)).cast(pa.int64()).cast(kind)
    elif pa.types.is_dictionary(kind):
        times = times.dictionary_encode()
    else:
        times = times.cast(kind)
    table = typed_table().set_column(0, "date", times)
    parquet.write_table(table, tmp_path / "AAPL.parquet")
    run(tmp_path / "AAPL.parquet")
    assert_two_candles(store)


def test_a_frame_that_pandas_wrote_is_read(store, run, tmp_path):
    frame = pd.DataFrame({**PRICES, "time": pd.to_datetime(DATES, utc=True), "symbol": "AAPL"})
    frame["symbol"] = frame["symbol"].astype("category")
    frame.to_parquet(tmp_path / "x.parquet")
    run(tmp_path / "x.parquet")
    assert_two_candles(store)


def test_further_numeric_columns_are_fields_and_others_are_dropped_and_named(store, run, write):
    header = HEADER.strip() + ",Adj Close,VWAP,# Trades,Note,Empty,,52w High\n"
    rows = [f"{line},1.5,{vwap},3,text,,x,9\n" for line, vwap in zip(ROWS.splitlines(), ["7", ""], strict=True)]
    summary = run(write("AAPL.csv", header + "".join(rows)))
    fields = load(store).fields
    assert set(fields) == {*USUAL, "adj_close", "vwap", "trades", "n52w_high"}
    assert fields["adj_close"].tolist() == [1.5, 1.5]
    assert fields["vwap"].tolist() == pytest.approx([7, np.nan], nan_ok=True)
    assert summary.dropped_columns == ("(no name)", "Empty", "Note")


@pytest.mark.parametrize("missing", ["", " ", "NaN", "nan", "NA", "n/a", "null", "None", "-"])
def test_a_missing_value_of_any_spelling_is_nan(store, run, write, missing):
    run(write("AAPL.csv", HEADER + f"2020-01-01,10,12,9,{missing},100\n2020-01-02,11,13,10,12,{missing}\n"))
    fields = load(store).fields
    assert fields["close"].tolist() == pytest.approx([np.nan, 12], nan_ok=True)
    assert fields["volume"].tolist() == pytest.approx([100, np.nan], nan_ok=True)


def test_prices_are_compared_with_a_tolerance_of_rounding(store, run, write):
    run(write("AAPL.csv", HEADER + "2020-01-01,10,10.000000001,9,10.0000000019,1\n2020-01-02,0,1,0,1,0\n"))
    assert len(load(store)) == 2


@pytest.mark.parametrize("spelling", ["Adj Close", "adj close", "ADJ_CLOSE"])
def test_prices_are_adjusted_by_a_column_and_volume_inversely(store, run, write, spelling):
    header = HEADER.strip() + ",Adj Close\n"
    summary = run(write("AAPL.csv", header + "2020-01-01,10,12,8,10,100,5\n2020-01-02,,,,,,\n"), adjust_by=spelling)
    fields = load(store).fields
    first = {name: column[0] for name, column in fields.items()}
    assert first == {"open": 5, "high": 6, "low": 4, "close": 5, "volume": 200}
    assert all(np.isnan(column[1]) for column in fields.values())
    assert summary.dropped_columns == ()


def test_files_of_one_import_come_together_sorted(store, run, write):
    later = write("AAPL-2.csv", "date,symbol,open,high,low,close,volume\n2020-01-03,AAPL,3,3,3,3,3\n")
    first = write("AAPL.csv", HEADER + ROWS)
    steps: list[tuple[int, int]] = []
    summary = run(later, first, progress=lambda done, total: steps.append((done, total)))
    assert (summary.rows, summary.symbols, summary.files) == (3, 1, 2)
    assert store.closes() == {"AAPL": {0: 11, 1: 12, 2: 3}}
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_importing_the_same_file_again_changes_nothing(store, run, write):
    path = write("AAPL.csv", HEADER + ROWS)
    run(path)
    assert run(path).replaced_rows == 2
    assert_two_candles(store)
    assert len(store.files()) == 2


def test_a_timeframe_is_taken_in_any_spelling(store, run, write):
    run(write("AAPL.csv", HEADER + ROWS), timeframe="Daily")
    assert store.repository().timeframes() == {"1d": 1}
