from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest

from candelabra.v1 import Precision
from candelabra_client import Client
from candelabra_client._request import to_iso


def request(symbols="A", **options):
    return Client().process(symbols, timeframe="1d", **options)._run._job


def test_a_job_without_options_leaves_every_message_unset():
    job = request(["A", "B*"])

    assert (list(job.symbols), job.timeframe, job.job_id, dict(job.parameters)) == (["A", "B*"], "1d", "", {})
    assert not any(job.HasField(name) for name in ("date_range", "formula", "output", "options"))


def test_every_option_has_its_field():
    job = request(
        (symbol for symbol in "AB"),
        start="2012-01-01",
        end=date(2012, 12, 31),
        formula="sma(close, n)",
        parameters={"n": np.int64(3)},
        precision="float32",
        last_n=1,
        max_message_bytes=20_000,
        allow_lookahead=True,
        symbol_time_limit=1.5,
        weight=2,
        job_id="mine",
    )

    assert list(job.symbols) == ["A", "B"]
    assert (job.date_range.start, job.date_range.end) == ("2012-01-01", "2012-12-31")
    assert (job.formula.expression, dict(job.parameters)) == ("sma(close, n)", {"n": 3.0})
    assert (job.output.precision, job.output.last_n) == (Precision.PRECISION_FLOAT32, 1)
    assert job.output.max_message_bytes == 20_000
    assert (job.options.allow_lookahead, job.options.symbol_time_limit_millis, job.options.weight) == (True, 1_500, 2.0)
    assert job.job_id == "mine"


def test_a_formula_id_is_sent_as_it_is():
    assert request(formula_id="f1").formula.id == "f1"


def test_an_empty_formula_is_sent_so_that_the_server_can_refuse_it():
    assert request(formula="").HasField("formula")


def test_a_time_limit_below_a_millisecond_does_not_become_no_limit():
    assert request(symbol_time_limit=0.0001).options.symbol_time_limit_millis == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("2012-01-01", "2012-01-01"),
        (date(2012, 1, 31), "2012-01-31"),
        (datetime(2012, 1, 31, 9, 30), "2012-01-31T09:30:00Z"),  # noqa: DTZ001 - naive is what is tested
        (datetime(2012, 1, 31, 9, 30, tzinfo=UTC), "2012-01-31T09:30:00Z"),
        (datetime(2012, 1, 31, 1, tzinfo=timezone(timedelta(hours=2))), "2012-01-30T23:00:00Z"),
        (datetime(2012, 1, 31, 9, 30, 0, 120, tzinfo=UTC), "2012-01-31T09:30:00.000120Z"),
        (datetime(980, 1, 1, tzinfo=UTC), "0980-01-01T00:00:00Z"),
        (np.datetime64("2012-01-31"), "2012-01-31"),
        (np.datetime64("2012-01-31T09:30:00.123456789"), "2012-01-31T09:30:00.123456Z"),
        (pd.Timestamp("2012-01-31 09:30:00.123456789", tz="America/New_York"), "2012-01-31T14:30:00.123456Z"),
    ],
)
def test_dates_become_iso_text_in_utc(value, text):
    assert to_iso(value) == text


@pytest.mark.parametrize("value", [20120131, 1.5, np.datetime64("NaT", "us")])
def test_what_is_no_date_is_refused(value):
    with pytest.raises(TypeError, match="expected ISO 8601 text, a date or a datetime"):
        request(start=value)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"precision": "float16"}, ValueError),
        ({"parameters": {"n": "many"}}, ValueError),
        ({"last_n": 2**31}, ValueError),
        ({"last_n": "ten"}, TypeError),
        ({"symbols": [1, 2]}, TypeError),
        ({"symbols": None}, TypeError),
    ],
)
def test_what_a_field_cannot_hold_is_refused_before_anything_is_sent(options, error):
    with pytest.raises(error):
        request(**options)
