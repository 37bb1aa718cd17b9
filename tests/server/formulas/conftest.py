"""Candles and services that the tests of formulas share."""

from collections.abc import Mapping

import numpy as np
import pytest
from bokeh_sampledata import stocks

from candelabra_server.domain.candles import PRICE_FIELDS, Candles
from candelabra_server.formulas.compiled.loading import load_machine, warm_up
from candelabra_server.formulas.service import FormulaService


@pytest.fixture(autouse=True, scope="session")
def _machine() -> None:
    """Formulas are computed by the compiled machine, as in a worker; the steps' own kernels are compared to it."""
    warm_up()
    assert load_machine()


SYMBOLS = ("AAPL", "FB", "GOOG", "IBM", "MSFT")


@pytest.fixture(scope="session")
def service() -> FormulaService:
    return FormulaService()


@pytest.fixture(scope="session")
def real_candles() -> Mapping[str, Candles]:
    """Daily candles of five symbols, read-only as mapped columns are."""
    candles = {}
    for symbol in SYMBOLS:
        data = getattr(stocks, symbol)
        fields = {name: np.array(data[name], dtype=np.float64) for name in PRICE_FIELDS}
        for column in fields.values():
            column.flags.writeable = False
        times = np.array(data["date"], dtype="datetime64[us]").astype(np.int64)
        candles[symbol] = Candles(symbol=symbol, open_time_micros=times, fields=fields)
    return candles


@pytest.fixture
def few_candles() -> Candles:
    """Six candles with round numbers; `spread` is a further stored column, with a gap."""
    fields = {
        "open": [10.0, 11.0, 12.0, 11.0, 10.0, 9.0],
        "high": [12.0, 13.0, 14.0, 13.0, 12.0, 11.0],
        "low": [9.0, 10.0, 11.0, 10.0, 9.0, 8.0],
        "close": [11.0, 12.0, 13.0, 10.0, 9.0, 10.0],
        "volume": [100.0, 200.0, 300.0, 400.0, 500.0, 600.0],
        "spread": [1.0, np.nan, 3.0, 0.0, -1.0, np.inf],
    }
    columns = {name: np.array(values) for name, values in fields.items()}
    for column in columns.values():
        column.flags.writeable = False
    return Candles(symbol="TEST", open_time_micros=np.arange(6, dtype=np.int64), fields=columns)
