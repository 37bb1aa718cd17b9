"""The wheel with all of its extras: the demo candles load, and the pictures are drawn (`make test-packages`).

Once with every library at exactly the oldest version that pyproject admits, once with the newest of everything.
"""

import time

import pytest

from support.command import serving_command
from support.environments import clean_variables, new_environment
from support.requirements import ALL_EXTRAS, floors_of

pytestmark = [pytest.mark.packages, pytest.mark.timeout(400)]


@pytest.fixture(scope="module", params=["oldest-floors", "newest-protobuf7"])
def environment(request, built, interpreters, report, tmp_path_factory):
    age, _, versions = request.param.partition("-")
    started = time.perf_counter()
    environment = new_environment(tmp_path_factory.mktemp(request.param) / "environment", interpreters[age].path)
    pins = floors_of(*ALL_EXTRAS) if versions == "floors" else ["protobuf>=7"]
    environment.install(f"{built.wheel}[{','.join(ALL_EXTRAS)}]", *pins)
    seconds = time.perf_counter() - started
    installed = environment.versions()
    shown = ", ".join(f"{name} {installed[name]}" for name in ("bokeh-sampledata", "matplotlib", "plotly", "pandas"))
    report.append(f"all extras, {request.param}: {interpreters[age]}, {shown}; installed in {seconds:.0f} s")
    return environment


@pytest.fixture(scope="module")
def address(environment):
    finished = environment.run("candelabra-server", "demo", "--store", "demo")
    assert finished.returncode == 0, finished.stderr
    assert "imported 4,012,154 candles of 8,005 symbols" in finished.stdout
    store = str(environment.folder / "demo")
    with serving_command("--store", store, folder=environment.bin, variables=clean_variables()) as server:
        yield server.address


def test_the_demo_candles_are_the_same_with_every_version(environment, address):
    options = ["-s", "AAPL,SYN0001", "-t", "1d", "--last", "1", "--output", "csv"]
    finished = environment.run("candelabra", "process", "sma(close, 20)", *options, CANDELABRA_SERVER=address)
    assert finished.returncode == 0, finished.stderr
    header, *rows = finished.stdout.splitlines()
    assert header == "symbol,time,value"
    (apple,) = [row for row in rows if row.startswith("AAPL,2013-03-01")]
    assert float(apple.split(",")[2]) == pytest.approx(59.333996, abs=1e-6)


@pytest.mark.parametrize(("name", "beginning"), [("chart.png", b"\x89PNG\r\n"), ("chart.html", b"<!doctype html>")])
def test_a_picture_is_drawn(environment, address, name, beginning):
    options = ["-s", "AAPL", "-t", "1d", "--last", "60", "--plot", name]
    finished = environment.run("candelabra", "process", "sma(close, 20)", *options, CANDELABRA_SERVER=address)
    assert finished.returncode == 0, finished.stderr
    drawn = (environment.folder / name).read_bytes()
    assert drawn[:20].lower().startswith(beginning.lower())
    assert len(drawn) > 10_000
