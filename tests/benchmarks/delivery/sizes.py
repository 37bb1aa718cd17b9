"""How much the delivery suite measures: all of it, or just enough to see that it works (`--quick`)."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.sizes import FULL as COMPUTED
from benchmarks.sizes import QUICK as QUICKLY_COMPUTED
from benchmarks.sizes import Shape, Sizes

__all__ = ["FULL", "QUICK", "DeliverySizes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySizes:
    """What each part is measured on.

    Attributes:
        many: many symbols with little history, for small results, screens, dispatch and load.
        long: fewer symbols with much history, for large results and the whole job.
        computed: of the compute suite, whose peers the whole job stands beside; its headline is `long`.
        round_trips: jobs of one symbol, one after the other, for one figure of latencies.
        loaded_seconds: how long, at most, round trips go on while another job runs.
        window_seconds: how long one figure of concurrent clients is measured.
        stalled_seconds: how long a client does not read while the server's memory is looked at.
        clients: numbers of concurrent clients.
        client_symbols: symbols of a job of each of them.
    """

    many: Shape
    long: Shape
    computed: Sizes
    round_trips: int
    loaded_seconds: float
    window_seconds: float
    stalled_seconds: float
    clients: tuple[int, ...]
    client_symbols: int


FULL = DeliverySizes(
    many=Shape(8_000, 500),
    long=COMPUTED.headline,
    computed=COMPUTED,
    round_trips=1_000,
    loaded_seconds=4.0,
    window_seconds=1.5,
    stalled_seconds=3.0,
    clients=(1, 4, 16, 64),
    client_symbols=400,
)

QUICK = DeliverySizes(
    many=Shape(400, 500),
    long=QUICKLY_COMPUTED.headline,
    computed=QUICKLY_COMPUTED,
    round_trips=50,
    loaded_seconds=0.5,
    window_seconds=0.3,
    stalled_seconds=0.5,
    clients=(1, 8),
    client_symbols=50,
)
