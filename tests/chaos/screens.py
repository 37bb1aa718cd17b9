"""Clients of screens."""

from __future__ import annotations

import asyncio
from random import Random

from candelabra_client import AsyncClient, ServerUnavailable
from chaos.candles import TIMEFRAME
from chaos.jobs import CHANNEL_OPTIONS, RETRY
from chaos.lab import Lab
from chaos.model import ExpectedScreen
from chaos.requests import end_of

__all__ = ["read_screen"]

_SENDS = 10


async def read_screen(lab: Lab, expected: ExpectedScreen, _random: Random) -> str:
    """With the asyncio client. A sorted screen is given whole or not at all, so what failed is sent again whole."""
    is_sorted = bool(expected.limit)
    for attempt in range(_SENDS):
        try:
            async with AsyncClient(lab.server.address, retry=RETRY, channel_options=CHANNEL_OPTIONS) as client:
                screen = client.screen(
                    expected.formula.text,
                    symbols=expected.symbols,
                    timeframe=TIMEFRAME,
                    as_of=end_of(expected.number),
                    filter="up" if "up" in (expected.formula.text or "") else None,
                    order_by="average desc" if is_sorted else None,
                    limit=expected.limit or None,
                )
                async for batch in screen:
                    for at, symbol in enumerate(batch.symbols):
                        expected.row(symbol, {name: float(batch[name][at]) for name in batch.columns})
                expected.finish({symbol: (error.reason, error.message) for symbol, error in screen.errors.items()})
        except ServerUnavailable:
            lab.ledger.unavailable += 1
            expected.begin_again()
            await asyncio.sleep(0.1 * (attempt + 1))
        else:
            return "complete"
    expected.problem("lost", f"all of it, when the screen had ended with UNAVAILABLE {_SENDS} times")
    return "unavailable"
