"""What importing the formula package brings into a process: a worker is made from it."""

import os
import subprocess
import sys

import pytest

from candelabra_server.formulas.kernels import talib_import

SCRIPT = """
import sys, threading
{before}
from candelabra_server.formulas.factory import create_formula_service
create_formula_service({{"type": "builtin"}}).compile("sma(close, 2)", parameters={{}})
import os
print(threading.active_count(), len(os.listdir("/proc/self/task")) if os.path.exists("/proc/self/task") else 1)
print(sorted(name for name in ("grpc", "pandas", "polars", "google", "candelabra") if name in sys.modules))
{after}
"""


def run(before: str = "", after: str = "") -> list[str]:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT.format(before=before, after=after)]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.splitlines()


def test_formulas_start_no_thread_and_import_neither_grpc_nor_pandas():
    assert run() == ["1 1", "[]"]


def test_pandas_can_be_imported_afterwards():
    pytest.importorskip("pandas")
    after = "import pandas; print(pandas.Series([1.0]).sum())"
    assert run(after=after)[-1] == "1.0"


def test_pandas_that_is_there_already_stays():
    pytest.importorskip("pandas")
    lines = run(before="import pandas", after="print(sys.modules['pandas'] is pandas)")
    assert lines[-2:] == ["['pandas']", "True"]


def test_names_hidden_during_the_import_come_back_even_when_it_fails(monkeypatch):
    monkeypatch.setattr(talib_import, "_UNWANTED", ("talib", "no_such_module"))
    monkeypatch.delitem(sys.modules, "talib")
    with pytest.raises(ImportError):
        talib_import._import_talib()
    assert "talib" not in sys.modules
    assert "no_such_module" not in sys.modules
