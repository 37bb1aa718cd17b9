"""Messages made from their descriptors alone: as a user might send them, or with values that no one expects."""

import base64
import math
from random import Random
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from fuzz import vocabulary
from fuzz.attempts import PARAMETERS, SAVED

_LONE_SURROGATE = "\ue000"
"""Stands in for one, which no Python message can hold; as many bytes when encoded."""
_INTEGERS = (0, 1, -1, 2, 5, 100, 10_000, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63), 2**32 - 1, 2**64 - 1)
_DOUBLES = (math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, 0.5, -1.0, 1e-9, 1e308, -1e308, 5e-324, 3.0)
_TEXTS = (
    "", " ", "\0", "a\0b", "\n", "\t\r\n", "a", "A" * 64, "A" * 65, "x" * 129, "é" * 300, "🕯" * 2_000, "%s%n%x",
    "{0.__class__}", "'; DROP TABLE candles; --", "../../../x", "..", ".", "-", "--help", "*", "**" * 60, "?", "[",
    "[!", "[a-", "\\", "NaN", "1e999", "²d", "1d", "٣d", "\uff11d", "-1d", "0d", "9" * 40, "9" * 400 + "d", "\u202eabc",
    "e\u0301", "\ufeff", "\ufffe", "\U0010ffff", _LONE_SURROGATE, f"A{_LONE_SURROGATE}", "0000-00-00", "2020-02-30",
    "9999-12-31", "10000-01-01", "2020-01-01T00:00:00+99:99", "9999-12-31T23:59:59.999999999Z",
    "0001-01-01T00:00:00+23:59", "2020-W01-1", "20200101", "1-1-1",
    "=", "====", "AA", "A===", "_____w==", "@", "trend@", "trend@-1", "trend@²",
    f"trend@{'9' * 30}", "trend@1@1", "/", "a//b", "qlib/", "CON", "é", "İ", "ß", ",", ",,", "value desc desc", "desc",
)  # fmt: skip
_LONG_TEXTS = ("A" * 20_000, "(" * 16_000, "close+" * 2_700, "\u6f22" * 100_000, "a,b desc," * 5_000, "*" * 100_000)
_DATES = ("2020-01-01", "2020-03-01", "2020-02-29T12:00:00Z", "2020-04-08T00:00:00+02:00", "2021-01-01", "1999-12-31")
_TOKENS = tuple(base64.urlsafe_b64encode(text).decode() for text in (b"1d/A", b"trend", b"1d/", b"/", b"\xff", b"a/b"))
_ORDERS = ("value", "value desc", "symbol", "symbol desc", "value,symbol desc", "symbol", "a desc, b")
_USUAL = frozenset({"symbols", "timeframe", "formula", "job", "expression", "id", "list_services"})
"""Fields that a user rarely leaves out."""
_SHARE_OF_LONG_TEXTS = 0.02
_SHARE_OF_MANY = 0.03
_MANY = (300, 3_000)
_DEEPEST = 20

_HINTS: dict[str, tuple[str, ...]] = {
    "symbols": ("*", "A*", "S00", "S01", "B[C]", "NOPE", "S0?", "S*"),
    "timeframe": (*["1d"] * 20, "day", "D", "1h", "1w"),
    "id": (*["trend"] * 20, "trend@1", "mine", "desk/mine", *SAVED),
    "key": (*PARAMETERS, "days", "days", "scale", "x"),
    "name": ("days", "scale", "x"),
    "start": _DATES[:3],
    "end": _DATES[2:5],
    "as_of": _DATES,
    "page_token": _TOKENS,
    "family": ("Qlib", "TA-Lib"),
    "pattern": ("*", "tr*", "sma", "?ma", "desk/*"),
    "order_by": _ORDERS,
    "filter": ("value", "value", "value", "a"),
    "job_id": ("job-1", "a:b.c_d"),
    "screen_id": ("screen-1",),
    "service": ("", "candelabra.v1.ProcessingService"),
    "file_containing_symbol": ("candelabra.v1.ProcessingService", "candelabra.v1.ProcessingJob"),
    "file_by_filename": ("candelabra/v1/processing.proto",),
}
"""What a user might write into a field of this name; a field without any gets texts like all the others."""
_NUMBERS: dict[str, tuple[int, ...]] = {
    "max_message_bytes": (0, 16_384, 65_536),
    "symbol_time_limit_millis": (0, 1, 10_000),
}
"""The same of numbers."""


def message_for(descriptor: Descriptor, random: Random, *, hostility: float) -> bytes:
    """An encoded message; `hostility` is the share of values, 0 to 1, that no user would send."""
    return encoded(_filled(descriptor, random, hostility, 0))


def encoded(message: Message) -> bytes:
    """The bytes of a message, with lone surrogates where they were asked for."""
    text = _LONE_SURROGATE.encode()
    return bytes(message.SerializeToString()).replace(text, "\ud800".encode(errors="surrogatepass"))


def _filled(descriptor: Descriptor, random: Random, hostility: float, depth: int) -> Message:
    message = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        share = 0.8 if random.random() < hostility else 0.95 if field.name in _USUAL else 0.3
        if random.random() < share and depth < _DEEPEST:
            _fill(message, field, random, hostility, depth)
    names = {field.name for field in descriptor.fields}
    if {"id", "expression"} == names & {"id", "expression"} and "etag" not in names and random.random() >= hostility:
        message.ClearField(random.choice(("id", "expression")))  # one of them is what a user sends
    return message


def _fill(message: Message, field: FieldDescriptor, random: Random, hostility: float, depth: int) -> None:
    entry = field.message_type
    count = _count(random, hostility) if field.is_repeated else 1
    if count > 10:
        hostility = 0.0  # one text that is none would be enough for all of them to be refused unread
    if entry is not None and entry.GetOptions().map_entry:
        key, value = entry.fields
        for number in range(count):
            name = _scalar(key, random, hostility)
            if number > 10 and isinstance(name, str):
                name = f"{name[:40]}{number}"  # there are not that many texts
            if value.message_type is None:
                getattr(message, field.name)[name] = _scalar(value, random, hostility)
            else:
                getattr(message, field.name)[name].CopyFrom(_filled(value.message_type, random, hostility, depth + 1))
    elif field.is_repeated:
        values = getattr(message, field.name)
        for _ in range(count):
            if entry is None:
                values.append(_scalar(field, random, hostility))
            else:
                values.add().CopyFrom(_filled(entry, random, hostility, depth + 1))
    elif entry is not None:
        getattr(message, field.name).CopyFrom(_filled(entry, random, hostility, depth + 1))
    else:
        setattr(message, field.name, _scalar(field, random, hostility))


def _count(random: Random, hostility: float) -> int:
    return random.choice(_MANY) if random.random() < hostility * _SHARE_OF_MANY else random.choice((1, 1, 1, 2, 3))


def _scalar(field: FieldDescriptor, random: Random, hostility: float) -> Any:
    is_hostile = random.random() < hostility
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
            return random.randbytes(random.choice((0, 1, 100)))
        case FieldDescriptor.CPPTYPE_STRING:
            return _text(field.name, random, is_hostile=is_hostile)
        case FieldDescriptor.CPPTYPE_BOOL:
            return random.random() < 0.5
        case FieldDescriptor.CPPTYPE_ENUM if field.enum_type is not None:
            numbers = [value.number for value in field.enum_type.values]
            return random.choice((99, -1, 2**31 - 1, -(2**31)) if is_hostile else numbers)
        case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
            return random.choice(_DOUBLES) if is_hostile else random.choice((1.0, 2.0, 5.0))
        case FieldDescriptor.CPPTYPE_INT32:
            return _integer(field.name, random, -(2**31), 2**31 - 1, is_hostile=is_hostile)
        case FieldDescriptor.CPPTYPE_INT64:
            return _integer(field.name, random, -(2**63), 2**63 - 1, is_hostile=is_hostile)
        case FieldDescriptor.CPPTYPE_UINT32:
            return _integer(field.name, random, 0, 2**32 - 1, is_hostile=is_hostile)
    return _integer(field.name, random, 0, 2**64 - 1, is_hostile=is_hostile)


def _integer(name: str, random: Random, least: int, most: int, *, is_hostile: bool) -> int:
    if not is_hostile:
        return random.choice(_NUMBERS.get(name, (0, 1, 5)))
    return random.choice([number for number in _INTEGERS if least <= number <= most])


def _text(name: str, random: Random, *, is_hostile: bool) -> str:
    if is_hostile:
        return random.choice(_LONG_TEXTS if random.random() < _SHARE_OF_LONG_TEXTS else _TEXTS)
    if name == "expression":
        return vocabulary.expression(random, random.choice((0, 1, 2)))
    return random.choice(_HINTS.get(name, _TEXTS[:12]))
