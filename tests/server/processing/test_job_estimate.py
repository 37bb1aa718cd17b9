"""Estimates: exact where candles stand evenly, whatever range, last rows and warm-up a job has."""

import pytest

from candelabra.v1 import OutputOptions, Precision
from candelabra_server.candles.repository import StoredSymbol
from candelabra_server.domain.date_range import DateRange
from candelabra_server.formulas.service import FormulaService
from candelabra_server.processing.job_estimate import _candles_before, _share, estimate_job
from support.jobs import job

DAY = 86_400_000_000
FIRST = 18_262 * DAY  # 2020-01-01
FIELDS = ("close", "open")


def stored(symbol="A", count=100, fields=FIELDS, first=FIRST, step=DAY):
    return StoredSymbol(symbol, count, first, first + (count - 1) * step, fields)


def estimate(request, *entries, nanos_per_row=0.0):
    formula = None
    if request.HasField("formula"):
        formula = FormulaService().compile(request.formula.expression, parameters={})
    return estimate_job(
        request, symbols=list(request.symbols), stored=entries, formula=formula, nanos_per_row=nanos_per_row
    )


def read_and_sent(request, *entries):
    found = estimate(request, *entries)
    return found.candles_read, found.result_rows


@pytest.mark.parametrize(("count", "step"), [(1, 7), (2, 7), (3, 1), (10, 7), (11, 13)])
def test_candles_before_a_time_are_those_of_an_even_spacing(count, step):
    entry = stored(count=count, first=100, step=step)
    times = [100 + index * step for index in range(count)]
    for micros in range(90, times[-1] + 10):
        assert _candles_before(entry, micros) == sum(time < micros for time in times)


@pytest.mark.parametrize("last_n", [0, 1, 4, 50])
@pytest.mark.parametrize("warm_up", [0, 3, 2**40])
def test_a_share_is_what_a_symbol_would_give(last_n, warm_up):
    entry = stored(count=12, first=100, step=5)
    times = [100 + index * 5 for index in range(12)]
    for start in range(95, 165, 3):
        for end in range(start, 170, 4):
            rows = [index for index, time in enumerate(times) if start <= time <= end][-last_n:]
            read = len(rows) + min(warm_up, rows[0]) if rows else 0
            found = _share(entry, date_range=DateRange(start, end), last_n=last_n, warm_up=warm_up)
            assert found == (read, len(rows))


def test_a_job_over_everything_reads_and_sends_everything():
    assert read_and_sent(job("A", "sma(close, 20)"), stored()) == (100, 100)


def test_a_range_reads_its_warm_up_too():
    request = job("A", "sma(close, 20)", start="2020-02-10", end="2020-03-01")
    assert read_and_sent(request, stored()) == (19 + 21, 21)


def test_warm_up_ends_where_the_history_begins():
    request = job("A", "sma(close, 20)", start="2020-01-05", end="2020-01-10")
    assert read_and_sent(request, stored()) == (4 + 6, 6)


def test_the_whole_history_is_all_that_is_before_the_range():
    request = job("A", "streak(close > open)", start="2020-02-10", end="2020-03-01")
    assert read_and_sent(request, stored()) == (40 + 21, 21)


def test_the_last_rows_need_their_warm_up_only():
    request = job("A", "sma(close, 20)")
    request.output.CopyFrom(OutputOptions(last_n=5))
    assert read_and_sent(request, stored()) == (19 + 5, 5)


def test_symbols_without_candles_in_the_range_or_at_all_cost_a_message():
    request = job(["A", "NOPE", "OLD"], "close", start="2020-01-01")
    old = stored("OLD", first=FIRST - 500 * DAY)
    found = estimate(request, stored(), old)
    assert (found.candles_read, found.result_rows) == (100, 100)
    alone = estimate(job("A", "close", start="2020-01-01"), stored())
    assert 0 < found.result_bytes - alone.result_bytes < 1_000
    assert 0 < found.cpu_micros - alone.cpu_micros < 1_000


def test_another_symbol_is_read_for_every_symbol_of_the_job_over_the_time_of_its_warm_up_too():
    """It has 40 candles before the range: 9 for the job's own average, 1 for itself, and those of the range."""
    symbols = [stored(name) for name in ("A", "B", "SPY")]
    request = job(["A", "B", "NOPE"], 'sma(close, 10) / symbol("SPY").close', start="2020-02-10", end="2020-03-01")
    assert read_and_sent(request, *symbols) == (2 * ((9 + 21) + (9 + 1 + 21)), 2 * 21)


def test_another_symbol_is_not_read_for_a_symbol_without_candles_in_the_range():
    old = stored("OLD", first=FIRST - 500 * DAY)
    request = job(["OLD"], 'close / symbol("SPY").close', start="2020-02-10")
    assert read_and_sent(request, old, stored("SPY")) == (0, 0)


def test_the_size_follows_columns_and_precision():
    text = "a = close; b = open; c = close + open"
    wide, narrow = job("A", text), job("A", text)
    narrow.output.precision = Precision.PRECISION_FLOAT32
    found = estimate(wide, stored(count=100_000)).result_bytes
    assert found == pytest.approx(100_000 * (8 + 3 * 8), rel=0.01)
    assert found - estimate(narrow, stored(count=100_000)).result_bytes == 100_000 * 3 * 4


def test_without_a_formula_the_stored_fields_are_sent():
    found = estimate(job("A"), stored(count=100_000, fields=("a", "b", "c", "d", "e")))
    assert (found.candles_read, found.result_rows) == (100_000, 100_000)
    assert found.result_bytes == pytest.approx(100_000 * (8 + 5 * 8), rel=0.01)


def test_the_time_grows_with_the_candles_that_are_read_and_with_what_a_row_takes():
    request = job("A", "sma(close, 20)", start="2020-02-10", end="2020-03-01")
    slow, fast = (estimate(request, stored(), nanos_per_row=nanos).cpu_micros for nanos in (1_000_000, 0))
    assert slow - fast == (19 + 21) * 1_000
