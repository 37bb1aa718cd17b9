from datetime import UTC, date, datetime

import numpy as np
import pytest

from candelabra import v1
from candelabra_client import Client


def request(formula="close", **options):
    return Client().screen(formula, **{"timeframe": "1d", **options})._run._request


def test_a_screen_without_options_is_of_every_symbol():
    assert request() == v1.ScreenRequest(symbols=["*"], timeframe="1d", formula=v1.Formula(expression="close"))
    assert not request().HasField("options")


def test_every_option_has_its_field():
    assert request(
        "low = rsi(close, n) < 30",
        symbols=(symbol for symbol in "AB"),
        timeframe="1h",
        as_of=datetime(2012, 6, 1, 9, 30, tzinfo=UTC),
        filter="low",
        order_by=["rsi desc", "symbol"],
        limit=np.int64(50),
        parameters={"n": 14},
        compat="qlib",
        float32_fields=True,
        weight=2,
        symbol_time_limit=0.0001,
        screen_id="mine",
    ) == v1.ScreenRequest(
        screen_id="mine",
        symbols=["A", "B"],
        timeframe="1h",
        as_of="2012-06-01T09:30:00Z",
        formula=v1.Formula(
            expression="low = rsi(close, n) < 30",
            compatibility=v1.Compatibility.COMPATIBILITY_QLIB,
            float32_fields=True,
        ),
        parameters={"n": 14.0},
        filter="low",
        order_by="rsi desc, symbol",
        limit=50,
        options=v1.JobOptions(weight=2, symbol_time_limit_millis=1),
    )


def test_a_saved_formula_stands_in_place_of_the_text():
    assert request(None, formula_id="trend@3", as_of=date(2012, 6, 1)) == v1.ScreenRequest(
        symbols=["*"], timeframe="1d", formula=v1.Formula(id="trend@3"), as_of="2012-06-01"
    )


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"formula": 3}, "formula is 3; expected text, got int"),
        ({"formula": None, "formula_id": 3}, "formula_id is 3; expected text"),
        ({"symbols": ["A", 1]}, "a symbol is 1; expected text"),
        ({"timeframe": 1}, "timeframe is 1; expected text"),
        ({"as_of": 20120601}, "expected ISO 8601 text, a date or a datetime"),
        ({"filter": True}, "filter is True; expected text, got bool"),
        ({"order_by": 1}, "order_by is 1; expected text such as 'rsi desc', or several"),
        ({"order_by": ["a", 1]}, "a name in order_by is 1; expected text"),
        ({"limit": "ten"}, "limit is 'ten'; expected a whole number, got str"),
        ({"limit": 1.5}, "limit is 1.5; expected a whole number, got float"),
        ({"screen_id": 1}, "screen_id is 1; expected text"),
    ],
)
def test_what_a_field_cannot_hold_is_refused_before_anything_is_sent(options, complaint):
    with pytest.raises(TypeError, match=complaint):
        request(**options)


@pytest.mark.parametrize("options", [{"limit": 2**31}, {"compat": "talib"}, {"parameters": {"n": "many"}}])
def test_a_value_that_its_field_does_not_have_is_refused_too(options):
    with pytest.raises(ValueError, match=r"2147483648|expected 'qlib'|could not convert"):
        request(**options)
