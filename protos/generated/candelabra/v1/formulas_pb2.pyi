from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Compatibility(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMPATIBILITY_UNSPECIFIED: _ClassVar[Compatibility]
    COMPATIBILITY_QLIB: _ClassVar[Compatibility]

class ColumnKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COLUMN_KIND_UNSPECIFIED: _ClassVar[ColumnKind]
    COLUMN_KIND_NUMBER: _ClassVar[ColumnKind]
    COLUMN_KIND_SIGNAL: _ClassVar[ColumnKind]

class Exactness(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXACTNESS_UNSPECIFIED: _ClassVar[Exactness]
    EXACTNESS_EXACT: _ClassVar[Exactness]
    EXACTNESS_CLOSE: _ClassVar[Exactness]
COMPATIBILITY_UNSPECIFIED: Compatibility
COMPATIBILITY_QLIB: Compatibility
COLUMN_KIND_UNSPECIFIED: ColumnKind
COLUMN_KIND_NUMBER: ColumnKind
COLUMN_KIND_SIGNAL: ColumnKind
EXACTNESS_UNSPECIFIED: Exactness
EXACTNESS_EXACT: Exactness
EXACTNESS_CLOSE: Exactness

class Formula(_message.Message):
    __slots__ = ("id", "expression", "compatibility", "float32_fields")
    ID_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    COMPATIBILITY_FIELD_NUMBER: _ClassVar[int]
    FLOAT32_FIELDS_FIELD_NUMBER: _ClassVar[int]
    id: str
    expression: str
    compatibility: Compatibility
    float32_fields: bool
    def __init__(self, id: _Optional[str] = ..., expression: _Optional[str] = ..., compatibility: _Optional[_Union[Compatibility, str]] = ..., float32_fields: bool = ...) -> None: ...

class SavedFormula(_message.Message):
    __slots__ = ("id", "version", "etag", "expression", "description", "parameters", "compatibility", "float32_fields", "create_time_micros", "update_time_micros", "built_in")
    ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    COMPATIBILITY_FIELD_NUMBER: _ClassVar[int]
    FLOAT32_FIELDS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_MICROS_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_MICROS_FIELD_NUMBER: _ClassVar[int]
    BUILT_IN_FIELD_NUMBER: _ClassVar[int]
    id: str
    version: int
    etag: str
    expression: str
    description: str
    parameters: _containers.RepeatedCompositeFieldContainer[ParameterDeclaration]
    compatibility: Compatibility
    float32_fields: bool
    create_time_micros: int
    update_time_micros: int
    built_in: bool
    def __init__(self, id: _Optional[str] = ..., version: _Optional[int] = ..., etag: _Optional[str] = ..., expression: _Optional[str] = ..., description: _Optional[str] = ..., parameters: _Optional[_Iterable[_Union[ParameterDeclaration, _Mapping]]] = ..., compatibility: _Optional[_Union[Compatibility, str]] = ..., float32_fields: bool = ..., create_time_micros: _Optional[int] = ..., update_time_micros: _Optional[int] = ..., built_in: bool = ...) -> None: ...

class ParameterDeclaration(_message.Message):
    __slots__ = ("name", "default_value", "minimum", "maximum", "description")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_VALUE_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    default_value: float
    minimum: float
    maximum: float
    description: str
    def __init__(self, name: _Optional[str] = ..., default_value: _Optional[float] = ..., minimum: _Optional[float] = ..., maximum: _Optional[float] = ..., description: _Optional[str] = ...) -> None: ...

class CreateFormulaRequest(_message.Message):
    __slots__ = ("formula",)
    FORMULA_FIELD_NUMBER: _ClassVar[int]
    formula: SavedFormula
    def __init__(self, formula: _Optional[_Union[SavedFormula, _Mapping]] = ...) -> None: ...

class CreateFormulaResponse(_message.Message):
    __slots__ = ("formula",)
    FORMULA_FIELD_NUMBER: _ClassVar[int]
    formula: SavedFormula
    def __init__(self, formula: _Optional[_Union[SavedFormula, _Mapping]] = ...) -> None: ...

class GetFormulaRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetFormulaResponse(_message.Message):
    __slots__ = ("formula",)
    FORMULA_FIELD_NUMBER: _ClassVar[int]
    formula: SavedFormula
    def __init__(self, formula: _Optional[_Union[SavedFormula, _Mapping]] = ...) -> None: ...

class ListFormulasRequest(_message.Message):
    __slots__ = ("pattern", "page_size", "page_token")
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    pattern: str
    page_size: int
    page_token: str
    def __init__(self, pattern: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListFormulasResponse(_message.Message):
    __slots__ = ("formulas", "next_page_token")
    FORMULAS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    formulas: _containers.RepeatedCompositeFieldContainer[SavedFormula]
    next_page_token: str
    def __init__(self, formulas: _Optional[_Iterable[_Union[SavedFormula, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateFormulaRequest(_message.Message):
    __slots__ = ("formula",)
    FORMULA_FIELD_NUMBER: _ClassVar[int]
    formula: SavedFormula
    def __init__(self, formula: _Optional[_Union[SavedFormula, _Mapping]] = ...) -> None: ...

class UpdateFormulaResponse(_message.Message):
    __slots__ = ("formula",)
    FORMULA_FIELD_NUMBER: _ClassVar[int]
    formula: SavedFormula
    def __init__(self, formula: _Optional[_Union[SavedFormula, _Mapping]] = ...) -> None: ...

class DeleteFormulaRequest(_message.Message):
    __slots__ = ("id", "etag")
    ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    id: str
    etag: str
    def __init__(self, id: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class DeleteFormulaResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CheckFormulaRequest(_message.Message):
    __slots__ = ("formula", "parameters", "timeframe", "allow_lookahead")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    FORMULA_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    TIMEFRAME_FIELD_NUMBER: _ClassVar[int]
    ALLOW_LOOKAHEAD_FIELD_NUMBER: _ClassVar[int]
    formula: Formula
    parameters: _containers.ScalarMap[str, float]
    timeframe: str
    allow_lookahead: bool
    def __init__(self, formula: _Optional[_Union[Formula, _Mapping]] = ..., parameters: _Optional[_Mapping[str, float]] = ..., timeframe: _Optional[str] = ..., allow_lookahead: bool = ...) -> None: ...

class CheckFormulaResponse(_message.Message):
    __slots__ = ("problems", "formula", "missing_parameters")
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    FORMULA_FIELD_NUMBER: _ClassVar[int]
    MISSING_PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    problems: _containers.RepeatedCompositeFieldContainer[FormulaProblem]
    formula: FormulaDescription
    missing_parameters: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, problems: _Optional[_Iterable[_Union[FormulaProblem, _Mapping]]] = ..., formula: _Optional[_Union[FormulaDescription, _Mapping]] = ..., missing_parameters: _Optional[_Iterable[str]] = ...) -> None: ...

class FormulaProblem(_message.Message):
    __slots__ = ("code", "message", "line", "column", "length", "source_line", "suggestion", "signature", "text")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    SOURCE_LINE_FIELD_NUMBER: _ClassVar[int]
    SUGGESTION_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    line: int
    column: int
    length: int
    source_line: str
    suggestion: str
    signature: str
    text: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., line: _Optional[int] = ..., column: _Optional[int] = ..., length: _Optional[int] = ..., source_line: _Optional[str] = ..., suggestion: _Optional[str] = ..., signature: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class FormulaDescription(_message.Message):
    __slots__ = ("outputs", "parameters", "fields", "warm_ups", "nodes", "warnings", "saved_formulas", "nanos_per_row")
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    WARM_UPS_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    SAVED_FORMULAS_FIELD_NUMBER: _ClassVar[int]
    NANOS_PER_ROW_FIELD_NUMBER: _ClassVar[int]
    outputs: _containers.RepeatedCompositeFieldContainer[FormulaOutput]
    parameters: _containers.RepeatedCompositeFieldContainer[ParameterUse]
    fields: _containers.RepeatedCompositeFieldContainer[FieldUse]
    warm_ups: _containers.RepeatedCompositeFieldContainer[WarmUp]
    nodes: _containers.RepeatedCompositeFieldContainer[GraphNode]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    saved_formulas: _containers.RepeatedScalarFieldContainer[str]
    nanos_per_row: float
    def __init__(self, outputs: _Optional[_Iterable[_Union[FormulaOutput, _Mapping]]] = ..., parameters: _Optional[_Iterable[_Union[ParameterUse, _Mapping]]] = ..., fields: _Optional[_Iterable[_Union[FieldUse, _Mapping]]] = ..., warm_ups: _Optional[_Iterable[_Union[WarmUp, _Mapping]]] = ..., nodes: _Optional[_Iterable[_Union[GraphNode, _Mapping]]] = ..., warnings: _Optional[_Iterable[str]] = ..., saved_formulas: _Optional[_Iterable[str]] = ..., nanos_per_row: _Optional[float] = ...) -> None: ...

class FormulaOutput(_message.Message):
    __slots__ = ("name", "kind", "warm_up_candles", "whole_history", "look_ahead_candles", "exactness", "node")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    WARM_UP_CANDLES_FIELD_NUMBER: _ClassVar[int]
    WHOLE_HISTORY_FIELD_NUMBER: _ClassVar[int]
    LOOK_AHEAD_CANDLES_FIELD_NUMBER: _ClassVar[int]
    EXACTNESS_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: ColumnKind
    warm_up_candles: int
    whole_history: bool
    look_ahead_candles: int
    exactness: Exactness
    node: int
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[ColumnKind, str]] = ..., warm_up_candles: _Optional[int] = ..., whole_history: bool = ..., look_ahead_candles: _Optional[int] = ..., exactness: _Optional[_Union[Exactness, str]] = ..., node: _Optional[int] = ...) -> None: ...

class ParameterUse(_message.Message):
    __slots__ = ("name", "value", "is_default", "used")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    IS_DEFAULT_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    is_default: bool
    used: bool
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ..., is_default: bool = ..., used: bool = ...) -> None: ...

class FieldUse(_message.Message):
    __slots__ = ("name", "symbol", "timeframe")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    TIMEFRAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    symbol: str
    timeframe: str
    def __init__(self, name: _Optional[str] = ..., symbol: _Optional[str] = ..., timeframe: _Optional[str] = ...) -> None: ...

class WarmUp(_message.Message):
    __slots__ = ("symbol", "timeframe", "candles", "whole_history")
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    TIMEFRAME_FIELD_NUMBER: _ClassVar[int]
    CANDLES_FIELD_NUMBER: _ClassVar[int]
    WHOLE_HISTORY_FIELD_NUMBER: _ClassVar[int]
    symbol: str
    timeframe: str
    candles: int
    whole_history: bool
    def __init__(self, symbol: _Optional[str] = ..., timeframe: _Optional[str] = ..., candles: _Optional[int] = ..., whole_history: bool = ...) -> None: ...

class GraphNode(_message.Message):
    __slots__ = ("operation", "settings", "inputs", "uses", "warm_up_candles", "whole_history", "symbol", "timeframe", "nanos_per_row", "kernel")
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    USES_FIELD_NUMBER: _ClassVar[int]
    WARM_UP_CANDLES_FIELD_NUMBER: _ClassVar[int]
    WHOLE_HISTORY_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    TIMEFRAME_FIELD_NUMBER: _ClassVar[int]
    NANOS_PER_ROW_FIELD_NUMBER: _ClassVar[int]
    KERNEL_FIELD_NUMBER: _ClassVar[int]
    operation: str
    settings: _containers.RepeatedScalarFieldContainer[str]
    inputs: _containers.RepeatedScalarFieldContainer[int]
    uses: int
    warm_up_candles: int
    whole_history: bool
    symbol: str
    timeframe: str
    nanos_per_row: float
    kernel: str
    def __init__(self, operation: _Optional[str] = ..., settings: _Optional[_Iterable[str]] = ..., inputs: _Optional[_Iterable[int]] = ..., uses: _Optional[int] = ..., warm_up_candles: _Optional[int] = ..., whole_history: bool = ..., symbol: _Optional[str] = ..., timeframe: _Optional[str] = ..., nanos_per_row: _Optional[float] = ..., kernel: _Optional[str] = ...) -> None: ...

class ListFunctionsRequest(_message.Message):
    __slots__ = ("pattern", "family")
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    pattern: str
    family: str
    def __init__(self, pattern: _Optional[str] = ..., family: _Optional[str] = ...) -> None: ...

class ListFunctionsResponse(_message.Message):
    __slots__ = ("functions",)
    FUNCTIONS_FIELD_NUMBER: _ClassVar[int]
    functions: _containers.RepeatedCompositeFieldContainer[FunctionDescription]
    def __init__(self, functions: _Optional[_Iterable[_Union[FunctionDescription, _Mapping]]] = ...) -> None: ...

class FunctionDescription(_message.Message):
    __slots__ = ("name", "family", "signature", "inputs", "settings", "outputs", "kind", "warm_up", "summary", "source", "warning")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    WARM_UP_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    WARNING_FIELD_NUMBER: _ClassVar[int]
    name: str
    family: str
    signature: str
    inputs: _containers.RepeatedCompositeFieldContainer[FunctionInput]
    settings: _containers.RepeatedCompositeFieldContainer[FunctionSetting]
    outputs: _containers.RepeatedScalarFieldContainer[str]
    kind: ColumnKind
    warm_up: str
    summary: str
    source: str
    warning: str
    def __init__(self, name: _Optional[str] = ..., family: _Optional[str] = ..., signature: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[FunctionInput, _Mapping]]] = ..., settings: _Optional[_Iterable[_Union[FunctionSetting, _Mapping]]] = ..., outputs: _Optional[_Iterable[str]] = ..., kind: _Optional[_Union[ColumnKind, str]] = ..., warm_up: _Optional[str] = ..., summary: _Optional[str] = ..., source: _Optional[str] = ..., warning: _Optional[str] = ...) -> None: ...

class FunctionInput(_message.Message):
    __slots__ = ("name", "implied_field", "condition")
    NAME_FIELD_NUMBER: _ClassVar[int]
    IMPLIED_FIELD_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    name: str
    implied_field: str
    condition: bool
    def __init__(self, name: _Optional[str] = ..., implied_field: _Optional[str] = ..., condition: bool = ...) -> None: ...

class FunctionSetting(_message.Message):
    __slots__ = ("name", "kind", "default_value", "minimum", "maximum", "choices")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_VALUE_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    default_value: str
    minimum: float
    maximum: float
    choices: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., default_value: _Optional[str] = ..., minimum: _Optional[float] = ..., maximum: _Optional[float] = ..., choices: _Optional[_Iterable[str]] = ...) -> None: ...
