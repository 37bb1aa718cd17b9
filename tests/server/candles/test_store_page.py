"""The examples of server/docs/store.md work as they stand."""

import re
from pathlib import Path

from candelabra_server.candles.factory import create_candle_repository

PAGE = Path(__file__).parents[3] / "server" / "docs" / "store.md"


def test_the_example_of_a_plugged_in_repository_works(tmp_path, monkeypatch):
    module, use = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "sine_candles.py").write_text(module, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    names: dict[str, object] = {}
    exec(compile(use, str(PAGE), "exec"), names)
    repository = create_candle_repository({"type": "sine_candles:create", "symbols": ["WAVE", "SINE"]})
    assert [entry.symbol for entry in repository.list_symbols("1d")] == ["SINE", "WAVE"]
