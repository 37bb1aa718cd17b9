import sys
import types

import pytest

from candelabra_server.candles.arrow_store import ArrowCandleRepository
from candelabra_server.candles.factory import create_candle_repository
from candelabra_server.errors import ConfigurationError, StoreError


@pytest.fixture
def plugged_in(monkeypatch):
    """A module `my_candles` with what a user might have written in it."""
    module = types.ModuleType("my_candles")
    monkeypatch.setitem(sys.modules, "my_candles", module)
    return module


def test_type_arrow_is_the_embedded_store(tmp_path):
    repository = create_candle_repository({"type": "arrow", "path": str(tmp_path)})
    assert isinstance(repository, ArrowCandleRepository)
    assert repository.worker_config() == {"type": "arrow", "path": str(tmp_path)}


def test_a_relative_path_reaches_workers_as_an_absolute_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    repository = create_candle_repository({"type": "arrow", "path": "data"})
    assert repository.worker_config()["path"] == str(tmp_path / "data")


def test_a_factory_of_the_users_own_gets_the_whole_configuration(plugged_in, tmp_path):
    seen = []
    plugged_in.create = lambda config: seen.append(config) or ArrowCandleRepository(tmp_path)
    config = {"type": "my_candles:create", "host": "db", "port": 5432}
    assert isinstance(create_candle_repository(config), ArrowCandleRepository)
    assert seen == [config]


def test_a_factory_may_be_an_attribute_of_a_class(plugged_in, tmp_path):
    plugged_in.Repository = type("Repository", (), {"build": staticmethod(lambda _: ArrowCandleRepository(tmp_path))})
    assert create_candle_repository({"type": "my_candles:Repository.build"})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, 'has no "type"; expected "arrow" .* or "package.module:factory"'),
        ({"type": 5}, 'has no "type"'),
        ({"type": "postgres"}, "unknown candle repository type 'postgres'; expected \"arrow\""),
        ({"type": "a b:c"}, "unknown candle repository type"),
        ({"type": "arrow"}, 'needs "path"'),
        ({"type": "arrow", "path": ""}, 'needs "path"'),
        ({"type": "arrow", "path": 7}, 'needs "path"'),
        ({"type": "arrow", "path": "x", "pth": 1}, "has no setting 'pth'"),
        ({"type": "no_such_module_anywhere:create"}, "importing module no_such_module_anywhere failed"),
        ({"type": "my_candles:missing"}, "module my_candles has no callable missing"),
        ({"type": "my_candles:number"}, "module my_candles has no callable number"),
        ({"type": "my_candles:fails"}, "its factory failed with KeyError"),
        ({"type": "my_candles:returns_text"}, "its factory returned str, not an ICandleRepository"),
    ],
)
def test_a_wrong_configuration_says_what_was_expected(plugged_in, config, message):
    plugged_in.number = 5
    plugged_in.returns_text = str
    plugged_in.fails = lambda config: config["/a/secret/path"]
    with pytest.raises(ConfigurationError, match=message) as caught:
        create_candle_repository(config)
    assert "secret" not in caught.value.message


def test_an_error_of_our_own_passes_through_a_factory(plugged_in):
    def refuse(_):
        raise StoreError("the database is down")

    plugged_in.refuse = refuse
    with pytest.raises(StoreError, match="the database is down"):
        create_candle_repository({"type": "my_candles:refuse"})


def test_the_cause_of_a_failure_is_chained(plugged_in):
    plugged_in.fails = lambda config: config["missing"]
    with pytest.raises(ConfigurationError) as caught:
        create_candle_repository({"type": "my_candles:fails"})
    assert isinstance(caught.value.__cause__, KeyError)
