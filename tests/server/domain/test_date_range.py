"""Date ranges include both ends, a date its whole day in UTC."""

from datetime import UTC, datetime

import pytest

from candelabra_server.domain.date_range import MAX_MICROS, MIN_MICROS, DateRange, micros_from_datetime


def micros(*moment):
    return micros_from_datetime(datetime(*moment, tzinfo=UTC))


def test_a_date_is_its_whole_day():
    day = DateRange.parse("2012-02-29", "2012-02-29")
    assert day.start_micros == micros(2012, 2, 29)
    assert day.end_micros == micros(2012, 3, 1) - 1


def test_an_empty_end_is_unbounded():
    assert DateRange.parse("", "") == DateRange(MIN_MICROS, MAX_MICROS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2012-01-01T09:30:00Z", micros(2012, 1, 1, 9, 30)),
        ("2012-01-01t09:30:00z", micros(2012, 1, 1, 9, 30)),
        ("2012-01-01 09:30:00+02:00", micros(2012, 1, 1, 7, 30)),
        ("2012-01-01T09:30Z", micros(2012, 1, 1, 9, 30)),
        ("2012-01-01T09:30:00.123456Z", micros(2012, 1, 1, 9, 30, 0, 123456)),
        ("1969-12-31T23:59:59.999999Z", -1),
    ],
)
def test_a_time_is_exact_in_any_zone(text, expected):
    assert DateRange.parse_start(text) == DateRange.parse_end(text) == expected


@pytest.mark.parametrize(
    "text", ["yesterday", "2012-1-1", "2012-02-30", "2012-01-01T09:30:00", "2012-01-01T25:00Z", "1"]
)
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match="date"):
        DateRange.parse(text, "")


def test_an_end_before_the_start_is_refused():
    with pytest.raises(ValueError, match="ends at 2012-01-01, before it starts at 2012-01-02"):
        DateRange.parse("2012-01-02", "2012-01-01")
