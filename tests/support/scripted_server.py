"""A real gRPC server whose answers a test writes down: `with serving(Script(...)) as address`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from candelabra import v1
from candelabra.v1 import candles_pb2_grpc, processing_pb2_grpc

MICROS_PER_DAY = 86_400_000_000
FIRST_DAY_MICROS = 1_325_376_000_000_000  # 2012-01-01T00:00:00Z

Answer = Callable[[v1.ProcessingJob, grpc.ServicerContext], Iterator[v1.ProcessingResult]]
ScreenAnswer = Callable[[v1.ScreenRequest, grpc.ServicerContext], Iterator[v1.ScreenResponse]]


def rows(
    symbol: str,
    values: list[float] | np.ndarray[Any, Any],
    *,
    name: str = "value",
    first_row: int = 0,
    last: bool = True,
    total: int = 1,
    **fields: Any,
) -> v1.ProcessingResult:
    """One part of a symbol with daily candles from 2012-01-01."""
    times = [FIRST_DAY_MICROS + (first_row + row) * MICROS_PER_DAY for row in range(len(values))]
    result = v1.ProcessingResult(
        symbol=symbol,
        row_offset=first_row,
        last_part=last,
        symbols_total=total,
        attempts=1,
        open_time_micros=times,
        columns=[v1.Column(name=name, kind=v1.ColumnKind.COLUMN_KIND_NUMBER, values=list(values))],
        **fields,
    )
    if last:
        result.info.snapshot_id = "s1"
        result.info.columns.add(name=name, first_valid_row=-1 if np.isnan(values).all() else 0)
    return result


def failed(symbol: str, *, reason: str = "UNKNOWN_SYMBOL", total: int = 1) -> v1.ProcessingResult:
    """A symbol without a result."""
    error = v1.SymbolError(reason=reason, message=f"{symbol} is not stored", metadata={"symbol": symbol})
    return v1.ProcessingResult(symbol=symbol, error=error, last_part=True, symbols_total=total, attempts=1)


def answer_each(job: v1.ProcessingJob, context: grpc.ServicerContext) -> Iterator[v1.ProcessingResult]:
    """Answers every symbol with three rows, and symbols named NOPE with an error."""
    for done, symbol in enumerate(job.symbols, start=1):
        total = len(job.symbols)
        result = failed(symbol, total=total) if symbol == "NOPE" else rows(symbol, [1.0, 2.0, float(done)], total=total)
        result.job_id, result.sequence, result.symbols_done = job.job_id or "made-1", done, done
        yield result


def passed(
    *symbols: str,
    total: int = 0,
    done: int = 0,
    failures: Mapping[str, str] | None = None,
    signal: str = "",
    last: bool = False,
    **columns: list[float],
) -> v1.ScreenResponse:
    """One message of a screen, as of 2012-01-01: symbols with their columns, of which one may be a signal.

    Every symbol that is sent or failed counts as done unless `done` says how many are; failures have a reason each.
    """
    failures = failures or {}
    number, truth = v1.ColumnKind.COLUMN_KIND_NUMBER, v1.ColumnKind.COLUMN_KIND_SIGNAL
    response = v1.ScreenResponse(
        screen_id="made-1",
        symbols=symbols,
        symbols_total=total or len(symbols) + len(failures),
        symbols_done=done or len(symbols) + len(failures),
        symbols_passed=len(symbols),
        symbols_failed=len(failures),
        as_of_micros=[FIRST_DAY_MICROS] * len(symbols),
        columns=[
            v1.Column(name=name, kind=truth if name == signal else number, values=values)
            for name, values in columns.items()
        ],
        failures=[
            v1.ScreenFailure(symbol=symbol, error=v1.SymbolError(reason=reason, message=f"{symbol} is not there"))
            for symbol, reason in failures.items()
        ],
        last=last,
    )
    if last:
        response.info.snapshot_id = "s1"
    return response


def answer_screen(request: v1.ScreenRequest, context: grpc.ServicerContext) -> Iterator[v1.ScreenResponse]:
    """Sends every symbol but NOPE, which fails, in batches of two, then the last message without symbols."""
    names = [symbol for symbol in request.symbols if symbol != "NOPE"]
    failures = dict.fromkeys(set(request.symbols) - set(names), "UNKNOWN_SYMBOL")
    total = len(names) + len(failures)
    for first in range(0, len(names), 2):
        batch = names[first : first + 2]
        values = [float(first + number) for number in range(len(batch))]
        response = passed(*batch, value=values, total=total, done=first + len(batch))
        response.symbols_passed = first + len(batch)
        yield response
    end = passed(total=total, done=total, failures=failures, last=True)
    end.symbols_passed = len(names)
    yield end


def rich_status(
    code: grpc.StatusCode,
    message: str,
    *,
    violations: list[tuple[str, str, str]] | None = None,
    reason: str = "",
    metadata: Mapping[str, str] | None = None,
    retry_after: float | None = None,
) -> Any:
    """A status with the details that Candelabra's server sends; for `context.abort_with_status`."""
    details = []
    if violations:
        bad_request = error_details_pb2.BadRequest()
        for path, description, cause in violations:
            bad_request.field_violations.add(field=path, description=description, reason=cause)
        details.append(bad_request)
    if reason:
        details.append(error_details_pb2.ErrorInfo(reason=reason, domain="candelabra", metadata=dict(metadata or {})))
    if retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(int(retry_after * 1_000))
        details.append(retry)
    packed = []
    for detail in details:
        entry = any_pb2.Any()
        entry.Pack(detail)
        packed.append(entry)
    status = status_pb2.Status(code=getattr(code_pb2, code.name), message=message, details=packed)
    return rpc_status.to_status(status)


@dataclass
class Script:
    """What the server does.

    Attributes:
        answers: one for each time a job comes in; the last one is used from then on.
        stored: what ListSymbols knows, two a page.
        screen_answers: the same for screens.
        jobs: the jobs that came in.
        screens: the screens that came in.
        queries: the ListSymbols requests that came in.
        metadata: the metadata of the last job.
        ended: set when the call of a job or screen is over, however it ended.
    """

    answers: list[Answer] = field(default_factory=lambda: [answer_each])
    stored: list[v1.StoredSymbol] = field(default_factory=list)
    screen_answers: list[ScreenAnswer] = field(default_factory=lambda: [answer_screen])
    jobs: list[v1.ProcessingJob] = field(default_factory=list)
    screens: list[v1.ScreenRequest] = field(default_factory=list)
    queries: list[v1.ListSymbolsRequest] = field(default_factory=list)
    metadata: dict[str, str | bytes] = field(default_factory=dict)
    ended: threading.Event = field(default_factory=threading.Event)


class _Processing(processing_pb2_grpc.ProcessingServiceServicer):
    def __init__(self, script: Script) -> None:
        self.script = script

    def Process(self, request, context):  # noqa: N802 - gRPC's name
        self.script.metadata = dict(context.invocation_metadata())
        self.script.jobs.append(request)
        context.add_callback(self.script.ended.set)
        answer = self.script.answers[min(len(self.script.jobs), len(self.script.answers)) - 1]
        yield from answer(request, context)

    def Screen(self, request, context):  # noqa: N802 - gRPC's name
        self.script.screens.append(request)
        context.add_callback(self.script.ended.set)
        answer = self.script.screen_answers[min(len(self.script.screens), len(self.script.screen_answers)) - 1]
        yield from answer(request, context)

    def GetServerInfo(self, request, context):  # noqa: N802 - gRPC's name
        return v1.GetServerInfoResponse(
            version="0.1.0",
            workers=2,
            timeframes=[v1.StoredTimeframe(timeframe="1d", symbol_count=len(self.script.stored))],
            max_symbols_per_job=10_000,
            max_expression_length=16_384,
            max_jobs=100,
            symbol_time_limit_millis=60_000,
            job_time_limit_millis=3_600_000,
            start_time_micros=FIRST_DAY_MICROS,
        )


class _Candles(candles_pb2_grpc.CandleServiceServicer):
    def __init__(self, script: Script) -> None:
        self.script = script

    def ListSymbols(self, request, context):  # noqa: N802 - gRPC's name
        self.script.queries.append(request)
        if request.timeframe not in {"", "1d"}:
            context.abort_with_status(
                rich_status(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    "no candles of timeframe 7m are stored",
                    violations=[("timeframe", "no candles of timeframe 7m are stored; stored are: 1d", "")],
                    reason="TIMEFRAME_NOT_STORED",
                    metadata={"timeframe": "7m"},
                )
            )
        first = int(request.page_token or 0)
        following = str(first + 2) if first + 2 < len(self.script.stored) else ""
        return v1.ListSymbolsResponse(symbols=self.script.stored[first : first + 2], next_page_token=following)


def stored(*symbols: str) -> list[v1.StoredSymbol]:
    """Stored symbols with three daily candles each."""
    return [
        v1.StoredSymbol(
            symbol=symbol,
            timeframe="1d",
            candle_count=3,
            first_open_time_micros=FIRST_DAY_MICROS,
            last_open_time_micros=FIRST_DAY_MICROS + 2 * MICROS_PER_DAY,
            fields=["close", "high", "low", "open", "volume"],
        )
        for symbol in symbols
    ]


@contextmanager
def serving(script: Script | None = None, *, port: int = 0) -> Iterator[str]:
    """Runs the server; gives its address."""
    script = script or Script()
    server = grpc.server(ThreadPoolExecutor(max_workers=8), options=[("grpc.so_reuseport", 0)])
    processing_pb2_grpc.add_ProcessingServiceServicer_to_server(_Processing(script), server)
    candles_pb2_grpc.add_CandleServiceServicer_to_server(_Candles(script), server)
    status = health.HealthServicer()
    status.set("candelabra.v1.ProcessingService", health_pb2.HealthCheckResponse.NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield f"127.0.0.1:{bound}"
    finally:
        server.stop(grace=None).wait()
