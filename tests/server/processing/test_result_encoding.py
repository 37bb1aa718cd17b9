"""Encoded results are ProcessingResult messages, byte for byte, in parts that fit, by whichever kernels."""

import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from candelabra.v1 import Column, ColumnInfo, ColumnKind, NanReasons, ProcessingResult, ResultInfo
from candelabra_server.errors import Reason, SymbolFailure
from candelabra_server.formulas.compiled import loading
from candelabra_server.formulas.service import CAUSES
from candelabra_server.processing.result_encoding import (
    DEFAULT_MESSAGE_BYTES,
    HeaderEncoder,
    ResultLayout,
    column_infos,
    encode_failure,
    joined_info,
)

NUMBER, SIGNAL = ColumnKind.COLUMN_KIND_NUMBER, ColumnKind.COLUMN_KIND_SIGNAL
VALUES = st.floats(allow_nan=True, allow_infinity=True, width=64)


class ResultColumn(NamedTuple):
    name: str
    kind: ColumnKind
    values: np.ndarray


@pytest.fixture(params=["compiled", "numpy"], autouse=True)
def kernels(request, monkeypatch):
    """The kernels of the cache, which `make test` fills; and what is done where there is none."""
    if request.param == "numpy":
        monkeypatch.setattr(loading._Loaded, "machine", None)
    else:
        assert loading.load_machine()


def encode_rows(
    symbol, times, columns, *, float32=False, max_message_bytes=DEFAULT_MESSAGE_BYTES, skip=0, row_offset=0, read=0
):
    """A symbol's messages, as a worker makes them."""
    layout = ResultLayout(
        [column.name for column in columns],
        [column.kind for column in columns],
        float32=float32,
        max_message_bytes=max_message_bytes,
        snapshot_id="state:1d",
        warnings=["look out"],
    )
    table = np.array([column.values for column in columns], dtype=float).reshape(len(columns), -1)
    most = layout.most_bytes(len(times))
    assert layout.rows_that_fit(most) >= len(times)
    room = np.empty(most, dtype=np.uint8)
    sizes, found = layout.write(room, symbol, times, table, skip=skip, row_offset=row_offset)
    info = layout.info(
        found, None, candles_read=read, warm_up_candles_used=3 * read, load_micros=0, compute_micros=1_000 * read
    )
    layout.add_info(room, sizes, info)
    ends = np.cumsum(sizes)
    return [bytes(room[end - size : end]) for size, end in zip(sizes, ends, strict=True)]


def plain(symbol, times, columns, info, *, float32):
    """The same message made the ordinary way."""
    message = ProcessingResult(symbol=symbol, last_part=True, open_time_micros=times, info=info)
    for column in columns:
        kept = {"values_f32": column.values.astype(np.float32)} if float32 else {"values": column.values}
        message.columns.append(Column(name=column.name, kind=column.kind, **kept))
        missing = np.isnan(column.values)
        valid = np.flatnonzero(~missing)
        first = int(valid[0]) if len(valid) else -1
        message.info.columns.append(ColumnInfo(name=column.name, first_valid_row=first, nan_count=int(missing.sum())))
    return message.SerializeToString()


@settings(
    derandomize=True,
    deadline=None,
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # the same kernels for every example
)
@given(
    rows=st.lists(st.tuples(VALUES, VALUES), max_size=40),
    symbol=st.text(max_size=10),
    float32=st.booleans(),
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")  # of the plain message's own conversion
def test_the_bytes_are_those_of_the_plain_message(rows, symbol, float32):
    array = np.array(rows, dtype=float).reshape(-1, 2)
    columns = [ResultColumn("first", NUMBER, array[:, 0].copy()), ResultColumn("second", SIGNAL, array[:, 1].copy())]
    times = np.arange(len(rows), dtype=np.int64) * 1_000 - 5
    told = {"snapshot_id": "state:1d", "warnings": ["look out"]}
    info = ResultInfo(candles_read=7, warm_up_candles_used=21, compute_micros=7_000, **told)
    expected = plain(symbol, times, columns, info, float32=float32)
    assert encode_rows(symbol, times, columns, float32=float32, read=7) == [expected]


def test_the_servers_fields_join_in_front():
    (body,) = encode_rows("A", np.arange(3), [ResultColumn("value", NUMBER, np.arange(3.0))])
    header = HeaderEncoder(job_id="j", symbols_total=5).encode(sequence=9, symbols_done=2, attempts=1)
    whole = ProcessingResult.FromString(header + body)
    assert (whole.job_id, whole.sequence, whole.symbols_total, whole.symbols_done, whole.attempts) == ("j", 9, 5, 2, 1)
    assert whole.SerializeToString() == header + body


@pytest.mark.parametrize("rows", [1, 2, 999, 1_000, 5_000])
@pytest.mark.parametrize("columns", [1, 7, 158])
@pytest.mark.parametrize("float32", [False, True])
def test_parts_fit_and_add_up(rows, columns, float32):
    limit = 16_384
    random = np.random.default_rng(1)
    values = [random.normal(size=rows) for _ in range(columns)]
    made = [ResultColumn(f"column {index}", NUMBER, array) for index, array in enumerate(values)]
    parts = encode_rows("SYMBOL", np.arange(rows), made, float32=float32, max_message_bytes=limit)
    encoder = HeaderEncoder(job_id="x" * 128, symbols_total=2**31 - 1)
    header = encoder.encode(sequence=2**40, symbols_done=2**31 - 1, attempts=3)
    assert all(len(header) + len(part) <= limit for part in parts)
    decoded = [ProcessingResult.FromString(part) for part in parts]
    assert [part.last_part for part in decoded] == [False] * (len(parts) - 1) + [True]
    assert [part.HasField("info") for part in decoded] == [part.last_part for part in decoded]
    offset = 0
    for part in decoded:
        assert part.row_offset == offset
        offset += len(part.open_time_micros)
    assert offset == rows
    for index, array in enumerate(values):
        kept = [part.columns[index].values_f32 if float32 else part.columns[index].values for part in decoded]
        np.testing.assert_array_equal(np.concatenate(kept), array.astype(np.float32) if float32 else array)


@pytest.mark.parametrize("float32", [False, True])
@pytest.mark.parametrize("rows", [1_023, 1_024, 1_025, 2_048, 3_400])
def test_long_columns_have_the_plain_messages_bytes_and_counts_wherever_values_are_missing(rows, float32):
    """Columns are counted and copied in blocks of 1,024 rows."""
    times = np.arange(rows, dtype=np.int64)
    info = ResultInfo(snapshot_id="state:1d", warnings=["look out"])
    missing = [[], [0], [rows - 1], [1_022, rows - 2], range(1_024), range(rows)]
    columns = []
    for number, positions in enumerate(missing):
        values = np.random.default_rng(number).random(rows)
        values[[position for position in positions if position < rows]] = np.nan
        columns.append(ResultColumn(f"column_{number}", NUMBER, values))
    expected = plain("A", times, columns, info, float32=float32)
    assert encode_rows("A", times, columns, float32=float32) == [expected]


def test_values_beyond_float32_become_infinite_quietly():
    (body,) = encode_rows("A", np.arange(1), [ResultColumn("v", NUMBER, np.array([1e300]))], float32=True)
    assert ProcessingResult.FromString(body).columns[0].values_f32 == [math.inf]


def test_each_column_is_described():
    columns = [
        ResultColumn("late", NUMBER, np.array([np.nan, np.nan, 1.0])),
        ResultColumn("never", NUMBER, np.full(3, np.nan)),
        ResultColumn("always", SIGNAL, np.zeros(3)),
    ]
    (body,) = encode_rows("A", np.arange(3), columns)
    described = [(c.name, c.first_valid_row, c.nan_count) for c in ProcessingResult.FromString(body).info.columns]
    assert described == [("late", 2, 2), ("never", -1, 3), ("always", 0, 0)]


def test_rows_before_the_range_are_left_out_and_rows_count_from_its_first():
    values = np.array([1.0, np.nan, np.nan, 4.0, 5.0])
    times = np.arange(3)
    (skipping,) = encode_rows("A", times, [ResultColumn("v", NUMBER, values)], skip=2)
    (alone,) = encode_rows("A", times, [ResultColumn("v", NUMBER, values[2:].copy())])
    assert skipping == alone
    described = ProcessingResult.FromString(skipping).info.columns[0]
    assert (described.first_valid_row, described.nan_count) == (1, 1)


def test_float32_counts_as_float64_does():
    values = np.array([np.nan, np.nan, 1e300, np.nan])
    times = np.arange(3)
    (body,) = encode_rows("A", times, [ResultColumn("v", NUMBER, values)], float32=True, skip=1)
    described = ProcessingResult.FromString(body).info.columns[0]
    assert (described.first_valid_row, described.nan_count) == (1, 2)


@pytest.mark.parametrize("sequence", [1, 127, 128, 16_383, 16_384, 2**40])
@pytest.mark.parametrize("symbols_done", [0, 300])
@pytest.mark.parametrize("job_id", ["", "job-1", "x" * 128])
def test_a_header_is_that_of_the_plain_message(sequence, symbols_done, job_id):
    told = {"sequence": sequence, "symbols_done": symbols_done, "attempts": 2}
    header = HeaderEncoder(job_id=job_id, symbols_total=300).encode(**told)
    assert header == ProcessingResult(job_id=job_id, symbols_total=300, **told).SerializeToString()


def test_the_info_of_ranges_is_that_of_the_whole():
    infos = []
    for first_row, firsts, missing in ((0, [-1, 2], [5, 2]), (5, [3, 0], [3, 1]), (10, [0, -1], [0, 5])):
        causes = np.zeros((2, len(CAUSES)), dtype=np.int64)
        causes[:, 0] = missing
        columns = column_infos(
            ("a", "b"),
            np.array(missing, dtype=np.int64).tobytes(),
            np.array(firsts, dtype=np.int64).tobytes(),
            causes.tobytes(),
        )
        before, after = ResultInfo(candles_read=10), ResultInfo(snapshot_id="s", compute_micros=1)
        infos.append((first_row, before.SerializeToString() + columns + after.SerializeToString()))
    whole = ProcessingResult.FromString(joined_info(infos)).info
    assert (whole.candles_read, whole.compute_micros, whole.snapshot_id) == (30, 3, "s")
    assert [(c.name, c.first_valid_row, c.nan_count) for c in whole.columns] == [("a", 8, 8), ("b", 2, 8)]
    assert [c.nan_reasons for c in whole.columns] == [NanReasons(warm_up=8), NanReasons(warm_up=8)]


@given(
    columns=st.integers(1, 300),
    float32=st.booleans(),
    max_message_bytes=st.integers(1, 2**22),
    size=st.integers(1, 2**25),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_as_many_rows_as_fit_fit_and_one_more_does_not(columns, float32, max_message_bytes, size):
    names = [f"column {number}" for number in range(columns)]
    layout = ResultLayout(names, [NUMBER] * columns, float32=float32, max_message_bytes=max_message_bytes)
    rows = layout.rows_that_fit(size)
    assert rows == 1 or layout.most_bytes(rows) <= size
    assert layout.most_bytes(rows + 1) > size


def test_a_failure_is_one_last_part_without_rows():
    failure = SymbolFailure("not there", reason=Reason.UNKNOWN_SYMBOL, metadata={"symbol": "X"})
    result = ProcessingResult.FromString(encode_failure("X", failure))
    assert (result.symbol, result.error.reason, result.error.message) == ("X", "UNKNOWN_SYMBOL", "not there")
    assert dict(result.error.metadata) == {"symbol": "X"}
    assert result.last_part
    assert not result.columns
