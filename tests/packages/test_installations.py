"""The wheel with `[server,cli]` in new environments: import, serve, process, from the command and from a program.

One suite over the versions with which users meet it, everything from the package index (`make test-packages`):

    oldest-floors      oldest Python here, every library of pyproject at exactly the oldest version it admits
    oldest-protobuf6   oldest Python here, the newest of everything that goes with protobuf 6
    oldest-protobuf7   oldest Python here, the newest of everything
    newest-protobuf6   newest Python here, the newest of everything that goes with protobuf 6
    newest-protobuf7   newest Python here, the newest of everything

Where there is one Python only, it is the oldest and the newest, and the lines printed at the end say so. Choose
some of them with `make test-packages COMBINATIONS='oldest-floors or newest-protobuf7'`.
"""

import csv
import time

import numpy as np
import pytest
import talib
from packaging.requirements import Requirement

from support.command import serving_command
from support.environments import clean_variables, new_environment
from support.requirements import floors_of

EXTRAS = ("server", "cli")
COMBINATIONS = {
    "oldest-floors": floors_of(*EXTRAS),
    "oldest-protobuf6": ["protobuf<7"],
    "oldest-protobuf7": ["protobuf>=7"],
    "newest-protobuf6": ["protobuf<7"],
    "newest-protobuf7": ["protobuf>=7"],
}
SHOWN = ("protobuf", "grpcio", "grpcio-status", "numpy", "pyarrow", "ta-lib", "lark", "typer")

CANDLES = 60
CLOSE = np.round(100.0 + 10 * np.sin(np.arange(CANDLES) / 5) + np.arange(CANDLES) % 7, 2).astype(np.float64)
DAYS = np.datetime_as_string(np.datetime64("2024-01-01") + np.arange(CANDLES))
FORMULA = "average = sma(close, days); strength = rsi(close, 14)"
EXPECTED = np.column_stack([talib.SMA(CLOSE, 5), talib.RSI(CLOSE, 14)])

PROGRAM = """\
import asyncio, sys

from candelabra_client import AsyncClient, Client

address, formula = sys.argv[1:]
with Client(address) as client:
    results = client.process(["NVDA", "NOPE"], timeframe="1d", formula=formula, parameters={"days": 5}).results()
    frame = results.to_arrow()
    print(results.errors["NOPE"].reason, client.health().value, frame.column_names, sep="|")
    for row in zip(frame["average"].to_pylist(), frame["strength"].to_pylist()):
        print(*row)


async def main():
    async with AsyncClient(address) as client:
        async for result in client.process("NV*", timeframe="1d", formula="close", last_n=1):
            print(result.symbol, result["value"][-1])


asyncio.run(main())
"""

pytestmark = [pytest.mark.packages, pytest.mark.timeout(400)]


@pytest.fixture(scope="module", params=COMBINATIONS)
def environment(request, built, interpreters, report, tmp_path_factory):
    """An environment with the combination's versions."""
    age = request.param.partition("-")[0]
    interpreter = interpreters[age]
    started = time.perf_counter()
    environment = new_environment(tmp_path_factory.mktemp(request.param) / "environment", interpreter.path)
    environment.install(f"{built.wheel}[{','.join(EXTRAS)}]", *COMBINATIONS[request.param])
    seconds = time.perf_counter() - started
    versions = environment.versions()
    shown = ", ".join(f"{name} {versions[name]}" for name in SHOWN)
    only = ", the only one here" if len({*interpreters.values()}) == 1 else ""
    report.append(f"{request.param}: {interpreter}{only}, {shown}; installed in {seconds:.0f} s")
    return environment


@pytest.fixture(scope="module")
def store(environment):
    """The store of a user who has imported a file of their own."""
    lines = [f"{day},{close},{close},{close},{close},1000" for day, close in zip(DAYS, CLOSE, strict=True)]
    (environment.folder / "NVDA.csv").write_text("\n".join(["Date,Open,High,Low,Close,Volume", *lines, ""]))
    finished = environment.run("candelabra-server", "import", "NVDA.csv", "--timeframe", "1d", "--store", "own")
    assert finished.returncode == 0, finished.stderr
    assert f"imported {CANDLES} candles" in finished.stdout
    return environment.folder / "own"


@pytest.fixture(scope="module")
def address(environment, store):
    """Where the installed command serves the store; that it ends with status 0 is checked too."""
    options = ["--store", str(store), "--workers", "2"]
    with serving_command(*options, folder=environment.bin, variables=clean_variables()) as server:
        yield server.address


def process(environment, address, *arguments):
    return environment.run("candelabra", "process", *arguments, CANDELABRA_SERVER=address)


def test_what_is_installed_fits_together_and_is_what_was_asked_for(environment, request):
    environment.check()
    versions = environment.versions()
    for text in COMBINATIONS[request.node.callspec.params["environment"]]:
        requirement = Requirement(text)
        assert versions[requirement.name.lower()] in requirement.specifier


def test_the_values_of_a_file_of_ones_own_are_those_of_ta_lib(environment, address):
    finished = process(environment, address, FORMULA, "-s", "NVDA", "-t", "1d", "-p", "days=5", "--output", "csv")
    assert finished.returncode == 0, finished.stderr
    rows = list(csv.DictReader(finished.stdout.splitlines()))
    assert [row["time"][:10] for row in rows] == list(DAYS)
    values = [[float(row[name] or "nan") for name in ("average", "strength")] for row in rows]
    np.testing.assert_allclose(values, EXPECTED, atol=1e-9)


def test_both_clients_get_the_same_values_without_a_warning(environment, address, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    finished = environment.run("python", "-I", "-W", "error", program, address, FORMULA)
    assert finished.stderr == ""
    first, *rows, last = finished.stdout.splitlines()
    assert first == "UNKNOWN_SYMBOL|SERVING|['symbol', 'time', 'average', 'strength']"
    np.testing.assert_allclose([[float(value) for value in row.split()] for row in rows], EXPECTED, atol=1e-9)
    assert last == f"NVDA {CLOSE[-1]}"


def test_the_exit_status_says_how_a_job_went(environment, address):
    some_failed = process(environment, address, "rsi(close, 14)", "-s", "NVDA,NOPE", "-t", "1d")
    assert some_failed.returncode == 3
    assert "UNKNOWN_SYMBOL" in some_failed.stderr
    mistaken = process(environment, address, "smaa(close, 5)", "-s", "NVDA", "-t", "1d")
    assert mistaken.returncode == 1
    assert "did you mean `sma`?" in mistaken.stderr
    assert process(environment, address, "close", "-s", "NVDA").returncode == 2
    assert environment.run("candelabra", "health", CANDELABRA_SERVER=address).returncode == 0
    assert environment.run("candelabra", "health", CANDELABRA_SERVER="127.0.0.1:1").returncode == 1
    assert environment.run("candelabra", "candles", "list", CANDELABRA_SERVER=address).returncode == 0


def test_the_server_says_how_to_get_the_demo_candles_that_an_extra_brings(environment):
    finished = environment.run("candelabra-server", "demo", "--store", "demo")
    assert finished.returncode == 1
    assert "pip install 'candelabra[demo]'" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_both_commands_explain_themselves(environment):
    for command in ("candelabra", "candelabra-server"):
        finished = environment.run(command, "--help")
        assert finished.returncode == 0
        assert f"Usage: {command}" in finished.stdout
        assert environment.run(command, "no-such-command").returncode == 2
