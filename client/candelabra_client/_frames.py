"""Results as frames of pandas, polars and pyarrow, each imported when it is first asked for.

Times are UTC with microseconds; values keep their width and their NaN, also in Arrow and polars, which tell NaN
from null.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from candelabra_client._decoding import FloatArray
from candelabra_client._exceptions import MissingDependency

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from candelabra_client._result import SymbolResult

__all__ = [
    "SYMBOL",
    "TIME",
    "arrow_times",
    "column_names",
    "free_names",
    "import_optional",
    "job_to_arrow",
    "job_to_pandas",
    "job_to_polars",
    "pandas_times",
    "polars_times",
    "symbol_to_arrow",
    "symbol_to_pandas",
    "symbol_to_polars",
]

SYMBOL = "symbol"
TIME = "time"

_FEW_ROWS = 256
"""With fewer rows a symbol, one Arrow chunk a symbol costs more than copying the values together."""


def import_optional(name: str, *, install: str | None = None) -> Any:  # noqa: ANN401 - a module
    """Imports an optional library or a module of it; MissingDependency says how to install it.

    Args:
        name: the module.
        install: what to install. Default: the library.
    """
    library = name.partition(".")[0]
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependency(
            f"this needs {library}, which is not installed: pip install {install or library}"
        ) from error


def column_names(results: Sequence[SymbolResult]) -> tuple[str, ...]:
    """Returns the names of all columns, in the order in which they are first seen.

    Candles of different symbols may have different fields; a formula's columns are the same for all.
    """
    return tuple(dict.fromkeys(name for result in results for name in result.columns))


def free_names(names: Sequence[str], *taken: str) -> dict[str, str]:
    """Returns what each column is called beside the symbol and the time: its name, where need be with a `_`."""
    free: dict[str, str] = {}
    for name in names:
        free[name] = name
        while free[name] in taken or (free[name] != name and free[name] in names):
            free[name] += "_"
    return free


def symbol_to_pandas(result: SymbolResult) -> pd.DataFrame:
    """Returns the columns with the index `time`."""
    pandas = import_optional("pandas")
    return pandas.DataFrame(
        {name: result[name] for name in result.columns}, index=pandas_times(pandas, result.open_times)
    )


def symbol_to_polars(result: SymbolResult) -> pl.DataFrame:
    """Returns `time` and the columns."""
    polars = import_optional("polars")
    return polars.DataFrame(
        [
            polars_times(polars, result.open_time_micros),
            *(polars.Series(free, result[name]) for name, free in free_names(result.columns, TIME).items()),
        ]
    )


def symbol_to_arrow(result: SymbolResult) -> pa.Table:
    """Returns `time` and the columns, without copies."""
    pyarrow = import_optional("pyarrow")
    return pyarrow.table(
        {
            TIME: arrow_times(pyarrow, result.open_time_micros),
            **{free: pyarrow.array(result[name]) for name, free in free_names(result.columns, TIME).items()},
        }
    )


def job_to_pandas(results: Sequence[SymbolResult], *, wide: bool | str) -> pd.DataFrame:
    """Returns the long form, all columns by symbols over times, or one column's symbols over times."""
    pandas = import_optional("pandas")
    good = [result for result in results if result.ok]
    if wide is False:
        codes = _codes(good)
        return pandas.DataFrame(
            {
                SYMBOL: pandas.Categorical.from_codes(codes, [result.symbol for result in good]),
                TIME: pandas_times(pandas, _joined([result.open_times for result in good], "datetime64[us]")),
                **{free: _long_column(good, name) for name, free in _long_names(good).items()},
            }
        )
    times, rows = _common_times(good)
    index = pandas_times(pandas, times.view("datetime64[us]"))
    symbols = pandas.Index([result.symbol for result in good], name=SYMBOL)
    if isinstance(wide, str):
        matrix = _matrix(good, _known_column(good, wide), times, rows)
        return pandas.DataFrame(matrix, index=index, columns=symbols)
    names = column_names(good)
    columns = pandas.MultiIndex.from_product([names, symbols], names=["column", SYMBOL])
    blocks = [_matrix(good, name, times, rows) for name in names]
    return pandas.DataFrame(np.hstack(blocks) if blocks else np.empty((0, 0)), index=index, columns=columns)


def job_to_polars(results: Sequence[SymbolResult], *, wide: bool | str) -> pl.DataFrame:
    """Returns the long form or one column's symbols over times."""
    polars = import_optional("polars")
    good = [result for result in results if result.ok]
    if wide is False:
        names = polars.Series(SYMBOL, [result.symbol for result in good], dtype=polars.Categorical)
        return polars.DataFrame(
            [
                names.gather(_codes(good)),
                polars_times(polars, _joined([result.open_time_micros for result in good], "int64")),
                *(polars.Series(free, _long_column(good, name)) for name, free in _long_names(good).items()),
            ]
        )
    times, columns = _wide_columns(good, wide)
    return polars.DataFrame(
        [polars_times(polars, times), *(polars.Series(name, values) for name, values in columns.items())]
    )


def job_to_arrow(results: Sequence[SymbolResult], *, wide: bool | str) -> pa.Table:
    """Returns the long form or one column's symbols over times."""
    pyarrow = import_optional("pyarrow")
    good = [result for result in results if result.ok]
    if wide is not False:
        times, columns = _wide_columns(good, wide)
        return pyarrow.table(
            {TIME: arrow_times(pyarrow, times), **{name: pyarrow.array(v) for name, v in columns.items()}}
        )
    total = sum(result.row_count for result in good)
    names = pyarrow.array([result.symbol for result in good], pyarrow.string())

    def chunked(get: Callable[[SymbolResult], NDArray[Any]], dtype: str, wrap: Callable[[Any], Any]) -> Any:  # noqa: ANN401
        arrays = [get(result) for result in good if result.row_count]
        if total < _FEW_ROWS * len(good) or not arrays:
            return wrap(_joined(arrays, dtype))
        return pyarrow.chunked_array([wrap(array) for array in arrays])

    return pyarrow.table(
        {
            SYMBOL: pyarrow.DictionaryArray.from_arrays(pyarrow.array(_codes(good)), names),
            TIME: chunked(lambda result: result.open_time_micros, "int64", lambda micros: arrow_times(pyarrow, micros)),
            **{
                free: chunked(_column_getter(good, name), "float64", pyarrow.array)
                for name, free in _long_names(good).items()
            },
        }
    )


def _long_names(results: Sequence[SymbolResult]) -> dict[str, str]:
    return free_names(column_names(results), SYMBOL, TIME)


def pandas_times(pandas: Any, times: NDArray[np.datetime64]) -> Any:  # noqa: ANN401
    """Returns an index `time` in UTC."""
    return pandas.DatetimeIndex(times, name=TIME).tz_localize("UTC")


def polars_times(polars: Any, micros: NDArray[np.int64]) -> Any:  # noqa: ANN401
    """Returns a series `time` in UTC."""
    return polars.Series(TIME, micros, dtype=polars.Int64).cast(polars.Datetime("us", "UTC"))


def arrow_times(pyarrow: Any, micros: NDArray[np.int64]) -> Any:  # noqa: ANN401
    """Returns an array of timestamps in UTC; shares memory."""
    return pyarrow.array(micros).view(pyarrow.timestamp("us", tz="UTC"))


def _codes(results: Sequence[SymbolResult]) -> NDArray[np.int32]:
    """Returns each row's position in the list of symbols."""
    return np.repeat(np.arange(len(results), dtype=np.int32), [result.row_count for result in results])


def _joined(arrays: Sequence[NDArray[Any]], dtype: str) -> NDArray[Any]:
    return np.concatenate(arrays) if arrays else np.empty(0, dtype)


def _long_column(results: Sequence[SymbolResult], name: str) -> NDArray[Any]:
    get = _column_getter(results, name)
    return _joined([get(result) for result in results if result.row_count], "float64")


def _column_getter(results: Sequence[SymbolResult], name: str) -> Callable[[SymbolResult], FloatArray]:
    """Returns a function that gives a symbol's column, or NaN of the same width where it has none."""
    dtype = _dtype(results, name)

    def get(result: SymbolResult) -> FloatArray:
        return result[name] if name in result else np.full(result.row_count, np.nan, dtype)

    return get


def _dtype(results: Sequence[SymbolResult], name: str) -> np.dtype[Any]:
    """Returns the width of a column: that of its first symbol with rows, since a column of none has no width."""
    return next((result[name].dtype for result in results if name in result and result.row_count), np.dtype("f8"))


def _known_column(results: Sequence[SymbolResult], name: str) -> str:
    names = column_names(results)
    if name not in names:
        raise KeyError(f"no column {name!r}; the job has {', '.join(names) or 'none'}")
    return name


def _common_times(results: Sequence[SymbolResult]) -> tuple[NDArray[np.int64], list[NDArray[np.intp]]]:
    """Returns every time that any symbol has, and each symbol's rows among them."""
    times = np.unique(_joined([result.open_time_micros for result in results], "int64"))
    return times, [np.searchsorted(times, result.open_time_micros) for result in results]


def _matrix(
    results: Sequence[SymbolResult], name: str, times: NDArray[np.int64], rows: Sequence[NDArray[np.intp]]
) -> NDArray[Any]:
    """Returns a column as times by symbols, laid out so that each symbol is contiguous."""
    matrix = np.full((len(times), len(results)), np.nan, _dtype(results, name), order="F")
    for position, (result, at) in enumerate(zip(results, rows, strict=True)):
        if name in result:
            matrix[at, position] = result[name]
    return matrix


def _wide_columns(
    results: Sequence[SymbolResult],
    wide: bool | str,  # noqa: FBT001
) -> tuple[NDArray[np.int64], Mapping[str, NDArray[Any]]]:
    """Returns the times and one column's values by symbol."""
    names = column_names(results)
    if not isinstance(wide, str):
        if len(names) > 1:
            raise ValueError(
                f"the wide form holds one column; say which: wide={names[0]!r} (or {', '.join(names[1:])})"
            )
        wide = names[0] if names else ""
    if names:
        _known_column(results, wide)
    times, rows = _common_times(results)
    matrix = _matrix(results, wide, times, rows)
    free = free_names([result.symbol for result in results], TIME)
    return times, {free[result.symbol]: matrix[:, position] for position, result in enumerate(results)}
