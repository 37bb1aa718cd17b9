"""CandleService: which candles are stored."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Iterator
from itertools import islice
from typing import Any

import grpc

from candelabra.v1 import ListSymbolsRequest, ListSymbolsResponse, StoredSymbol
from candelabra_server.candles.repository import ICandleRepository
from candelabra_server.config import JobLimits
from candelabra_server.domain.timeframe import Timeframe
from candelabra_server.errors import InvalidRequestError, Violation
from candelabra_server.processing.job_checks import check_symbol_names, matching_symbols
from candelabra_server.rpc.handlers import unary

__all__ = ["CandleServicer"]

_LARGEST_PAGE = 10_000


class CandleServicer:
    """Handles candelabra.v1.CandleService."""

    SERVICE = "candelabra.v1.CandleService"

    def __init__(self, *, candle_repo: ICandleRepository, limits: JobLimits) -> None:
        self._candle_repo = candle_repo
        self._limits = limits

    def handlers(self) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        """The service's methods by name."""
        return {"ListSymbols": unary(ListSymbolsRequest, self.list_symbols)}

    async def list_symbols(self, request: ListSymbolsRequest) -> ListSymbolsResponse:
        """One page of the stored symbols."""
        return await asyncio.to_thread(self._page, request)

    def _page(self, request: ListSymbolsRequest) -> ListSymbolsResponse:
        after = _read_token(request)
        violations = check_symbol_names(request.symbols, self._limits)
        if request.page_size < 0:
            violations.append(Violation("page_size", f"must be 0 or more, not {request.page_size}"))
        if violations:
            raise InvalidRequestError(violations)
        size = min(request.page_size or _LARGEST_PAGE, _LARGEST_PAGE)
        found = list(islice(self._symbols_after(request, after), size + 1))
        response = ListSymbolsResponse(symbols=found[:size])
        if len(found) > size:
            last = found[size - 1]
            response.next_page_token = base64.urlsafe_b64encode(f"{last.timeframe}/{last.symbol}".encode()).decode()
        return response

    def _symbols_after(
        self, request: ListSymbolsRequest, after: tuple[Timeframe, str] | None
    ) -> Iterator[StoredSymbol]:
        for timeframe in self._timeframes(request):
            if after is not None and timeframe < after[0]:
                continue
            stored = self._candle_repo.list_symbols(timeframe.text)
            names = [entry.symbol for entry in stored]
            if request.symbols:
                matches = matching_symbols(request.symbols, names)
                wanted = {name for matched in matches.values() for name in matched}
            else:
                wanted = set(names)
            for entry in stored:
                is_seen = after is not None and (timeframe, entry.symbol) <= after
                if entry.symbol in wanted and not is_seen:
                    yield StoredSymbol(
                        symbol=entry.symbol,
                        timeframe=timeframe.text,
                        candle_count=entry.candle_count,
                        first_open_time_micros=entry.first_open_time_micros,
                        last_open_time_micros=entry.last_open_time_micros,
                        fields=sorted(entry.fields),
                    )

    def _timeframes(self, request: ListSymbolsRequest) -> list[Timeframe]:
        if request.timeframe:
            try:
                return [Timeframe.parse(request.timeframe)]
            except ValueError as error:
                raise InvalidRequestError([Violation("timeframe", str(error))]) from error
        return sorted(Timeframe.parse(name) for name in self._candle_repo.timeframes())


def _read_token(request: ListSymbolsRequest) -> tuple[Timeframe, str] | None:
    """The last entry of the previous page."""
    if not request.page_token:
        return None
    try:
        timeframe, _, symbol = base64.urlsafe_b64decode(request.page_token.encode()).decode().partition("/")
        return Timeframe.parse(timeframe), symbol
    except (ValueError, binascii.Error) as error:
        raise InvalidRequestError(
            [Violation("page_token", "is not a token of this server; start again without one")]
        ) from error
