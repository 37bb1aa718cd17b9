"""Fast paths of number and time columns against the slow, obvious way."""

import re
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from candelabra_server.candles.number_column import read_numbers
from candelabra_server.candles.time_column import read_times

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**15), 10**15).map(str),
    st.sampled_from(["+1.5", ".5", "5.", " 7 ", "1E3", "NaN", "", "null"]),
)
words = st.sampled_from(["x", "1,5", "1_0", "0x10", "--1", "1e", "e5", "1.2.3", "½", "١"])
moments = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def slow_number(text):
    text = text.strip()
    if text.lower() in {"", "nan", "null"}:
        return np.nan
    return float(text) if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text) else None


@given(st.lists(st.one_of(numbers, words), max_size=20))
@example(["1", "2.5"])
@example(["1", ""])
@example(["1", "x"])
def test_numbers_are_read_as_python_reads_them_one_by_one(texts):
    column = read_numbers(pa.array(texts, pa.string()))
    expected = [slow_number(text) for text in texts]
    assert column.bad_rows.tolist() == [row for row, value in enumerate(expected) if value is None]
    values = [np.nan if value is None else value for value in expected]
    np.testing.assert_array_equal(column.values, np.array(values, dtype=np.float64))


@given(st.lists(st.tuples(moments, zones), min_size=1, max_size=10), st.sampled_from(["all", "some", "none"]))
def test_times_are_read_as_python_reads_them_one_by_one(items, zoned):
    texts, expected = [], []
    for number, (moment, zone) in enumerate(items):
        is_zoned = zoned == "all" or (zoned == "some" and number % 2 == 0)
        text = moment.astimezone(zone).isoformat() if is_zoned else moment.replace(tzinfo=None).isoformat(" ")
        texts.append(text)
        expected.append((moment - EPOCH) // timedelta(microseconds=1))
    column = read_times(pa.array(texts))
    assert column.micros.tolist() == expected
    assert not len(column.bad_rows)
    assert not len(column.missing_rows)


@given(st.lists(st.integers(10**9, 7 * 10**9), min_size=1), st.sampled_from([1, 10**3, 10**6, 10**9]))
def test_the_unit_of_whole_numbers_is_told_by_their_size(seconds, per_second):
    column = read_times(pa.array([str(second * per_second) for second in seconds]))
    assert column.micros.tolist() == [second * 10**6 for second in seconds]


def test_a_missing_time_is_told_from_a_wrong_one():
    column = read_times(pa.array(["2020-01-01", "", "x", None, "2020-01-01T00:00:01+01:00"]))
    assert column.missing_rows.tolist() == [1, 3]
    assert column.bad_rows.tolist() == [2]
    day = 18_262 * 86_400_000_000
    assert column.micros[[0, 4]].tolist() == [day, day - 3_599_000_000]
