"""The wheel with all of its extras: the demo candles load, and the pictures are drawn (`make test-packages`).

Once with every library at exactly the oldest version that pyproject admits, once with the newest of everything.
"""

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from support.command import serving_command
from support.environments import clean_variables, new_environment
from support.prices import write_prices
from support.requirements import ALL_EXTRAS, floors_of

README = Path(__file__).resolve().parents[2] / "README.md"

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


def test_the_readmes_own_session_runs_in_a_new_environment(environment, tmp_path):
    (session,) = re.findall(
        r"^```sh\n(candelabra-server import .*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL
    )
    write_prices(tmp_path)
    variables = clean_variables() | {
        "PATH": f"{environment.bin}{os.pathsep}{os.environ['PATH']}",
        "CANDELABRA_LISTEN": f"unix:{tmp_path}/s",
        "CANDELABRA_SERVER": f"unix:{tmp_path}/s",
    }
    finished = subprocess.run(
        ["/bin/bash", "-ec", session],
        cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    assert "imported 129 candles of 1 symbol" in finished.stdout
    assert "2024-06-28  78.5500" in finished.stdout
    assert (tmp_path / "nvda.png").stat().st_size > 10_000
