"""An asyncio consumer: two screens over 8,000 symbols at the same time, each stopped when it has found enough.

    python consumer.py                                 uses the server on this machine
    CANDELABRA_SERVER=host:50051 python consumer.py    uses another one

Leaving `async with` on a job cancels it on the server, and so does Ctrl-C. When the connection breaks or the
server restarts, the client asks for the missing symbols by itself: the loop below sees each symbol once.
"""

from __future__ import annotations

import asyncio
import os
import sys

from candelabra_client import AsyncClient, CandelabraError

SERVER = os.environ.get("CANDELABRA_SERVER", "127.0.0.1:50051")
SCREENS = {
    "oversold": "value = rsi(close, 14); hit = value < 40",
    "breakout": "value = close / highest(close, 50)[1]; hit = value > 1",
}
WANTED = 3


async def main() -> bool:
    """Runs all screens over one connection; returns whether all of them succeeded."""
    async with AsyncClient(SERVER) as client:
        return all(await asyncio.gather(*(screen(client, name, formula) for name, formula in SCREENS.items())))


async def screen(client: AsyncClient, name: str, formula: str) -> bool:
    """Prints the first symbols for which `hit` is true at the last candle, as soon as each is known."""
    found = 0
    try:
        async with client.process("SYN*", timeframe="1d", formula=formula, last_n=1, timeout=60) as job:
            async for result in job:
                if result.ok and result["hit"][-1] == 1:
                    print(f"{name:10}{result.symbol:10}{result['value'][-1]:12.6f}", flush=True)
                    found += 1
                if found == WANTED:
                    break
    except CandelabraError as error:  # one screen's failure does not end the others
        print(f"{name}: {error}", file=sys.stderr)
        return False
    print(f"{name:10}stopped after {found} hits", flush=True)
    return True


if __name__ == "__main__":
    try:
        sys.exit(0 if asyncio.run(main()) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
