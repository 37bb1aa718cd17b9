from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Formula(_message.Message):
    __slots__ = ("id", "expression")
    ID_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    id: str
    expression: str
    def __init__(self, id: _Optional[str] = ..., expression: _Optional[str] = ...) -> None: ...
