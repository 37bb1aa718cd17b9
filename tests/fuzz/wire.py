"""Changes to an encoded message that know what it is made of: tags, lengths, nested messages, numbers."""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

VARINT, FIXED64, BYTES, GROUP, GROUP_END, FIXED32 = 0, 1, 2, 3, 4, 5
_MOST_CHANGES = 4
_LENGTHS = (0, 1, 127, 128, 2**14, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
_BIG_NUMBERS = (0, 1, 2**31 - 1, 2**31, 2**63 - 1, 2**64 - 1)
_NOT_UTF8 = (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80", b"ab\xe2\x82")


class Field(NamedTuple):
    """Where one field stands in a message.

    Attributes:
        start: of its tag.
        value: where what follows the tag begins: the value, or its length.
        body: of a field with a length: where that which has the length begins; else as `value`.
        end: behind it.
        number: the field's.
        wire_type: how its value is encoded.
    """

    start: int
    value: int
    body: int
    end: int
    number: int
    wire_type: int


def random_bytes(random: Random) -> bytes:
    """Any bytes, mostly few."""
    return random.randbytes(random.choice((0, 1, 2, 3, 8, 40, 300, 5_000)))


def mutated(data: bytes, other: bytes, random: Random) -> bytes:
    """One to some changes; `other` is a message to take pieces of."""
    for _ in range(random.randint(1, _MOST_CHANGES)):
        data = _changed(data, other, random)
    return data


def varint(number: int) -> bytes:
    """A number as protobuf writes it, 64 bits of it at most."""
    number &= 2**64 - 1
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def fields_of(data: bytes) -> list[Field]:
    """The fields of a message, or nothing when it is none."""
    fields = []
    place = 0
    while place < len(data):
        tag, value = _read_varint(data, place)
        body = end = value
        match tag & 7:
            case 0:
                _, end = _read_varint(data, value)
            case 1:
                end = value + 8
            case 2:
                length, body = _read_varint(data, value)
                end = body + length
            case 5:
                end = value + 4
            case _:
                return []
        if not value <= body <= end <= len(data) or value == place or end == value:
            return []
        fields.append(Field(place, value, body, end, tag >> 3, tag & 7))
        place = end
    return fields


def _changed(data: bytes, other: bytes, random: Random) -> bytes:
    fields = fields_of(data)
    if not fields or random.random() < 0.3:
        return random.choice(_BLIND)(data, other, random)
    field = random.choice(fields)
    if field.wire_type == BYTES and random.random() < 0.5:
        # The lengths around stay right, so that the change is seen by whoever reads the innermost message.
        inner = _changed(data[field.body : field.end], other, random)
        return data[: field.value] + varint(len(inner)) + inner + data[field.end :]
    return random.choice(_CAREFUL)(data, field, other, random)


def _flip(data: bytes, _other: bytes, random: Random) -> bytes:
    changed = bytearray(data or b"\0")
    for _ in range(random.randint(1, 8)):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _truncate(data: bytes, _other: bytes, random: Random) -> bytes:
    return data[: random.randint(0, len(data))]


def _cut_out(data: bytes, _other: bytes, random: Random) -> bytes:
    start = random.randint(0, len(data))
    return data[:start] + data[random.randint(start, len(data)) :]


def _splice(data: bytes, other: bytes, random: Random) -> bytes:
    return data[: random.randint(0, len(data))] + other[random.randint(0, len(other)) :]


def _insert(data: bytes, _other: bytes, random: Random) -> bytes:
    place = random.randint(0, len(data))
    return data[:place] + random_bytes(random) + data[place:]


def _append_unknown(data: bytes, _other: bytes, random: Random) -> bytes:
    """A field that no message has, sometimes made of thousands of groups within one another."""
    number = random.choice((15, 99, 1_000, 19_000, 2**29 - 1, 2**29, 0))
    match random.choice((VARINT, FIXED64, BYTES, GROUP, GROUP_END, FIXED32, 6, 7)):
        case 0:
            return data + varint(number << 3) + varint(random.choice(_BIG_NUMBERS))
        case 1:
            return data + varint(number << 3 | FIXED64) + random.randbytes(8)
        case 2:
            return data + varint(number << 3 | BYTES) + varint(4) + random.randbytes(4)
        case 3:
            depth = random.choice((1, 50, 101, 10_000))
            return data + varint(number << 3 | GROUP) * depth + varint(number << 3 | GROUP_END) * depth
        case 5:
            return data + varint(number << 3 | FIXED32) + random.randbytes(4)
        case wire_type:
            return data + varint(number << 3 | wire_type)


def _overlong(data: bytes, _other: bytes, random: Random) -> bytes:
    """A number that does not end."""
    return data + b"\x08" + b"\xff" * random.choice((9, 10, 11, 1_000))


def _repeat(data: bytes, field: Field, _other: bytes, random: Random) -> bytes:
    times = random.choice((1, 1, 2, 10, 1_000))
    return data[: field.end] + data[field.start : field.end] * times + data[field.end :]


def _move(data: bytes, field: Field, _other: bytes, _random: Random) -> bytes:
    return data[: field.start] + data[field.end :] + data[field.start : field.end]


def _take(data: bytes, field: Field, other: bytes, random: Random) -> bytes:
    """A field of another message instead."""
    others = fields_of(other)
    taken = random.choice(others) if others else field
    piece = other[taken.start : taken.end] if others else b""
    return data[: field.start] + piece + data[field.end :]


def _renumber(data: bytes, field: Field, _other: bytes, random: Random) -> bytes:
    number = random.choice((1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 2**29 - 1))
    return data[: field.start] + varint(number << 3 | field.wire_type) + data[field.value :]


def _retype(data: bytes, field: Field, _other: bytes, random: Random) -> bytes:
    return data[: field.start] + varint(field.number << 3 | random.randrange(8)) + data[field.value :]


def _revalue(data: bytes, field: Field, _other: bytes, random: Random) -> bytes:
    match field.wire_type:
        case 0:
            value = varint(random.choice(_BIG_NUMBERS))
        case 2 if random.random() < 0.5:
            value = varint(random.choice(_LENGTHS)) + data[field.body : field.end]
        case 2:
            value = random.choice(_NOT_UTF8)
            value = varint(len(value)) + value
        case _:
            value = random.randbytes(field.end - field.value)
    return data[: field.value] + value + data[field.end :]


_BlindChange = Callable[[bytes, bytes, Random], bytes]
_CarefulChange = Callable[[bytes, Field, bytes, Random], bytes]
_BLIND: tuple[_BlindChange, ...] = (_flip, _truncate, _cut_out, _splice, _insert, _append_unknown, _overlong)
_CAREFUL: tuple[_CarefulChange, ...] = (_repeat, _move, _take, _renumber, _retype, _revalue)


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    """A number and where it ends; the place itself when there is none."""
    number = shift = 0
    for end in range(place, min(place + 10, len(data))):
        number |= (data[end] & 0x7F) << shift
        shift += 7
        if data[end] < 0x80:
            return number, end + 1
    return 0, place
