"""What tests of several folders share."""

import pytest


@pytest.fixture(scope="session")
def demo_store(tmp_path_factory):
    """A folder with the demo candles, loaded once; not to be written to."""
    from candelabra_server.candles.demo import load_demo  # only for those who ask

    store = tmp_path_factory.mktemp("demo") / "candelabra-data"
    load_demo(store)
    return store
