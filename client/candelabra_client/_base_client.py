"""What `Client` and `AsyncClient` share: their options, and the arguments of jobs and screens written out once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar
from weakref import WeakSet

import grpc

from candelabra_client._attempts import Attempts
from candelabra_client._connection import (
    DEFAULT_ADDRESS,
    DEFAULT_MAX_RECEIVE_BYTES,
    ChannelOptions,
    Metadata,
    channel_options,
)
from candelabra_client._exceptions import ClientClosed
from candelabra_client._request import CompatName, DateLike, PrecisionName, build_job
from candelabra_client._retry import RetryPolicy
from candelabra_client._run import JobRun, Progress
from candelabra_client._screen_request import OrderBy, build_screen
from candelabra_client._screen_run import ScreenRun
from candelabra_client._streaming import StreamState

__all__ = ["BaseClient"]

_JobT = TypeVar("_JobT", bound=StreamState[Any])
_ScreenT = TypeVar("_ScreenT", bound=StreamState[Any])
_ChannelT = TypeVar("_ChannelT")


class BaseClient(ABC, Generic[_JobT, _ScreenT, _ChannelT]):
    """A connection to one server; see `Client`."""

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        metadata: Metadata = (),
        timeout: float | None = 30.0,
        retry: RetryPolicy | None = None,
        max_receive_bytes: int = DEFAULT_MAX_RECEIVE_BYTES,
        channel_options: ChannelOptions = (),
        channel: _ChannelT | None = None,
    ) -> None:
        """Makes the client; connects when it is first used.

        Args:
            address: `host:port`, or any other target that gRPC knows, such as `unix:/run/candelabra.sock`.
            credentials: for TLS, from `grpc.ssl_channel_credentials()`. Default: none, plain text.
            metadata: sent with every call, for example `[("authorization", "Bearer …")]`.
            timeout: seconds for every call but jobs and screens, which have a timeout of their own. None: no limit.
            retry: how often and when calls are repeated, and jobs resumed, when the server is unavailable or
                overloaded or the connection breaks. Default: `RetryPolicy()`; `RetryPolicy(max_attempts=1)`: never.
            max_receive_bytes: messages larger than this are refused.
            channel_options: further gRPC channel options; they win over the client's own.
            channel: a channel to use as it is, for example one with interceptors; the options about the
                connection do not apply to it, and closing the client leaves it open.
        """
        self.address = address
        self._credentials = credentials
        self._metadata = tuple(metadata)
        self._timeout_seconds = timeout
        self._retry = retry or RetryPolicy()
        self._max_receive_bytes = max_receive_bytes
        self._extra_channel_options = tuple(channel_options)
        self._given_channel = channel
        self._closed = False
        self._streams: WeakSet[StreamState[Any]] = WeakSet()

    def process(
        self,
        symbols: str | Iterable[str],
        *,
        timeframe: str,
        start: DateLike | None = None,
        end: DateLike | None = None,
        formula: str | None = None,
        formula_id: str | None = None,
        parameters: Mapping[str, float] | None = None,
        compat: CompatName | None = None,
        float32_fields: bool = False,
        precision: PrecisionName | None = None,
        last_n: int | None = None,
        max_message_bytes: int | None = None,
        allow_lookahead: bool = False,
        symbol_time_limit: float | None = None,
        weight: float | None = None,
        job_id: str | None = None,
        timeout: float | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> _JobT:
        """Returns a job; it is sent when its results are asked for.

        Args:
            symbols: a symbol, or several; `*` and `?` make a pattern.
            timeframe: length of a candle, such as `1m`, `1h`, `1d`.
            start: first open time, included. Text is ISO 8601; a date is 00:00 UTC; a datetime without a time
                zone is UTC. Default: the first candle.
            end: last open time, included; a date is its whole day in UTC. Default: the last candle.
            formula: what to compute. Default: nothing, the result is the candles themselves.
            formula_id: a formula saved on the server or built in, in place of `formula`; `trend@3` pins a version.
            parameters: values of the formula's parameters.
            compat: `qlib` for Qlib's own values where its operators are wrong. Default: the right ones.
            float32_fields: rounds fields to 32 bits before anything is computed from them, as Qlib's are.
            precision: `float64` or, for half the bytes, `float32`. Default: `float64`.
            last_n: only the last rows of each symbol. Default: all.
            max_message_bytes: largest message that the server may send; a larger symbol comes in parts.
            allow_lookahead: allows references to later candles: for labels, never for signals.
            symbol_time_limit: most seconds to spend on one symbol.
            weight: share of the workers relative to other jobs, 0.01 to 100. Default: 1.
            job_id: names the job in results and logs. Default: the server makes one.
            timeout: seconds for the whole job, from when it is sent. Default: no limit.
            progress: called after each symbol, by whoever iterates.

        Raises:
            TypeError: a value of the wrong type.
            ValueError: a value that its field cannot hold. All else the server checks, when the job is sent.
        """
        job = build_job(
            symbols,
            timeframe=timeframe,
            start=start,
            end=end,
            formula=formula,
            formula_id=formula_id,
            parameters=parameters,
            compat=compat,
            float32_fields=float32_fields,
            precision=precision,
            last_n=last_n,
            max_message_bytes=max_message_bytes,
            allow_lookahead=allow_lookahead,
            symbol_time_limit=symbol_time_limit,
            weight=weight,
            job_id=job_id,
        )
        new = self._job(JobRun(job, attempts=self._attempts(timeout), progress=progress))
        self._streams.add(new)
        return new

    def screen(
        self,
        formula: str | None = None,
        *,
        formula_id: str | None = None,
        symbols: str | Iterable[str] = "*",
        timeframe: str,
        as_of: DateLike | None = None,
        filter: str | None = None,  # noqa: A002 - what the message calls it
        order_by: OrderBy | None = None,
        limit: int | None = None,
        parameters: Mapping[str, float] | None = None,
        compat: CompatName | None = None,
        float32_fields: bool = False,
        weight: float | None = None,
        symbol_time_limit: float | None = None,
        screen_id: str | None = None,
        timeout: float | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> _ScreenT:
        """Returns a screen: a formula over one candle of each of many symbols; it is sent when it is asked for.

        Args:
            formula: what to compute: every output is a column.
            formula_id: a formula saved on the server or built in, in place of `formula`; `trend@3` pins a version.
            symbols: a symbol, or several; `*` and `?` make a pattern. Default: every symbol that is stored.
            timeframe: length of a candle, such as `1m`, `1h`, `1d`.
            as_of: each symbol's last candle that opened at or before this time is looked at; a date is its whole
                day in UTC. Default: the last candle that is stored.
            filter: the output that decides which symbols are sent: those for which it is neither 0 nor without a
                value. Default: the only output when it is a signal, else no filter.
            order_by: outputs to sort by, separated by commas or as several texts, each followed by ` desc` for the
                largest first; `symbol` sorts by name. Default: as symbols are done, or by name with a `limit`.
            limit: most symbols to send. Default: all.
            parameters: values of the formula's parameters.
            compat: `qlib` for Qlib's own values where its operators are wrong. Default: the right ones.
            float32_fields: rounds fields to 32 bits before anything is computed from them, as Qlib's are.
            weight: share of the workers relative to other jobs, 0.01 to 100. Default: 1.
            symbol_time_limit: most seconds to spend on one symbol.
            screen_id: names the screen in logs. Default: the server makes one.
            timeout: seconds for the whole screen, from when it is sent. Default: no limit.
            progress: called after each message, by whoever iterates.

        Raises:
            TypeError: a value of the wrong type.
            ValueError: a value that its field cannot hold. All else the server checks, when the screen is sent.
        """
        request = build_screen(
            formula,
            formula_id=formula_id,
            symbols=symbols,
            timeframe=timeframe,
            as_of=as_of,
            filter_by=filter,
            order_by=order_by,
            limit=limit,
            parameters=parameters,
            compat=compat,
            float32_fields=float32_fields,
            weight=weight,
            symbol_time_limit=symbol_time_limit,
            screen_id=screen_id,
        )
        new = self._screen(ScreenRun(request, attempts=self._attempts(timeout), progress=progress))
        self._streams.add(new)
        return new

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.address}{', closed' if self._closed else ''}>"

    def _close_streams(self) -> None:
        # Closing the channel is not enough: grpc.aio up to 1.78 then cancels only those calls that a task
        # waits for, and a stream between two attempts has no call.
        for stream in list(self._streams):
            stream.close()

    @abstractmethod
    def _job(self, run: JobRun) -> _JobT:
        """Returns the job that drives a run."""

    @abstractmethod
    def _screen(self, run: ScreenRun) -> _ScreenT:
        """Returns the screen that drives a run."""

    def _attempts(self, timeout_seconds: float | None) -> Attempts:
        return Attempts(address=self.address, retry=self._retry, timeout_seconds=timeout_seconds)

    def _channel_options(self) -> ChannelOptions:
        return channel_options(max_receive_bytes=self._max_receive_bytes, extra=self._extra_channel_options)

    def _call_attempts(self, at_most: float | None) -> Attempts:
        """Returns the attempts of one call, which has begun: within the client's timeout, or less."""
        limits = [seconds for seconds in (self._timeout_seconds, at_most) if seconds is not None]
        attempts = self._attempts(min(limits, default=None))
        attempts.begin()
        return attempts

    def _check_open(self) -> None:
        if self._closed:
            raise ClientClosed(f"the client of {self.address} is closed")
