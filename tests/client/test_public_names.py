import inspect
import subprocess
import sys

import pytest

import candelabra_client

NAMES = [
    "Aborted",
    "AlreadyExists",
    "AsyncClient",
    "AsyncJob",
    "AsyncScreen",
    "CallError",
    "Cancelled",
    "CandelabraError",
    "Client",
    "ClientClosed",
    "ColumnInfo",
    "ColumnKind",
    "DeadlineExceeded",
    "FailedPrecondition",
    "HealthStatus",
    "InternalServerError",
    "InvalidRequest",
    "Job",
    "JobConsumed",
    "JobResults",
    "MessageTooLarge",
    "MissingDependency",
    "NotFound",
    "Overloaded",
    "PermissionDenied",
    "Progress",
    "ProtocolError",
    "ResultInfo",
    "RetryPolicy",
    "Screen",
    "ScreenBatch",
    "ScreenInfo",
    "ScreenResult",
    "ServerInfo",
    "ServerUnavailable",
    "StoredSymbol",
    "SymbolError",
    "SymbolFailed",
    "SymbolResult",
    "Unauthenticated",
    "Unimplemented",
    "Violation",
    "keep_freed_memory",
    "progress_bar",
]


def test_the_package_exports_exactly_these_names():
    assert candelabra_client.__all__ == NAMES
    assert all(hasattr(candelabra_client, name) for name in NAMES)


@pytest.mark.parametrize(
    ("plain", "asynchronous"),
    [
        (candelabra_client.Client, candelabra_client.AsyncClient),
        (candelabra_client.Job, candelabra_client.AsyncJob),
        (candelabra_client.Screen, candelabra_client.AsyncScreen),
    ],
)
def test_both_clients_have_the_same_methods_with_the_same_arguments(plain, asynchronous):
    def signatures(kind):
        return {
            name: [str(parameter) for parameter in inspect.signature(member).parameters.values()]
            for name, member in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_")
        }

    assert signatures(plain) == signatures(asynchronous)


def test_all_options_of_a_client_but_the_address_are_keywords():
    parameters = list(inspect.signature(candelabra_client.Client).parameters.values())

    assert parameters[0].name == "address"
    assert {parameter.kind for parameter in parameters[1:]} == {inspect.Parameter.KEYWORD_ONLY}


def test_importing_the_client_imports_neither_frames_nor_the_server_nor_the_command():
    heavy = ["pandas", "polars", "pyarrow", "typer", "rich", "lark", "talib", "candelabra_server"]
    program = f"import sys, candelabra_client; print([name for name in {heavy} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
