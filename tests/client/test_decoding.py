import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candelabra import v1
from candelabra_client import ProtocolError
from candelabra_client._decoding import decode_part, decode_part_plainly

TIMES = st.integers(min_value=-(2**62), max_value=2**62)
FLOATS = st.floats(allow_nan=True, allow_infinity=True)


@st.composite
def messages(draw):
    row_count = draw(st.integers(min_value=0, max_value=5))
    message = v1.ProcessingResult(
        job_id=draw(st.text(max_size=3)), symbol=draw(st.text(max_size=3)), last_part=draw(st.booleans())
    )
    message.open_time_micros.extend(draw(st.lists(TIMES, min_size=row_count, max_size=row_count)))
    for number in range(draw(st.integers(min_value=0, max_value=3))):
        column = message.columns.add(name=f"c{number}", kind=number)
        if draw(st.booleans()):
            column.values.extend(draw(st.lists(FLOATS, min_size=row_count, max_size=row_count)))
        else:
            column.values_f32.extend(draw(st.lists(st.floats(width=32), min_size=row_count, max_size=row_count)))
    if draw(st.booleans()):
        message.info.candles_read = 7
    return message


def bits(part):
    """Everything a part holds, NaN payloads included."""
    names = [(column.name, column.kind) for column in part.header.columns]
    arrays = [(array.dtype.str, array.tobytes()) for array in (part.open_time_micros, *part.values)]
    header = part.header
    return names, arrays, header.job_id, header.symbol, header.last_part, header.info.candles_read


@given(messages())
@settings(deadline=None)
def test_views_of_the_bytes_hold_the_same_as_the_generated_message(message):
    data = message.SerializeToString()

    assert bits(decode_part(data)) == bits(decode_part_plainly(data))


def tagged(number, wire_type, payload):
    assert number << 3 < 128
    return bytes([number << 3 | wire_type]) + payload


def delimited(number, payload):
    assert len(payload) < 128
    return tagged(number, 2, bytes([len(payload)]) + payload)


TWO_TIMES = struct.pack("<2q", 1, 2)
TWO_VALUES = struct.pack("<2d", 0.5, float("nan"))
ENCODINGS = {
    "packed": (delimited(10, TWO_TIMES), delimited(3, TWO_VALUES)),
    "times unpacked": (tagged(10, 1, TWO_TIMES[:8]) + tagged(10, 1, TWO_TIMES[8:]), delimited(3, TWO_VALUES)),
    "values unpacked": (delimited(10, TWO_TIMES), tagged(3, 1, TWO_VALUES[:8]) + tagged(3, 1, TWO_VALUES[8:])),
    "all unpacked": (
        tagged(10, 1, TWO_TIMES[:8]) + tagged(10, 1, TWO_TIMES[8:]),
        tagged(3, 1, TWO_VALUES[:8]) + tagged(3, 1, TWO_VALUES[8:]),
    ),
    "packed in two pieces": (
        delimited(10, TWO_TIMES[:8]) + delimited(10, TWO_TIMES[8:]),
        delimited(3, TWO_VALUES[:8]) + delimited(3, TWO_VALUES[8:]),
    ),
    "packed and unpacked": (
        delimited(10, TWO_TIMES[:8]) + tagged(10, 1, TWO_TIMES[8:]),
        delimited(3, TWO_VALUES[:8]) + tagged(3, 1, TWO_VALUES[8:]),
    ),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_that_protobuf_allows_gives_the_same_rows(encoding):
    times, values = ENCODINGS[encoding]
    part = decode_part(delimited(6, b"AAPL") + times + delimited(11, delimited(1, b"value") + values))

    assert part.header.symbol == "AAPL"
    assert part.open_time_micros.tolist() == [1, 2]
    assert part.values[0].tobytes() == TWO_VALUES


def test_columns_of_one_packed_piece_are_views_of_it():
    message = v1.ProcessingResult(open_time_micros=[1], columns=[v1.Column(name="a", values=[2.0])])

    part = decode_part(message.SerializeToString())

    assert isinstance(part.values[0].base, bytes)
    assert isinstance(part.open_time_micros.base, bytes)


def test_a_header_written_before_the_workers_bytes_merges_with_them():
    header = v1.ProcessingResult(job_id="j", sequence=3)
    worker = v1.ProcessingResult(symbol="A", open_time_micros=[1], columns=[v1.Column(name="a", values=[2.0])])

    part = decode_part(header.SerializeToString() + worker.SerializeToString())

    assert (part.header.job_id, part.header.sequence, part.header.symbol) == ("j", 3, "A")
    assert part.values[0].tolist() == [2.0]


def test_a_column_of_another_length_breaks_the_contract():
    message = v1.ProcessingResult(symbol="A", open_time_micros=[1, 2], columns=[v1.Column(name="a", values=[2.0])])

    with pytest.raises(ProtocolError, match="A: column 'a' has 1 values for 2 rows"):
        decode_part(message.SerializeToString())


def test_bytes_that_are_no_message_break_the_contract():
    with pytest.raises(ProtocolError, match="not a ProcessingResult"):
        decode_part(b"\xff\xff\xff")


def test_no_rows_give_empty_columns():
    message = v1.ProcessingResult(symbol="A", columns=[v1.Column(name="a")], last_part=True)

    part = decode_part(message.SerializeToString())

    assert [array.dtype for array in part.values] == [np.float64]
    assert part.open_time_micros.size == 0
