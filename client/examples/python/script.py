"""A script: one job over a few symbols, results as they come, and every kind of failure handled.

    python script.py                                 uses the server on this machine
    CANDELABRA_SERVER=host:50051 python script.py    uses another one

The exit status is 0 when all is well, 1 when the job could not run and 3 when some symbols failed.
"""

from __future__ import annotations

import os
import sys

import numpy as np

from candelabra_client import CandelabraError, Client, InvalidRequest

SERVER = os.environ.get("CANDELABRA_SERVER", "127.0.0.1:50051")
SYMBOLS = ["AAPL", "IBM", "MSFT", "NOPE"]  # the last one is not there
FORMULA = "average = sma(close, days); strength = rsi(close, 14)"


def main() -> int:
    """Runs the job; returns the exit status."""
    try:
        with Client(SERVER) as client:
            failed = report(client)
    except InvalidRequest as error:  # says everything that is wrong at once, for a formula with line and column
        for violation in error.violations:
            print(f"{violation.field}: {violation.description}", file=sys.stderr)
        return 1
    except CandelabraError as error:  # no server, the timeout, … the client has tried again where that helps
        print(error, file=sys.stderr)
        return 1
    return 3 if failed else 0


def report(client: Client) -> int:
    """Prints each symbol's last value; returns how many symbols failed."""
    job = client.process(
        SYMBOLS, timeframe="1d", start="2012-01-01", formula=FORMULA, parameters={"days": 20}, timeout=60
    )
    failed = 0
    for result in job:  # in the order in which they are done
        if result.error is not None:
            print(f"{result.symbol}: {result.error.message} ({result.error.reason})", file=sys.stderr)
            failed += 1
            continue
        day = np.datetime_as_string(result.open_times[-1], unit="D")
        print(f"{result.symbol:6}{day:12}{result['average'][-1]:12.6f}{result['strength'][-1]:12.6f}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
