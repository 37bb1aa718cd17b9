"""Files as vendors export them are imported without a word about them, but for the timeframe."""

import gzip
import zipfile

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from candelabra_server.domain.date_range import DateRange
from candelabra_server.errors import ImportRefusedError

USUAL = ("open", "high", "low", "close", "volume")
TWO_DAYS = ["2024-01-02T00:00:00", "2024-01-03T00:00:00"]
TWO_MINUTES = ["2024-01-02T14:30:00", "2024-01-02T14:31:00"]
NEW_YORK_DAYS = ["2024-01-02T05:00:00", "2024-01-03T05:00:00"]
PRICES = [[10.5, 12.25, 9, 11, 100], [11, 13, 10.01, 12, 200]]

KLINES = """\
{0}000{unit},10.50000000,12.25000000,9.00000000,11.00000000,100.00000000,{0}999{nines},1100.5,7,40.0,440.2,0
{1}000{unit},11.00000000,13.00000000,10.01000000,12.00000000,200.00000000,{1}999{nines},2400.0,9,80.0,960.0,0
"""
IN_MILLISECONDS = KLINES.format(1704205800, 1704205860, unit="", nines="")
IN_MICROSECONDS = KLINES.format(1704205800, 1704205860, unit="000", nines="999")
KLINE_NAMES = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,"
    "count,taker_buy_volume,taker_buy_quote_volume,ignore\n"
)
KLINE_FIELDS = {"quote_volume", "count", "taker_buy_volume", "taker_buy_quote_volume"}

EXPORTS = {
    "Yahoo": (
        "AAPL.csv",
        "1d",
        (
            "Date,Open,High,Low,Close,Adj Close,Volume\n"
            "2024-01-02,10.500000,12.250000,9.000000,11.000000,10.900000,100\n"
            "2024-01-03,11.000000,13.000000,10.010000,12.000000,11.900000,200\n"
        ),
        ("AAPL", TWO_DAYS, {"adj_close"}),
    ),
    "Yahoo through yfinance": (
        "AAPL.csv",
        "1m",
        (
            "Datetime,Open,High,Low,Close,Volume,Dividends,Stock Splits\n"
            "2024-01-02 09:30:00-05:00,10.5,12.25,9.0,11.0,100,0.0,0.0\n"
            "2024-01-02 09:31:00-05:00,11.0,13.0,10.01,12.0,200,0.0,0.0\n"
        ),
        ("AAPL", TWO_MINUTES, {"dividends", "stock_splits"}),
    ),
    "Stooq": (
        "aapl_us_d.csv",
        "1d",
        "Date,Open,High,Low,Close,Volume\r\n2024-01-02,10.5,12.25,9,11,100\r\n2024-01-03,11,13,10.01,12,200\r\n",
        ("AAPL.US", TWO_DAYS, set()),
    ),
    "Stooq ASCII, daily": (
        "aapl.us.txt",
        "1d",
        (
            "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n"
            "AAPL.US,D,20240102,000000,10.5,12.25,9,11,100,0\n"
            "AAPL.US,D,20240103,000000,11,13,10.01,12,200,0\n"
        ),
        ("AAPL.US", TWO_DAYS, {"openint"}),
    ),
    "Stooq ASCII, within the day": (
        "aapl.us.txt",
        "1m",
        (
            "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n"
            "AAPL.US,1,20240102,143000,10.5,12.25,9,11,100,0\n"
            "AAPL.US,1,20240102,143100,11,13,10.01,12,200,0\n"
        ),
        ("AAPL.US", TWO_MINUTES, {"per", "openint"}),
    ),
    "Binance": ("BTCUSDT-1m-2024-01.csv", "1m", IN_MILLISECONDS, ("BTCUSDT", TWO_MINUTES, KLINE_FIELDS)),
    "Binance since 2025": ("BTCUSDT-1m-2024-01-02.csv", "1m", IN_MICROSECONDS, ("BTCUSDT", TWO_MINUTES, KLINE_FIELDS)),
    "Binance futures": (
        "BTCUSDT_240329-1m-2024-01.csv",
        "1m",
        KLINE_NAMES + IN_MILLISECONDS,
        ("BTCUSDT_240329", TWO_MINUTES, KLINE_FIELDS),
    ),
    "Alpaca": (
        "bars.csv",
        "1d",
        (
            "symbol,timestamp,open,high,low,close,volume,trade_count,vwap\n"
            "AAPL,2024-01-02 05:00:00+00:00,10.5,12.25,9.0,11.0,100.0,7.0,10.8\n"
            "AAPL,2024-01-03 05:00:00+00:00,11.0,13.0,10.01,12.0,200.0,9.0,11.8\n"
        ),
        ("AAPL", NEW_YORK_DAYS, {"trade_count", "vwap"}),
    ),
    "Alpaca with short keys": (
        "bars.csv",
        "1m",
        (
            "S,t,o,h,l,c,v,n,vw\n"
            "AAPL,2024-01-02T14:30:00Z,10.5,12.25,9,11,100,7,10.8\n"
            "AAPL,2024-01-02T14:31:00Z,11,13,10.01,12,200,9,11.8\n"
        ),
        ("AAPL", TWO_MINUTES, {"trade_count", "vwap"}),
    ),
    "Polygon flat files": (
        "2024-01-02.csv",
        "1m",
        (
            "ticker,volume,open,close,high,low,window_start,transactions\n"
            "AAPL,100,10.5,11,12.25,9,1704205800000000000,7\n"
            "AAPL,200,11,12,13,10.01,1704205860000000000,9\n"
        ),
        ("AAPL", TWO_MINUTES, {"transactions"}),
    ),
    "Polygon aggregates": (
        "AAPL.csv",
        "1m",
        "v,vw,o,c,h,l,t,n\n100,10.8,10.5,11,12.25,9,1704205800000,7\n200,11.8,11,12,13,10.01,1704205860000,9\n",
        ("AAPL", TWO_MINUTES, {"trade_count", "vwap"}),
    ),
    "Polygon grouped": (
        "2024-01-02.csv",
        "1m",
        (
            "T,v,vw,o,c,h,l,t,n\n"
            "AAPL,100,10.8,10.5,11,12.25,9,1704205800000,7\n"
            "AAPL,200,11.8,11,12,13,10.01,1704205860000,9\n"
        ),
        ("AAPL", TWO_MINUTES, {"trade_count", "vwap"}),
    ),
    "Databento": (
        "xnas-itch-20240102.ohlcv-1m.csv",
        "1m",
        (
            "ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume,symbol\n"
            "1704205800000000000,33,2,38,10500000000,12250000000,9000000000,11000000000,100,AAPL\n"
            "1704205860000000000,33,2,38,11000000000,13000000000,10010000000,12000000000,200,AAPL\n"
        ),
        ("AAPL", TWO_MINUTES, set()),
    ),
    "Databento, pretty": (
        "xnas-itch-20240102.ohlcv-1m.csv",
        "1m",
        (
            "ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume,symbol\n"
            "2024-01-02T14:30:00.000000000Z,33,2,38,10.500000000,12.250000000,9.000000000,11.000000000,100,AAPL\n"
            "2024-01-02T14:31:00.000000000Z,33,2,38,11.000000000,13.000000000,10.010000000,12.000000000,200,AAPL\n"
        ),
        ("AAPL", TWO_MINUTES, set()),
    ),
    "MetaTrader": (
        "EURUSD_M1_202401020000_202401312359.csv",
        "1m",
        (
            "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"
            "2024.01.02\t14:30:00\t10.5\t12.25\t9\t11\t55\t100\t1\n"
            "2024.01.02\t14:31:00\t11\t13\t10.01\t12\t66\t200\t1\n"
        ),
        ("EURUSD", TWO_MINUTES, {"tickvol", "spread"}),
    ),
    "MetaTrader, daily": (
        "EURUSD_Daily.csv",
        "1d",
        (
            "<DATE>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"
            "2024.01.02\t10.5\t12.25\t9\t11\t55\t100\t1\n"
            "2024.01.03\t11\t13\t10.01\t12\t66\t200\t1\n"
        ),
        ("EURUSD", TWO_DAYS, {"tickvol", "spread"}),
    ),
}


def load(store, symbol, timeframe):
    return store.repository().load(symbol, timeframe, DateRange(), warm_up_candles=0, snapshot_id="")


def assert_imported(store, timeframe, expected):
    symbol, times, further = expected
    candles = load(store, symbol, timeframe)
    assert candles.open_time_micros.astype("datetime64[us]").tolist() == np.array(times, "datetime64[us]").tolist()
    assert [[candles.fields[name][row] for name in USUAL] for row in (0, 1)] == PRICES
    assert set(candles.fields) == {*USUAL, *further}


@pytest.mark.parametrize(("name", "timeframe", "text", "expected"), EXPORTS.values(), ids=EXPORTS)
def test_an_export_is_imported_without_options(store, run, write, name, timeframe, text, expected):
    summary = run(write(name, text), timeframe=timeframe)
    assert summary.first_symbols == (expected[0],)
    assert_imported(store, timeframe, expected)


def test_values_that_yahoo_did_not_have_are_missing(store, run, write):
    _, _, text, _ = EXPORTS["Yahoo"]
    run(write("AAPL.csv", text + "2024-01-04,null,null,null,null,null,null\n"))
    assert np.isnan([column[2] for column in load(store, "AAPL", "1d").fields.values()]).all()


@pytest.mark.parametrize("ending", ["gz", "zip", "zst"])
def test_a_packed_export_is_imported_as_it_was_downloaded(store, run, tmp_path, ending):
    path = tmp_path / (f"BTCUSDT-1m-2024-01.csv.{ending}" if ending != "zip" else "BTCUSDT-1m-2024-01.zip")
    if ending == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("BTCUSDT-1m-2024-01.csv", IN_MILLISECONDS)
    elif ending == "gz":
        path.write_bytes(gzip.compress(IN_MILLISECONDS.encode()))
    else:
        with pa.output_stream(str(path), compression="zstd") as stream:
            stream.write(IN_MILLISECONDS.encode())
    run(path, timeframe="1m")
    assert_imported(store, "1m", EXPORTS["Binance"][3])


def test_a_zip_of_several_files_is_to_be_unpacked(run, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("a.csv", IN_MILLISECONDS)
        archive.writestr("b.csv", IN_MILLISECONDS)
    with pytest.raises(ImportRefusedError, match=r"all.zip: is a zip of 2 files; expected one, or unpack it"):
        run(tmp_path / "all.zip", timeframe="1m")


@pytest.mark.parametrize("ending", ["zip", "zst"])
def test_a_truncated_packed_file_is_refused(run, tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    if ending == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.csv", IN_MILLISECONDS)
    else:
        with pa.output_stream(str(path), compression="zstd") as stream:
            stream.write(IN_MILLISECONDS.encode())
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ImportRefusedError, match=f"is damaged or truncated: its {ending}"):
        run(path, timeframe="1m")


def test_fixed_point_prices_of_parquet_are_scaled_and_the_summary_says_so(store, run, tmp_path):
    prices = {name: [int(row[number] * 10**9) for row in PRICES] for number, name in enumerate(USUAL[:-1])}
    times = [1704205800000000000, 1704205860000000000]
    parquet.write_table(pa.table({"ts_event": times, **prices, "volume": [100, 200]}), tmp_path / "AAPL.parquet")
    summary = run(tmp_path / "AAPL.parquet", timeframe="1m")
    assert [(file, str(scale)) for file, scale in summary.scaled_files] == [(str(tmp_path / "AAPL.parquet"), "1E-9")]
    assert_imported(store, "1m", ("AAPL", TWO_MINUTES, set()))


WHOLE_PRICES = "ts_event,open,high,low,close,volume\n1704205800000000000,105,110,100,105,1\n"


def test_whole_prices_that_can_be_plain_or_fixed_point_are_asked_about(run, write):
    message = r"they may be fixed-point or plain; say which it is: --price-scale 1e-9 or --price-scale 1$"
    with pytest.raises(ImportRefusedError, match=message):
        run(write("AAPL.csv", WHOLE_PRICES), timeframe="1m")


@pytest.mark.parametrize(("scale", "close"), [("1", 105), ("1e-9", 105e-9), ("0.01", 1.05), ("2.5", 262.5)])
def test_a_given_price_scale_is_that_of_open_high_low_and_close(store, run, write, scale, close):
    summary = run(write("AAPL.csv", WHOLE_PRICES), timeframe="1m", price_scale=scale)
    fields = load(store, "AAPL", "1m").fields
    assert (fields["close"][0], fields["volume"][0]) == (close, 1)
    assert summary.scaled_files == ()


def test_large_whole_prices_of_others_are_not_scaled(store, run, write):
    run(write("BTCKRW.csv", WHOLE_PRICES.replace("ts_event", "time").replace("10", "100000000")), timeframe="1m")
    assert load(store, "BTCKRW", "1m").fields["close"][0] == 1_000_000_005


def test_a_databento_file_without_symbols_asks_for_them(store, run, write):
    text = EXPORTS["Databento"][2].replace(",symbol", "").replace(",AAPL", "")
    path = write("xnas-itch-20240102.ohlcv-1m.csv", text)
    with pytest.raises(ImportRefusedError, match=r"--symbol NAME, or .*: --column symbol=instrument_id$"):
        run(path, timeframe="1m")
    run(path, timeframe="1m", symbol="AAPL")
    assert_imported(store, "1m", ("AAPL", TWO_MINUTES, set()))
    assert run(path, timeframe="1m", columns={"symbol": "instrument_id"}).first_symbols == ("38",)


def test_columns_that_no_formula_asks_for_are_named_in_the_summary(run, write):
    name, timeframe, text, _ = EXPORTS["Databento"]
    assert run(write(name, text), timeframe=timeframe).dropped_columns == ("instrument_id", "publisher_id", "rtype")
