"""Timeframes are read in every common spelling and written in one."""

import pytest

from candelabra_server.domain.timeframe import Timeframe


@pytest.mark.parametrize(
    ("spelling", "text"),
    [
        ("1m", "1m"), ("5Min", "5m"), ("15Minutes", "15m"), ("60min", "1h"), ("90m", "90m"), ("T", "1m"),
        ("1H", "1h"), ("hour", "1h"), ("24h", "1d"), ("1440m", "1d"), ("4 h", "4h"), ("60s", "1m"),
        ("D", "1d"), ("day", "1d"), ("daily", "1d"), ("7d", "7d"), ("1Week", "1w"), ("w", "1w"),
        ("M", "1M"), ("1M", "1M"), ("m", "1m"), ("3Months", "3M"), ("1mo", "1M"), (" 1d ", "1d"),
    ],
)  # fmt: skip
def test_common_spellings_have_one_canonical_form(spelling, text):
    assert Timeframe.parse(spelling).text == text
    assert str(Timeframe.parse(text)) == text


@pytest.mark.parametrize("spelling", ["", "0d", "1", "fortnight", "-1d", "1.5h", "1d1h", "999999d", "１d"])
def test_anything_else_is_refused_with_what_is_expected(spelling):
    with pytest.raises(ValueError, match="is not a timeframe; expected a count and a unit such as 1m"):
        Timeframe.parse(spelling)


def test_timeframes_sort_from_short_to_long():
    spellings = ["1M", "1m", "1w", "1d", "4h", "1h", "15m", "5m", "10m"]
    in_order = ["1m", "5m", "10m", "15m", "1h", "4h", "1d", "1w", "1M"]
    assert [timeframe.text for timeframe in sorted(map(Timeframe.parse, spellings))] == in_order
