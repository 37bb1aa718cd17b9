"""Starts a server over the demo candles, runs a job over each kind of them, prints what came back, stops it.

This is what `make run` runs. The client's part is `show_real` and `show_synthetic`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from candelabra_client import Client

SERVER = str(Path(sys.executable).with_name("candelabra-server"))
REAL_SYMBOLS = ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
FORMULA = "average = sma(close, 20); strength = rsi(close, 14); signal_line = macd(close).signal"
SCREEN = "is_up = sma(close, 20) > sma(close, 50)"
LONGEST_START_SECONDS = 120.0


def main() -> None:
    """Loads the candles once, serves them on a port that the system chooses, and uses them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", default="candelabra-data", help="folder of the candle store")
    store = parser.parse_args().store
    subprocess.run([SERVER, "demo", "--if-missing", "--store", store], check=True)
    with serving(store) as address, Client(address) as client:
        show_real(client)
        show_synthetic(client)


def show_real(client: Client) -> None:
    """Three indicators of the five real symbols at their last candle."""
    print(f"\n{FORMULA}\n")
    print(f"{'symbol':8}{'date':12}{'average':>14}{'strength':>14}{'signal_line':>14}")
    results = {result.symbol: result for result in client.process(REAL_SYMBOLS, timeframe="1d", formula=FORMULA)}
    for symbol in REAL_SYMBOLS:
        result = results[symbol]
        values = "".join(f"{result[name][-1]:14.6f}" for name in ("average", "strength", "signal_line"))
        print(f"{symbol:8}{np.datetime_as_string(result.open_times[-1], unit='D'):12}{values}")


def show_synthetic(client: Client) -> None:
    """How many of 8,000 synthetic symbols are in an upward trend at their last candle."""
    started = time.perf_counter()
    up = failed = done = 0
    for result in client.process("SYN*", timeframe="1d", formula=SCREEN, last_n=1):
        done += 1
        failed += not result.ok
        up += bool(result.ok and result["is_up"][-1] == 1)
    seconds = time.perf_counter() - started
    print(f"\n{SCREEN}\n")
    print(f"{done:,} synthetic symbols in {seconds:.1f} s: {up:,} are up, {failed} failed")


@contextmanager
def serving(store: str) -> Iterator[str]:
    """A server of its own; gives its address, and ends it after."""
    command = [SERVER, "serve", "--listen", "127.0.0.1:0", "--store", store]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = next(line.split()[-1] for line in server.stdout if "listening on" in line)
            yield address
        finally:
            server.terminate()
            server.communicate(timeout=LONGEST_START_SECONDS)
    if server.returncode:
        raise SystemExit(f"the server ended with status {server.returncode}")


if __name__ == "__main__":
    main()
