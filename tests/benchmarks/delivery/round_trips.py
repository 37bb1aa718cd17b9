"""Jobs of one symbol, one after the other, idle and while a large job runs, beside an echo of as many bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.delivery.bare_server import ECHO, STREAM
from benchmarks.delivery.client import PROCESS, Client
from benchmarks.delivery.findings import OURS, Findings, Subject
from benchmarks.delivery.helper_process import HelperError, HelperProcess
from benchmarks.delivery.jobs import CLOSE, alpha158_job, formula_job
from benchmarks.delivery.running_server import RunningServer
from benchmarks.delivery.sizes import DeliverySizes
from benchmarks.delivery.stores import candle_store, open_days, symbol_names
from benchmarks.market_arrays import market_arrays, open_field
from benchmarks.promises import within
from benchmarks.sizes import Shape

__all__ = ["measure_round_trips"]

ECHOED = "bare grpc.aio echo"
BARE = "bare grpc.aio stream"
MEDIAN = "ms (p50)"
SLOWEST = "ms (p99)"
FIRST = "ms"
_CANDLES = 250
_WINDOW = 20
_FORMULA = f"sma(close, {_WINDOW})"
_IDLE_SECONDS = 10.0
_START_SECONDS = 60.0
_TIMES_ECHO = 3.0
_ADDED_MILLIS = 30.0
_FIRST_RUNS = 5
"""At least, since they are quick."""
_LOADED_LONGER_SECONDS = 1.0
"""The load begins before the round trips, by less than this, and ends after them."""


_Call = tuple[str, str, bytes]
"""Address, method and request."""


@dataclass(frozen=True, slots=True)
class _Parties:
    """Who takes part; all of them run.

    Attributes:
        server: over many symbols.
        bare_address: of the server that echoes.
        client: whose calls are timed.
        crowd: another client, which reads the large job.
    """

    server: RunningServer
    bare_address: str
    client: Client
    crowd: Client


def measure_round_trips(findings: Findings, sizes: DeliverySizes, *, runs: int) -> None:
    """Latencies of whole jobs, and of the first message of a large one."""
    shape = sizes.many
    with ExitStack() as stack:
        bare = stack.enter_context(HelperProcess("benchmarks.delivery.bare_server"))
        parties = _Parties(
            server=stack.enter_context(RunningServer(candle_store(shape))),
            bare_address=bare.answer(seconds=_START_SECONDS)["address"],
            client=stack.enter_context(Client()),
            crowd=stack.enter_context(Client()),
        )
        request = _one_symbol(shape)
        _check(parties, request, shape)
        size = parties.client.stream(parties.server.address, PROCESS, request).bytes
        echo = json.dumps({"size": size}).encode().ljust(len(request))
        _measure_first(findings, parties, shape, runs)
        work = f"round trip, 1 symbol, {_CANDLES} candles"
        calls: dict[str, _Call] = {
            OURS: (parties.server.address, PROCESS, request),
            ECHOED: (parties.bare_address, ECHO, echo),
        }
        idle = {subject: partial(_idle, parties, call, sizes) for subject, call in calls.items()}
        findings.measure(f"{work}, idle", idle, runs=runs)
        loaded = {subject: partial(_under_load, parties, call, sizes) for subject, call in calls.items()}
        findings.measure(f"{work}, under load", loaded, runs=runs)
    _promise(findings, f"{work}, idle", f"{work}, under load")
    findings.show("Round trips")


def _measure_first(findings: Findings, parties: _Parties, shape: Shape, runs: int) -> None:
    """From sending a job over all symbols to its first message."""
    client = parties.client
    for title, job in (("Alpha158", alpha158_job()), (CLOSE, formula_job(CLOSE, last_n=1))):
        request = job.SerializeToString()
        warm = client.stream(parties.server.address, PROCESS, request, with_sizes=True, only_first=True)
        bare = json.dumps({"sizes": warm.sizes}).encode()
        subjects = {
            OURS: _first(client, parties.server.address, PROCESS, request),
            BARE: _first(client, parties.bare_address, STREAM, bare),
        }
        findings.measure(f"first message of {shape.symbols:,} symbols, {title}", subjects, runs=max(runs, _FIRST_RUNS))


def _first(client: Client, address: str, method: str, request: bytes) -> Subject:
    return lambda: {FIRST: 1_000 * client.stream(address, method, request, only_first=True).first_seconds}


def _idle(parties: _Parties, call: _Call, sizes: DeliverySizes) -> Mapping[str, float]:
    return _percentiles(parties.client.round_trips(*call, count=sizes.round_trips, limit_seconds=_IDLE_SECONDS))


def _under_load(parties: _Parties, call: _Call, sizes: DeliverySizes) -> Mapping[str, float]:
    """While the other client reads all columns of all symbols, again and again."""
    crowd, seconds = parties.crowd, sizes.loaded_seconds
    load = alpha158_job().SerializeToString()
    crowd.begin_crowd(parties.server.address, PROCESS, load, clients=1, seconds=seconds + _LOADED_LONGER_SECONDS)
    try:
        latencies = parties.client.round_trips(*call, count=sizes.round_trips, limit_seconds=seconds)
        if crowd.has_answered():
            raise HelperError("the load was over before the round trips were")
    finally:
        crowd.end_crowd()
    return _percentiles(latencies)


def _percentiles(seconds: Sequence[float]) -> Mapping[str, float]:
    millis = 1_000 * np.array(seconds)
    return {MEDIAN: float(np.percentile(millis, 50)), SLOWEST: float(np.percentile(millis, 99))}


def _check(parties: _Parties, request: bytes, shape: Shape) -> None:
    """The values are the moving averages of what the files have."""
    (name,) = symbol_names(shape)[:1]
    found = parties.client.columns(parties.server.address, request)[name]["value"]
    close = open_field(market_arrays(shape), "close")[0, -_CANDLES - _WINDOW + 1 :]
    expected = np.lib.stride_tricks.sliding_window_view(close, _WINDOW).mean(axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def _one_symbol(shape: Shape) -> bytes:
    (first_day,) = open_days(shape)[-_CANDLES:][:1]
    return formula_job(_FORMULA, symbols=symbol_names(shape)[:1], start=first_day).SerializeToString()


def _promise(findings: Findings, idle: str, loaded: str) -> None:
    idle_slowest = findings.value(idle, OURS, SLOWEST)
    findings.promises += [
        within(
            f"{loaded}: the slowest hundredth takes at most {_ADDED_MILLIS:.0f} ms more than idle",
            (idle_slowest or 0.0) + _ADDED_MILLIS,
            found=findings.value(loaded, OURS, SLOWEST) if idle_slowest else None,
            unit="ms",
        ),
        within(
            f"{idle}: at most {_TIMES_ECHO:.0f} times the echo",
            _TIMES_ECHO * (findings.value(idle, ECHOED, MEDIAN) or 0.0),
            found=findings.value(idle, OURS, MEDIAN) if findings.value(idle, ECHOED, MEDIAN) else None,
            unit="ms",
        ),
    ]
