"""Screens as frames of pandas, polars and pyarrow: a row a symbol, with `symbol`, `time` and the formula's columns.

`time` is the open time of the candle that was looked at, UTC with microseconds, as in the frames of jobs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from candelabra_client._frames import SYMBOL, TIME, arrow_times, free_names, import_optional, pandas_times, polars_times

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from candelabra_client._screen_result import ScreenBatch

__all__ = ["screen_names", "screen_to_arrow", "screen_to_pandas", "screen_to_polars"]


def screen_names(batch: ScreenBatch) -> dict[str, str]:
    """Returns what each column is called beside the symbol and the time."""
    return free_names(batch.columns, SYMBOL, TIME)


def screen_to_pandas(batch: ScreenBatch) -> pd.DataFrame:
    """Returns a DataFrame."""
    pandas = import_optional("pandas")
    return pandas.DataFrame(
        {
            SYMBOL: list(batch.symbols),
            TIME: pandas_times(pandas, batch.as_of),
            **{free: batch[name] for name, free in screen_names(batch).items()},
        }
    )


def screen_to_polars(batch: ScreenBatch) -> pl.DataFrame:
    """Returns a DataFrame."""
    polars = import_optional("polars")
    return polars.DataFrame(
        [
            polars.Series(SYMBOL, batch.symbols, dtype=polars.String),
            polars_times(polars, batch.as_of.view("int64")),
            *(polars.Series(free, batch[name]) for name, free in screen_names(batch).items()),
        ]
    )


def screen_to_arrow(batch: ScreenBatch) -> pa.Table:
    """Returns a Table."""
    pyarrow = import_optional("pyarrow")
    return pyarrow.table(
        {
            SYMBOL: pyarrow.array(batch.symbols, pyarrow.string()),
            TIME: arrow_times(pyarrow, batch.as_of.view("int64")),
            **{free: pyarrow.array(batch[name]) for name, free in screen_names(batch).items()},
        }
    )
