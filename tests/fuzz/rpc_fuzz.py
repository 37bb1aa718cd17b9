"""Sends what no client would to every RPC of a real server: `python -m fuzz.rpc_fuzz --seconds 60 --seed 1`.

1. The server's own reflection names the services; their descriptors tell the methods. A new RPC needs no line here.
2. A request is random bytes, a message with hostile values (messages.py), or an encoded one with changes (wire.py).
3. Each call has a deadline; what is answered is judged (answers.py), and so are the server's log and its workers.

Exits with 1 when anything was found. What was sent then is in `.fuzz/rpc`; `python -m fuzz.rpc_fuzz FILE…` sends it
again.
"""

import argparse
import asyncio
import gc
import hashlib
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import grpc
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pool import Default
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from candelabra.v1 import CreateFormulaRequest, GetServerInfoRequest, ParameterDeclaration, SavedFormula
from candelabra.v1.formulas_pb2_grpc import FormulaServiceStub
from candelabra.v1.processing_pb2_grpc import ProcessingServiceStub
from candelabra_server.processing.executors.local_pool import worker_processes
from candelabra_server.processing.processing_engine import ProcessingEngine
from fuzz.answers import Answer, faults_of
from fuzz.messages import message_for
from fuzz.wire import mutated, random_bytes
from support.jobs import job
from support.memory_repository import MemorySnapshot
from support.server import serving

FOLDER = Path(__file__).resolve().parents[2] / ".fuzz" / "rpc"
SYMBOLS = ("A", "AA", "AB", "B[C]", *(f"S{number:02}" for number in range(20)))
KINDS = ("bytes", "hostile", "plausible", "mutated")
CALL_SECONDS = 30.0
"""For one call: far more than any of them takes."""
_AT_ONCE = 4
_MOST_READ = 8
_SHARE_OF_CUTS = 0.15
_ENDLESS = {"/grpc.health.v1.Health/Watch"}
"""Go on until their client leaves."""
_CLIENTS_OWN_STATUS = (grpc.StatusCode.INTERNAL, "Internal error from Core")
"""What grpc's client makes up when the server ends a call to which it is still writing."""
_MOST_REQUESTS = 4
_LONGEST_FAULT = 600


@dataclass(frozen=True)
class Method:
    """One RPC, as its descriptor has it."""

    path: str
    request: Descriptor
    response: Descriptor
    client_streaming: bool
    server_streaming: bool


@dataclass(frozen=True)
class Attempt:
    """One call to make.

    Attributes:
        method: which RPC.
        kind: how its requests were made, one of KINDS.
        requests: the encoded messages, one unless the client streams.
        read_most: after how many answers the client leaves; None to read all.
    """

    method: Method
    kind: str
    requests: tuple[bytes, ...]
    read_most: int | None = None


@dataclass
class Report:
    """What came of all calls: how many by method, kind and code, and what is wrong, with the first that showed it."""

    calls: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    faults: dict[str, Attempt | None] = field(default_factory=dict)

    def add_fault(self, fault: str, attempt: Attempt | None = None) -> None:
        self.faults.setdefault(fault[:_LONGEST_FAULT], attempt)

    def table(self) -> Iterator[str]:
        """Calls by method and by status."""
        codes = sorted({code for _, _, code in self.calls})
        methods = sorted({method for method, _, _ in self.calls})
        widest = max(map(len, methods))
        yield f"{'method':{widest}}  {'  '.join(codes)}"
        for method in methods:
            counts = {code: self._count(method, code) for code in codes}
            yield f"{method:{widest}}  {'  '.join(f'{count:{len(code)}}' for code, count in counts.items())}"
        yield f"{'all':{widest}}  {'  '.join(f'{self._count(None, code):{len(code)}}' for code in codes)}"

    def _count(self, method: str | None, code: str) -> int:
        return sum(
            number for (called, _, ended), number in self.calls.items() if method in {None, called} and ended == code
        )


async def fuzz(seed: int, *, goes_on: Callable[[int], bool]) -> Report:
    """Makes calls, whose number so far `goes_on` is told, until it says no; then looks at how the server is."""
    report = Report()
    with tempfile.TemporaryDirectory() as folder, _watching_log(report):
        async with serving(*SYMBOLS, formulas=Path(folder)) as (server, channel, engine):
            await engine.warm_up()
            await server.set_serving()
            await FormulaServiceStub(channel).CreateFormula(_trend())
            workers = _pids(engine)
            attempts = attempts_for(await methods_of(channel), seed)
            made = 0

            async def caller() -> None:
                nonlocal made
                while goes_on(made):
                    made += 1
                    await _make(channel, next(attempts), report)

            await asyncio.gather(*(caller() for _ in range(_AT_ONCE)))
            await _check_server(channel, engine, report)
            if _pids(engine) != workers:
                report.add_fault("a worker process died")
            gc.collect()  # tells what was never awaited or retrieved
    if MemorySnapshot.open_count:
        report.add_fault(f"{MemorySnapshot.open_count} snapshots of the store are still open")
    return report


async def methods_of(channel: grpc.aio.Channel) -> list[Method]:
    """Every method of every service that the server's reflection lists."""
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = [response async for response in stub.ServerReflectionInfo(iter([request]))]
    return [
        Method(
            path=f"/{service.name}/{method.name}",
            request=method.input_type,
            response=method.output_type,
            client_streaming=method.client_streaming,
            server_streaming=method.server_streaming,
        )
        for service in answer.list_services_response.service
        for method in Default().FindServiceByName(service.name).methods
    ]


def attempts_for(methods: Sequence[Method], seed: int) -> Iterator[Attempt]:
    """Calls without end, the same ones for the same seed: all methods in turn, with all kinds of requests."""
    random = Random(seed)
    while True:
        for kind in KINDS:
            for method in methods:
                count = random.randint(0, _MOST_REQUESTS) if method.client_streaming else 1
                read_most = None
                if method.path in _ENDLESS:
                    read_most = 1
                elif method.server_streaming and random.random() < _SHARE_OF_CUTS:
                    read_most = random.randint(1, _MOST_READ)
                requests = tuple(_request(method, methods, kind, random) for _ in range(count))
                yield Attempt(method, kind, requests, read_most)


def _request(method: Method, methods: Sequence[Method], kind: str, random: Random) -> bytes:
    match kind:
        case "bytes":
            return random_bytes(random)
        case "hostile":
            return message_for(method.request, random, hostility=random.choice((0.1, 0.3, 1.0)))
        case "plausible":
            return message_for(method.request, random, hostility=0.02)
    other = random.choice((method, random.choice(methods)))
    return mutated(
        message_for(method.request, random, hostility=random.choice((0.0, 0.1))),
        message_for(other.request, random, hostility=0.1),
        random,
    )


async def _make(channel: grpc.aio.Channel, attempt: Attempt, report: Report) -> None:
    method = attempt.method
    answer = await _answer(channel, attempt)
    if method.client_streaming and (answer.code, answer.message) == _CLIENTS_OWN_STATUS:
        answer = replace(answer, code=grpc.StatusCode.CANCELLED, was_cut=True)
    report.calls[method.path, attempt.kind, answer.code.name] += 1
    response_type, sent = GetMessageClass(method.response), b"\0".join(attempt.requests)
    for fault in faults_of(answer, method=method.path, response_type=response_type, sent=sent):
        report.add_fault(f"{method.path} {fault}", attempt)


async def _answer(channel: grpc.aio.Channel, attempt: Attempt) -> Answer:
    method, responses, was_cut = attempt.method, [], False
    call: Any
    if method.client_streaming:
        stream: Any = channel.stream_stream(method.path)
        call = stream(iter(attempt.requests), timeout=CALL_SECONDS)
    else:
        single: Any = channel.unary_stream(method.path)
        call = single(attempt.requests[0], timeout=CALL_SECONDS)
    try:
        async for response in call:
            responses.append(response)
            if attempt.read_most is not None and len(responses) >= attempt.read_most:
                was_cut = call.cancel()
                break
    except (grpc.aio.AioRpcError, asyncio.CancelledError):
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise
    return Answer(
        code=await call.code(),
        message=await call.details() or "",
        trailers=tuple(await call.trailing_metadata() or ()),
        responses=responses,
        was_cut=was_cut,
    )


async def _check_server(channel: grpc.aio.Channel, engine: ProcessingEngine, report: Report) -> None:
    """Whether the server is as well as before."""
    health = health_pb2_grpc.HealthStub(channel)
    stub = ProcessingServiceStub(channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(service=""), timeout=CALL_SECONDS)
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        report.add_fault("health does not say SERVING any more")
    results = [result async for result in stub.Process(job("*", "sma(close, 5)"), timeout=CALL_SECONDS)]
    if sorted(result.symbol for result in results if not result.HasField("error")) != sorted(SYMBOLS):
        report.add_fault("a normal job is not done any more")
    async with asyncio.timeout(CALL_SECONDS):
        while (await stub.GetServerInfo(GetServerInfoRequest())).active_jobs:
            await asyncio.sleep(0.01)
    if engine._pool.generation != 1:
        report.add_fault(f"the pool of workers was replaced {engine._pool.generation - 1} times")


def _pids(engine: ProcessingEngine) -> list[int | None]:
    executor = engine._executor
    return [process.pid for process in worker_processes(executor)] if executor else []


@contextmanager
def _watching_log(report: Report) -> Iterator[None]:
    """Errors that anything logs are faults, with the exception that they tell."""

    class Watch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            error = record.exc_info[1] if record.exc_info else None
            report.add_fault(f"logged by {record.name}: {record.getMessage()}" + (f": {error!r}" if error else ""))

    watch = Watch(level=logging.ERROR)
    logging.getLogger().addHandler(watch)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(watch)


def _trend() -> CreateFormulaRequest:
    parameters = [ParameterDeclaration(name="days", minimum=2, maximum=50), ParameterDeclaration(name="scale")]
    parameters[1].default_value = 1.0
    formula = SavedFormula(id="trend", expression="sma(close, days) * scale", parameters=parameters)
    return CreateFormulaRequest(formula=formula)


def _save(attempt: Attempt) -> Path:
    """Writes down what was sent: the method's path, how many answers were read, and each request in hexadecimal."""
    lines = [attempt.method.path, str(attempt.read_most or 0), *(request.hex() for request in attempt.requests)]
    text = "\n".join(lines)
    path = FOLDER / hashlib.sha256(text.encode()).hexdigest()[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


async def _repeat(paths: Sequence[Path]) -> Report:
    report = Report()
    with tempfile.TemporaryDirectory() as folder, _watching_log(report):
        async with serving(*SYMBOLS, formulas=Path(folder)) as (server, channel, _engine):
            await server.set_serving()
            await FormulaServiceStub(channel).CreateFormula(_trend())
            methods = {method.path: method for method in await methods_of(channel)}
            for path in paths:
                name, read_most, *requests = path.read_text().split("\n")
                sent = tuple(map(bytes.fromhex, requests))
                await _make(channel, Attempt(methods[name], "saved", sent, int(read_most) or None), report)
    return report


def main() -> int:
    """Fuzzes for some seconds, or sends what was saved once more; 1 when anything was found."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.rpc_fuzz", description="Fuzzes every RPC of a server.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("files", nargs="*", type=Path, help="saved calls: only make these again")
    arguments = parser.parse_args()
    if arguments.files:
        report = asyncio.run(_repeat(arguments.files))
    else:
        _say(f"fuzzing for {arguments.seconds:g} s with seed {arguments.seed}")
        end = time.monotonic() + arguments.seconds
        report = asyncio.run(fuzz(arguments.seed, goes_on=lambda _made: time.monotonic() < end))
    for line in report.table():
        _say(line)
    for fault, attempt in report.faults.items():
        _say(f"FOUND {fault}" + (f"\n  {_save(attempt)}" if attempt else ""))
    _say(f"{sum(report.calls.values()):,} calls, {len(report.faults)} kinds of faults, seed {arguments.seed}")
    return int(bool(report.faults))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
