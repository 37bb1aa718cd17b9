from candelabra.v1 import formulas_pb2 as _formulas_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Precision(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRECISION_UNSPECIFIED: _ClassVar[Precision]
    PRECISION_FLOAT64: _ClassVar[Precision]
    PRECISION_FLOAT32: _ClassVar[Precision]
PRECISION_UNSPECIFIED: Precision
PRECISION_FLOAT64: Precision
PRECISION_FLOAT32: Precision

class ProcessingJob(_message.Message):
    __slots__ = ("job_id", "symbols", "timeframe", "date_range", "formula", "parameters", "output", "options")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    TIMEFRAME_FIELD_NUMBER: _ClassVar[int]
    DATE_RANGE_FIELD_NUMBER: _ClassVar[int]
    FORMULA_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    symbols: _containers.RepeatedScalarFieldContainer[str]
    timeframe: str
    date_range: DateRange
    formula: _formulas_pb2.Formula
    parameters: _containers.ScalarMap[str, float]
    output: OutputOptions
    options: JobOptions
    def __init__(self, job_id: _Optional[str] = ..., symbols: _Optional[_Iterable[str]] = ..., timeframe: _Optional[str] = ..., date_range: _Optional[_Union[DateRange, _Mapping]] = ..., formula: _Optional[_Union[_formulas_pb2.Formula, _Mapping]] = ..., parameters: _Optional[_Mapping[str, float]] = ..., output: _Optional[_Union[OutputOptions, _Mapping]] = ..., options: _Optional[_Union[JobOptions, _Mapping]] = ...) -> None: ...

class DateRange(_message.Message):
    __slots__ = ("start", "end")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    start: str
    end: str
    def __init__(self, start: _Optional[str] = ..., end: _Optional[str] = ...) -> None: ...

class OutputOptions(_message.Message):
    __slots__ = ("precision", "last_n", "max_message_bytes")
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    LAST_N_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    precision: Precision
    last_n: int
    max_message_bytes: int
    def __init__(self, precision: _Optional[_Union[Precision, str]] = ..., last_n: _Optional[int] = ..., max_message_bytes: _Optional[int] = ...) -> None: ...

class JobOptions(_message.Message):
    __slots__ = ("allow_lookahead", "symbol_time_limit_millis", "weight")
    ALLOW_LOOKAHEAD_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_TIME_LIMIT_MILLIS_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    allow_lookahead: bool
    symbol_time_limit_millis: int
    weight: float
    def __init__(self, allow_lookahead: bool = ..., symbol_time_limit_millis: _Optional[int] = ..., weight: _Optional[float] = ...) -> None: ...

class ProcessingResult(_message.Message):
    __slots__ = ("job_id", "sequence", "symbols_total", "symbols_done", "attempts", "symbol", "error", "row_offset", "last_part", "open_time_micros", "columns", "info")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SYMBOLS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    SYMBOLS_DONE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ROW_OFFSET_FIELD_NUMBER: _ClassVar[int]
    LAST_PART_FIELD_NUMBER: _ClassVar[int]
    OPEN_TIME_MICROS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    sequence: int
    symbols_total: int
    symbols_done: int
    attempts: int
    symbol: str
    error: SymbolError
    row_offset: int
    last_part: bool
    open_time_micros: _containers.RepeatedScalarFieldContainer[int]
    columns: _containers.RepeatedCompositeFieldContainer[Column]
    info: ResultInfo
    def __init__(self, job_id: _Optional[str] = ..., sequence: _Optional[int] = ..., symbols_total: _Optional[int] = ..., symbols_done: _Optional[int] = ..., attempts: _Optional[int] = ..., symbol: _Optional[str] = ..., error: _Optional[_Union[SymbolError, _Mapping]] = ..., row_offset: _Optional[int] = ..., last_part: bool = ..., open_time_micros: _Optional[_Iterable[int]] = ..., columns: _Optional[_Iterable[_Union[Column, _Mapping]]] = ..., info: _Optional[_Union[ResultInfo, _Mapping]] = ...) -> None: ...

class Column(_message.Message):
    __slots__ = ("name", "kind", "values", "values_f32")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    VALUES_F32_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: _formulas_pb2.ColumnKind
    values: _containers.RepeatedScalarFieldContainer[float]
    values_f32: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[_formulas_pb2.ColumnKind, str]] = ..., values: _Optional[_Iterable[float]] = ..., values_f32: _Optional[_Iterable[float]] = ...) -> None: ...

class SymbolError(_message.Message):
    __slots__ = ("reason", "message", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ResultInfo(_message.Message):
    __slots__ = ("candles_read", "warm_up_candles_used", "columns", "load_micros", "compute_micros", "snapshot_id", "warnings")
    CANDLES_READ_FIELD_NUMBER: _ClassVar[int]
    WARM_UP_CANDLES_USED_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    LOAD_MICROS_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_MICROS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    candles_read: int
    warm_up_candles_used: int
    columns: _containers.RepeatedCompositeFieldContainer[ColumnInfo]
    load_micros: int
    compute_micros: int
    snapshot_id: str
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, candles_read: _Optional[int] = ..., warm_up_candles_used: _Optional[int] = ..., columns: _Optional[_Iterable[_Union[ColumnInfo, _Mapping]]] = ..., load_micros: _Optional[int] = ..., compute_micros: _Optional[int] = ..., snapshot_id: _Optional[str] = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...

class ColumnInfo(_message.Message):
    __slots__ = ("name", "first_valid_row", "nan_count", "nan_reasons")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FIRST_VALID_ROW_FIELD_NUMBER: _ClassVar[int]
    NAN_COUNT_FIELD_NUMBER: _ClassVar[int]
    NAN_REASONS_FIELD_NUMBER: _ClassVar[int]
    name: str
    first_valid_row: int
    nan_count: int
    nan_reasons: NanReasons
    def __init__(self, name: _Optional[str] = ..., first_valid_row: _Optional[int] = ..., nan_count: _Optional[int] = ..., nan_reasons: _Optional[_Union[NanReasons, _Mapping]] = ...) -> None: ...

class NanReasons(_message.Message):
    __slots__ = ("warm_up", "missing_input", "division_by_zero", "flat_window", "domain_error")
    WARM_UP_FIELD_NUMBER: _ClassVar[int]
    MISSING_INPUT_FIELD_NUMBER: _ClassVar[int]
    DIVISION_BY_ZERO_FIELD_NUMBER: _ClassVar[int]
    FLAT_WINDOW_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_ERROR_FIELD_NUMBER: _ClassVar[int]
    warm_up: int
    missing_input: int
    division_by_zero: int
    flat_window: int
    domain_error: int
    def __init__(self, warm_up: _Optional[int] = ..., missing_input: _Optional[int] = ..., division_by_zero: _Optional[int] = ..., flat_window: _Optional[int] = ..., domain_error: _Optional[int] = ...) -> None: ...

class ScreenRequest(_message.Message):
    __slots__ = ("screen_id", "symbols", "timeframe", "as_of", "formula", "parameters", "filter", "order_by", "limit", "options")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    SCREEN_ID_FIELD_NUMBER: _ClassVar[int]
    SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    TIMEFRAME_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    FORMULA_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    ORDER_BY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    screen_id: str
    symbols: _containers.RepeatedScalarFieldContainer[str]
    timeframe: str
    as_of: str
    formula: _formulas_pb2.Formula
    parameters: _containers.ScalarMap[str, float]
    filter: str
    order_by: str
    limit: int
    options: JobOptions
    def __init__(self, screen_id: _Optional[str] = ..., symbols: _Optional[_Iterable[str]] = ..., timeframe: _Optional[str] = ..., as_of: _Optional[str] = ..., formula: _Optional[_Union[_formulas_pb2.Formula, _Mapping]] = ..., parameters: _Optional[_Mapping[str, float]] = ..., filter: _Optional[str] = ..., order_by: _Optional[str] = ..., limit: _Optional[int] = ..., options: _Optional[_Union[JobOptions, _Mapping]] = ...) -> None: ...

class ScreenResponse(_message.Message):
    __slots__ = ("screen_id", "symbols_total", "symbols_done", "symbols_passed", "symbols_failed", "symbols", "as_of_micros", "columns", "failures", "last", "info")
    SCREEN_ID_FIELD_NUMBER: _ClassVar[int]
    SYMBOLS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    SYMBOLS_DONE_FIELD_NUMBER: _ClassVar[int]
    SYMBOLS_PASSED_FIELD_NUMBER: _ClassVar[int]
    SYMBOLS_FAILED_FIELD_NUMBER: _ClassVar[int]
    SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    AS_OF_MICROS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    screen_id: str
    symbols_total: int
    symbols_done: int
    symbols_passed: int
    symbols_failed: int
    symbols: _containers.RepeatedScalarFieldContainer[str]
    as_of_micros: _containers.RepeatedScalarFieldContainer[int]
    columns: _containers.RepeatedCompositeFieldContainer[Column]
    failures: _containers.RepeatedCompositeFieldContainer[ScreenFailure]
    last: bool
    info: ScreenInfo
    def __init__(self, screen_id: _Optional[str] = ..., symbols_total: _Optional[int] = ..., symbols_done: _Optional[int] = ..., symbols_passed: _Optional[int] = ..., symbols_failed: _Optional[int] = ..., symbols: _Optional[_Iterable[str]] = ..., as_of_micros: _Optional[_Iterable[int]] = ..., columns: _Optional[_Iterable[_Union[Column, _Mapping]]] = ..., failures: _Optional[_Iterable[_Union[ScreenFailure, _Mapping]]] = ..., last: bool = ..., info: _Optional[_Union[ScreenInfo, _Mapping]] = ...) -> None: ...

class ScreenFailure(_message.Message):
    __slots__ = ("symbol", "error")
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    symbol: str
    error: SymbolError
    def __init__(self, symbol: _Optional[str] = ..., error: _Optional[_Union[SymbolError, _Mapping]] = ...) -> None: ...

class ScreenInfo(_message.Message):
    __slots__ = ("snapshot_id", "warnings", "candles_read", "cpu_micros")
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    CANDLES_READ_FIELD_NUMBER: _ClassVar[int]
    CPU_MICROS_FIELD_NUMBER: _ClassVar[int]
    snapshot_id: str
    warnings: _containers.RepeatedScalarFieldContainer[str]
    candles_read: int
    cpu_micros: int
    def __init__(self, snapshot_id: _Optional[str] = ..., warnings: _Optional[_Iterable[str]] = ..., candles_read: _Optional[int] = ..., cpu_micros: _Optional[int] = ...) -> None: ...

class GetServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetServerInfoResponse(_message.Message):
    __slots__ = ("version", "workers", "timeframes", "max_symbols_per_job", "max_expression_length", "active_jobs", "start_time_micros", "max_jobs", "symbol_time_limit_millis", "job_time_limit_millis")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    TIMEFRAMES_FIELD_NUMBER: _ClassVar[int]
    MAX_SYMBOLS_PER_JOB_FIELD_NUMBER: _ClassVar[int]
    MAX_EXPRESSION_LENGTH_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_JOBS_FIELD_NUMBER: _ClassVar[int]
    START_TIME_MICROS_FIELD_NUMBER: _ClassVar[int]
    MAX_JOBS_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_TIME_LIMIT_MILLIS_FIELD_NUMBER: _ClassVar[int]
    JOB_TIME_LIMIT_MILLIS_FIELD_NUMBER: _ClassVar[int]
    version: str
    workers: int
    timeframes: _containers.RepeatedCompositeFieldContainer[StoredTimeframe]
    max_symbols_per_job: int
    max_expression_length: int
    active_jobs: int
    start_time_micros: int
    max_jobs: int
    symbol_time_limit_millis: int
    job_time_limit_millis: int
    def __init__(self, version: _Optional[str] = ..., workers: _Optional[int] = ..., timeframes: _Optional[_Iterable[_Union[StoredTimeframe, _Mapping]]] = ..., max_symbols_per_job: _Optional[int] = ..., max_expression_length: _Optional[int] = ..., active_jobs: _Optional[int] = ..., start_time_micros: _Optional[int] = ..., max_jobs: _Optional[int] = ..., symbol_time_limit_millis: _Optional[int] = ..., job_time_limit_millis: _Optional[int] = ...) -> None: ...

class StoredTimeframe(_message.Message):
    __slots__ = ("timeframe", "symbol_count")
    TIMEFRAME_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_COUNT_FIELD_NUMBER: _ClassVar[int]
    timeframe: str
    symbol_count: int
    def __init__(self, timeframe: _Optional[str] = ..., symbol_count: _Optional[int] = ...) -> None: ...

class ExplainJobRequest(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: ProcessingJob
    def __init__(self, job: _Optional[_Union[ProcessingJob, _Mapping]] = ...) -> None: ...

class ExplainJobResponse(_message.Message):
    __slots__ = ("violations", "formula_problems", "formula", "symbols_total", "unknown_symbols", "timeframe", "estimate", "snapshot_id")
    VIOLATIONS_FIELD_NUMBER: _ClassVar[int]
    FORMULA_PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    FORMULA_FIELD_NUMBER: _ClassVar[int]
    SYMBOLS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    TIMEFRAME_FIELD_NUMBER: _ClassVar[int]
    ESTIMATE_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    violations: _containers.RepeatedCompositeFieldContainer[JobViolation]
    formula_problems: _containers.RepeatedCompositeFieldContainer[_formulas_pb2.FormulaProblem]
    formula: _formulas_pb2.FormulaDescription
    symbols_total: int
    unknown_symbols: _containers.RepeatedScalarFieldContainer[str]
    timeframe: str
    estimate: JobEstimate
    snapshot_id: str
    def __init__(self, violations: _Optional[_Iterable[_Union[JobViolation, _Mapping]]] = ..., formula_problems: _Optional[_Iterable[_Union[_formulas_pb2.FormulaProblem, _Mapping]]] = ..., formula: _Optional[_Union[_formulas_pb2.FormulaDescription, _Mapping]] = ..., symbols_total: _Optional[int] = ..., unknown_symbols: _Optional[_Iterable[str]] = ..., timeframe: _Optional[str] = ..., estimate: _Optional[_Union[JobEstimate, _Mapping]] = ..., snapshot_id: _Optional[str] = ...) -> None: ...

class JobViolation(_message.Message):
    __slots__ = ("field", "description", "reason")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    field: str
    description: str
    reason: str
    def __init__(self, field: _Optional[str] = ..., description: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class JobEstimate(_message.Message):
    __slots__ = ("candles_read", "result_rows", "result_bytes", "cpu_micros")
    CANDLES_READ_FIELD_NUMBER: _ClassVar[int]
    RESULT_ROWS_FIELD_NUMBER: _ClassVar[int]
    RESULT_BYTES_FIELD_NUMBER: _ClassVar[int]
    CPU_MICROS_FIELD_NUMBER: _ClassVar[int]
    candles_read: int
    result_rows: int
    result_bytes: int
    cpu_micros: int
    def __init__(self, candles_read: _Optional[int] = ..., result_rows: _Optional[int] = ..., result_bytes: _Optional[int] = ..., cpu_micros: _Optional[int] = ...) -> None: ...
