"""What runs in a worker, called directly: every type that can reach it, and every failure as data."""

import json
import math
import pickle

import numpy as np
import pytest

from candelabra.v1 import ColumnKind, Precision, ProcessingResult
from candelabra.worker.v1 import ChunkTask, JobTask, SymbolTask
from candelabra_server.formulas.service import FormulaService
from candelabra_server.processing.job_plan import prepare_symbol_args
from candelabra_server.processing.result_transport import PacketReader, ResultSlots, TransportSettings
from candelabra_server.processing.worker_functions import (
    _worker_ping,
    _worker_process_chunk,
    _worker_process_symbol,
)
from support.jobs import job
from support.memory_repository import MemoryRepository, candles_of

FORMULAS = FormulaService().worker_config()


def config(*symbols, **settings):
    return MemoryRepository(symbols, **settings).worker_config()


def process(args, *symbols, **settings):
    return _worker_process_symbol(args, config(*(symbols or ("A",)), **settings), FORMULAS)


def test_the_functions_are_importable_and_picklable_by_name():
    for function in (_worker_process_symbol, _worker_process_chunk, _worker_ping):
        assert pickle.loads(pickle.dumps(function)) is function


def test_a_symbol_gives_a_whole_result():
    result = process(prepare_symbol_args("A", job("A", "sma(close, n)", parameters={"n": 3})))
    assert isinstance(result, ProcessingResult)
    assert (result.symbol, result.last_part, len(result.columns[0].values)) == ("A", True, 100)
    close = candles_of("A", 100).fields["close"]
    np.testing.assert_allclose(result.columns[0].values[2:], (close[2:] + close[1:-1] + close[:-2]) / 3, rtol=1e-14)
    assert result.columns[0].kind == ColumnKind.COLUMN_KIND_NUMBER


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"formula_expression": None, "formula_id": None},
        {"formula_expression": "", "formula_id": ""},
        {"date_range_start": "2020-01-05", "date_range_end": "2020-02-01"},
        {"date_range_start": "2020-01-05T00:00:00Z", "date_range_end": "2020-02-01T12:00:00+01:00"},
        {"timeframe": "day"},
        {"parameters": {}},
        {"parameters": {"n": 2.0}, "formula_expression": "close * n"},
        {"parameters": {"n": 2}, "formula_expression": "close + n"},
        {"precision": Precision.PRECISION_FLOAT32},
        {"last_n": 2},
        {"allow_lookahead": True},
        {"symbol_time_limit_millis": 60_000},
    ],
)
def test_every_argument_in_every_type_crosses_the_boundary(change):
    args = prepare_symbol_args("A", job("A", "close")) | change
    crossed = pickle.loads(pickle.dumps(args))
    assert crossed == args
    assert SymbolTask.FromString(SymbolTask(**crossed).SerializeToString()) == SymbolTask(**args)
    result = process(crossed)
    assert not result.HasField("error")
    assert len(result.open_time_micros) > 0


def test_a_symbols_name_may_have_any_letters():
    name = "ÄΩ.漢字/[x] 1"
    assert process(prepare_symbol_args(name, job(name, "close")), name).symbol == name


def test_a_chunk_answers_its_symbols_in_order():
    shared = JobTask(
        task=SymbolTask(**prepare_symbol_args("", job("x", "close"))),
        candle_repo_config=json.dumps(config("A", "B")),
        formula_service_config=json.dumps(FORMULAS),
    )
    chunk = ChunkTask(job=shared.SerializeToString(), symbols=["B", "NOPE", "A"])
    reply = _worker_process_chunk(chunk.SerializeToString())
    results = [
        ProcessingResult.FromString(bytes(message))
        for _, messages, _ in PacketReader(reply, None)
        for message in messages
    ]
    assert [result.symbol for result in results] == ["B", "NOPE", "A"]
    assert [result.error.reason for result in results] == ["", "UNKNOWN_SYMBOL", ""]
    assert reply.seconds >= 0
    assert pickle.loads(pickle.dumps(reply)) == reply


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"timeframe": "fortnight"}, "INVALID_REQUEST"),
        ({"date_range_start": "yesterday"}, "INVALID_REQUEST"),
        ({"formula_expression": "smaa(close, 3)"}, "INVALID_FORMULA"),
        ({"formula_expression": None, "formula_id": "mine"}, "FORMULA_NOT_FOUND"),
        ({"symbol": "NOPE"}, "UNKNOWN_SYMBOL"),
        ({"date_range_start": "2030-01-01"}, "NO_CANDLES"),
    ],
)
def test_what_is_wrong_with_a_task_is_told_as_data(change, reason):
    result = process(prepare_symbol_args("A", job("A", "close")) | change)
    assert result.error.reason == reason
    assert result.error.message
    assert result.last_part


@pytest.mark.parametrize("symbol", ["RAISES", "EXITS", "UNPICKLABLE"])
def test_no_exception_leaves_a_worker(symbol):
    """Pool traps 3 and 4, rule 5."""
    result = process(prepare_symbol_args(symbol, job(symbol, "close")), symbol)
    assert result.error.reason == "INTERNAL"
    assert "secret" not in result.error.message


def test_a_repository_that_cannot_be_built_is_told_as_data():
    result = process(prepare_symbol_args("A", job("A")), "A", broken=True)
    assert result.error.reason == "WORKER_START_FAILED"
    assert "ValueError" in result.error.message
    assert "hunter2" not in result.error.message


def test_a_ping_tells_that_the_worker_cannot_start():
    """Pool rule 6."""
    report = _worker_ping(json.dumps(config("A", broken=True)), json.dumps(FORMULAS))
    assert "could not create its candle repository: " in report.error
    assert "ValueError" in report.error
    assert _worker_ping(json.dumps(config("A")), json.dumps(FORMULAS)).error == ""


def test_many_warnings_are_cut_and_counted():
    unused = {f"unused{number}": 1.0 for number in range(30)}
    warnings = process(prepare_symbol_args("A", job("A", "close", parameters=unused))).info.warnings
    assert len(warnings) == 21
    assert warnings[-1].endswith(" more warnings")


def test_float32_is_sent_when_asked_for_and_computed_in_64_bits():
    result = process(prepare_symbol_args("A", job("A", "close")) | {"precision": Precision.PRECISION_FLOAT32})
    assert not result.columns[0].values
    expected = candles_of("A", 100).fields["close"].astype(np.float32)
    np.testing.assert_array_equal(np.array(result.columns[0].values_f32, dtype=np.float32), expected)


def test_a_time_limit_that_has_passed_gives_an_error(monkeypatch):
    clock = iter([0] + [10_000_000] * 50)
    monkeypatch.setattr("candelabra_server.processing.symbol_watch.monotonic_micros", lambda: next(clock))
    result = process(prepare_symbol_args("A", job("A", "close")) | {"symbol_time_limit_millis": 5})
    assert result.error.reason == "SYMBOL_TIME_LIMIT"
    assert dict(result.error.metadata) == {"limit_millis": "5"}


def test_no_value_is_sent_as_nan_and_infinities_as_they_are():
    result = process(prepare_symbol_args("A", job("A", "b = -close / 0; c = 0 * close / 0")))
    values = {column.name: column.values[0] for column in result.columns}
    assert values["b"] == -math.inf
    assert math.isnan(values["c"])


def test_when_only_the_last_rows_are_wanted_only_they_and_their_warm_up_are_computed():
    args = prepare_symbol_args("A", job("A", "sma(close, 10)", start="2020-02-01"))
    whole, last = process(args), process(args | {"last_n": 3})
    assert list(last.columns[0].values) == list(whole.columns[0].values)[-3:]
    assert list(last.open_time_micros) == list(whole.open_time_micros)[-3:]
    assert (last.info.candles_read, last.info.warm_up_candles_used) == (12, 9)
    more = process(args | {"last_n": 1_000})
    assert more.columns == whole.columns
    assert more.info.warm_up_candles_used == whole.info.warm_up_candles_used == 9


def test_a_failure_that_no_slot_can_hold_is_answered_all_the_same(tmp_path, caplog):
    """Otherwise its symbol would be tried again for ever."""
    name = "x" * 400_000  # the failure says it three times
    slots = ResultSlots(1, TransportSettings(folder=tmp_path, slot_bytes=1024 * 1024))
    slot = slots.take()
    shared = JobTask(
        task=SymbolTask(**prepare_symbol_args("", job("x", "close"))),
        candle_repo_config=json.dumps(config("A")),
        formula_service_config=json.dumps(FORMULAS),
    )
    chunk = ChunkTask(job=shared.SerializeToString(), symbols=[name, "A"], slot=slot.to_message())
    results = PacketReader(_worker_process_chunk(chunk.SerializeToString()), slot)
    assert results.symbols == 2
    failure, result = (ProcessingResult.FromString(messages[0]) for _, messages, _ in results)
    assert failure.error.reason == "INTERNAL"
    assert len(result.open_time_micros) == 100
    assert "larger than a slot" in caplog.text
