import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from candelabra_client import ColumnKind, MissingDependency, ScreenBatch

DAY = 86_400_000_000


def batch(*symbols, **columns):
    return ScreenBatch(
        symbols,
        as_of=(np.arange(len(symbols)) * DAY).view("datetime64[us]"),
        values={name: np.array(values, float) for name, values in columns.items()},
        kinds=dict.fromkeys(columns, ColumnKind.NUMBER),
    )


def test_pandas_has_a_row_a_symbol():
    frame = batch("B", "A", rsi=[20.0, np.nan]).to_pandas()

    days = pd.to_datetime(["1970-01-01", "1970-01-02"], utc=True).as_unit("us")
    pd.testing.assert_frame_equal(frame, pd.DataFrame({"symbol": ["B", "A"], "time": days, "rsi": [20.0, np.nan]}))


def test_arrow_has_a_row_a_symbol():
    table = batch("B", "A", rsi=[20.0, np.nan]).to_arrow()

    assert table.schema == pa.schema(
        [("symbol", pa.string()), ("time", pa.timestamp("us", "UTC")), ("rsi", pa.float64())]
    )
    assert table["symbol"].to_pylist() == ["B", "A"]
    assert table["time"].cast(pa.int64()).to_pylist() == [0, DAY]
    assert table["rsi"].null_count == 0


def test_polars_has_a_row_a_symbol():
    polars = pytest.importorskip("polars")
    frame = batch("B", "A", rsi=[20.0, 1.0]).to_polars()

    assert dict(frame.schema) == {
        "symbol": polars.String,
        "time": polars.Datetime("us", "UTC"),
        "rsi": polars.Float64,
    }
    assert frame["symbol"].to_list() == ["B", "A"]


def test_columns_called_symbol_and_time_do_not_hide_the_real_ones():
    odd = batch("A", time=[1.0], symbol=[2.0])

    assert odd.to_pandas().columns.tolist() == odd.to_arrow().column_names == ["symbol", "time", "time_", "symbol_"]


def test_no_rows_make_empty_frames():
    assert len(batch(rsi=[]).to_pandas()) == batch(rsi=[]).to_arrow().num_rows == 0
    assert batch(rsi=[]).to_polars().columns == ["symbol", "time", "rsi"]


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_a_library_that_is_missing_is_named_with_how_to_install_it(library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    method = {"pandas": "to_pandas", "polars": "to_polars", "pyarrow": "to_arrow"}[library]

    with pytest.raises(MissingDependency, match=f"pip install {library}"):
        getattr(batch("A", rsi=[1.0]), method)()
