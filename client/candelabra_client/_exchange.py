"""Calls with one request and one response, written once for both clients.

An exchange is a generator that yields each call it wants to make and is sent the response, as httpx's
authentication flows are. `Client` and `AsyncClient` differ only in who carries the calls out.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias, TypeVar

from google.protobuf import message

from candelabra import v1
from candelabra_client._exceptions import ProtocolError
from candelabra_client._health import HealthStatus, decode_health_response, encode_health_request
from candelabra_client._request import symbol_list
from candelabra_client._server import ServerInfo, StoredSymbol

__all__ = [
    "PROCESS_METHOD",
    "SCREEN_METHOD",
    "Exchange",
    "UnaryCall",
    "all_stored_symbols",
    "answered",
    "health",
    "listed_formulas",
    "server_info",
    "stored_symbols",
]

PROCESS_METHOD: Final = "/candelabra.v1.ProcessingService/Process"
SCREEN_METHOD: Final = "/candelabra.v1.ProcessingService/Screen"
_SERVER_INFO_METHOD: Final = "/candelabra.v1.ProcessingService/GetServerInfo"
_LIST_SYMBOLS_METHOD: Final = "/candelabra.v1.CandleService/ListSymbols"
_FORMULA_SERVICE: Final = "/candelabra.v1.FormulaService/"
_EXPLAIN_METHOD: Final = "/candelabra.v1.ProcessingService/ExplainJob"
_HEALTH_METHOD: Final = "/grpc.health.v1.Health/Check"


@dataclass(frozen=True, slots=True)
class UnaryCall:
    """One call to make; both sides are bytes.

    Attributes:
        method: the full gRPC method path.
        request: the request, encoded.
        may_repeat: whether it is made again when the server is not there.
    """

    method: str
    request: bytes
    may_repeat: bool = True


_M = TypeVar("_M", bound=message.Message)
_T = TypeVar("_T")
Exchange: TypeAlias = Generator[UnaryCall, bytes, _T]
"""Yields calls, is sent their responses, returns what came of it."""


def all_stored_symbols(query: v1.ListSymbolsRequest) -> Exchange[list[v1.StoredSymbol]]:
    """Returns the stored symbols of every page that a query has."""
    found: list[v1.StoredSymbol] = []
    request = v1.ListSymbolsRequest()
    request.CopyFrom(query)
    while True:
        response = yield UnaryCall(_LIST_SYMBOLS_METHOD, request.SerializeToString())
        page = _parse(v1.ListSymbolsResponse, response)
        found.extend(page.symbols)
        if not page.next_page_token:
            return found
        if page.next_page_token == request.page_token:
            raise ProtocolError("the server's list of symbols does not go on: it sent the same page token twice")
        request.page_token = page.next_page_token


def stored_symbols(symbols: str | Iterable[str] | None, *, timeframe: str | None) -> Exchange[list[StoredSymbol]]:
    """Returns the stored symbols that match, sorted as the server sorts them."""
    query = v1.ListSymbolsRequest(timeframe=timeframe or "", symbols=[] if symbols is None else symbol_list(symbols))
    stored = yield from all_stored_symbols(query)
    return [
        StoredSymbol(
            symbol=symbol.symbol,
            timeframe=symbol.timeframe,
            candle_count=symbol.candle_count,
            first_open_time=_moment(symbol.first_open_time_micros),
            last_open_time=_moment(symbol.last_open_time_micros),
            fields=tuple(symbol.fields),
        )
        for symbol in stored
    ]


def server_info() -> Exchange[ServerInfo]:
    """Returns the server's description of itself."""
    response = yield UnaryCall(_SERVER_INFO_METHOD, b"")
    info = _parse(v1.GetServerInfoResponse, response)
    return ServerInfo(
        version=info.version,
        workers=info.workers,
        timeframes={stored.timeframe: stored.symbol_count for stored in info.timeframes},
        max_symbols_per_job=info.max_symbols_per_job,
        max_expression_length=info.max_expression_length,
        active_jobs=info.active_jobs,
        max_jobs=info.max_jobs,
        symbol_time_limit=info.symbol_time_limit_millis / 1_000,
        job_time_limit=info.job_time_limit_millis / 1_000,
        start_time=_moment(info.start_time_micros),
    )


def answered(method: str, request: message.Message, kind: type[_M]) -> Exchange[_M]:
    """Returns the answer to one call of FormulaService, by its method's name, or of `ExplainJob`."""
    path = _EXPLAIN_METHOD if method == "ExplainJob" else _FORMULA_SERVICE + method
    response = yield UnaryCall(path, request.SerializeToString())
    return _parse(kind, response)


def listed_formulas(pattern: str) -> Exchange[list[v1.SavedFormula]]:
    """Returns the formulas of every page."""
    found: list[v1.SavedFormula] = []
    request = v1.ListFormulasRequest(pattern=pattern, page_size=1_000)
    while True:
        page = yield from answered("ListFormulas", request, v1.ListFormulasResponse)
        found.extend(page.formulas)
        if not page.next_page_token:
            return found
        if page.next_page_token == request.page_token:
            raise ProtocolError("the server's list of formulas does not go on: it sent the same page token twice")
        request.page_token = page.next_page_token


def health(service: str) -> Exchange[HealthStatus]:
    """Returns whether the server, or one of its services, is serving."""
    # Asked for as it is now.
    response = yield UnaryCall(_HEALTH_METHOD, encode_health_request(service), may_repeat=False)
    return decode_health_response(response)


def _parse(kind: type[_M], data: bytes) -> _M:
    try:
        return kind.FromString(data)
    except message.DecodeError as error:
        raise ProtocolError(f"the server's answer is not a {kind.__name__}") from error


def _moment(micros: int) -> datetime:
    # Added up, since fromtimestamp() rounds through a float and refuses years before 1970 on some systems.
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
