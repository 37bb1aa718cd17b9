"""The client for ordinary code and threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc
from google.protobuf.message import Message

from candelabra import v1
from candelabra_client import _exchange, _formulas
from candelabra_client._base_client import BaseClient
from candelabra_client._exchange import Exchange, UnaryCall, listed_formulas
from candelabra_client._health import HealthStatus
from candelabra_client._job import Job
from candelabra_client._request import CompatName, JobArguments, build_formula
from candelabra_client._run import JobRun
from candelabra_client._screen import Screen
from candelabra_client._screen_run import ScreenRun
from candelabra_client._server import ServerInfo, StoredSymbol

__all__ = ["Client"]

_T = TypeVar("_T")


class Client(BaseClient[Job, Screen, grpc.Channel]):
    """A connection to one Candelabra server.

        with Client("127.0.0.1:50051") as client:
            for result in client.process("AAPL", timeframe="1d", formula="sma(close, 20)"):
                print(result.symbol, result["value"])

    Any number of threads may use one client, and any number of jobs may run at the same time. Closing it
    cancels what is still running; a closed client raises ClientClosed.
    """

    _channel: grpc.Channel | None = None
    _lock = threading.Lock()  # guards the making of any client's channel, which is quick

    def __enter__(self) -> Self:
        self._check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection and cancels what is still running; a second call does nothing."""
        with self._lock:
            self._closed = True
            channel, self._channel = self._channel, None
        self._close_streams()
        if channel is not None and self._given_channel is None:
            channel.close()

    def list_symbols(
        self, symbols: str | Iterable[str] | None = None, *, timeframe: str | None = None
    ) -> list[StoredSymbol]:
        """Returns what the server stores, sorted by timeframe (shortest first), then symbol.

        Args:
            symbols: only what matches these names or patterns. Default: all.
            timeframe: only this one. Default: all.

        Raises:
            CallError: the call did not succeed; InvalidRequest for a timeframe that is not stored.
        """
        return self._finish(_exchange.stored_symbols(symbols, timeframe=timeframe))

    def explain(self, symbols: str | Iterable[str], **job: Unpack[JobArguments]) -> v1.ExplainJobResponse:
        """Returns what a job would do, or everything that is wrong with it; runs nothing.

        Args:
            symbols: as for `process`.
            **job: as for `process`.

        Raises:
            CallError: the call did not succeed. A job that cannot run is an answer, not an error.
        """
        return self._finish(_formulas.explained(symbols, job))

    def check_formula(
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
        """Returns what a formula gives and needs, or every mistake in it; runs nothing.

        Args:
            formula: the text.
            formula_id: a saved or built-in formula, in place of `formula`.
            parameters: values of its parameters.
            timeframe: of the candles that it is meant for. Default: `1d`.
            allow_lookahead: as for `process`.
            compat: as for `process`.
            float32_fields: as for `process`.

        Raises:
            NotFound: there is no formula of this id.
            CallError: the call did not succeed. A mistake in the formula is an answer, not an error.
        """
        request = _formulas.check_request(
            build_formula(formula, formula_id=formula_id, compat=compat, float32_fields=float32_fields),
            parameters=parameters,
            timeframe=timeframe,
            allow_lookahead=allow_lookahead,
        )
        return self._finish(_formulas.checked(request))

    def functions(self, pattern: str = "", *, family: str = "") -> list[v1.FunctionDescription]:
        """Returns the functions of the language.

        Args:
            pattern: only those whose name matches (`*` and `?`), or whose name or summary contains it.
            family: only those of this family, for example `Qlib`.

        Raises:
            CallError: the call did not succeed.
        """
        return self._finish(_formulas.functions(pattern, family))

    def create_formula(self, formula: v1.SavedFormula) -> v1.SavedFormula:
        """Saves a new formula and returns it with version and etag.

        Raises:
            AlreadyExists: the id is in use.
            InvalidRequest: something is wrong with it; has every violation.
            CallError: the call did not succeed.
        """
        return self._finish(_formulas.created(formula))

    def get_formula(self, formula_id: str) -> v1.SavedFormula:
        """Returns a formula: the newest version, or the one that `trend@3` pins; raises NotFound, CallError."""
        return self._finish(_formulas.got(formula_id))

    def list_formulas(self, pattern: str = "") -> list[v1.SavedFormula]:
        """Returns the newest versions of all formulas whose id matches, built-in ones included, sorted by id.

        Raises:
            CallError: the call did not succeed.
        """
        return self._finish(listed_formulas(pattern))

    def update_formula(self, formula: v1.SavedFormula) -> v1.SavedFormula:
        """Saves a new version, whole as it is given, and returns it.

        Raises:
            Aborted: it has an etag, and somebody else has changed the formula since.
            NotFound: there is no such formula.
            InvalidRequest: something is wrong with it; has every violation.
            CallError: the call did not succeed.
        """
        return self._finish(_formulas.updated(formula))

    def delete_formula(self, formula_id: str, *, etag: str = "") -> None:
        """Removes a formula's name; versions that others pin stay readable. Raises as `update_formula` does."""
        self._finish(_formulas.deleted(formula_id, etag))

    def server_info(self) -> ServerInfo:
        """Returns the server's description of itself; raises CallError."""
        return self._finish(_exchange.server_info())

    def health(self, service: str = "") -> HealthStatus:
        """Returns whether the server takes requests.

        Args:
            service: a service by its full name. Default: the server as a whole.

        Raises:
            ServerUnavailable: nobody answers.
            NotFound: the server has no such service.
        """
        return self._finish(_exchange.health(service))

    def _job(self, run: JobRun) -> Job:
        return Job(run, open_stream=self._open_stream, carry_out=self._carry_out)

    def _screen(self, run: ScreenRun) -> Screen:
        return Screen(run, open_stream=self._open_stream, carry_out=self._carry_out)

    def _finish(self, exchange: Exchange[_T]) -> _T:
        try:
            call = next(exchange)
            while True:
                call = exchange.send(self._repeat(call))
        except StopIteration as end:
            result: _T = end.value
            return result

    def _repeat(self, call: UnaryCall) -> bytes:
        """Makes a call as often as the policy says; raises CallError."""
        attempts = self._call_attempts(None)
        while True:
            try:
                return self._make(call, attempts.remaining_seconds())
            except grpc.RpcError as error:
                delay = attempts.fail(error, may_repeat=call.may_repeat)
            time.sleep(delay)

    def _carry_out(self, exchange: Exchange[_T], at_most: float | None) -> _T:
        """Makes each call of an exchange once, within the client's timeout and `at_most`; raises grpc.RpcError."""
        try:
            call = next(exchange)
            while True:
                call = exchange.send(self._make(call, self._call_attempts(at_most).remaining_seconds()))
        except StopIteration as end:
            result: _T = end.value
            return result

    def _make(self, call: UnaryCall, timeout_seconds: float | None) -> bytes:
        method: Any = self._open_channel().unary_unary(call.method)
        response: bytes = method(call.request, timeout=timeout_seconds, metadata=self._metadata)
        return response

    def _open_stream(self, path: str, request: Message, timeout_seconds: float | None) -> Any:  # noqa: ANN401
        """Sends a job or a screen; returns grpc's call, an iterator of encoded messages."""
        method: Any = self._open_channel().unary_stream(path, request_serializer=type(request).SerializeToString)
        return method(request, timeout=timeout_seconds, metadata=self._metadata)

    def _open_channel(self) -> grpc.Channel:
        with self._lock:
            self._check_open()
            if self._channel is None:
                self._channel = self._given_channel or self._make_channel()
            return self._channel

    def _make_channel(self) -> grpc.Channel:
        options = self._channel_options()
        if self._credentials is None:
            return grpc.insecure_channel(self.address, options=options)
        return grpc.secure_channel(self.address, self._credentials, options=options)
