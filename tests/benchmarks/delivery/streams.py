"""Large results in MB/s and small ones in messages/s, beside the same messages from a bare stream, and Arrow Flight."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from benchmarks.delivery.bare_server import STREAM
from benchmarks.delivery.client import PROCESS, Client, Streamed
from benchmarks.delivery.findings import OURS, Findings, Subject
from benchmarks.delivery.helper_process import HelperProcess
from benchmarks.delivery.jobs import CLOSE, SCALED, SCALED_COLUMNS, alpha158_job, formula_job, scale
from benchmarks.delivery.running_server import RunningServer
from benchmarks.delivery.sizes import DeliverySizes
from benchmarks.delivery.stores import candle_store, symbol_names
from benchmarks.feature_sets import ALPHA158
from benchmarks.market_arrays import market_arrays, open_field
from benchmarks.promises import at_least
from benchmarks.sizes import Shape

__all__ = ["measure_large_results", "measure_small_results"]

BARE = "bare grpc.aio stream"
FLIGHT = "Arrow Flight"
MEGABYTES = "MB/s"
MESSAGES = "messages/s"
_ALPHA158_STEP = 4
"""Every fourth symbol is about as many bytes as all of them in the cheap columns."""
_CHECKED_SYMBOLS = 2
_PART = 0.8
_START_SECONDS = 60.0


def measure_large_results(findings: Findings, sizes: DeliverySizes, *, runs: int) -> None:
    """Messages of about 1 MiB, from a formula that costs next to nothing, and from Alpha158."""
    shape = sizes.long
    with (
        RunningServer(candle_store(shape)) as server,
        HelperProcess("benchmarks.delivery.bare_server") as bare,
        HelperProcess("benchmarks.delivery.flight_server") as flight,
        Client() as client,
    ):
        bare_address = bare.answer(seconds=_START_SECONDS)["address"]
        flight_address = flight.answer(seconds=_START_SECONDS)["address"]
        _check_scaled(client, server.address, shape)
        some = symbol_names(shape)[::_ALPHA158_STEP]
        cheap = f"large results, {shape}, {SCALED_COLUMNS} cheap columns"
        for work, job, symbols, columns in (
            (cheap, formula_job(SCALED), shape.symbols, SCALED_COLUMNS),
            (
                f"large results, {Shape(len(some), shape.rows)}, Alpha158",
                alpha158_job(symbols=some),
                len(some),
                len(ALPHA158.columns),
            ),
        ):
            request = job.SerializeToString()
            warm = client.stream(server.address, PROCESS, request, with_sizes=True)
            ticket = json.dumps({"batches": symbols, "columns": columns + 1, "rows": shape.rows}).encode()
            client.flight(flight_address, ticket)  # which makes the batches
            subjects: dict[str, Subject] = {
                OURS: partial(_streamed, client, server.address, PROCESS, request, _megabytes),
                BARE: _bare_subject(client, bare_address, warm, _megabytes),
                FLIGHT: partial(_flown, client, flight_address, ticket),
            }
            findings.measure(work, subjects, runs=runs)
    findings.promises.append(
        at_least(
            f"large results: at least {_PART} of the bare stream",
            _PART,
            ours=findings.value(cheap, OURS, MEGABYTES),
            peer=findings.value(cheap, BARE, MEGABYTES),
            unit=MEGABYTES,
        )
    )
    findings.show("Large results to a client that reads raw bytes")


def measure_small_results(findings: Findings, sizes: DeliverySizes, *, runs: int) -> None:
    """A message a symbol, with one value."""
    shape = sizes.many
    request = formula_job(CLOSE, last_n=1).SerializeToString()
    work = f"small results, {shape.symbols:,} symbols, last_n=1"
    with (
        RunningServer(candle_store(shape)) as server,
        HelperProcess("benchmarks.delivery.bare_server") as bare,
        Client() as client,
    ):
        bare_address = bare.answer(seconds=_START_SECONDS)["address"]
        _check_last(client, server.address, request, shape)
        warm = client.stream(server.address, PROCESS, request, with_sizes=True)
        subjects: dict[str, Subject] = {
            OURS: partial(_streamed, client, server.address, PROCESS, request, _messages),
            BARE: _bare_subject(client, bare_address, warm, _messages),
        }
        findings.measure(work, subjects, runs=runs)
    findings.promises.append(
        at_least(
            f"small results: at least {_PART} of the bare stream",
            _PART,
            ours=findings.value(work, OURS, MESSAGES),
            peer=findings.value(work, BARE, MESSAGES),
            unit=MESSAGES,
        )
    )
    findings.show("Small results to a client that reads raw bytes")


def _bare_subject(
    client: Client, address: str, ours: Streamed, rate: Callable[[Streamed], Mapping[str, float]]
) -> Subject:
    """Messages of the very sizes that ours have; they are made now."""
    request = json.dumps({"sizes": ours.sizes}).encode()
    client.stream(address, STREAM, request)
    return partial(_streamed, client, address, STREAM, request, rate)


def _streamed(
    client: Client, address: str, method: str, request: bytes, rate: Callable[[Streamed], Mapping[str, float]]
) -> Mapping[str, float]:
    return rate(client.stream(address, method, request))


def _flown(client: Client, address: str, ticket: bytes) -> Mapping[str, float]:
    return _megabytes(client.flight(address, ticket))


def _megabytes(streamed: Streamed) -> Mapping[str, float]:
    return {MEGABYTES: streamed.bytes / streamed.seconds / 1e6}


def _messages(streamed: Streamed) -> Mapping[str, float]:
    return {MESSAGES: streamed.messages / streamed.seconds}


def _check_scaled(client: Client, address: str, shape: Shape) -> None:
    """The first symbols' columns are the close that the files have, scaled."""
    names = symbol_names(shape)[:_CHECKED_SYMBOLS]
    found = client.columns(address, formula_job(SCALED, symbols=names).SerializeToString())
    close = open_field(market_arrays(shape), "close")
    for row, name in enumerate(names):
        for column in range(SCALED_COLUMNS):
            expected = close[row] * scale(column)
            if not np.array_equal(found[name][f"scaled_{column}"], expected):
                raise ValueError(f"scaled_{column} of {name} is not the scaled close")


def _check_last(client: Client, address: str, request: bytes, shape: Shape) -> None:
    """Every symbol's value is its last close in the files."""
    found = client.columns(address, request)
    close = open_field(market_arrays(shape), "close")
    if [found[name]["value"] for name in symbol_names(shape)] != [[value] for value in close[:, -1].tolist()]:
        raise ValueError("the values are not the last closes")
