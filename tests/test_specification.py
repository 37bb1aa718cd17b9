"""The table of what was specified names tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLE = (ROOT / "server/docs/specification.md").read_text()
FILES = dict(re.findall(r"`(\w+)` is `(tests/[\w/]+\.py)`", TABLE))


def test_every_test_in_the_table_exists():
    named = re.findall(r"`(\w+)::(\w+)`", TABLE)
    assert len(named) > 30
    missing = [
        f"{FILES[file]}::{test}" for file, test in named if f"def {test}(" not in (ROOT / FILES[file]).read_text()
    ]
    assert missing == []
