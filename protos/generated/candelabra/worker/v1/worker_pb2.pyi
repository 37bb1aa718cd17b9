from candelabra.v1 import formulas_pb2 as _formulas_pb2
from candelabra.v1 import processing_pb2 as _processing_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SymbolTask(_message.Message):
    __slots__ = ("symbol", "timeframe", "date_range_start", "date_range_end", "formula_expression", "formula_id", "parameters", "precision", "last_n", "max_message_bytes", "allow_lookahead", "symbol_time_limit_millis", "qlib_defects", "float32_fields", "saved_formulas")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    TIMEFRAME_FIELD_NUMBER: _ClassVar[int]
    DATE_RANGE_START_FIELD_NUMBER: _ClassVar[int]
    DATE_RANGE_END_FIELD_NUMBER: _ClassVar[int]
    FORMULA_EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    FORMULA_ID_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    LAST_N_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    ALLOW_LOOKAHEAD_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_TIME_LIMIT_MILLIS_FIELD_NUMBER: _ClassVar[int]
    QLIB_DEFECTS_FIELD_NUMBER: _ClassVar[int]
    FLOAT32_FIELDS_FIELD_NUMBER: _ClassVar[int]
    SAVED_FORMULAS_FIELD_NUMBER: _ClassVar[int]
    symbol: str
    timeframe: str
    date_range_start: str
    date_range_end: str
    formula_expression: str
    formula_id: str
    parameters: _containers.ScalarMap[str, float]
    precision: _processing_pb2.Precision
    last_n: int
    max_message_bytes: int
    allow_lookahead: bool
    symbol_time_limit_millis: int
    qlib_defects: bool
    float32_fields: bool
    saved_formulas: _containers.RepeatedCompositeFieldContainer[_formulas_pb2.SavedFormula]
    def __init__(self, symbol: _Optional[str] = ..., timeframe: _Optional[str] = ..., date_range_start: _Optional[str] = ..., date_range_end: _Optional[str] = ..., formula_expression: _Optional[str] = ..., formula_id: _Optional[str] = ..., parameters: _Optional[_Mapping[str, float]] = ..., precision: _Optional[_Union[_processing_pb2.Precision, str]] = ..., last_n: _Optional[int] = ..., max_message_bytes: _Optional[int] = ..., allow_lookahead: bool = ..., symbol_time_limit_millis: _Optional[int] = ..., qlib_defects: bool = ..., float32_fields: bool = ..., saved_formulas: _Optional[_Iterable[_Union[_formulas_pb2.SavedFormula, _Mapping]]] = ...) -> None: ...

class JobTask(_message.Message):
    __slots__ = ("task", "candle_repo_config", "formula_service_config", "snapshot_id", "screen")
    TASK_FIELD_NUMBER: _ClassVar[int]
    CANDLE_REPO_CONFIG_FIELD_NUMBER: _ClassVar[int]
    FORMULA_SERVICE_CONFIG_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    SCREEN_FIELD_NUMBER: _ClassVar[int]
    task: SymbolTask
    candle_repo_config: str
    formula_service_config: str
    snapshot_id: str
    screen: ScreenTask
    def __init__(self, task: _Optional[_Union[SymbolTask, _Mapping]] = ..., candle_repo_config: _Optional[str] = ..., formula_service_config: _Optional[str] = ..., snapshot_id: _Optional[str] = ..., screen: _Optional[_Union[ScreenTask, _Mapping]] = ...) -> None: ...

class ChunkTask(_message.Message):
    __slots__ = ("job", "symbols", "slot", "first_row", "deadline_micros")
    JOB_FIELD_NUMBER: _ClassVar[int]
    SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    FIRST_ROW_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MICROS_FIELD_NUMBER: _ClassVar[int]
    job: bytes
    symbols: _containers.RepeatedScalarFieldContainer[str]
    slot: ResultSlot
    first_row: int
    deadline_micros: int
    def __init__(self, job: _Optional[bytes] = ..., symbols: _Optional[_Iterable[str]] = ..., slot: _Optional[_Union[ResultSlot, _Mapping]] = ..., first_row: _Optional[int] = ..., deadline_micros: _Optional[int] = ...) -> None: ...

class ResultSlot(_message.Message):
    __slots__ = ("path", "mark", "start", "size")
    PATH_FIELD_NUMBER: _ClassVar[int]
    MARK_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    path: str
    mark: int
    start: int
    size: int
    def __init__(self, path: _Optional[str] = ..., mark: _Optional[int] = ..., start: _Optional[int] = ..., size: _Optional[int] = ...) -> None: ...

class ScreenTask(_message.Message):
    __slots__ = ("filter_column",)
    FILTER_COLUMN_FIELD_NUMBER: _ClassVar[int]
    filter_column: int
    def __init__(self, filter_column: _Optional[int] = ...) -> None: ...

class ScreenedChunk(_message.Message):
    __slots__ = ("symbols", "as_of_micros", "values", "failures", "candles_read")
    SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    AS_OF_MICROS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    CANDLES_READ_FIELD_NUMBER: _ClassVar[int]
    symbols: _containers.RepeatedScalarFieldContainer[str]
    as_of_micros: bytes
    values: bytes
    failures: _containers.RepeatedCompositeFieldContainer[_processing_pb2.ScreenFailure]
    candles_read: int
    def __init__(self, symbols: _Optional[_Iterable[str]] = ..., as_of_micros: _Optional[bytes] = ..., values: _Optional[bytes] = ..., failures: _Optional[_Iterable[_Union[_processing_pb2.ScreenFailure, _Mapping]]] = ..., candles_read: _Optional[int] = ...) -> None: ...

class EncodedResult(_message.Message):
    __slots__ = ("symbol", "error", "row_offset", "last_part", "open_time_micros", "columns", "info")
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ROW_OFFSET_FIELD_NUMBER: _ClassVar[int]
    LAST_PART_FIELD_NUMBER: _ClassVar[int]
    OPEN_TIME_MICROS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    symbol: str
    error: _processing_pb2.SymbolError
    row_offset: int
    last_part: bool
    open_time_micros: bytes
    columns: _containers.RepeatedCompositeFieldContainer[EncodedColumn]
    info: _processing_pb2.ResultInfo
    def __init__(self, symbol: _Optional[str] = ..., error: _Optional[_Union[_processing_pb2.SymbolError, _Mapping]] = ..., row_offset: _Optional[int] = ..., last_part: bool = ..., open_time_micros: _Optional[bytes] = ..., columns: _Optional[_Iterable[_Union[EncodedColumn, _Mapping]]] = ..., info: _Optional[_Union[_processing_pb2.ResultInfo, _Mapping]] = ...) -> None: ...

class EncodedColumn(_message.Message):
    __slots__ = ("name", "kind", "values", "values_f32")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    VALUES_F32_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: _formulas_pb2.ColumnKind
    values: bytes
    values_f32: bytes
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[_formulas_pb2.ColumnKind, str]] = ..., values: _Optional[bytes] = ..., values_f32: _Optional[bytes] = ...) -> None: ...
