import numpy as np
import pytest

from candelabra_client._plots.scales import bounds, compact, nice_ticks, shortened, tick_labels, time_ticks


def days_of_2012(count):
    """Trading days: no weekends."""
    return np.busday_offset("2012-01-02", np.arange(count)).astype("datetime64[us]")


def test_times_are_marked_where_a_month_begins():
    rows, labels = time_ticks(days_of_2012(90), 5)

    assert labels == ["2012-02", "2012-03", "2012-04", "2012-05"]
    assert [str(days_of_2012(90)[row].astype("M8[D]")) for row in rows] == [
        "2012-02-01",
        "2012-03-01",
        "2012-04-02",
        "2012-05-01",
    ]


def test_marks_of_days_are_mondays_where_not_all_fit():
    rows, labels = time_ticks(days_of_2012(21), 5)

    assert (rows, labels) == ([5, 10, 15, 20], ["2012-01-09", "2012-01-16", "2012-01-23", "2012-01-30"])


def test_times_of_a_day_have_its_date_where_it_begins():
    times = np.datetime64("2012-01-02T22:00", "us") + np.arange(5) * np.timedelta64(1, "h")

    assert time_ticks(times, 5) == ([1, 2, 3, 4], ["23:00", "2012-01-03", "01:00", "02:00"])


@pytest.mark.parametrize("count", [2, 10, 300, 3_000])
@pytest.mark.parametrize("most", [1, 4, 12])
def test_there_are_never_more_marks_than_asked_for(count, most):
    assert 1 <= len(time_ticks(days_of_2012(count), most)[0]) <= most


def test_one_row_is_marked_and_none_is_not():
    assert time_ticks(days_of_2012(1), 5) == ([0], ["2012-01-02"])
    assert time_ticks(days_of_2012(0), 5) == ([], [])


@pytest.mark.parametrize(
    ("low", "high", "most", "ticks"),
    [
        (0, 1, 6, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 1, 5, [0, 0.25, 0.5, 0.75, 1]),
        (52, 91, 4, [60, 70, 80, 90]),
        (52, 91, 2, [60, 80]),
        (-3.9, 2.2, 4, [-2, 0, 2]),
        (1, 1, 4, []),
        (0, 1, 0, []),
    ],
)
def test_ticks_are_round(low, high, most, ticks):
    found = nice_ticks(low, high, most)

    assert found == pytest.approx(ticks)


def test_labels_of_an_axis_have_the_same_decimals():
    assert tick_labels([-2.5, 0.0, 2.5]) == ["-2.5", "0.0", "2.5"]
    assert tick_labels([500, 1000, 1500]) == ["500", "1,000", "1,500"]
    assert tick_labels([0, 250e6]) == ["0", "250M"]
    assert tick_labels([1.25, 1.5]) == ["1.25", "1.50"]
    assert tick_labels([]) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (431.204, "431.20"),
        (-0.0661, "-0.0661"),
        (14, "14"),
        (1500, "1,500"),
        (12345.67, "12,345.7"),
        (160_853_381, "161M"),
        (999_999_999, "1B"),
        (-2.5e12, "-2.5T"),
        (1e20, "1e+20"),
        (float("inf"), "inf"),
    ],
)
def test_numbers_are_short(value, text):
    assert compact(value) == text


def test_bounds_ignore_what_is_not_finite_and_have_a_width():
    assert bounds([np.array([1, np.nan, 3]), np.array([np.inf])]) == (1, 3)
    assert bounds([np.array([1.0, 3.0])], margin=0.5) == (0, 4)
    assert bounds([np.array([np.nan])]) == (0, 1)
    low, high = bounds([np.array([5.0])])
    assert low < 5 < high


def test_long_texts_are_cut():
    assert (shortened("abc", 3), shortened("abcd", 3)) == ("abc", "ab…")
