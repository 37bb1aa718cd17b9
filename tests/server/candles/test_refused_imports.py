"""Files that are refused: where they are wrong is named, and nothing of the import lands."""

import gzip
import tracemalloc

import pyarrow as pa
import pytest
from pyarrow import parquet

from candelabra_server.errors import ImportRefusedError, InvalidRequestError

HEADER = "Date,Open,High,Low,Close,Volume\n"
ROWS = "2020-01-01,10,12,9,11,100\n2020-01-02,11,13,10,12,200\n"
TWO_CANDLES = {"AAPL": {0: 11, 1: 12}}


def typed_table():
    prices = {"Open": [10.0, 11], "High": [12.0, 13], "Low": [9.0, 10], "Close": [11.0, 12], "Volume": [100, 200]}
    return pa.table({"Date": pa.array(["2020-01-01", "2020-01-02"]).cast(pa.date32()), **prices})


@pytest.mark.parametrize("arguments", [{"timeframe": "fortnight"}, {"timeframe": "0m"}])
def test_an_unknown_timeframe_is_refused_before_anything_is_read(run, arguments, tmp_path):
    with pytest.raises(InvalidRequestError, match=r"timeframe: .* is not a timeframe"):
        run(tmp_path / "missing.csv", **arguments)


def test_no_file_is_refused(run):
    with pytest.raises(InvalidRequestError, match="there is no file to import"):
        run()


WRONG_TEXTS = [
    # the whole file
    ("", [(None, "is empty")]),
    (" \n \n", [(None, "is empty")]),
    ("\ufeff", [(None, "is empty")]),
    (HEADER, [(None, "has a header and no candles")]),
    (HEADER + "\n \n", [(None, "has a header and no candles")]),
    # columns
    (
        "Date,Open,High,Low,Close\n2020-01-01,1,1,1,1\n",
        [(1, "no column volume; found Date, Open, High, Low, Close")],
    ),
    (
        "Day,Open,High,Low,Close,Volume\n2020-01-01,1,1,1,1,1\n",
        [(1, "no time column; expected one of open_time, timestamp, datetime, ")],
    ),
    ("Date,Open,High,Low,Close,Volume,close \n2020-01-01,1,1,1,1,1,1\n", [(1, "columns 'Close' and 'close' have")]),
    ("just some text\nand more\n", [(1, "no time column"), (1, "no column open, high, low, close, volume; found")]),
    # lines
    (HEADER + ROWS + "2020-01-03,1,1\n", [(4, "expected 6 columns as in the header, found 3")]),
    (HEADER + "\n\n2020-01-01,1,1,1,1,1,1\n" + ROWS, [(4, "expected 6 columns as in the header, found 7")]),
    (HEADER + '\n"unbalanced,1,1,1,1,1\n', [(3, "expected 6 columns as in the header, found 1")]),
    # values
    (HEADER + "2020-01-01,10,12,9,abc,100\n", [(2, "'abc' is not a number (column 'Close')")]),
    (HEADER + ROWS + "\n2020-01-03,1,1,1,1,1.2.3\n", [(5, "'1.2.3' is not a number (column 'Volume')")]),
    (HEADER + '2020-01-01,1,1,1,1,"1,000"\n', [(2, "'1,000' is not a number (column 'Volume')")]),
    (HEADER + "2020-01-01,1,1,1,1,1_000\n", [(2, "'1_000' is not a number (column 'Volume')")]),
    (HEADER + f"2020-01-01,1,1,1,1,{'x' * 99}\n", [(2, f"'{'x' * 40}…' is not a number (column 'Volume')")]),
    (HEADER + "2020-01-01,1,inf,1,1,1\n", [(2, "high is infinite")]),
    (HEADER + "2020-01-01,1,1,1,1,-Infinity\n", [(2, "volume is infinite"), (2, "volume -inf is negative")]),
    (HEADER + "2020-01-01,1,1e400,1,1,1\n", [(2, "high is infinite")]),
    (
        "Date,Open,High,Low,Close,Volume,VWAP\n2020-01-01,1,1,1,1,1,1\n2020-01-02,1,1,1,1,1,2\n2020-01-03,1,1,1,1,1,?\n",
        [(4, "'?' is not a number (column 'VWAP')")],
    ),
    # times
    (HEADER + "31.01.2020,1,1,1,1,1\n", [(2, "'31.01.2020' is not a time (column 'Date'); expected ISO 8601")]),
    (HEADER + "2020-02-30,1,1,1,1,1\n", [(2, "'2020-02-30' is not a time")]),
    (HEADER + "20200230,1,1,1,1,1\n", [(2, "'20200230' is not a time")]),
    (HEADER + "2020-01-01T25:00:00Z,1,1,1,1,1\n", [(2, "'2020-01-01T25:00:00Z' is not a time")]),
    (HEADER + "2020-01-01 09:30 EST,1,1,1,1,1\n", [(2, "'2020-01-01 09:30 EST' is not a time")]),
    (HEADER + ",1,1,1,1,1\n2020-01-01,1,1,1,1,1\n", [(2, "the time is missing (column 'Date')")]),
    (HEADER + "0.5,1,1,1,1,1\n1577836800.0,1,1,1,1,1\n", [(2, "'0.5' is not a time")]),
    (HEADER + "1577836800,1,1,1,1,1\nnan,1,1,1,1,1\n", [(3, "the time is missing")]),
    (HEADER + "2020-01-01,1,1,1,1,1\n1_000,1,1,1,1,1\n", [(3, "'1_000' is not a time")]),
    (HEADER + "99999999999999999999,1,1,1,1,1\n", [(2, "'99999999999999999999' is not a time")]),
    # candles
    (HEADER + "2020-01-01,10,9,11,10,1\n", [
        (2, "high 9.0 is below low 11.0"),
        (2, "high 9.0 is below open 10.0"),
        (2, "high 9.0 is below close 10.0"),
        (2, "low 11.0 is above open 10.0"),
        (2, "low 11.0 is above close 10.0"),
    ]),
    (HEADER + "2020-01-01,13,12,9,11,1\n", [(2, "high 12.0 is below open 13.0")]),
    (HEADER + "2020-01-01,10,12,9,13,1\n", [(2, "high 12.0 is below close 13.0")]),
    (HEADER + "2020-01-01,8,12,9,11,1\n", [(2, "low 9.0 is above open 8.0")]),
    (HEADER + "2020-01-01,10,12,9,8,1\n", [(2, "low 9.0 is above close 8.0")]),
    (HEADER + "2020-01-01,-1,1,-1,1,1\n", [(2, "open -1 is negative"), (2, "low -1 is negative")]),
    (HEADER + "2020-01-01,0,1,0,0,1\n", [(2, "close 0 is not above zero")]),
    (HEADER + "2020-01-01,1,1,1,1,-5\n", [(2, "volume -5 is negative")]),
    (HEADER + ROWS + "2020-01-02,1,1,1,1,1\n", [(4, "2020-01-02 of AAPL comes twice")]),
    (HEADER + ROWS + "\n2020-01-01T09:30:00Z,1,1,1,1,1\n", [(5, "2020-01-01T09:30:00Z of AAPL is earlier than")]),
    # symbols
    ("date,symbol,open,high,low,close,volume\n2020-01-01,,1,1,1,1,1\n", [(2, "the symbol is empty")]),
    (
        f"date,symbol,open,high,low,close,volume\n2020-01-01,{'A' * 65},1,1,1,1,1\n",
        [(2, "symbol 'AAAAAAAAAAAAAAAAAAAA…' has 65 characters; at most 64 are allowed")],
    ),
    ("date,symbol,open,high,low,close,volume\n2020-01-01,A\tB,1,1,1,1,1\n", [(2, "symbol 'A\\tB' has characters")]),
    (
        "date,symbol,open,high,low,close,volume\n2020-01-01,A,1,1,1,1,1\n2020-01-01,B,1,1,1,1,1\n2020-01-01,A,1,1,1,1,1\n",
        [(4, "2020-01-01 of A comes twice")],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), WRONG_TEXTS)
def test_a_wrong_file_is_refused_with_line_and_reason(store, run, write, text, expected):
    path = write("AAPL.csv", text)
    with pytest.raises(ImportRefusedError) as caught:
        run(path)
    problems = caught.value.problems
    assert [problem.line for problem in problems] == [line for line, _ in expected]
    for problem, (_, message) in zip(problems, expected, strict=True):
        assert problem.file == str(path)
        assert problem.message.startswith(message)
    assert caught.value.problem_count == len(expected)
    assert store.repository().timeframes() == {}
    assert store.files() == []


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (gzip.compress((HEADER + ROWS * 100).encode())[:-20], None, "is damaged or truncated: its gzip data"),
        (gzip.compress((HEADER + ROWS).encode())[:-8] + b"12345678", None, "is damaged or truncated: its gzip data"),
        (b"\x1f\x8bnothing", None, "is damaged or truncated: its gzip data"),
        (b"PAR1 and no more", None, "is a damaged or truncated Parquet or Arrow file"),
        (b"ARROW1\0\0 and no more", None, "is a damaged or truncated Parquet or Arrow file"),
        (HEADER.encode() + b"2020-01-01,1,1,1,1,1\n\xff\xfe\n", 3, "is not text in UTF-8"),
        ((HEADER + ROWS).encode("utf-16"), 1, "is not text in UTF-8"),
        (gzip.compress(b""), None, "is empty"),
    ],
)
def test_a_damaged_file_is_refused(store, run, tmp_path, content, line, message):
    path = tmp_path / "AAPL.csv"
    path.write_bytes(content)
    with pytest.raises(ImportRefusedError) as caught:
        run(path)
    (problem,) = caught.value.problems
    assert problem.line == line
    assert problem.message.startswith(message)


def test_files_that_cannot_be_opened_are_refused_together_with_the_others(store, run, write, tmp_path):
    good, wrong = write("AAPL.csv", HEADER + ROWS), write("IBM.csv", HEADER + "x,1,1,1,1,1\n")
    with pytest.raises(ImportRefusedError) as caught:
        run(good, tmp_path / "missing.csv", wrong)
    assert [(problem.file, problem.line) for problem in caught.value.problems] == [
        (str(tmp_path / "missing.csv"), None),
        (str(wrong), 2),
    ]
    assert caught.value.problems[0].message == "cannot be read: No such file or directory"
    assert store.repository().timeframes() == {}


def test_wrong_rows_of_parquet_are_counted_from_one(store, run, tmp_path):
    table = typed_table().set_column(1, "Open", pa.array([10.0, 99.0]))
    parquet.write_table(table, tmp_path / "AAPL.parquet")
    with pytest.raises(ImportRefusedError) as caught:
        run(tmp_path / "AAPL.parquet")
    assert [(problem.line, problem.message) for problem in caught.value.problems] == [
        (2, "high 13.0 is below open 99.0")
    ]


def test_parquet_columns_of_a_wrong_type_and_without_rows_are_refused(store, run, tmp_path):
    parquet.write_table(typed_table().set_column(1, "Open", pa.array([True, None])), tmp_path / "A.parquet")
    parquet.write_table(typed_table().slice(0, 0), tmp_path / "B.parquet")
    parquet.write_table(typed_table().set_column(0, "Date", pa.array([None, True])), tmp_path / "C.parquet")
    with pytest.raises(ImportRefusedError) as caught:
        run(*(tmp_path / f"{name}.parquet" for name in "ABC"))
    assert [(problem.line, problem.message.partition(" (")[0]) for problem in caught.value.problems] == [
        (1, "'True' is not a number"),
        (None, "has no candles"),
        (1, "the time is missing"),
        (2, "'True' is not a time"),
    ]


def test_all_problems_are_counted_and_the_first_ones_of_each_file_described_in_order(store, run, write):
    rows = [f"2020-01-{day:02d},1,1,1,1,{'x' if day % 2 else -1}" for day in range(1, 31)]
    with pytest.raises(ImportRefusedError) as caught:
        run(write("AAPL.csv", HEADER + "\n".join(rows)), max_problems=7)
    assert [problem.line for problem in caught.value.problems] == list(range(2, 9))
    assert caught.value.problem_count == 30
    assert str(caught.value).endswith("\nand 23 more problems")


def test_a_candle_in_two_files_of_an_import_is_refused(store, run, write):
    first = write("AAPL.csv", HEADER + ROWS)
    second = write("more.csv", HEADER + "\n2020-01-02,1,1,1,1,1\n2020-01-03,1,1,1,1,1\n")
    with pytest.raises(ImportRefusedError) as caught:
        run(first, second, symbol="AAPL")
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == (str(second), 3)
    assert problem.message == f"AAPL at 2020-01-02 is in {first}:3 already"
    assert store.repository().timeframes() == {}


def test_the_same_file_twice_counts_every_candle(store, run, write):
    path = write("AAPL.csv", HEADER + ROWS)
    with pytest.raises(ImportRefusedError) as caught:
        run(path, path, max_problems=1)
    assert caught.value.problem_count == 2
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("0", "cannot adjust by '0' (column 'Adj Close'); expected a number above zero"),
        ("-1", "cannot adjust by '-1' (column 'Adj Close'); expected a number above zero"),
        ("", "cannot adjust by '' (column 'Adj Close'); expected a number above zero"),
        ("inf", "cannot adjust by 'inf' (column 'Adj Close'); expected a number above zero"),
        ("x", "'x' is not a number (column 'Adj Close')"),
    ],
)
def test_a_value_that_cannot_adjust_is_refused(store, run, write, value, message):
    rows = f"2020-01-01,1,1,1,1,1,{value}\n2020-01-02,1,1,1,1,1,1\n"
    with pytest.raises(ImportRefusedError) as caught:
        run(write("AAPL.csv", HEADER.strip() + ",Adj Close\n" + rows), adjust_by="Adj Close")
    assert [(problem.line, problem.message) for problem in caught.value.problems] == [(2, message)]


def test_a_missing_column_to_adjust_by_is_named(run, write):
    with pytest.raises(ImportRefusedError, match=r"AAPL.csv:1: no column 'Adj Close' to adjust by; found Date, Open"):
        run(write("AAPL.csv", HEADER + ROWS), adjust_by="Adj Close")


def test_a_refused_import_leaves_what_was_stored(store, run, write):
    run(write("AAPL.csv", HEADER + ROWS))
    files = store.files()
    with pytest.raises(ImportRefusedError):
        run(write("IBM.csv", HEADER + ROWS), write("MSFT.csv", HEADER + "x,1,1,1,1,1\n"))
    assert store.files() == files
    assert store.closes() == TWO_CANDLES


def test_lines_are_right_in_a_long_file_with_blank_bad_and_quoted_lines(store, run, write):
    lines = [f"{1_500_000_000 + 60 * number},1,1,1,1,1" for number in range(50_000)]
    lines[20_000] = "\n \n"  # three lines
    lines[30_000] = "1,2"
    lines[40_000] = '"1502400000","1","1","1","one","1"'
    with pytest.raises(ImportRefusedError) as caught:
        run(write("AAPL.csv", HEADER + "\n".join(lines)), timeframe="1m")
    assert [problem.line for problem in caught.value.problems] == [30_004, 40_004]


def test_describing_few_of_many_problems_takes_little_memory(store, run, write):
    path = write("AAPL.csv", HEADER + "2020-01-01,1,1,1,1,1\n" * 20_000)
    tracemalloc.start()
    try:
        with pytest.raises(ImportRefusedError) as caught:
            run(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.problem_count == 19_999
    assert peak < 20_000_000
