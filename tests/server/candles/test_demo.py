import importlib.util
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from candelabra_server.candles import demo
from candelabra_server.candles.arrow_store import ArrowCandleRepository
from candelabra_server.candles.demo import demo_is_loaded, load_demo, synthetic_batch
from candelabra_server.domain.date_range import DateRange
from candelabra_server.errors import ConfigurationError


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """A store with the whole demo."""
    path = tmp_path_factory.mktemp("demo")
    steps: list[tuple[int, int]] = []
    summary = load_demo(path, progress=lambda done, total: steps.append((done, total)))
    yield SimpleNamespace(path=path, summary=summary, steps=steps, repository=ArrowCandleRepository(path))
    shutil.rmtree(path)  # 200 MB


@pytest.fixture
def real():
    """The real candles as pandas reads them."""
    return pd.read_csv(demo._real_file())


def load(repository, symbol):
    return repository.load(symbol, "1d", DateRange(), warm_up_candles=0, snapshot_id="")


def test_the_demo_has_five_real_and_eight_thousand_synthetic_symbols(loaded):
    assert loaded.repository.timeframes() == {"1d": 8_005}
    with loaded.repository.snapshot("1d") as snapshot:
        assert list(snapshot.symbols) == [*demo.REAL_SYMBOLS, *(f"SYN{number:04d}" for number in range(8_000))]
    assert loaded.summary.symbols == 8_005
    assert loaded.summary.rows == 8_000 * 500 + 12_154
    assert loaded.steps[0] == (0, 3)
    assert loaded.steps[-1] == (3, 3)


@pytest.mark.parametrize("symbol", demo.REAL_SYMBOLS)
def test_real_candles_equal_what_pandas_computes_from_the_same_file(loaded, real, symbol):
    rows = real[real["Ticker"] == symbol]
    factor = (rows["Adj Close"] / rows["Close"]).to_numpy()
    candles = load(loaded.repository, symbol)
    assert (
        candles.open_time_micros.tolist() == pd.to_datetime(rows["Date"]).astype("datetime64[us]").astype(int).tolist()
    )
    for field in ("open", "high", "low", "close"):
        np.testing.assert_array_equal(candles.fields[field], rows[field.title()].to_numpy() * factor)
    np.testing.assert_array_equal(candles.fields["volume"], rows["Volume"].to_numpy() / factor)
    np.testing.assert_allclose(candles.fields["close"], rows["Adj Close"].to_numpy(), rtol=1e-14)
    assert set(candles.fields) == {"open", "high", "low", "close", "volume"}


def test_synthetic_candles_are_plausible_weekdays(loaded):
    for symbol in ("SYN0000", "SYN4711", "SYN7999"):
        candles = load(loaded.repository, symbol)
        assert len(candles) == 500
        days = candles.open_time_micros.astype("datetime64[us]").astype("datetime64[D]")
        assert np.is_busday(days).all()
        assert str(days[-1]) == "2013-03-01"
        returns = np.diff(np.log(candles.fields["close"]))
        assert 0.002 < returns.std() < 0.08
        assert (candles.fields["high"] >= candles.fields["low"]).all()
        assert (candles.fields["volume"] > 0).all()


def test_synthetic_candles_are_the_same_every_time():
    first, second = synthetic_batch(["A", "B"], 50), synthetic_batch(["A", "B"], 50)
    assert all(np.array_equal(first.columns[name], second.columns[name]) for name in first.columns)
    assert not np.array_equal(first.columns["close"][:50], first.columns["close"][50:])


def test_whether_the_demo_is_loaded_is_known_without_loading_it(loaded, tmp_path):
    assert demo_is_loaded(loaded.path)
    assert not demo_is_loaded(tmp_path)


def test_a_store_with_other_candles_or_with_part_of_the_demo_does_not_have_it(store):
    store.add({"AAPL": {0: 1}}, timeframe="1m")
    assert not demo_is_loaded(store.path)
    store.add({"AAPL": {0: 1}, "SYN0000": {0: 1}})
    assert not demo_is_loaded(store.path)


def test_loading_twice_gives_the_same_content(store, monkeypatch):
    monkeypatch.setattr(demo, "synthetic_batch", lambda: synthetic_batch(["SYN0000", "SYN0001"], 30))
    load_demo(store.path)
    once = store.closes()
    files = len(store.files())
    summary = load_demo(store.path)
    assert summary.replaced_rows == summary.rows == 12_154 + 60
    assert store.closes() == once
    assert len(store.files()) == files


def test_a_missing_package_is_named_with_the_command_that_installs_it(store, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'candelabra\[demo\]'"):
        load_demo(store.path)
    assert not store.path.exists()
