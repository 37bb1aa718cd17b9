"""The messages are what clients were promised: names, numbers, types, comments."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from candelabra.v1 import Column, ProcessingJob, ProcessingResult, processing_pb2
from candelabra.worker.v1 import EncodedColumn, EncodedResult, SymbolTask

ROOT = Path(__file__).resolve().parents[2]
BUF = Path(sys.executable).with_name("buf")


def numbers(message):
    return {field.name: field.number for field in message.DESCRIPTOR.fields}


def test_a_job_has_the_promised_fields():
    assert numbers(ProcessingJob) == {
        "job_id": 1,
        "symbols": 2,
        "timeframe": 3,
        "date_range": 4,
        "formula": 5,
        "parameters": 6,
        "output": 7,
        "options": 8,
    }


def test_a_result_has_the_servers_fields_first():
    assert numbers(ProcessingResult) == {
        "job_id": 1,
        "sequence": 2,
        "symbols_total": 3,
        "symbols_done": 4,
        "attempts": 5,
        "symbol": 6,
        "error": 7,
        "row_offset": 8,
        "last_part": 9,
        "open_time_micros": 10,
        "columns": 11,
        "info": 12,
    }


def test_a_column_is_packed_doubles_or_floats():
    assert numbers(Column) == {"name": 1, "kind": 2, "values": 3, "values_f32": 4}
    fields = Column.DESCRIPTOR.fields_by_name
    assert fields["values"].type == fields["values"].TYPE_DOUBLE
    assert fields["values_f32"].type == fields["values_f32"].TYPE_FLOAT
    times = ProcessingResult.DESCRIPTOR.fields_by_name["open_time_micros"]
    assert times.type == times.TYPE_SFIXED64


@pytest.mark.parametrize(("twin", "original"), [(EncodedResult, ProcessingResult), (EncodedColumn, Column)])
def test_the_workers_twins_have_the_same_numbers(twin, original):
    assert numbers(twin).items() <= numbers(original).items()


def test_worker_tasks_keep_the_difference_between_no_formula_and_an_empty_one():
    fields = SymbolTask.DESCRIPTOR.fields_by_name
    assert fields["formula_expression"].has_presence
    assert fields["formula_id"].has_presence


def test_the_services_have_the_promised_methods():
    service = processing_pb2.DESCRIPTOR.services_by_name["ProcessingService"]
    assert [method.name for method in service.methods] == ["Process", "Screen", "ExplainJob", "GetServerInfo"]
    assert service.methods_by_name["Process"].server_streaming


def test_every_element_is_commented_and_named_as_the_style_asks():
    assert lint(ROOT / "protos") == ""


def test_a_missing_comment_would_be_seen(tmp_path):
    shutil.copytree(ROOT / "protos", tmp_path / "protos", ignore=shutil.ignore_patterns("generated"))
    source = tmp_path / "protos/candelabra/v1/candles.proto"
    source.write_text(source.read_text().replace("  // The symbols of this page.\n", ""))
    assert 'Field "symbols" should have a non-empty comment' in lint(tmp_path / "protos")


def lint(folder):
    """What buf finds in a folder of protos: nothing when all is well."""
    finished = subprocess.run([BUF, "lint"], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert finished.stderr == ""
    return finished.stdout
