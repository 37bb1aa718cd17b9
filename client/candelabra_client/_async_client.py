"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc
import grpc.aio
from google.protobuf.message import Message

from candelabra import v1
from candelabra_client import _exchange, _formulas
from candelabra_client._base_client import BaseClient
from candelabra_client._exchange import Exchange, UnaryCall, listed_formulas
from candelabra_client._health import HealthStatus
from candelabra_client._job import AsyncJob
from candelabra_client._request import CompatName, JobArguments, build_formula
from candelabra_client._run import JobRun
from candelabra_client._screen import AsyncScreen
from candelabra_client._screen_run import ScreenRun
from candelabra_client._server import ServerInfo, StoredSymbol

__all__ = ["AsyncClient"]

_T = TypeVar("_T")


class AsyncClient(BaseClient[AsyncJob, AsyncScreen, grpc.aio.Channel]):
    """The same as `Client`, for asyncio.

        async with AsyncClient("127.0.0.1:50051") as client:
            async for result in client.process("AAPL", timeframe="1d", formula="sma(close, 20)"):
                print(result.symbol, result["value"])

    It belongs to the event loop in which it is first used; any number of tasks there may use it.
    """

    _channel: grpc.aio.Channel | None = None

    async def __aenter__(self) -> Self:
        self._check_open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection and cancels what is still running; a second call does nothing."""
        self._closed = True
        self._close_streams()
        channel, self._channel = self._channel, None
        if channel is not None and self._given_channel is None:
            await channel.close()

    async def list_symbols(
        self, symbols: str | Iterable[str] | None = None, *, timeframe: str | None = None
    ) -> list[StoredSymbol]:
        """Returns what the server stores; see `Client.list_symbols`."""
        return await self._finish(_exchange.stored_symbols(symbols, timeframe=timeframe))

    async def explain(self, symbols: str | Iterable[str], **job: Unpack[JobArguments]) -> v1.ExplainJobResponse:
        """Returns what a job would do; see `Client.explain`."""
        return await self._finish(_formulas.explained(symbols, job))

    async def check_formula(
        self,
        formula: str | None = None,
        *,
        formula_id: str | None = None,
        parameters: Mapping[str, float] | None = None,
        timeframe: str = "",
        allow_lookahead: bool = False,
        compat: CompatName | None = None,
        float32_fields: bool = False,
    ) -> v1.CheckFormulaResponse:
        """Returns what a formula gives and needs, or every mistake in it; see `Client.check_formula`."""
        request = _formulas.check_request(
            build_formula(formula, formula_id=formula_id, compat=compat, float32_fields=float32_fields),
            parameters=parameters,
            timeframe=timeframe,
            allow_lookahead=allow_lookahead,
        )
        return await self._finish(_formulas.checked(request))

    async def functions(self, pattern: str = "", *, family: str = "") -> list[v1.FunctionDescription]:
        """Returns the functions of the language; see `Client.functions`."""
        return await self._finish(_formulas.functions(pattern, family))

    async def create_formula(self, formula: v1.SavedFormula) -> v1.SavedFormula:
        """Returns a new formula as it was saved; see `Client.create_formula`."""
        return await self._finish(_formulas.created(formula))

    async def get_formula(self, formula_id: str) -> v1.SavedFormula:
        """Returns a formula; see `Client.get_formula`."""
        return await self._finish(_formulas.got(formula_id))

    async def list_formulas(self, pattern: str = "") -> list[v1.SavedFormula]:
        """Returns the newest versions of all formulas; see `Client.list_formulas`."""
        return await self._finish(listed_formulas(pattern))

    async def update_formula(self, formula: v1.SavedFormula) -> v1.SavedFormula:
        """Returns a new version as it was saved; see `Client.update_formula`."""
        return await self._finish(_formulas.updated(formula))

    async def delete_formula(self, formula_id: str, *, etag: str = "") -> None:
        """Removes a formula's name; see `Client.delete_formula`."""
        await self._finish(_formulas.deleted(formula_id, etag))

    async def server_info(self) -> ServerInfo:
        """Returns the server's description of itself; raises CallError."""
        return await self._finish(_exchange.server_info())

    async def health(self, service: str = "") -> HealthStatus:
        """Returns whether the server takes requests; see `Client.health`."""
        return await self._finish(_exchange.health(service))

    def _job(self, run: JobRun) -> AsyncJob:
        return AsyncJob(run, open_stream=self._open_stream, carry_out=self._carry_out)

    def _screen(self, run: ScreenRun) -> AsyncScreen:
        return AsyncScreen(run, open_stream=self._open_stream, carry_out=self._carry_out)

    async def _finish(self, exchange: Exchange[_T]) -> _T:
        try:
            call = next(exchange)
            while True:
                call = exchange.send(await self._repeat(call))
        except StopIteration as end:
            result: _T = end.value
            return result

    async def _repeat(self, call: UnaryCall) -> bytes:
        """Makes a call as often as the policy says; raises CallError."""
        attempts = self._call_attempts(None)
        while True:
            try:
                return await self._make(call, attempts.remaining_seconds())
            except grpc.RpcError as error:
                delay = attempts.fail(error, may_repeat=call.may_repeat)
            await asyncio.sleep(delay)

    async def _carry_out(self, exchange: Exchange[_T], at_most: float | None) -> _T:
        """Makes each call of an exchange once, within the client's timeout and `at_most`; raises grpc.RpcError."""
        try:
            call = next(exchange)
            while True:
                call = exchange.send(await self._make(call, self._call_attempts(at_most).remaining_seconds()))
        except StopIteration as end:
            result: _T = end.value
            return result

    async def _make(self, call: UnaryCall, timeout_seconds: float | None) -> bytes:
        method: Any = self._open_channel().unary_unary(call.method)
        response: bytes = await method(call.request, timeout=timeout_seconds, metadata=self._metadata)
        return response

    def _open_stream(self, path: str, request: Message, timeout_seconds: float | None) -> Any:  # noqa: ANN401
        """Sends a job or a screen; returns grpc's call, an asynchronous iterator of encoded messages."""
        method: Any = self._open_channel().unary_stream(path, request_serializer=type(request).SerializeToString)
        return method(request, timeout=timeout_seconds, metadata=self._metadata)

    def _open_channel(self) -> grpc.aio.Channel:
        self._check_open()
        if self._channel is None:
            self._channel = self._given_channel or self._make_channel()
        return self._channel

    def _make_channel(self) -> grpc.aio.Channel:
        options = self._channel_options()
        if self._credentials is None:
            return grpc.aio.insecure_channel(self.address, options=options)
        return grpc.aio.secure_channel(self.address, self._credentials, options=options)
