"""What a screen gives and how it ends; every test that takes `user` runs with both clients."""

import asyncio
import itertools
from datetime import datetime

import numpy as np
import pytest

from candelabra import v1
from candelabra_client import (
    AsyncClient,
    Cancelled,
    Client,
    ClientClosed,
    ColumnKind,
    DeadlineExceeded,
    JobConsumed,
    Progress,
    ProtocolError,
    ServerUnavailable,
    SymbolError,
)
from support.scripted_server import Script, passed, serving

WAIT_SECONDS = 20


def answering(*messages):
    return Script(screen_answers=[lambda request, context: iter(messages)])


def endless(request, context):
    for number in itertools.count():
        if not context.is_active():
            return
        yield passed(f"S{number}", value=[0.0], total=10**9)


def test_batches_come_as_they_are_sent_and_those_without_symbols_do_not(user):
    script = answering(
        passed(total=3, done=1),
        passed("B", "A", rsi=[25.0, np.nan], low=[1.0, 0.0], signal="low", total=3, done=2),
        passed("C", rsi=[20.0], low=[np.nan], signal="low", total=3, done=3),
        passed(total=3, done=3, last=True),
    )
    with serving(script) as address:
        first, second = user(address).screen()

    assert first.symbols == ("B", "A")
    assert first.columns == ("rsi", "low")
    assert first.kinds == {"rsi": ColumnKind.NUMBER, "low": ColumnKind.SIGNAL}
    assert first.as_of.dtype == "datetime64[us]"
    assert first.as_of.tolist() == [datetime(2012, 1, 1)] * 2  # noqa: DTZ001 - numpy's are naive
    np.testing.assert_array_equal(first["rsi"], [25.0, np.nan])
    assert first["low"].dtype == np.float64
    assert (second.symbols, len(second), second["rsi"].tolist()) == (("C",), 1, [20.0])


def test_a_gathered_screen_has_all_rows_in_the_order_in_which_they_came(user):
    first = passed("Z", "A", value=[1.0, 2.0], total=4, done=2)
    last = passed("M", value=[3.0], failures={"NOPE": "UNKNOWN_SYMBOL"}, total=4, done=4, last=True)
    last.symbols_passed = 3
    last.info.warnings.append("EMA is Qlib's here")
    last.info.candles_read = 80
    with serving(answering(first, last)) as address:
        result = user(address).screened()

    assert result.symbols == ("Z", "A", "M")
    assert result["value"].tolist() == [1.0, 2.0, 3.0]
    assert result.as_of.tolist() == [datetime(2012, 1, 1)] * 3  # noqa: DTZ001 - numpy's are naive
    assert dict(result.errors) == {"NOPE": SymbolError("UNKNOWN_SYMBOL", "NOPE is not there")}
    assert (result.symbols_total, result.symbols_passed, result.symbols_failed) == (4, 3, 1)
    assert result.warnings == ("EMA is Qlib's here",)
    assert (result.info.snapshot_id, result.info.candles_read) == ("s1", 80)
    assert repr(result) == "<ScreenResult: 3 of 4 symbols passed, 1 failed>"


def test_a_screen_that_nobody_passes_still_has_its_columns(user):
    with serving(answering(passed(total=2, done=2, value=[], last=True))) as address:
        result = user(address).screened()

    assert (result.symbols, result.columns, result["value"].tolist(), len(result.as_of)) == ((), ("value",), [], 0)


def test_a_column_that_is_not_there_is_named_with_those_that_are(user):
    with serving() as address:
        result = user(address).screened(symbols=["A"])

    assert "value" in result
    assert "x" not in result
    with pytest.raises(KeyError, match="no column 'x'; it has value"):
        result["x"]


def test_progress_is_reported_after_each_message(user):
    seen = []
    script = answering(
        passed(total=3, done=1),
        passed("A", value=[1.0], total=3, done=2),
        passed(total=3, done=3, failures={"B": "NO_CANDLES"}, last=True),
    )
    with serving(script) as address:
        user(address).screened(progress=seen.append)

    assert seen == [Progress(1, 3, 0), Progress(2, 3, 0), Progress(3, 3, 1)]


def test_leaving_the_loop_early_cancels_the_screen(user):
    script = Script(screen_answers=[endless])
    with serving(script) as address:
        batches = user(address).screen(stop_after=2)

        assert script.ended.wait(WAIT_SECONDS)
    assert [batch.symbols for batch in batches] == [("S0",), ("S1",)]


def test_a_screen_ends_when_its_timeout_has_passed(user):
    script = Script(screen_answers=[endless])
    with serving(script) as address:
        with pytest.raises(DeadlineExceeded):
            user(address).screen(timeout=0.2)

        assert script.ended.wait(WAIT_SECONDS)


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([], "after 0 of 0 symbols, without its last message"),
        ([passed("A", value=[1.0], total=2)], "after 1 of 2 symbols, without its last message"),
        ([passed(last=True), passed(last=True)], "a message after the last one"),
        ([passed("A", value=[1.0, 2.0])], "a batch of 1 symbols has 2 values in 'value'"),
        ([v1.ScreenResponse(symbols=["A"])], "a batch of 1 symbols has 0 values in 'as_of_micros'"),
        ([passed("A", value=[1.0]), passed("B", x=[1.0])], "a batch has the columns x, not value"),
        ([passed("A", value=[1.0]), passed("B")], "a batch has the columns none, not value"),
    ],
)
def test_an_answer_that_breaks_the_contract_is_an_error(user, messages, complaint):
    with serving(answering(*messages)) as address:
        with pytest.raises(ProtocolError, match=complaint):
            user(address).screened()


def test_a_server_that_is_not_there_is_unavailable(user):
    with pytest.raises(ServerUnavailable):
        user("127.0.0.1:1").screened()


def test_a_screen_is_sent_only_when_it_is_asked_for_and_runs_once():
    script = Script()
    with serving(script) as address, Client(address) as client:
        screen = client.screen("close", timeframe="1d", symbols=["A", "B", "C"])
        assert script.screens == []
        assert repr(screen) == "<Screen (no id yet) of A, B, C: 0 done>"
        result = screen.results()
        assert screen.results() is result
        assert [batch.symbols for batch in screen] == [("A", "B", "C")]
        assert len(script.screens) == 1
        assert repr(screen) == "<Screen made-1 of A, B, C: 3 done>"

        streamed = client.screen("close", timeframe="1d")
        list(streamed)
        with pytest.raises(JobConsumed, match=r"a screen runs once, .* call screen\(\) again"):
            list(streamed)


def test_a_screen_that_was_iterated_knows_what_became_of_it():
    with serving() as address, Client(address) as client:
        screen = client.screen("close", timeframe="1d", symbols=["A", "NOPE", "B"])
        assert (screen.info, screen.kinds) == (None, {})
        list(screen)

        assert (screen.symbols_total, screen.symbols_done, screen.symbols_passed, screen.symbols_failed) == (3, 3, 2, 1)
        assert (list(screen.errors), list(screen.kinds), screen.info.snapshot_id) == (["NOPE"], ["value"], "s1")


def test_what_an_asynchronous_screen_gathered_stays():
    async def run(address):
        async with AsyncClient(address) as client:
            screen = client.screen("close", timeframe="1d", symbols=["A", "B", "C"])
            frame = await screen.to_pandas()
            return frame, [batch async for batch in screen], await screen.results()

    with serving() as address:
        frame, batches, result = asyncio.run(run(address))

    assert batches == [result]
    assert frame["symbol"].tolist() == list(result.symbols) == ["A", "B", "C"]


def test_closing_the_screen_or_the_client_ends_it():
    script = Script(screen_answers=[endless])
    with serving(script) as address, Client(address) as client:
        with client.screen("close", timeframe="1d") as screen:
            batches = iter(screen)
            next(batches)
        with pytest.raises(Cancelled):
            list(batches)
        assert script.ended.wait(WAIT_SECONDS)

        batches = iter(client.screen("close", timeframe="1d"))
        next(batches)
        client.close()
        with pytest.raises(Cancelled):
            list(batches)
        with pytest.raises(ClientClosed):
            client.screen("close", timeframe="1d").results()


def test_closing_the_asynchronous_client_ends_its_screens_but_not_the_task():
    async def run(address):
        client = AsyncClient(address)
        batches = aiter(client.screen("close", timeframe="1d"))
        await anext(batches)
        await client.close()
        with pytest.raises(Cancelled, match="screen"):
            async for _ in batches:
                pass

    with serving(Script(screen_answers=[endless])) as address:
        asyncio.run(run(address))
