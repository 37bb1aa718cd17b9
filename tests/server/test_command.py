"""The installed `candelabra-server` command, as an operator meets it."""

import os
import signal
import subprocess
from pathlib import Path

import grpc
import psutil
import pytest

from candelabra.v1 import CreateFormulaRequest, SavedFormula
from candelabra.v1.formulas_pb2_grpc import FormulaServiceStub
from candelabra.v1.processing_pb2_grpc import ProcessingServiceStub
from support.command import BIN, serving_command
from support.jobs import job
from support.workers import run_until

CSV = "time,open,high,low,close,volume\n" + "".join(
    f"2024-01-{day:02},{100 + day},{102 + day},{99 + day},{101 + day},{1000 * day}\n" for day in range(1, 29)
)
ON_LINUX = pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads other processes as Linux shows them")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("command")
    for symbol in ("ONE", "TWO"):
        (folder / f"{symbol}.csv").write_text(CSV)
    finished = command(
        "import", folder / "ONE.csv", folder / "TWO.csv", "--timeframe", "1d", "--store", folder / "store"
    )
    assert finished.returncode == 0, finished.stderr
    assert "imported 56 candles of 2 symbols" in finished.stdout
    return folder / "store"


def command(*arguments, **environment):
    return subprocess.run(
        [BIN / "candelabra-server", *map(str, arguments)],
        capture_output=True, text=True, timeout=120, check=False, env=os.environ | environment,
    )  # fmt: skip


def process(address, request):
    with grpc.insecure_channel(address) as channel:
        return list(ProcessingServiceStub(channel).Process(request, timeout=60))


def test_it_serves_says_where_and_ends_with_zero_on_sigterm(store):
    with serving_command("--store", str(store)) as server:
        results = process(server.address, job("*", "sma(close, 3)"))
        assert sorted(result.symbol for result in results) == ["ONE", "TWO"]
        status, output, errors = server.stop()
    assert status == 0
    assert "2 symbols of 1d" in output
    assert output.endswith("stopped\n")
    assert errors == ""


def test_a_formula_that_was_saved_outlives_a_killed_server_and_serves_another(store):
    formula = SavedFormula(id="trend", expression="sma(close, 3)")
    with serving_command("--store", str(store)) as server, grpc.insecure_channel(server.address) as channel:
        FormulaServiceStub(channel).CreateFormula(CreateFormulaRequest(formula=formula), timeout=60)
        server.process.kill()
        server.process.communicate(timeout=60)
    request = job("ONE")
    request.formula.id = "trend"
    with serving_command("--store", str(store)) as server:
        (by_id,) = process(server.address, request)
        (by_text,) = process(server.address, job("ONE", "sma(close, 3)"))
        status, *_ = server.stop()
    assert status == 0
    assert repr(by_id.columns) == repr(by_text.columns)
    assert (store / "formulas.sqlite3").is_file()


def test_ctrl_c_ends_it_with_zero_too(store):
    with serving_command("--store", str(store)) as server:
        process(server.address, job("ONE", "close"))
        status, _, errors = server.stop(signal.SIGINT)
    assert (status, errors) == (0, "")


@ON_LINUX
def test_workers_have_no_grpc_and_the_forkserver_has_one_thread(store):
    with serving_command("--store", str(store), "--workers", "2") as server:
        process(server.address, job("*", "close"))
        me = psutil.Process(server.process.pid)
        workers = [child for child in me.children(recursive=True) if child.parent().pid != me.pid]
        assert len(workers) == 2
        (forkserver,) = {worker.parent() for worker in workers}
        assert forkserver.num_threads() == 1
        assert "cygrpc" in Path(f"/proc/{me.pid}/maps").read_text()
        for worker in workers:
            assert "cygrpc" not in Path(f"/proc/{worker.pid}/maps").read_text()
            assert "libarrow" not in Path(f"/proc/{worker.pid}/maps").read_text()


@ON_LINUX
def test_nothing_is_left_running_when_it_is_killed(store):
    with serving_command("--store", str(store)) as server:
        family = psutil.Process(server.process.pid).children(recursive=True)
        assert family
        server.process.kill()
        server.process.communicate(timeout=60)
        run_until(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family))


def test_an_empty_store_is_served_with_a_hint(tmp_path):
    with serving_command("--store", str(tmp_path / "none")) as server:
        with pytest.raises(grpc.RpcError) as caught:
            process(server.address, job("A", "close"))
        _, output, _ = server.stop()
    assert "import some candles first" in caught.value.details()
    assert "candelabra-server demo" in output


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["serve", "--listen", "0.0.0.0:0"], 1, "--insecure"),
        (["serve", "--listen", "nowhere"], 1, "not HOST:PORT"),
        (["serve", "--workers", "0"], 2, "--workers"),
        (["serve", "--unknown"], 2, "--unknown"),
        (["serve", "--listen", "127.0.0.1:0", "--results-folder", "no-such-folder"], 1, "--results-folder"),
        (["serve", "--result-slot", "0"], 2, "--result-slot"),
        (["serve", "--symbol-time-limit", "0"], 2, "--symbol-time-limit"),
        (["serve", "--max-jobs", "0"], 2, "--max-jobs"),
        (["import", "no-such-file.csv", "--timeframe", "1d"], 2, "no-such-file.csv"),
        (["--log-level", "loud", "check-config"], 2, "loud"),
        (["serves"], 2, "serves"),
    ],
)
def test_a_mistake_is_told_in_a_line_without_a_stack(arguments, status, told, tmp_path):
    finished = command(*arguments, CANDELABRA_STORE=str(tmp_path / "store"), COLUMNS="200")
    assert finished.returncode == status
    assert told in finished.stderr
    assert "Traceback" not in finished.stderr


def test_a_taken_port_is_told_in_a_line(store):
    with serving_command("--store", str(store)) as server:
        finished = command("serve", "--listen", server.address, "--store", store)
    assert finished.returncode == 1
    assert "the port is taken" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_a_refused_import_lists_what_is_wrong_and_leaves_nothing(tmp_path):
    (tmp_path / "X.csv").write_text(CSV + "2024-01-29,1,2,3,4,5\n2024-01-30,1,x,1,1,1\n")
    finished = command("import", tmp_path / "X.csv", "--timeframe", "1d", "--store", tmp_path / "store")
    assert finished.returncode == 1
    assert "X.csv:30: " in finished.stderr
    assert "X.csv:31: " in finished.stderr
    assert "nothing was imported" in finished.stderr
    assert "store is empty" not in finished.stdout


def test_settings_come_from_the_environment_and_are_shown(tmp_path):
    finished = command(
        "check-config",
        CANDELABRA_LISTEN="127.0.0.1:7",
        CANDELABRA_WORKERS="3",
        CANDELABRA_STORE=str(tmp_path),
        CANDELABRA_RESULTS_FOLDER=str(tmp_path / "results"),
        CANDELABRA_RESULT_SLOT="4",
        CANDELABRA_JOB_BUFFER="2",
        CANDELABRA_SYMBOL_TIME_LIMIT="2.5",
        CANDELABRA_JOB_TIME_LIMIT="60",
        CANDELABRA_MAX_JOBS="7",
        CANDELABRA_MAX_QUEUED_SYMBOLS="500",
        CANDELABRA_MAX_WAITING="64",
    )
    assert finished.returncode == 0
    assert "listen = 127.0.0.1:7\n" in finished.stdout
    assert "workers = 3\n" in finished.stdout
    assert f"store = {tmp_path}\n" in finished.stdout
    assert f"results_folder = {tmp_path / 'results'}\n" in finished.stdout
    assert "result_slot = 4\n" in finished.stdout
    assert "job_buffer = 2\n" in finished.stdout
    assert "symbol_time_limit = 2.5\njob_time_limit = 60.0\n" in finished.stdout
    assert "max_jobs = 7\nmax_queued_symbols = 500\nmax_waiting = 64\n" in finished.stdout


def test_the_version_is_printed():
    from importlib.metadata import version

    assert command("--version").stdout == f"candelabra-server {version('candelabra')}\n"
