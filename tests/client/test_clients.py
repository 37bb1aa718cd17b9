"""What `Client` and `AsyncClient` do alike; every test runs with both."""

import itertools
from datetime import UTC, datetime

import numpy as np
import pytest

from candelabra import v1
from candelabra_client import (
    Cancelled,
    ColumnKind,
    DeadlineExceeded,
    HealthStatus,
    InvalidRequest,
    NotFound,
    Progress,
    ProtocolError,
    ServerUnavailable,
    SymbolError,
    SymbolFailed,
)
from support.scripted_server import Script, answer_each, failed, rows, serving, stored

WAIT_SECONDS = 20


def test_results_come_symbol_by_symbol_with_errors_among_them(user):
    with serving() as address:
        good, bad = user(address).iterate(["AAPL", "NOPE"])

    assert good.ok
    assert (good.symbol, good.columns, good.row_count, good.attempts) == ("AAPL", ("value",), 3, 1)
    assert good["value"].tolist() == [1.0, 2.0, 1.0]
    assert good.open_times.tolist() == [datetime(2012, 1, day) for day in (1, 2, 3)]  # noqa: DTZ001 - numpy's are naive
    assert good.open_times.dtype == "datetime64[us]"
    assert good.kinds == {"value": ColumnKind.NUMBER}
    assert not bad.ok
    assert bad.error == SymbolError("UNKNOWN_SYMBOL", "NOPE is not stored", {"symbol": "NOPE"})
    assert (bad.columns, bad.row_count) == ((), 0)
    with pytest.raises(SymbolFailed, match=r"NOPE: NOPE is not stored \(UNKNOWN_SYMBOL\)") as caught:
        bad["value"]
    assert caught.value.reason == "UNKNOWN_SYMBOL"


def test_the_request_arrives_with_its_metadata(user):
    script = Script()
    with serving(script) as address:
        user(address, metadata=[("authorization", "Bearer t")]).gather("A", formula="close", job_id="mine")

    assert script.jobs == [
        v1.ProcessingJob(job_id="mine", symbols=["A"], timeframe="1d", formula=v1.Formula(expression="close"))
    ]
    assert script.metadata["authorization"] == "Bearer t"


def test_the_parts_of_a_symbol_are_put_together(user):
    def answer(job, context):
        yield rows("A", [1.0, 2.0], last=False, total=2)
        yield rows("A", [3.0], first_row=2, last=False, total=2)
        yield rows("A", [4.0, np.nan], first_row=3, total=2)
        yield rows("B", [9.0], total=2)

    with serving(Script(answers=[answer])) as address:
        a, b = user(address).iterate(["A", "B"])

    np.testing.assert_array_equal(a["value"], [1.0, 2.0, 3.0, 4.0, np.nan])
    assert np.diff(a.open_time_micros).tolist() == [86_400_000_000] * 4
    assert a.info.snapshot_id == "s1"
    assert b["value"].tolist() == [9.0]


def test_gathered_results_are_in_the_order_of_the_request(user):
    def answer(job, context):
        for symbol in ("MSFT", "AB", "NOPE", "AA", "Z"):
            yield failed(symbol, total=5) if symbol == "NOPE" else rows(symbol, [1.0], total=5)

    with serving(Script(answers=[answer])) as address:
        results = user(address).gather(["Z", "A?", "NOPE", "AB", "MSFT"])

    assert results.symbols == ("Z", "AA", "NOPE", "AB", "MSFT")
    assert results["AB"]["value"].tolist() == [1.0]
    assert list(results.errors) == ["NOPE"]
    assert "NOPE" in results
    assert "Q" not in results
    with pytest.raises(SymbolFailed):
        results.raise_for_errors()


def test_progress_is_reported_after_each_symbol(user):
    seen = []
    with serving() as address:
        user(address).gather(["A", "NOPE", "B"], progress=seen.append)

    assert seen == [Progress(1, 3, 0), Progress(2, 3, 1), Progress(3, 3, 1)]


def test_a_job_knows_its_id_and_how_far_it_is(user):
    seen = []
    with serving() as address:
        user(address).with_job(["A", "B"], lambda job: seen.append((job.job_id, job.symbols_done, job.symbols_total)))

    assert seen == [("made-1", 1, 2), ("made-1", 2, 2)]


def endless(job, context):
    for number in itertools.count():
        if not context.is_active():
            return
        yield rows(f"S{number}", [0.0], total=10**9)


def test_leaving_the_loop_early_cancels_the_job(user):
    script = Script(answers=[endless])
    with serving(script) as address:
        results = user(address).iterate("*", stop_after=2)

        assert script.ended.wait(WAIT_SECONDS)
    assert [result.symbol for result in results] == ["S0", "S1"]


def test_closing_a_job_ends_its_iteration_and_its_work(user):
    script = Script(answers=[endless])
    with serving(script) as address:
        with pytest.raises(Cancelled):
            user(address).with_job("*", lambda job: job.close())

        assert script.ended.wait(WAIT_SECONDS)


def test_a_job_ends_when_its_timeout_has_passed(user):
    script = Script(answers=[endless])
    with serving(script) as address:
        with pytest.raises(DeadlineExceeded) as caught:
            user(address).iterate("*", timeout=0.2)

        assert script.ended.wait(WAIT_SECONDS)
    assert isinstance(caught.value, TimeoutError)


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([], "after 0 of 0 symbols"),
        ([rows("A", [1.0], total=2)], "after 1 of 2 symbols"),
        ([rows("A", [1.0], last=False)], "after 0 of 1 symbols, within A"),
        ([rows("A", [1.0], last=False), rows("B", [1.0])], "a part of B came within A"),
        ([rows("A", [1.0], first_row=1)], "A: a part begins at row 1, expected 0"),
        (
            [rows("A", [1.0], last=False), rows("A", [1.0], first_row=1, name="x")],
            "A: its parts have different columns",
        ),
    ],
)
def test_an_answer_that_breaks_the_contract_is_an_error(user, messages, complaint):
    with serving(Script(answers=[lambda job, context: iter(messages)])) as address:
        with pytest.raises(ProtocolError, match=complaint):
            user(address).gather(["A", "B"])


def test_a_symbol_that_fails_after_some_parts_has_its_error_only(user):
    def answer(job, context):
        yield rows("A", [1.0], last=False)
        yield failed("A", reason="WORKER_DIED")

    with serving(Script(answers=[answer])) as address:
        (result,) = user(address).gather("A")

    assert result.error.reason == "WORKER_DIED"
    assert result.row_count == 0


def test_stored_symbols_are_listed_over_all_pages(user):
    script = Script(stored=stored("A", "B", "C", "D", "E"))
    with serving(script) as address:
        symbols = user(address).call("list_symbols", ["A*", "B"], timeframe="1d")

    assert [symbol.symbol for symbol in symbols] == ["A", "B", "C", "D", "E"]
    assert symbols[0].first_open_time == datetime(2012, 1, 1, tzinfo=UTC)
    assert symbols[0].fields == ("close", "high", "low", "open", "volume")
    assert [(list(query.symbols), query.timeframe, query.page_token) for query in script.queries] == [
        (["A*", "B"], "1d", token) for token in ("", "2", "4")
    ]


def test_a_timeframe_that_is_not_stored_is_an_invalid_request(user):
    with serving() as address:
        with pytest.raises(InvalidRequest) as caught:
            user(address).call("list_symbols", timeframe="7m")

    assert caught.value.reason == "TIMEFRAME_NOT_STORED"
    assert dict(caught.value.metadata) == {"timeframe": "7m"}


def test_the_server_describes_itself(user):
    with serving(Script(stored=stored("A", "B"))) as address:
        info = user(address).call("server_info")

    assert (info.version, info.workers, info.timeframes) == ("0.1.0", 2, {"1d": 2})
    assert info.start_time == datetime(2012, 1, 1, tzinfo=UTC)


def test_health_is_told_for_the_server_and_for_each_service(user):
    with serving() as address:
        assert user(address).call("health") is HealthStatus.SERVING
        assert user(address).call("health", "candelabra.v1.ProcessingService") is HealthStatus.NOT_SERVING
        with pytest.raises(NotFound):
            user(address).call("health", "no.such.Service")


def test_a_server_that_is_not_there_is_unavailable_to_every_call(user):
    for method in ("server_info", "list_symbols", "health"):
        with pytest.raises(ServerUnavailable):
            user("127.0.0.1:1").call(method)
    with pytest.raises(ServerUnavailable):
        user("127.0.0.1:1").gather("A")


def test_a_job_of_8000_symbols_arrives_whole(user):
    symbols = [f"S{number:04d}" for number in range(8_000)]
    with serving(Script(answers=[answer_each])) as address:
        results = user(address).gather(symbols)

    assert results.symbols == tuple(symbols)
