import subprocess
import sys

PROGRAM = """\
import asyncio
from datetime import date

import numpy as np
from candelabra_client import (
    AsyncClient,
    Client,
    InvalidRequest,
    JobResults,
    Progress,
    RetryPolicy,
    ScreenResult,
    SymbolResult,
    progress_bar,
)


def show(progress: Progress) -> None:
    print(progress.symbols_done / progress.symbols_total)


def last(result: SymbolResult) -> float:
    return float(result["value"][-1])


with Client("127.0.0.1:50051", retry=RetryPolicy(max_attempts=2), metadata=[("authorization", "x")]) as client:
    job = client.process("AA*", timeframe="1d", start=date(2012, 1, 1), formula="close", progress=show)
    values: list[float] = [last(result) for result in job if result.ok]
    results: JobResults = client.process(["A"], timeframe="1d", precision="float32").results()
    first: SymbolResult = results[0]
    same: SymbolResult = results["A"]
    times: np.ndarray[tuple[int, ...], np.dtype[np.datetime64]] = first.open_times
    names: tuple[str, ...] = first.columns
    with progress_bar("Screening") as bar:
        screen = client.screen("low = rsi(close, 14) < 30", timeframe="1d", filter="low", limit=5, progress=bar)
        passing: list[str] = [symbol for batch in screen for symbol in batch.symbols]
    found: ScreenResult = client.screen(formula_id="trend", timeframe="1d", order_by=["a desc", "symbol"]).results()
    lows: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = found["low"]
    try:
        client.list_symbols()
    except InvalidRequest as error:
        fields: list[str] = [violation.field for violation in error.violations]


async def main() -> int:
    async with AsyncClient() as client, client.process("A", timeframe="1d") as job:
        async for result in job:
            reveal_type(result.error)
        async for batch in client.screen("close", timeframe="1d"):
            reveal_type(batch.symbols)
        return len((await client.process("A", timeframe="1d").results()).errors)


asyncio.run(main())
"""
MISTAKES = """\
from candelabra_client import Client

Client().process("A")
Client().process("A", timeframe="1d", precision="float16")
Client().process("A", "1d")
for name in Client().process("A", timeframe="1d"):
    name.upper()
Client().screen("close", timeframe="1d", order_by=1)
for batch in Client().screen("close", timeframe="1d"):
    batch.result
"""


def check(tmp_path, program):
    file = tmp_path / "program.py"
    file.write_text(program)
    command = [sys.executable, "-m", "mypy", "--strict", f"--cache-dir={tmp_path}", "--config-file=", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)


def test_a_users_program_passes_mypy_in_strict_mode(tmp_path):
    done = check(tmp_path, PROGRAM)

    assert done.returncode == 0, done.stdout
    assert 'Revealed type is "candelabra_client._result.SymbolError | None"' in done.stdout
    assert 'Revealed type is "tuple[str, ...]"' in done.stdout


def test_mistakes_in_a_users_program_are_found(tmp_path):
    done = check(tmp_path, MISTAKES)

    lines = [int(line.split(":")[1]) for line in done.stdout.splitlines()[:-1] if ": error:" in line]
    assert lines == [3, 4, 5, 7, 8, 10]
