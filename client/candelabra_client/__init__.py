"""The Python client of Candelabra, a gRPC processing server for market data.

from candelabra_client import Client

with Client("127.0.0.1:50051") as client:
    job = client.process(["AAPL", "MS*"], timeframe="1d", start="2012-01-01", formula="sma(close, 20)")
    frame = job.to_pandas()
"""

from candelabra_client._async_client import AsyncClient
from candelabra_client._client import Client
from candelabra_client._exceptions import (
    Aborted,
    AlreadyExists,
    CallError,
    Cancelled,
    CandelabraError,
    ClientClosed,
    DeadlineExceeded,
    FailedPrecondition,
    InternalServerError,
    InvalidRequest,
    JobConsumed,
    MessageTooLarge,
    MissingDependency,
    NotFound,
    Overloaded,
    PermissionDenied,
    ProtocolError,
    ServerUnavailable,
    SymbolFailed,
    Unauthenticated,
    Unimplemented,
    Violation,
)
from candelabra_client._health import HealthStatus
from candelabra_client._job import AsyncJob, Job
from candelabra_client._memory import keep_freed_memory
from candelabra_client._progress import progress_bar
from candelabra_client._result import ColumnInfo, ColumnKind, ResultInfo, SymbolError, SymbolResult
from candelabra_client._results import JobResults
from candelabra_client._retry import RetryPolicy
from candelabra_client._run import Progress
from candelabra_client._screen import AsyncScreen, Screen
from candelabra_client._screen_result import ScreenBatch, ScreenInfo, ScreenResult
from candelabra_client._server import ServerInfo, StoredSymbol

__all__ = [
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
