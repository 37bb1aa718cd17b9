"""Mistakes that newcomers make with files of their own: what they are told, and the option that helps."""

import numpy as np
import pytest

from candelabra_server.domain.date_range import DateRange
from candelabra_server.errors import ImportRefusedError, InvalidRequestError

HEADER = "Date,Open,High,Low,Close,Volume\n"


def rows(times, *, delimiter=","):
    return "\n".join(delimiter.join([time, "1", "1", "1", "1", "1"]) for time in times) + "\n"


def every(step, count, start="2024-01-02T14:30"):
    times = np.datetime64(start) + np.arange(count) * np.timedelta64(*step)
    return [str(time) for time in times]


def times_of(store, symbol="AAPL", timeframe="1m"):
    candles = store.repository().load(symbol, timeframe, DateRange(), warm_up_candles=0, snapshot_id="")
    return [str(time).removesuffix(".000000") for time in candles.open_time_micros.astype("datetime64[us]")]


def refusal(run, *paths, **options):
    with pytest.raises(ImportRefusedError) as caught:
        run(*paths, **options)
    return [(problem.line, problem.message) for problem in caught.value.problems]


# the timeframe


@pytest.mark.parametrize(
    ("step", "given", "looks_like"),
    [
        ((1, "m"), "1d", "1m"),
        ((5, "m"), "1h", "5m"),
        ((1, "h"), "4h", "1h"),
        ((90, "m"), "1d", "90m"),
        ((1, "s"), "1m", "1s"),
        ((1, "D"), "1w", "1d"),
        ((7, "D"), "1M", "1w"),
        ((1, "D"), "1m", "1d"),
        ((7, "D"), "1h", "1w"),
    ],
)
def test_a_file_of_another_timeframe_is_refused_with_the_one_it_looks_like(run, write, step, given, looks_like):
    start = "2024-01-02T14:30:00" if step[1] == "s" else "2024-01-02T14:30"
    ((line, message),) = refusal(run, write("AAPL.csv", HEADER + rows(every(step, 12, start))), timeframe=given)
    assert line is None
    assert message.startswith(
        f"looks like candles of {looks_like}, not of {given}: most of them are {looks_like} apart"
    )
    assert message.endswith(f"import it with --timeframe {looks_like}")


@pytest.mark.parametrize(
    ("times", "timeframe"),
    [
        (every((1, "D"), 30), "1d"),
        (every((7, "D"), 30), "1d"),
        (every((3, "D"), 30), "1d"),
        (["2024-03-01", "2024-04-01", "2024-04-29", "2024-05-01"], "1M"),
        (["2024-03-04", "2024-03-11", "2024-03-18", "2024-03-20"], "1w"),
        (["2024-03-08T05:00", "2024-03-09T05:00", "2024-03-10T05:00", "2024-03-11T04:00", "2024-03-12T04:00"], "1d"),
        (["2024-03-08T14:30", "2024-03-08T14:47", "2024-03-11T15:01", "2024-03-25T19:59"], "1m"),
        (["2024-03-08T14:30", "2024-03-08T15:00", "2024-03-08T16:00", "2024-03-08T17:00"], "1h"),
        (every((1, "D"), 5), "1h"),
    ],
)
def test_times_that_a_timeframe_can_have_are_imported(run, write, times, timeframe):
    assert run(write("AAPL.csv", HEADER + rows(times)), timeframe=timeframe).rows == len(times)


# the order


def test_a_file_that_is_newest_first_is_imported(store, run, write):
    times = every((1, "m"), 5)
    run(write("AAPL.csv", HEADER + rows(reversed(times))), timeframe="1m")
    assert times_of(store) == [f"{time}:00" for time in times]


def test_several_symbols_may_be_newest_first_in_one_file(run, write):
    text = "symbol,date,open,high,low,close,volume\n"
    text += "".join(f"{name},2024-01-0{day},1,1,1,1,1\n" for name in ("AAPL", "IBM") for day in (3, 2, 1))
    assert run(write("all.csv", text)).rows == 6


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ((2, 1), [(3, "2024-01-01 of AAPL is earlier than the candle before it; sort the file by time")]),
        ((1, 3, 2, 4), [(4, "2024-01-02 of AAPL is earlier than the candle before it; sort the file by time")]),
        (
            (5, 4, 2, 3, 1),
            [(5, "2024-01-03 of AAPL is later than the candle before it, in a file that is newest first otherwise")],
        ),
        ((4, 3, 3, 2), [(4, "2024-01-03 of AAPL comes twice")]),
    ],
)
def test_candles_out_of_their_files_order_are_refused(run, write, days, expected):
    assert refusal(run, write("AAPL.csv", HEADER + rows(f"2024-01-0{day}" for day in days))) == expected


# columns


def test_columns_of_unknown_names_are_read_as_the_option_says(store, run, write):
    text = "when,asset,first,top,bottom,last_price,Traded Units\n2024-01-02T14:30,AAPL,1,4,0.5,2,100\n"
    path = write("prices.csv", text)
    assert refusal(run, path) == [
        (
            1,
            (
                "no time column; expected one of open_time, timestamp, datetime, date_time, timestamp_utc, ts_event, "
                "window_start, date, time; found when, asset, first, top, bottom, last_price, Traded Units; "
                "say which it is: --column time=NAME"
            ),
        ),
        (
            1,
            (
                "no column open, high, low, close, volume; found when, asset, first, top, bottom, last_price, "
                "Traded Units; say which it is: --column open=NAME"
            ),
        ),
    ]
    columns = {"time": "when", "symbol": "asset", "open": "first", "high": "top", "low": "bottom"}
    run(path, columns={**columns, "close": "LAST_PRICE", "volume": "traded_units"})
    candles = store.repository().load("AAPL", "1d", DateRange(), warm_up_candles=0, snapshot_id="")
    assert {name: column.tolist() for name, column in candles.fields.items()} == {
        "open": [1], "high": [4], "low": [0.5], "close": [2], "volume": [100]
    }  # fmt: skip


def test_a_named_column_comes_before_the_usual_one_which_is_left_out(store, run, write):
    text = "date,open,high,low,close,settle,volume,time\n2024-01-02,1,3,1,2,3,1,2024-01-03\n"
    summary = run(write("AAPL.csv", text), columns={"close": "settle", "time": "date"})
    candles = store.repository().load("AAPL", "1d", DateRange(), warm_up_candles=0, snapshot_id="")
    assert (candles.fields["close"].tolist(), times_of(store, timeframe="1d")) == ([3], ["2024-01-02T00:00:00"])
    assert "close" in summary.dropped_columns


def test_a_file_without_volume_is_imported_when_that_is_said(store, run, write):
    path = write("USDJPY.csv", "date,open,high,low,close\n2024-01-02,1,1,1,1\n")
    ((_, message),) = refusal(run, path)
    assert message.endswith("say which it is: --column volume=NAME, or nothing for NAME if there is none")
    run(path, columns={"volume": ""})
    candles = store.repository().load("USDJPY", "1d", DateRange(), warm_up_candles=0, snapshot_id="")
    assert np.isnan(candles.fields["volume"]).all()


def test_a_column_that_is_not_there_is_refused(run, write):
    path = write("AAPL.csv", HEADER + rows(["2024-01-02"]))
    assert refusal(run, path, columns={"close": "last"}) == [
        (1, "no column 'last' for close; found Date, Open, High, Low, Close, Volume"),
    ]


def test_a_yfinance_table_of_several_header_lines_is_explained(run, write):
    text = "Price,Close,High,Low,Open,Volume\nTicker,AAPL,AAPL,AAPL,AAPL,AAPL\nDate,,,,,\n2024-01-02,1,1,1,1,1\n"
    ((_, message),) = refusal(run, write("AAPL.csv", text))
    assert message.endswith("Its files are read when downloaded with multi_level_index=False")


# the header


HISTDATA = rows(["20240102 143000", "20240102 143100"], delimiter=";")


def test_a_file_without_a_header_line_asks_for_names(store, run, write):
    path = write("EURUSD.csv", HISTDATA)
    assert refusal(run, path, timeframe="1m") == [
        (1, "has no header line; name its 6 columns in their order, such as --header time,open,high,low,close,volume")
    ]
    run(path, timeframe="1m", header=["time", " open", "high", "low", "close", "volume "])
    assert times_of(store, "EURUSD") == ["2024-01-02T14:30:00", "2024-01-02T14:31:00"]


def test_lines_are_counted_from_the_first_where_there_is_no_header_line(run, write):
    path = write("EURUSD.csv", "\n" + HISTDATA + "20240102 143200;1;1;1;x;1\n20240102 143300;1;1\n")
    header = ["time", "open", "high", "low", "close", "volume"]
    assert refusal(run, path, timeframe="1m", header=header) == [
        (4, "'x' is not a number (column 'close')"),
        (5, "expected 6 columns as in the first line, found 3"),
    ]


def test_too_few_names_for_a_file_without_a_header_line_are_refused(run, write):
    path = write("EURUSD.csv", HISTDATA)
    assert refusal(run, path, header=["time", "close"]) == [(1, "has 6 columns, but --header names 2")]


def test_names_are_for_files_without_a_header_line_only(store, run, write):
    run(write("AAPL.csv", HEADER + rows(["2024-01-02"])), header=["a", "b"])
    assert times_of(store, timeframe="1d") == ["2024-01-02T00:00:00"]


# times


@pytest.mark.parametrize(
    "times",
    [
        ["2024-01-02 09:30", "2024-07-02 09:30:00"],
        ["2024.01.02 09:30:00", "2024.07.02 09:30:00"],
        ["20240102 093000", "20240702 093000"],
        ["2024-01-02T14:30Z", "2024-07-02 09:30"],
        ["2024-01-02 09:30:00-05:00", "2024-07-02 13:30:00+00:00"],
        ["1704205800", "1719927000"],
    ],
)
def test_local_times_are_read_in_the_time_zone_that_is_given(store, run, write, times):
    run(write("AAPL.csv", HEADER + rows(times)), timeframe="1m", time_zone="America/New_York")
    assert times_of(store) == ["2024-01-02T14:30:00", "2024-07-02T13:30:00"]


def test_dates_are_days_in_every_time_zone(store, run, write):
    run(write("AAPL.csv", HEADER + rows(["2024-01-02", "2024-07-02"])), time_zone="America/New_York")
    assert times_of(store, timeframe="1d") == ["2024-01-02T00:00:00", "2024-07-02T00:00:00"]


def test_times_that_clocks_skip_or_show_twice_are_refused(run, write):
    times = ["2024-03-10 01:59", "2024-03-10 02:30", "2024-03-10 03:00", "2024-11-03 00:59", "2024-11-03 01:30"]
    path = write("AAPL.csv", HEADER + rows(times))
    zone = "America/New_York"
    assert refusal(run, path, timeframe="1m", time_zone=zone) == [
        (3, f"the local time 2024-03-10 02:30:00 in {zone} does not exist: the clocks are put forward"),
        (
            6,
            (
                f"the local time 2024-11-03 01:30:00 in {zone} comes twice: the clocks are put back; "
                "write times with their offset from UTC"
            ),
        ),
    ]


@pytest.mark.parametrize(
    ("form", "times"),
    [
        ("%d/%m/%Y %H:%M", ["02/01/2024 09:30", "02/07/2024 09:30"]),
        ("%m/%d/%Y %I:%M %p", ["01/02/2024 9:30 AM", "07/02/2024 9:30 AM"]),
        ("%d.%m.%Y %H:%M %z", ["02.01.2024 14:30 +0000", "02.07.2024 15:30 +0200"]),
    ],
)
def test_times_of_any_form_are_read_when_the_form_is_given(store, run, write, form, times):
    path = write("AAPL.csv", HEADER + rows(times))
    assert "other forms are read with --time-format" in refusal(run, path, timeframe="1m")[0][1]
    run(path, timeframe="1m", time_format=form, time_zone="America/New_York")
    assert times_of(store) == ["2024-01-02T14:30:00", "2024-07-02T13:30:00"]


def test_a_time_that_is_not_of_the_given_form_is_refused(run, write):
    path = write("AAPL.csv", HEADER + rows(["02/01/2024", "31/31/2024"]))
    assert refusal(run, path, time_format="%d/%m/%Y") == [
        (3, "'31/31/2024' is not a time (column 'Date'); expected the form %d/%m/%Y")
    ]


# options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": {"price": "last"}}, "column: 'price' is no role of a column; expected one of time, symbol, open"),
        ({"columns": {"close": " "}}, "column: close needs a column; only volume can be empty"),
        ({"price_scale": "0"}, "price_scale: '0' is not a number above zero, such as 1e-9"),
        ({"price_scale": "cents"}, "price_scale: 'cents' is not a number above zero"),
        ({"time_zone": "Mars/Base"}, "time_zone: there is no time zone 'Mars/Base'; expected one such as America/New_"),
    ],
)
def test_an_option_that_cannot_be_is_refused_before_anything_is_read(run, tmp_path, options, message):
    with pytest.raises(InvalidRequestError, match=message):
        run(tmp_path / "missing.csv", **options)
