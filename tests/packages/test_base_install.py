"""The wheel alone, without extras: the client works, nothing of the server comes along, the command says what to do.

One suite over new environments. The first runs with `make test`: it has the wheel and, as links, exactly those
packages of this environment that the wheel asks for. The others run with `make test-packages`, everything from the
package index: the oldest and the newest Python of this machine, and the oldest from the sdist, built as pip builds it.
"""

import subprocess
import sys
import time

import pytest

from support.environments import RUN_SECONDS, clean_variables, closure_of, new_environment
from support.interpreters import PROJECT

INSTALLED = [
    "borrowed",
    pytest.param("oldest", marks=pytest.mark.packages),
    pytest.param("newest", marks=pytest.mark.packages),
    pytest.param("oldest-sdist", marks=pytest.mark.packages),
]
BASE = {"candelabra", "googleapis-common-protos", "grpcio", "grpcio-status", "numpy", "protobuf", "typing-extensions"}

pytestmark = pytest.mark.timeout(400)

PROGRAM = """\
import sys
from importlib.resources import files

import candelabra_client
from candelabra.v1 import ProcessingJob

with candelabra_client.Client("127.0.0.1:1", retry=candelabra_client.RetryPolicy(max_attempts=1)) as client:
    try:
        client.health()
    except candelabra_client.ServerUnavailable as error:
        print(error)
try:
    candelabra_client.JobResults([], symbols=[]).to_arrow()
except candelabra_client.MissingDependency as error:
    print(error)
print(ProcessingJob.FromString(ProcessingJob(symbols=["AAPL"]).SerializeToString()).symbols)
print(files("candelabra.v1").joinpath("processing.proto").is_file())
"""

TYPED_PROGRAM = """\
from candelabra.v1 import ProcessingJob
from candelabra_client import Client, SymbolResult

job = ProcessingJob(symbols=["AAPL"])
reveal_type(job.timeframe)
reveal_type([result for result in Client().process("AAPL", timeframe="1d")])
Client().process("AAPL")
"""


@pytest.fixture(scope="module", params=INSTALLED)
def environment(request, built, interpreters, report, tmp_path_factory):
    folder = tmp_path_factory.mktemp("base") / "environment"
    if request.param == "borrowed":
        environment = new_environment(folder)
        environment.install_built_here(built.wheel)
        environment.borrow(*closure_of(PROJECT["dependencies"]))
        return environment
    started = time.perf_counter()
    age, _, form = request.param.partition("-")
    interpreter = interpreters[age]
    environment = new_environment(folder, interpreter.path)
    environment.install(str(built.sdist if form else built.wheel))
    seconds = time.perf_counter() - started
    installed = ", ".join(f"{name} {version}" for name, version in sorted(environment.versions().items()))
    report.append(f"base, {request.param}: {interpreter}, {installed}; installed in {seconds:.0f} s")
    return environment


def test_nothing_but_the_client_and_its_libraries_is_installed(environment):
    assert set(environment.versions()) == BASE
    environment.check()


def test_the_client_imports_without_a_warning_and_works(environment):
    finished = environment.run("python", "-I", "-W", "error", "-c", PROGRAM)
    assert finished.stderr == ""
    no_server, no_pyarrow, symbols, has_proto = finished.stdout.splitlines()
    assert no_server.startswith("no server answers at 127.0.0.1:1")
    assert no_pyarrow == "this needs pyarrow, which is not installed: pip install pyarrow"
    assert symbols == "['AAPL']"
    assert has_proto == "True"


def test_the_command_says_how_to_get_what_it_needs(environment):
    finished = environment.run("candelabra", "health")
    assert finished.returncode == 2
    assert finished.stdout == ""
    (line,) = finished.stderr.splitlines()
    assert "pip install 'candelabra[cli]'" in line


def test_the_servers_command_says_so_too(environment):
    finished = environment.run("candelabra-server", "serve")
    assert finished.returncode == 2
    (line,) = finished.stderr.splitlines()
    assert line.endswith(" is not installed: pip install 'candelabra[server]'")


def test_a_type_checker_sees_the_types_of_the_messages_and_of_the_client(environment, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(TYPED_PROGRAM)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path / 'cache'}"]
    finished = subprocess.run(
        [*command, f"--python-executable={environment.python}", str(program)], cwd=tmp_path, env=clean_variables(),
        capture_output=True, text=True, timeout=RUN_SECONDS, check=False,
    )  # fmt: skip
    notes = [line.split(": ", 1)[1] for line in finished.stdout.splitlines() if ": note: Revealed" in line]
    errors = [line for line in finished.stdout.splitlines() if ": error: " in line]
    assert notes == [
        'note: Revealed type is "str"',
        'note: Revealed type is "list[candelabra_client._result.SymbolResult]"',
    ], finished.stdout + finished.stderr
    assert len(errors) == 1
    assert 'Missing named argument "timeframe"' in errors[0]
