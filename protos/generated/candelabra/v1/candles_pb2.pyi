from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListSymbolsRequest(_message.Message):
    __slots__ = ("timeframe", "symbols", "page_size", "page_token")
    TIMEFRAME_FIELD_NUMBER: _ClassVar[int]
    SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    timeframe: str
    symbols: _containers.RepeatedScalarFieldContainer[str]
    page_size: int
    page_token: str
    def __init__(self, timeframe: _Optional[str] = ..., symbols: _Optional[_Iterable[str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSymbolsResponse(_message.Message):
    __slots__ = ("symbols", "next_page_token")
    SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    symbols: _containers.RepeatedCompositeFieldContainer[StoredSymbol]
    next_page_token: str
    def __init__(self, symbols: _Optional[_Iterable[_Union[StoredSymbol, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class StoredSymbol(_message.Message):
    __slots__ = ("symbol", "timeframe", "candle_count", "first_open_time_micros", "last_open_time_micros", "fields")
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    TIMEFRAME_FIELD_NUMBER: _ClassVar[int]
    CANDLE_COUNT_FIELD_NUMBER: _ClassVar[int]
    FIRST_OPEN_TIME_MICROS_FIELD_NUMBER: _ClassVar[int]
    LAST_OPEN_TIME_MICROS_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    symbol: str
    timeframe: str
    candle_count: int
    first_open_time_micros: int
    last_open_time_micros: int
    fields: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, symbol: _Optional[str] = ..., timeframe: _Optional[str] = ..., candle_count: _Optional[int] = ..., first_open_time_micros: _Optional[int] = ..., last_open_time_micros: _Optional[int] = ..., fields: _Optional[_Iterable[str]] = ...) -> None: ...
