import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from candelabra_client import ColumnKind, JobResults, MissingDependency, SymbolError, SymbolFailed, SymbolResult

DAY = 86_400_000_000
DAYS = pd.to_datetime(["1970-01-01", "1970-01-02", "1970-01-03"], utc=True)


def result(symbol, days, /, *, dtype="float64", **columns):
    return SymbolResult(
        symbol,
        open_time_micros=np.array(days, np.int64) * DAY,
        values={name: np.array(values, dtype) for name, values in columns.items()},
        kinds=dict.fromkeys(columns, ColumnKind.NUMBER),
    )


def failed(symbol):
    return SymbolResult(
        symbol,
        open_time_micros=np.empty(0, np.int64),
        values={},
        kinds={},
        error=SymbolError("UNKNOWN_SYMBOL", "not stored"),
    )


@pytest.fixture
def gathered():
    return JobResults(
        [
            result("A", [0, 1], fast=[1.0, np.nan], slow=[3.0, 4.0]),
            failed("NOPE"),
            result("B", [1, 2], fast=[5.0, 6.0], slow=[7.0, 8.0]),
        ],
        symbols=["A", "NOPE", "B"],
    )


def test_a_symbol_as_pandas_has_a_utc_index_of_microseconds():
    frame = result("A", [0, 1], value=[1.0, np.nan]).to_pandas()

    expected = pd.DataFrame({"value": [1.0, np.nan]}, index=pd.DatetimeIndex(DAYS[:2].as_unit("us"), name="time"))
    pd.testing.assert_frame_equal(frame, expected)


def test_a_symbol_as_arrow_shares_its_memory():
    symbol = result("A", [0, 1], value=[1.0, np.nan])

    table = symbol.to_arrow()

    assert table.schema == pa.schema([("time", pa.timestamp("us", "UTC")), ("value", pa.float64())])
    assert table["value"].null_count == 0
    assert table["value"].chunk(0).buffers()[1].address == symbol["value"].ctypes.data
    assert table["time"].chunk(0).buffers()[1].address == symbol.open_time_micros.ctypes.data


def test_a_failed_symbol_has_no_frame():
    for method in ("to_pandas", "to_polars", "to_arrow"):
        with pytest.raises(SymbolFailed):
            getattr(failed("NOPE"), method)()


def test_the_long_form_in_pandas(gathered):
    frame = gathered.to_pandas()

    expected = pd.DataFrame(
        {
            "symbol": pd.Categorical(["A", "A", "B", "B"]),
            "time": DAYS[[0, 1, 1, 2]].as_unit("us"),
            "fast": [1.0, np.nan, 5.0, 6.0],
            "slow": [3.0, 4.0, 7.0, 8.0],
        }
    )
    pd.testing.assert_frame_equal(frame, expected)


def test_the_wide_form_in_pandas_has_every_column_and_symbol(gathered):
    frame = gathered.to_pandas(wide=True)

    assert frame.index.tolist() == DAYS.tolist()
    assert frame.columns.tolist() == [("fast", "A"), ("fast", "B"), ("slow", "A"), ("slow", "B")]
    np.testing.assert_array_equal(frame["slow"], [[3.0, np.nan], [4.0, 7.0], [np.nan, 8.0]])
    pd.testing.assert_frame_equal(frame["slow"], gathered.to_pandas(wide="slow"))


def test_the_long_form_in_arrow(gathered):
    table = gathered.to_arrow()

    assert table.column_names == ["symbol", "time", "fast", "slow"]
    assert table["symbol"].type == pa.dictionary(pa.int32(), pa.string())
    assert table["symbol"].to_pylist() == ["A", "A", "B", "B"]
    assert table["time"].cast(pa.int64()).to_pylist() == [0, DAY, DAY, 2 * DAY]
    assert table["slow"].to_pylist() == [3.0, 4.0, 7.0, 8.0]


def test_long_symbols_in_arrow_share_their_memory():
    symbols = [result(name, range(2_000), value=np.arange(2_000.0)) for name in "AB"]

    table = JobResults(symbols, symbols=["A", "B"]).to_arrow()

    addresses = [chunk.buffers()[1].address for chunk in table["value"].chunks]
    assert addresses == [symbol["value"].ctypes.data for symbol in symbols]


def test_the_wide_form_in_arrow_is_of_one_column(gathered):
    table = gathered.to_arrow(wide="slow")

    assert table.column_names == ["time", "A", "B"]
    np.testing.assert_array_equal(table["B"].to_numpy(), [np.nan, 7.0, 8.0])
    with pytest.raises(ValueError, match="say which: wide='fast' \\(or slow\\)"):
        gathered.to_arrow(wide=True)
    single = JobResults([result("A", [0], value=[1.0])], symbols=["A"])
    assert single.to_arrow(wide=True).column_names == ["time", "A"]


@pytest.mark.parametrize("method", ["to_pandas", "to_arrow"])
def test_a_column_that_is_not_there_is_named_with_those_that_are(gathered, method):
    with pytest.raises(KeyError, match=r"no column 'x'; the job has fast, slow"):
        getattr(gathered, method)(wide="x")


def test_a_missing_column_of_a_symbol_is_nan():
    symbols = [result("A", [0], close=[1.0], vwap=[2.0]), result("B", [0], close=[3.0])]

    frame = JobResults(symbols, symbols=["A", "B"]).to_pandas()

    assert frame["close"].tolist() == [1.0, 3.0]
    np.testing.assert_array_equal(frame["vwap"], [2.0, np.nan])


def test_float32_stays_float32_in_every_form():
    symbols = [result("A", [0, 1], dtype="float32", value=[1.0, 2.0]), result("B", [0], dtype="float32", value=[3.0])]
    gathered = JobResults(symbols, symbols=["A", "B"])

    assert gathered.to_pandas()["value"].dtype == "float32"
    assert set(gathered.to_pandas(wide=True).dtypes) == {np.dtype("float32")}
    assert gathered.to_arrow().schema.field("value").type == pa.float32()


@pytest.mark.parametrize("row_count", [1, 5_000])
def test_a_symbol_without_rows_does_not_widen_the_others(row_count):
    full = result("A", range(row_count), dtype="float32", value=np.zeros(row_count))
    gathered = JobResults([full, result("B", [], value=[])], symbols=["A", "B"])

    assert gathered.to_pandas()["value"].dtype == "float32"
    assert gathered.to_arrow().schema.field("value").type == pa.float32()


def test_columns_called_symbol_and_time_do_not_hide_the_real_ones():
    gathered = JobResults([result("A", [0], time=[1.0], symbol=[2.0], time_=[3.0])], symbols=["A"])

    names = ["symbol", "time", "time__", "symbol_", "time_"]
    assert gathered.to_pandas().columns.tolist() == gathered.to_arrow().column_names == names
    assert gathered.to_pandas()["time_"].tolist() == [3.0]
    assert gathered[0].to_arrow().column_names == ["time", "time__", "symbol", "time_"]


@pytest.mark.parametrize("wide", [False, True])
def test_a_job_of_which_every_symbol_failed_gives_empty_frames(wide):
    gathered = JobResults([failed("A"), failed("B")], symbols=["A", "B"])

    assert len(gathered.to_pandas(wide=wide)) == 0
    assert gathered.to_arrow(wide=wide).num_rows == 0


def test_a_symbol_without_rows_leaves_no_trace_but_its_column_in_the_wide_form():
    gathered = JobResults([result("A", [], value=[]), result("B", [0], value=[1.0])], symbols=["A", "B"])

    assert gathered.to_pandas()["symbol"].tolist() == ["B"]
    assert gathered.to_pandas(wide="value").columns.tolist() == ["A", "B"]


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_a_library_that_is_missing_is_named_with_how_to_install_it(gathered, library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    method = {"pandas": "to_pandas", "polars": "to_polars", "pyarrow": "to_arrow"}[library]

    for frame in (gathered, gathered[0]):
        with pytest.raises(MissingDependency, match=f"{library}, which is not installed: pip install {library}"):
            getattr(frame, method)()


def test_every_form_in_polars(gathered):
    polars = pytest.importorskip("polars")

    long = gathered.to_polars()
    assert dict(long.schema) == {
        "symbol": polars.Categorical,
        "time": polars.Datetime("us", "UTC"),
        "fast": polars.Float64,
        "slow": polars.Float64,
    }
    assert long["symbol"].to_list() == ["A", "A", "B", "B"]
    assert long["slow"].to_list() == [3.0, 4.0, 7.0, 8.0]
    assert long["time"].dt.epoch("us").to_list() == [0, DAY, DAY, 2 * DAY]
    wide = gathered.to_polars(wide="slow")
    assert wide.columns == ["time", "A", "B"]
    assert wide["A"].to_list()[:2] == [3.0, 4.0]
    single = gathered["A"].to_polars()
    assert single.columns == ["time", "fast", "slow"]
    assert single["slow"].to_list() == [3.0, 4.0]
    nothing = JobResults([failed("A")], symbols=["A"])
    assert nothing.to_polars().height == nothing.to_polars(wide=True).height == 0
